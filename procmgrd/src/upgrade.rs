//! The upgrade in place: the daemon executes its executable, which may be a new one, and goes on as that.
//!
//! Whether somebody may have that, and what the client is told, is the supervisor's to say.
//!
//! First the executable rehearses: as a child, with copies of all descriptors, it does all that it will have to do,
//! except serve. If it cannot, the daemon goes on as it was and somebody is told why. Otherwise it is executed in
//! place of this process, with the state of that moment.

mod handover;
mod rehearsal;
mod words;

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::unistd::execve;
use procmgr_config::Uid;
use procmgr_proto::message::ExitStatus;

use crate::Options;
use crate::activation::environment_of_others;
use crate::descriptors::{Inherited, adopt, settle_inherited};
use crate::disposal;
use crate::error::Error;
use crate::event_loop::Daemon;
use crate::journal;
use crate::parcel::{Passage, seal};
use crate::poll::{Interest, Source};
use crate::signals::{self, Blocked};
use crate::supervisor::event::{Event, Pid};
use crate::upgrade::rehearsal::{Edition, READY, Rehearsal, Verdict};

/// What is to be executed, and how far that has come.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// The executable, by its absolute path.
    executable: PathBuf,
    /// How the daemon was started; the executable is started in the same way.
    arguments: Vec<OsString>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Idle,
    /// It is to rehearse as soon as nothing is in its way, but by then.
    Waiting {
        until: Instant,
    },
    Rehearsing(Rehearsal),
    /// This edition is to be executed as soon as nothing is in its way, but by then.
    Ready {
        edition: Edition,
        until: Instant,
    },
}

/// What another image of the daemon wants of this process.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) role: Role,
    state: RawFd,
}

/// Whether it is serious.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Rehearse,
    TakeOver,
}

impl Upgrade {
    /// Names the executable.
    pub(crate) fn new(executable: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { executable, arguments, stage: Stage::Idle }
    }

    /// Has the executable rehearse, soon.
    pub(crate) fn begin(&mut self) {
        self.stage = Stage::Waiting { until: Instant::now() + PATIENCE };
    }

    /// Ends what a rehearsal has left behind, if it has ended. To be called before any child is reaped: until then
    /// nobody else is given the number of its group.
    pub(crate) fn clear_away(&self) {
        if let Stage::Rehearsing(rehearsal) = &self.stage {
            rehearsal.clear_away();
        }
    }

    /// Takes note that a child has ended.
    pub(crate) fn take_note(&mut self, pid: Pid, status: ExitStatus) {
        if let Stage::Rehearsing(rehearsal) = &mut self.stage {
            rehearsal.take_note(pid, status);
        }
    }

    /// Returns when it is to be gone on with for no other reason than time, if ever.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Idle => None,
            Stage::Rehearsing(rehearsal) => Some(rehearsal.deadline()),
            // Nobody tells when the last descriptor is closed.
            Stage::Waiting { .. } | Stage::Ready { .. } => Some(Instant::now() + INTERVAL),
        }
    }
}

impl Daemon {
    /// Goes on with an upgrade that is under way, if there is one.
    pub(crate) fn go_on_with_upgrade(&mut self) {
        match &mut self.upgrade.stage {
            Stage::Idle => {}
            Stage::Waiting { until } => {
                let until = *until;
                if self.is_clear(until) {
                    self.rehearse();
                }
            }
            Stage::Rehearsing(rehearsal) => {
                if !rehearsal.listen() {
                    let _ = self.poller.remove(&*rehearsal);
                }
                match rehearsal.verdict(Instant::now()) {
                    Verdict::Pending => {}
                    Verdict::Ready => {
                        let (edition, until) = (rehearsal.edition(), Instant::now() + PATIENCE);
                        self.get_ready(Stage::Ready { edition, until });
                    }
                    Verdict::Failed { reason } => {
                        self.get_ready(Stage::Idle);
                        self.step(Event::NotUpgraded { reason });
                    }
                }
            }
            Stage::Ready { edition: _, until } => {
                let until = *until;
                if self.is_clear(until) {
                    self.hand_over_unless_signalled();
                }
            }
        }
    }

    /// Executes the executable in place of this process. Returns, if it does, why not.
    pub(crate) fn hand_over(&mut self) -> String {
        let edition = match mem::replace(&mut self.upgrade.stage, Stage::Idle) {
            Stage::Ready { edition, until: _ } => Some(edition),
            Stage::Idle | Stage::Waiting { .. } | Stage::Rehearsing(_) => None,
        };
        if edition.is_none_or(|edition| !edition.is_at(&self.upgrade.executable)) {
            return "it has changed since it has rehearsed".to_owned();
        }
        journal::finish();
        match self.try_to_hand_over() {
            Err(error) => self.blame(&error),
            Ok(never) => match never {},
        }
    }

    /// Returns whether nothing is in the way of an execution; if something has been until then, it is given up.
    ///
    /// Whatever is executed has to close its copies of descriptors, and waits for those who are closing ours.
    fn is_clear(&mut self, until: Instant) -> bool {
        let closing = disposal::unfinished();
        if !closing.is_empty() && until <= Instant::now() {
            self.upgrade.stage = Stage::Idle;
            self.step(Event::NotUpgraded { reason: in_the_way(&closing) });
        }
        closing.is_empty()
    }

    fn rehearse(&mut self) {
        let begun = self.begin_rehearsal().inspect(|rehearsal| {
            // What it has to say is read at its end, too.
            let _ = self.poller.add(rehearsal, Source::Rehearsal, Interest::READABLE);
        });
        match begun {
            Ok(rehearsal) => self.upgrade.stage = Stage::Rehearsing(rehearsal),
            Err(error) => {
                self.upgrade.stage = Stage::Idle;
                self.step(Event::NotUpgraded { reason: self.blame(&error) });
            }
        }
    }

    fn get_ready(&mut self, stage: Stage) {
        if let Stage::Rehearsing(rehearsal) = &self.upgrade.stage {
            let _ = self.poller.remove(rehearsal);
        }
        self.upgrade.stage = stage;
    }

    /// A signal that has arrived and is not taken care of yet would be lost; with none of them delivered from here
    /// on, those that arrive later wait in the kernel for the new image.
    fn hand_over_unless_signalled(&mut self) {
        let Ok(_blocked) = Blocked::all() else { return };
        if !self.signals.are_pending() {
            self.step(Event::Rehearsed);
        }
    }

    fn begin_rehearsal(&self) -> io::Result<Rehearsal> {
        let (bytes, mut descriptors) = self.pack()?;
        let state = seal(&bytes)?;
        descriptors.push(state.as_fd());
        let order = order(Role::Rehearse, state.as_raw_fd());
        let _passage = Passage::open(descriptors)?;
        let Upgrade { executable, arguments, .. } = &self.upgrade;
        Rehearsal::begin(executable, arguments, (VARIABLE, &order), self.spawner.descriptor_limit)
    }

    fn try_to_hand_over(&self) -> io::Result<std::convert::Infallible> {
        let (bytes, mut descriptors) = self.pack()?;
        let state = seal(&bytes)?;
        descriptors.push(state.as_fd());
        let order = order(Role::TakeOver, state.as_raw_fd());
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
        let Upgrade { executable, arguments, .. } = &self.upgrade;
        let executable = text(executable.as_os_str())?;
        let arguments: Vec<CString> = arguments.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
        let others = environment_of_others().filter(|(name, _)| name != VARIABLE);
        let variables = others.chain([(VARIABLE.into(), order.into())]).map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            text(&name)
        });
        let environment: Vec<CString> = variables.collect::<Result<_, _>>()?;
        let _passage = Passage::open(descriptors)?;
        Ok(execve(&executable, &arguments, &environment)?)
    }

    fn blame(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.upgrade.executable.display())
    }
}

/// Returns what another image of the daemon wants of this process, if it does.
pub(crate) fn arrival() -> Option<Arrival> {
    let order = env::var(VARIABLE).ok()?;
    let (role, state) = order.split_once(' ')?;
    let role = [Role::Rehearse, Role::TakeOver].into_iter().find(|known| known.name() == role)?;
    Some(Arrival { role, state: state.parse().ok()? })
}

/// Goes on as the daemon that another image was, or just tries whether that is possible.
///
/// # Errors
/// What keeps this image from taking over, or the daemon from going on.
pub(crate) fn take_over(options: Options, arrival: &Arrival) -> Result<(), Error> {
    let cannot = || Error::system("take over from the running daemon");
    let mut daemon = handover::unpack(options, arrival).map_err(cannot())?;
    // What was handed on and nobody has claimed is nobody's.
    drop(settle_inherited(Inherited::Keep).map_err(Error::system("settle inherited descriptors"))?);
    if arrival.role == Role::Rehearse {
        println!("{READY}");
        // Nothing is dropped: all of it belongs to somebody else yet.
        std::process::exit(0);
    }
    daemon.server.claim(&daemon.poller, Instant::now()).map_err(cannot())?;
    signals::unblock().map_err(Error::system("let signals through"))?;
    // From here on, what is started is to be on record.
    daemon.keep_records();
    // Nobody has listened for a while.
    daemon.reap()?;
    daemon.step(Event::Upgraded);
    daemon.run()
}

impl Arrival {
    /// Returns the bytes that were handed over.
    pub(crate) fn bytes(&self) -> io::Result<Vec<u8>> {
        crate::parcel::open(adopt(self.state)?)
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Rehearse => "rehearse",
            Self::TakeOver => "take-over",
        }
    }
}

fn order(role: Role, state: RawFd) -> String {
    format!("{} {state}", role.name())
}

fn in_the_way(owners: &[Option<Uid>]) -> String {
    let name = |owner: &Option<Uid>| owner.map_or("the daemon".to_owned(), |Uid(uid)| format!("uid {uid}"));
    let names = owners.iter().take(NAMES).map(name).collect::<Vec<_>>().join(", ");
    format!("descriptors of {names} are still being closed")
}

/// How an image tells the next one what it wants of it.
const VARIABLE: &str = "PROCMGR_UPGRADE";

/// How long descriptors may take to be closed before an upgrade is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether they are.
const INTERVAL: Duration = Duration::from_millis(5);

/// How many users are named at the most.
const NAMES: usize = 5;
