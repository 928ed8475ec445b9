//! Daemons that come one after another in the same folder, and programs that outlive them.
//!
//! What a daemon makes of what it finds is in the tests, not here.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procmgr_proto::client::Client;
use procmgr_proto::event::ProgramStatus;

use crate::harness::{Sandbox, allowing_us};

/// A start script of a program that lasts.
pub(crate) const LASTING: &str = "cmd-start = exec sleep 1000 > /dev/null 2>&1\n";

/// A start script of a program that appends a line to `terms` for each SIGTERM, and ends with 3 by one that comes
/// when there is a file `leave`. It may be asked once there is a file `up`.
pub(crate) const STUBBORN: &str = "cmd-start = exec > /dev/null 2>&1; \
    trap 'echo >> @/terms; if test -e @/leave; then exit 3; fi' TERM; \
    echo > @/up; while :; do sleep 0.01; done\n";

impl Sandbox {
    /// Makes a folder with this configuration, which allows us every action, and starts its first daemon.
    pub(crate) fn with_first_daemon(config: &str) -> Self {
        let mut sandbox = Self::new(&allowing_us(config));
        sandbox.start_next_daemon(&[]);
        sandbox
    }

    /// Starts a daemon that works in the folder, and with it all that it runs: whatever that becomes, it ends with
    /// the sandbox.
    pub(crate) fn start_next_daemon(&mut self, options: &[&str]) {
        let mut command = self.command();
        command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]).args(options);
        command.current_dir(self.path(""));
        self.run_daemon(command);
    }

    /// Ends the daemon in all form, by `-s` or else by SIGTERM, and waits until it is gone.
    pub(crate) fn end_daemon_by(&mut self, ending: &str) {
        if ending == "-s" {
            self.succeed(&["-s"]);
            self.wait_for_daemon();
        } else {
            self.terminate_daemon();
        }
    }

    /// Ends the daemon so that it cannot do anything about it.
    pub(crate) fn kill_daemon(&mut self) {
        kill(self.daemon_pid(), Signal::SIGKILL).unwrap();
        self.wait_for_daemon();
    }

    /// Kills the daemon and starts the next one.
    pub(crate) fn replace_daemon(&mut self) {
        self.kill_daemon();
        self.start_next_daemon(&[]);
    }

    /// Removes the folder of records. The daemon is not to put anything in while that is under way.
    pub(crate) fn remove_state(&self) {
        kill(self.daemon_pid(), Signal::SIGSTOP).unwrap();
        fs::remove_dir_all(self.path("socket.state")).unwrap();
        kill(self.daemon_pid(), Signal::SIGCONT).unwrap();
    }

    /// Returns the list of the programs.
    #[track_caller]
    pub(crate) fn list(&self) -> String {
        self.succeed(&["-a"])
    }

    /// Returns what subscribers are told of a program.
    #[track_caller]
    pub(crate) fn program(&self, name: &str) -> ProgramStatus {
        let subscription = Client::connect(&self.socket()).unwrap().subscribe().unwrap();
        let found = subscription.programs().iter().find(|program| program.name == name.as_bytes());
        found.unwrap_or_else(|| panic!("there is no program {name}")).clone()
    }

    /// Returns the main process of a program.
    #[track_caller]
    pub(crate) fn main_process(&self, program: &str) -> Pid {
        let pid = self.program(program).pid.unwrap_or_else(|| panic!("{program} does not run"));
        Pid::from_raw(pid.cast_signed())
    }

    /// Starts a program and returns its main process.
    #[track_caller]
    pub(crate) fn start(&self, program: &str) -> Pid {
        self.succeed(&[program, "start"]);
        self.main_process(program)
    }

    /// Returns how often the daemons have logged this.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Returns how often they have logged that the main process of `p` has ended like this, or with an unknown status.
    pub(crate) fn logged_end(&self, main: Pid, status: &str, then: &str) -> usize {
        let line = |status| format!("NOTE: p: pid {main} has ended with {status}{then}\n");
        self.logged(&line(status)) + self.logged(&line("an unknown status"))
    }
}

/// A process that is none of the daemon's. It ends with the test.
pub(crate) struct Stranger(pub(crate) Child);

impl Stranger {
    pub(crate) fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns when a process was started, as the kernel counts it.
pub(crate) fn started(pid: Pid) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().split(' ').nth(22 - 3).unwrap().parse().unwrap()
}

/// Returns whether this is the exit status of a program, or, as some kernels do not tell it of a process that is no
/// child, that of an unknown one.
pub(crate) fn is_code_or_unknown(code: i32, expected: i32) -> bool {
    [expected, 125].contains(&code)
}

/// Ends all that works in a folder or has been told of it. A test that fails has it done, too, and is not to fail
/// twice.
pub(crate) fn end_all_of(folder: &Path) {
    for _ in 0..1000 {
        let left = all_of(folder);
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _ = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Returns every process that works in a folder or has been told of it on its command line.
pub(crate) fn all_of(folder: &Path) -> Vec<Pid> {
    let is_there = |pid: &Pid| {
        let told = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let name = folder.as_os_str().as_bytes();
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|at| at.starts_with(folder))
            || told.windows(name.len()).any(|part| part == name)
    };
    let names = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).map(Pid::from_raw).filter(is_there).collect()
}
