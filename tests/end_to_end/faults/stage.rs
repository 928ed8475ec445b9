//! A sandbox in which one daemon follows the other, and a count of all that they have started.
//!
//! At which moment one is killed, and what is asked of it before, is not known here.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use procmgr_proto::client::{Client, Outcome};
use procmgr_proto::connection::Connection;
use procmgr_proto::event::{ProgramStatus, State};
use procmgr_proto::message::Invocation;
use procmgr_proto::stdio::StdioRef;

use crate::faults::census::{Process, children};
use crate::faults::tracer::waits_for_events;
use crate::harness::{DEADLINE, Sandbox, allowing_us, wait_until};

/// A script for `start` that leaves its PID in a file, by which [`Stage`] knows of it, and then lasts.
macro_rules! lasting {
    () => {
        "cmd-start = echo $$ >> @/births-$PROGNAME; exec sleep 1000 > /dev/null 2>&1\n"
    };
}
pub(super) use lasting;

/// A sandbox with at most one daemon. When this is dropped, whatever any daemon of it has started is ended.
pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    daemon: Option<Child>,
    /// All that was a child of a daemon, or was born by a script, when that was looked for.
    seen: BTreeSet<Process>,
    /// The PIDs that start scripts have left.
    born: BTreeSet<u32>,
    /// When a daemon was killed the last time.
    moment: String,
}

impl Stage {
    /// Makes a sandbox with this configuration, in which everything is allowed to us.
    pub(super) fn new(config: &str) -> Self {
        let sandbox = Sandbox::new(&allowing_us(config));
        Self { sandbox, daemon: None, seen: BTreeSet::new(), born: BTreeSet::new(), moment: String::new() }
    }

    /// Starts the next daemon, and does not wait for it.
    pub(super) fn launch(&mut self) {
        self.launch_by(daemon_of(&self.sandbox).stdin(Stdio::null()));
    }

    /// Starts the next daemon by a command that becomes it.
    pub(super) fn launch_by(&mut self, command: &mut Command) {
        assert!(self.daemon.is_none(), "one daemon at a time");
        let log = File::options().create(true).append(true).open(self.sandbox.path("log")).unwrap();
        self.daemon = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// Returns the PID of the daemon.
    pub(super) fn daemon(&self) -> Pid {
        Pid::from_raw(self.daemon.as_ref().expect("there is a daemon").id().cast_signed())
    }

    /// Returns the process that is or becomes the daemon.
    pub(super) fn daemon_process(&mut self) -> &mut Child {
        self.daemon.as_mut().expect("there is a daemon")
    }

    /// Kills the daemon at a moment that is of interest if anything is wrong afterwards.
    pub(super) fn kill_daemon_at(&mut self, moment: String) {
        self.kill_daemon();
        self.moment = moment;
    }

    /// Kills the daemon, wherever it is.
    pub(super) fn kill_daemon(&mut self) {
        self.look_around();
        let Some(mut daemon) = self.daemon.take() else { return };
        daemon.kill().unwrap();
        let pid = Pid::from_raw(daemon.id().cast_signed());
        // A stop that nobody has taken note of would be taken for its end.
        wait_until("the daemon is dead", || Process::of(pid).is_none());
        daemon.wait().unwrap();
    }

    /// Begins anew: kills the daemon and all that was started, and removes what they have left.
    pub(super) fn clear(&mut self) {
        self.kill_daemon();
        let living = self.seen.iter().filter(|process| process.is_alive());
        living.for_each(|process| self.kill(process.pid.as_raw().unsigned_abs()));
        for file in self.sandbox.files().iter().filter(|name| name.starts_with("births-")) {
            fs::remove_file(self.sandbox.path(file)).unwrap();
        }
        let _ = fs::remove_dir_all(self.sandbox.path("socket.state"));
        // Their PIDs come again.
        self.seen.clear();
        self.born.clear();
    }

    /// Kills a process of ours, and waits until it is dead.
    pub(super) fn kill(&self, pid: u32) {
        let process =
            self.seen.iter().find(|process| process.pid.as_raw() == pid.cast_signed() && process.is_alive());
        let process = process.expect("it is one of ours");
        process.kill();
        wait_until("it is dead", || !process.is_alive());
    }

    /// Returns the programs as the daemon has them; `None` as long as it does not serve.
    pub(super) fn programs(&self) -> Option<Vec<ProgramStatus>> {
        Some(self.client()?.subscribe().ok()?.programs().to_vec())
    }

    /// Has an action performed, and waits for the outcome.
    pub(super) fn invoke(&self, program: &str, action: &str) -> Outcome {
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        let silent = StdioRef { stdin: null.as_fd(), stdout: null.as_fd(), stderr: null.as_fd() };
        let [program, action] = [program, action].map(|word| word.as_bytes().to_vec());
        let invocation = Invocation { program, action, arguments: Vec::new() };
        self.client().expect("the daemon serves").invoke(invocation, silent).unwrap()
    }

    /// Returns how many times the start script of a program has begun since this was forgotten.
    pub(super) fn births(&self, program: &str) -> usize {
        self.sandbox.read(format!("births-{program}")).lines().count()
    }

    /// Forgets how many times the start script of a program has begun, and who was about to end.
    pub(super) fn forget_births(&mut self, program: &str) {
        self.look_around();
        let path = self.sandbox.path(format!("births-{program}"));
        fs::write(&path, "").unwrap();
        // Whoever the script will be may write there.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let _ = fs::remove_file(self.sandbox.path(format!("ends-{program}")));
    }

    /// Waits until nothing is under way any more, and what lives is just what is listed as running, each by its start
    /// script and none about to end. Returns what is listed.
    ///
    /// A program that waits to be started again is under way, unless it is one of these.
    #[track_caller]
    pub(super) fn settle(&mut self, waiting: &[&str]) -> Vec<ProgramStatus> {
        let begin = Instant::now();
        loop {
            self.assert_daemon_lives();
            let programs = self.programs();
            self.look_around();
            match programs {
                Some(programs) if self.is_settled(&programs, waiting) => return programs,
                _ => thread::sleep(PAUSE),
            }
            assert!(begin.elapsed() < DEADLINE, "something is lost or doubled: {}", self.describe());
        }
    }

    /// Waits until the daemon has nothing to do.
    #[track_caller]
    pub(super) fn wait_until_idle(&self) {
        wait_until("the daemon waits for events", || waits_for_events(self.daemon()));
    }

    /// Fails if the daemon has ended by itself.
    #[track_caller]
    pub(super) fn assert_daemon_lives(&mut self) {
        let ended = self.daemon_process().try_wait().unwrap();
        assert!(ended.is_none(), "the daemon has ended: {}", self.sandbox.log());
    }

    fn is_settled(&self, programs: &[ProgramStatus], waiting: &[&str]) -> bool {
        let may_wait = |name: &[u8]| waiting.iter().any(|it| it.as_bytes() == name);
        let is_at_rest = |program: &ProgramStatus| match program.state {
            State::Running | State::Down => true,
            State::BackOff => may_wait(&program.name),
            _ => false,
        };
        let listed: BTreeSet<u32> = programs.iter().filter_map(|program| program.pid).collect();
        let is_as_listed = self.living() == listed && listed.is_subset(&self.born);
        programs.iter().all(is_at_rest) && is_as_listed && listed.is_disjoint(&self.left("ends-"))
    }

    fn living(&self) -> BTreeSet<u32> {
        let living = self.seen.iter().filter(|process| process.is_alive());
        living.map(|process| process.pid.as_raw().unsigned_abs()).collect()
    }

    /// Takes note of all processes that there are.
    pub(super) fn look_around(&mut self) {
        if let Some(daemon) = &self.daemon {
            self.seen.extend(children(Pid::from_raw(daemon.id().cast_signed())));
        }
        let born = self.left("births-");
        self.seen.extend(born.iter().filter_map(|pid| Process::of(Pid::from_raw(pid.cast_signed()))));
        self.born.extend(born);
    }

    /// Returns the PIDs that scripts have left in files whose names begin like this.
    fn left(&self, prefix: &str) -> BTreeSet<u32> {
        let files = self.sandbox.files().into_iter().filter(|name| name.starts_with(prefix));
        files
            .flat_map(|name| self.sandbox.read(name).lines().flat_map(str::parse).collect::<Vec<_>>())
            .collect()
    }

    fn client(&self) -> Option<Client> {
        let stream = UnixStream::connect(self.sandbox.socket()).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Some(Client::over(Connection::over(stream)))
    }

    fn describe(&self) -> String {
        let (living, listed) = (self.living(), self.programs());
        format!("{living:?} live, {listed:?} are listed\n{}", self.last_words())
    }

    /// Returns when a daemon was killed, and what was logged before and after.
    pub(super) fn last_words(&self) -> String {
        let log = self.sandbox.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("{}\n{}", self.moment, lines[lines.len().saturating_sub(LAST)..].join("\n"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.look_around();
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        // It may have started another one since.
        self.look_around();
        self.seen.iter().for_each(|process| process.kill());
    }
}

/// Returns the command that becomes a daemon in the foreground, which logs all but what it is asked.
pub(super) fn daemon_of(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.command();
    command.args(["-l", "stderr", "-d", "-f"]);
    command
}

/// How long what is under way is left alone before it is looked at again.
const PAUSE: Duration = Duration::from_millis(1);

/// How many lines of a log are shown.
const LAST: usize = 12;
