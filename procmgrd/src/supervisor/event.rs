//! What the supervisor is told, and what it asks for: plain data.
//!
//! What follows from an event is decided next door, in `program` and in the supervisor itself.

use std::fmt;
use std::ops::Add;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procmgr_config::{Action, Config, Definition, Gid, Group, KillMode, ProgramName, Rule, Uid};
use procmgr_proto::details::ReloadEffect;
use procmgr_proto::event::ProgramStatus;
use procmgr_proto::message::{ExitStatus, Invocation, Response};

use crate::supervisor::memory::{Memory, Recollection};

/// Something that has happened.
///
/// `S` is the standard input, output and error of a client, which the supervisor carries and cannot touch. Whatever
/// it does not hand on in a [`Spawn`] it drops.
#[derive(Debug)]
pub(crate) enum Event<S> {
    /// An earlier daemon has left this on record. Comes first, if at all.
    Recalled { programs: Vec<Recollection> },
    /// The daemon has started and is to start the programs of this group.
    Autostart(Group),
    /// A client asks something of the daemon itself.
    Asked { caller: Caller, question: Question },
    /// A client, who is in these supplementary groups, asks for an action on a program.
    Invoked { caller: Caller, groups: Rc<[Gid]>, invocation: Invocation, stdio: S },
    /// A script has been executed: the answer to [`Effect::Spawn`].
    Spawned { job: Job, process: Process },
    /// A script could not be executed: the other answer to [`Effect::Spawn`].
    SpawnFailed { job: Job, reason: String },
    /// A child has died and been reaped, or a process that was taken over has died.
    Exited { pid: Pid, status: ExitStatus },
    /// The instant that the supervisor named as its next deadline may have come. Harmless if it has not; where it names
    /// one that has come in answer, this is wanted again.
    Deadline,
    /// Somebody has signalled the daemon.
    Signaled(Control),
    /// The configuration has been read: the answer to [`Effect::LoadConfig`].
    Configured { caller: Option<Caller>, intent: Intent, outcome: Result<Loaded, Rejected> },
    /// The executable could take over from this one: the answer, some time later, to [`Effect::Rehearse`].
    Rehearsed,
    /// The executable cannot take over from this one: the other answer to [`Effect::Rehearse`], and that to
    /// [`Effect::HandOver`].
    NotUpgraded { reason: String },
    /// The executable has taken over.
    Upgraded,
}

/// Something that is to be done, once, in the order of the list it comes in.
///
/// `Spawn` and `LoadConfig` are answered by one event each, which comes before any other event; so is `HandOver`, if
/// this process goes on as it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect<S> {
    /// Put on record what of a program is to outlive the daemon. Comes before all else that follows from an event.
    Remember { program: ProgramName, memory: Memory },
    /// Run a script.
    Spawn(Spawn<S>),
    /// Send a signal to a process, which is a main process, or to the group that it leads, unless it has died
    /// meanwhile.
    Signal { process: Process, signal: Signal, scope: KillMode },
    /// Answer a request. Each request is answered once, by this or by `Exit`.
    Reply { caller: Caller, response: Response },
    /// Read the configuration again.
    LoadConfig { caller: Option<Caller>, intent: Intent },
    /// End the daemon, and tell the caller when all is cleaned up. Every other request has been answered.
    Exit { caller: Option<Caller> },
    /// Tell whoever reads the log.
    Report(Report),
    /// See whether the executable, which may be a new one, could take over from this process.
    Rehearse,
    /// Have the executable take over from this process. Nothing follows it in a list.
    HandOver,
    /// Tell whoever has subscribed. Those of one event come before all else that follows from it, so that nobody learns
    /// of a change from an answer before it is told.
    Publish(Change),
}

/// A point in time by two clocks: one that only ever goes on, by which it is decided what is due, and the one on the
/// wall, which is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp {
    pub(crate) instant: Instant,
    /// In milliseconds since 1970. Told as it was when it was looked at, however the clock is set later.
    pub(crate) time: u64,
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// What is too far ahead for the clocks is as good as never.
    fn add(self, pause: Duration) -> Self {
        let milliseconds = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        Self {
            instant: self.instant.checked_add(pause).unwrap_or(self.instant + NEVER),
            time: self.time.saturating_add(milliseconds),
        }
    }
}

/// Some hundred years.
const NEVER: Duration = Duration::from_secs(1 << 32);

/// A signal by which the daemon ends a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM: it is to end.
    Term,
    /// SIGKILL: it ends.
    Kill,
}

/// A script that is to be run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spawn<S> {
    /// What it is for.
    pub(crate) job: Job,
    /// Its `$0`, `$1` and so on.
    pub(crate) arguments: Vec<Vec<u8>>,
    /// Its `$PID`: the main process of the program, if there is one.
    pub(crate) main: Option<Pid>,
    /// Its standard input, output and error; `None` if it runs for nobody.
    pub(crate) stdio: Option<S>,
    /// What it has to put on record of itself before it is executed, if it is to be a main process.
    pub(crate) memory: Option<Memory>,
}

impl<S> Spawn<S> {
    /// Returns the rule whose script is to be run.
    pub(crate) fn rule(&self) -> &Rule {
        self.job.definition.rule(&self.job.action)
    }
}

/// One action on one program, for one client or for nobody.
///
/// It travels out with [`Effect::Spawn`] and comes back with the answer, so that nothing of it has to be remembered
/// in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) program: ProgramName,
    /// The definition that the script is from; after a start the program runs under it.
    pub(crate) definition: Arc<Definition>,
    pub(crate) action: Action,
    pub(crate) caller: Option<Caller>,
    /// When it was decided to run it.
    pub(crate) at: Timestamp,
}

/// Who has asked for something, and where the answer goes: one request of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Caller {
    /// The connection. Never used again once it is closed.
    pub(crate) connection: u64,
    /// The number of the request on it, as the server counts; not the id that the client chose.
    pub(crate) request: u64,
    /// Who is at the other end of the connection.
    pub(crate) peer: Peer,
}

/// Who is at the other end of a connection, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Peer {
    pub(crate) pid: Pid,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "pid {} uid {} gid {}", self.pid, self.uid.0, self.gid.0)
    }
}

/// A process, as no other has ever been: a pid is given to another one some day, but not with the same start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    /// When it was started, in ticks of the kernel since the machine was.
    pub(crate) started: Ticks,
}

/// A point in time as the kernel counts it for processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticks(pub(crate) u64);

/// A process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pid(pub(crate) i32);

impl fmt::Display for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What clients ask of the daemon itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether it answers.
    Ping,
    /// Which programs there are.
    List,
    /// To end.
    Stop,
    /// To read its configuration again.
    Reload,
    /// Which programs there are, and what they have gone through.
    Inspect,
    /// What the programs are, and each change of one from now on.
    Subscribe,
    /// To execute its executable anew.
    Upgrade,
    /// What reading its configuration again would change.
    Preview,
    /// What whoever asks, who is in these supplementary groups, may do.
    Permissions { groups: Rc<[Gid]> },
}

/// What a signal asks of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// To read its configuration again.
    Reload,
    /// To end.
    Terminate,
}

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// To be put in force.
    Apply,
    /// To see what that would change.
    Preview,
}

/// A configuration that can be used.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// What there is to remark about the file, a line each.
    pub(crate) remarks: Vec<String>,
}

/// A configuration that cannot be used.
#[derive(Debug)]
pub(crate) struct Rejected {
    /// The reason; first a summary, then the findings, if there are any.
    pub(crate) lines: Vec<String>,
}

/// A decision that no client has asked for, and that is worth a line in the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// An unattended start has succeeded.
    Started { program: ProgramName, pid: Pid },
    /// A program that an earlier daemon had started has been taken over.
    TakenOver { program: ProgramName, pid: Pid },
    /// An unattended start has failed; it is tried again after the delay, if there is one.
    StartFailed { program: ProgramName, reason: String, retry: Option<Restart> },
    /// A main process has come to its end; the program is perhaps started again.
    Ended { program: ProgramName, pid: Pid, status: ExitStatus, restart: Option<Restart> },
    /// A program has died after so many restarts in a row, and is not started again.
    GivenUp { program: ProgramName, restarts: u32 },
    /// A program has not ended in time, and is killed.
    Killed { program: ProgramName, pid: Pid },
    /// The stop of a program that the daemon itself has asked for has failed.
    StopFailed { program: ProgramName, reason: String },
    /// A new configuration is in force; there may be something to remark about it.
    Reconfigured { differences: Vec<Difference>, remarks: Vec<String> },
    /// The configuration could not be used, and the one before it stays in force.
    ConfigRejected { lines: Vec<String> },
    /// The daemon is to end as soon as these many programs have.
    Stopping { programs: usize },
    /// The daemon ends.
    Ending,
    /// The executable has taken over.
    Upgraded,
    /// The executable could not take over.
    NotUpgraded { reason: String },
}

/// A restart that nobody has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restart {
    /// How long after the death.
    pub(crate) delay: Duration,
    /// The how-manieth in a row it is, since somebody has asked for a start and since the last run that was stable.
    pub(crate) number: u32,
}

/// A change of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// What the program is now.
    pub(crate) program: ProgramStatus,
    pub(crate) cause: Cause,
}

/// What has led to a change of a program, so far as there is something to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cause {
    /// Whose request.
    pub(crate) by: Option<Caller>,
    /// The end of its main process.
    pub(crate) ended: Option<ExitStatus>,
    /// The failure of a start.
    pub(crate) failure: Option<String>,
}

impl Cause {
    /// It is the doing of a request; `None` if it is that of the daemon.
    pub(crate) fn request(by: Option<Caller>) -> Self {
        Self { by, ..Self::default() }
    }
}

/// What a new configuration makes of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) program: ProgramName,
    pub(crate) effect: ReloadEffect,
    /// The keys that say something else than before.
    pub(crate) keys: Vec<Vec<u8>>,
    /// Its main process, if it has one.
    pub(crate) main: Option<Pid>,
    /// That runs under an older definition then.
    pub(crate) is_outdated: bool,
}
