//! A file system that is full or read-only, and is so no more: as root only, who may mount one.
//!
//! Other reasons why the state cannot be written are in `unwritable`.

use std::process::Command;

use crate::harness::{Sandbox, allowing_us, installed, is_alive, is_root, run, through_shell, wait_until};
use crate::succession::LASTING;

const LOST: &str = "WARN: cannot keep the state in ";
const KEPT: &str = "NOTE: the state is kept in ";

/// A sandbox whose daemon keeps its state in a small file system of its own. `disk ACTION` does something to that.
struct Small {
    sandbox: Sandbox,
}

impl Small {
    /// Makes it, unless that is not possible here.
    fn new(test: &str) -> Option<Self> {
        if !is_root(test) {
            return None;
        }
        let missing = ["unshare", "nsenter", "mount"].into_iter().find(|tool| installed(tool).is_none());
        let is_allowed = missing.is_none()
            && run(Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"])).code == 0;
        if !is_allowed {
            eprintln!("skipped: {test} needs a file system of its own, and may not mount one");
            return None;
        }
        let mut sandbox = Sandbox::new(&allowing_us(&format!(
            "state-path = @/small/state\n[prog-p]\n{LASTING}[prog-q]\n{LASTING}[prog-disk]\n\
             cmd-signal = dd if=/dev/zero of=@/small/filler bs=1k 2> /dev/null; test $? = 1\n\
             cmd-status = rm @/small/filler\ncmd-stop = :\n"
        )));
        let mount = "mkdir small && mount -t tmpfs -o size=64k,mode=755 none small";
        let mut command = Command::new("unshare");
        let daemon = through_shell(mount, &Self::daemon(&sandbox));
        command.arg("-m").arg(daemon.get_program()).args(daemon.get_args()).current_dir(sandbox.path(""));
        sandbox.run_daemon(command);
        Some(Self { sandbox })
    }

    fn daemon(sandbox: &Sandbox) -> Command {
        let mut command = sandbox.command();
        command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
        command
    }

    /// Returns a command that is executed where `p` is, and sees the same file systems.
    fn within(&self, command: &Command) -> Command {
        let mut within = Command::new("nsenter");
        within.args(["-m", "-t", &self.sandbox.main_process("p").to_string()]);
        within.arg(command.get_program()).args(command.get_args());
        within
    }

    /// Returns a command that changes how the file system may be used.
    fn remount(&self, how: &str) -> Command {
        let mut mount = Command::new("mount");
        self.within(mount.args(["-o", &format!("remount,{how}")]).arg(self.sandbox.path("small")))
    }
}

#[test]
fn a_full_file_system_keeps_nobody_from_anything_and_nothing_is_lost_afterwards() {
    let test = "a_full_file_system_keeps_nobody_from_anything_and_nothing_is_lost_afterwards";
    let Some(mut small) = Small::new(test) else { return };
    let sandbox = &small.sandbox;
    sandbox.start("p");
    sandbox.succeed(&["disk", "signal"]);

    // What is left of the last page takes some records.
    wait_until("a record does not fit", || {
        sandbox.start("q");
        assert_eq!(sandbox.client(&["q", "stop"]).code, 128 + 15);
        sandbox.logged(LOST) == 1
    });
    let main = sandbox.start("q");
    sandbox.succeed(&["q", "restart"]);
    assert!(!is_alive(main));
    assert_eq!((sandbox.logged(LOST), sandbox.logged(KEPT)), (1, 0), "{}", sandbox.log());

    sandbox.succeed(&["disk", "status"]);
    wait_until("the state is kept", || sandbox.logged(KEPT) == 1);

    let main = sandbox.main_process("q");
    let daemon = small.within(&Small::daemon(&small.sandbox));
    small.sandbox.kill_daemon();
    small.sandbox.run_daemon(daemon);
    assert_eq!(small.sandbox.list(), "p   : running adopted\nq   : running adopted\ndisk: dead\n");
    assert_eq!(small.sandbox.main_process("q"), main);
    assert_eq!(small.sandbox.logged(LOST), 1);
}

#[test]
fn records_that_can_only_be_read_are_believed_and_written_anew_when_they_can_be() {
    let test = "records_that_can_only_be_read_are_believed_and_written_anew_when_they_can_be";
    let Some(mut small) = Small::new(test) else { return };
    small.sandbox.start("p");
    let daemon = small.within(&Small::daemon(&small.sandbox));
    let again = small.within(&Small::daemon(&small.sandbox));
    let (mut read_only, mut writable) = (small.remount("ro"), small.remount("rw"));
    small.sandbox.kill_daemon();
    assert_eq!(run(&mut read_only).code, 0);

    small.sandbox.run_daemon(daemon);

    let sandbox = &small.sandbox;
    assert_eq!(sandbox.list(), "p   : running adopted\nq   : dead\ndisk: dead\n");
    sandbox.start("q");
    assert_eq!((sandbox.logged(LOST), sandbox.logged(KEPT)), (1, 0), "{}", sandbox.log());
    assert_eq!(sandbox.logged("Read-only file system"), 1, "{}", sandbox.log());

    assert_eq!(run(&mut writable).code, 0);
    wait_until("the state is kept", || sandbox.logged(KEPT) == 1);

    small.sandbox.kill_daemon();
    small.sandbox.run_daemon(again);
    assert_eq!(small.sandbox.list(), "p   : running adopted\nq   : running adopted\ndisk: dead\n");
}
