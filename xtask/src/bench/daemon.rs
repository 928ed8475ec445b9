//! A daemon that is measured: its configuration, its start and its end.
//!
//! What is asked of it is not known here.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::arena::{Arena, Subject};
use crate::bench::asker;

/// A daemon, ended with its programs when it is dropped.
pub(super) struct Daemon {
    process: Child,
    pub(super) configuration: PathBuf,
    pub(super) socket: PathBuf,
}

/// What its configuration says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    /// How many programs there are: `p0`, `p1` and so on.
    pub(super) programs: u32,
    /// What is said of each of them.
    pub(super) keys: &'a str,
    /// What is said of the first one besides.
    pub(super) first: &'a str,
}

impl Daemon {
    /// Starts it and waits until it serves.
    pub(super) fn start(arena: &Arena, subject: &Subject, plan: Plan<'_>) -> Result<Self, String> {
        let mut daemon = Self::begin(arena, subject, plan)?;
        daemon.wait_until_it_serves()?;
        Ok(daemon)
    }

    /// Returns what procmgr answers to a request, for a floor that is to answer the same.
    pub(super) fn answer_of(arena: &Arena, plan: Plan<'_>, request: &str) -> Result<Vec<u8>, String> {
        let daemon = Self::start(arena, arena.own(), plan)?;
        asker::answer(&daemon.socket, request)
    }

    /// Starts it by a command that runs it, and waits until it serves.
    pub(super) fn start_as(arena: &Arena, command: Command, plan: Plan<'_>) -> Result<Self, String> {
        let mut daemon = Self::begin_as(arena, command, plan)?;
        daemon.wait_until_it_serves()?;
        Ok(daemon)
    }

    /// Starts it, and does not wait.
    pub(super) fn begin(arena: &Arena, subject: &Subject, plan: Plan<'_>) -> Result<Self, String> {
        Self::begin_as(arena, arena.client(&subject.executable), plan)
    }

    fn begin_as(arena: &Arena, mut command: Command, plan: Plan<'_>) -> Result<Self, String> {
        let name = arena.new_name();
        let file = format!("{name}.cfg");
        let socket = arena.stage.path(&format!("{name}.socket"));
        arena.stage.put(&file, &plan.configuration(&socket))?;
        let configuration = arena.stage.path(&file);
        let log = File::create(arena.stage.path(&format!("{name}.log")));
        let log = log.map_err(|error| format!("cannot make the log: {error}"))?;
        command.args(["-d", "-f", "-c"]).arg(&configuration);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().map_err(|error| format!("cannot start the daemon: {error}"))?;
        Ok(Self { process, configuration, socket })
    }

    fn wait_until_it_serves(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        while UnixStream::connect(&self.socket).is_err() {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(format!("the daemon has ended with {status}"));
            }
            if begin.elapsed() > PATIENCE {
                return Err("the daemon does not serve".to_owned());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Returns its PID, for what the kernel tells of it.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let begin = Instant::now();
        while let Ok(None) = self.process.try_wait() {
            if begin.elapsed() > PATIENCE {
                let _ = self.process.kill();
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Plan<'_> {
    fn configuration(self, socket: &Path) -> String {
        let mut text = format!("socket-path = {}\non-exit = stop\n", socket.display());
        for number in 0..self.programs {
            let more = if number == 0 { self.first } else { "" };
            let _ = write!(text, "[prog-p{number}]\n{}\n{more}\n", self.keys);
        }
        text
    }
}

/// Far longer than anything takes that is waited for here.
const PATIENCE: Duration = Duration::from_secs(60);
