//! The daemon as process 1 of a container: an init in a PID namespace of its own, as root only, who may make one.
//!
//! Where a container engine would be, `unshare` is: for the kernel, both are the same.

mod example;
mod init;

use std::process::{Command, ExitStatus};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Sandbox, children, installed, is_root, run, wait_until};

/// A daemon that is process 1. What is left when it is dropped ends with it.
struct Container {
    sandbox: Sandbox,
}

impl Container {
    /// Starts it in its folder. `None` if that cannot be, which is told.
    fn start(test: &str, config: &str) -> Option<Self> {
        let sandbox = Self::folder(test, config)?;
        let daemon = daemon(&sandbox);
        Some(Self::of(sandbox, &["--mount-proc"], &daemon))
    }

    /// Makes the folder of one.
    fn folder(test: &str, config: &str) -> Option<Sandbox> {
        if !is_root(test) {
            return None;
        }
        let is_possible = installed("unshare").is_some()
            && run(Command::new("unshare").args(["--pid", "--fork", "--kill-child", "--mount-proc", "true"]))
                .code
                == 0;
        if !is_possible {
            eprintln!("skipped: {test} needs unshare, and to be allowed a PID namespace");
            return None;
        }
        Some(Sandbox::new(config))
    }

    /// Runs a command as process 1, with these options of `unshare` beside the usual ones, and waits until it serves.
    fn of(mut sandbox: Sandbox, options: &[&str], init: &Command) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child"]).args(options);
        command.arg(init.get_program()).args(init.get_args()).current_dir(sandbox.path(""));
        for (name, value) in init.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        sandbox.run_daemon(command);
        Self { sandbox }
    }

    /// Returns the PID that process 1 has outside.
    fn init(&self) -> Pid {
        children(self.sandbox.daemon_pid())[0]
    }

    fn signal(&self, signal: Signal) {
        kill(self.init(), signal).unwrap();
    }

    /// Waits for the end of process 1, which is told in its place by whoever has started it.
    fn wait(&mut self) -> ExitStatus {
        self.sandbox.wait_for_daemon()
    }

    /// Waits until process 1 has as many children, none of whom has ended.
    #[track_caller]
    fn wait_until_reaped(&self, count: usize) {
        wait_until("who has ended is reaped", || children(self.init()).len() == count);
    }
}

/// Returns the daemon of a sandbox as a command.
fn daemon(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.command();
    command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
    command
}
