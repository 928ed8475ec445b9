//! A daemon that runs an executable of its own, which can be replaced.
//!
//! What follows from replacing it is in the tests.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Sandbox, allowing_us, procmgr, run};

impl Sandbox {
    /// Makes a folder with this configuration, which allows us every action, and an executable, and starts a daemon
    /// there.
    pub(crate) fn with_installed_daemon(config: &str) -> Self {
        let mut sandbox = Self::installed(config);
        sandbox.start_installed_daemon();
        sandbox
    }

    /// Makes a folder with this configuration, which allows us every action, and an executable.
    pub(crate) fn installed(config: &str) -> Self {
        let sandbox = Self::new(&allowing_us(config));
        sandbox.install("procmgr");
        sandbox
    }

    /// Starts a daemon from the executable in the folder. It works in the folder, too.
    pub(crate) fn start_installed_daemon(&mut self) {
        let mut command = self.installed_command(self.executable());
        command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
        self.run_daemon(command);
    }

    /// Returns this executable with the configuration named and in the folder, for more arguments to be added.
    pub(crate) fn installed_command(&self, executable: impl Into<PathBuf>) -> Command {
        let template = self.command();
        let mut command = Command::new(executable.into());
        command.args(template.get_args()).current_dir(self.path(""));
        for (name, _) in template.get_envs() {
            command.env_remove(name);
        }
        command
    }

    /// Returns the executable of the daemon.
    pub(crate) fn executable(&self) -> PathBuf {
        self.path("procmgr")
    }

    /// Puts a copy of procmgr into the folder under this name, in place of what is there.
    pub(crate) fn install(&self, name: &str) {
        let executable = procmgr().get_program().to_owned();
        // Another process writes it: as long as it is open for writing, by a child of ours for one, nobody can
        // execute it.
        let copied = run(Command::new("cp").arg(executable).arg(self.path("draft")));
        assert_eq!(copied.code, 0, "{}", copied.stderr);
        fs::rename(self.path("draft"), self.path(name)).unwrap();
    }

    /// Puts this text in place of the executable of the daemon, with this mode.
    pub(crate) fn replace_executable(&self, text: &str, mode: &str) {
        let write = "printf %s \"$1\" > \"$2\" && chmod \"$3\" \"$2\"";
        let mut shell = Command::new("/bin/sh");
        let written = run(shell.args(["-c", write, "sh", text]).arg(self.path("draft")).arg(mode));
        assert_eq!(written.code, 0, "{}", written.stderr);
        fs::rename(self.path("draft"), self.executable()).unwrap();
    }

    /// Has the daemon upgrade, which must succeed in silence and leave the process the same.
    #[track_caller]
    pub(crate) fn upgrade(&self) {
        let told = format!("procmgr[{}] NOTE: the executable has taken over\n", self.daemon_pid());
        let before = self.logged(&told);
        assert_eq!(self.succeed(&["-u"]), "");
        assert_eq!(self.logged(&told), before + 1, "{}", self.log());
    }
}
