//! Executables that cannot take over: whoever asks is told why, and the daemon goes on as it was.
//!
//! What one that can take over has to do is in the rooms beside.

use std::fs;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::harness::{Sandbox, answer, ask, children, installed, is_alive, wait_until};
use crate::succession::{LASTING, all_of};

/// A sandbox with a program that runs, and what has to stay as it is.
struct Before {
    sandbox: Sandbox,
    main: Pid,
    descriptors: usize,
    files: Vec<String>,
}

impl Before {
    fn new() -> Self {
        let sandbox = Sandbox::with_installed_daemon(&format!("[prog-p]\n{LASTING}"));
        let main = sandbox.start("p");
        let (descriptors, files) = (sandbox.descriptors_of_idle_daemon(), sandbox.files());
        Self { sandbox, main, descriptors, files }
    }

    /// Asks for an upgrade, which has to fail for this reason and to change nothing.
    #[track_caller]
    fn assert_refused(&self, reason: &str) {
        let sandbox = &self.sandbox;
        let output = sandbox.client(&["-u"]);
        let expected = format!("ERROR: (SPAWN) the executable cannot take over: {reason}\n");
        assert_eq!((output.code, output.stdout.as_str(), output.stderr), (1, "", expected));
        let logged = format!(
            "procmgr[{}] ERROR: the executable cannot take over, and the daemon goes on as it was: {reason}\n",
            sandbox.daemon_pid()
        );
        assert_eq!(sandbox.logged(&logged), 1, "{}", sandbox.log());
        assert_eq!(sandbox.list(), "p: running\n");
        assert_eq!(sandbox.main_process("p"), self.main);
        let is_as_before = || sandbox.descriptors_of_idle_daemon() <= self.descriptors;
        wait_until("no descriptor is left of the rehearsal", is_as_before);
        assert_eq!(children(sandbox.daemon_pid()), [self.main]);
        assert_eq!(all_of(&sandbox.path("")).len(), 2, "nothing is left of the rehearsal");
    }

    /// Puts an executable in place that works, which must do then.
    #[track_caller]
    fn assert_goes_on(&self) {
        self.sandbox.install("procmgr");
        self.sandbox.upgrade();
        assert_eq!(self.sandbox.files(), self.files);
        assert_eq!(self.sandbox.client(&["p", "stop"]).code, 128 + 15);
    }
}

/// Asserts that this text, in place of the executable, is refused for this reason.
#[track_caller]
fn assert_text_is_refused(text: &str, mode: &str, reason: &str) {
    let before = Before::new();
    before.sandbox.replace_executable(text, mode);
    before.assert_refused(&reason.replace('@', before.sandbox.path("").to_str().unwrap()));
    before.assert_goes_on();
}

#[test]
fn what_is_no_executable_is_refused() {
    assert_text_is_refused("#!/bin/sh\n", "644", "@procmgr: Permission denied (os error 13)");
    assert_text_is_refused("#!/nowhere/sh\n", "755", "@procmgr: No such file or directory (os error 2)");
    let before = Before::new();
    // If a shell tries its luck with it, that fails, too.
    before.sandbox.replace_executable("\u{7f}ELF\n", "755");
    let output = before.sandbox.client(&["-u"]);
    assert_eq!(output.code, 1);
    assert!(output.stderr.starts_with("ERROR: (SPAWN) the executable cannot take over: "), "{output:?}");
    before.assert_goes_on();
}

#[test]
fn what_a_shell_can_execute_and_the_kernel_cannot_is_refused() {
    let before = Before::new();
    before.sandbox.install("real");
    before.sandbox.replace_executable("exec ./real \"$@\"\n", "755");
    let path = before.sandbox.executable().display().to_string();
    before.assert_refused(&format!("{path}: Exec format error (os error 8)"));
    fs::remove_file(before.sandbox.path("real")).unwrap();
    before.assert_goes_on();
}

#[test]
fn an_executable_that_is_missing_is_refused() {
    let before = Before::new();
    fs::remove_file(before.sandbox.executable()).unwrap();
    let path = before.sandbox.executable().display().to_string();
    before.assert_refused(&format!("{path}: No such file or directory (os error 2)"));
    before.assert_goes_on();
}

#[test]
fn what_ends_well_and_is_another_program_is_refused() {
    let before = Before::new();
    fs::remove_file(before.sandbox.executable()).unwrap();
    std::os::unix::fs::symlink(installed("true").unwrap(), before.sandbox.executable()).unwrap();
    before.assert_refused("it has ended with exit status 0 before it was ready");
    before.assert_goes_on();
}

#[test]
fn the_last_words_of_what_fails_are_told() {
    assert_text_is_refused(
        "#!/bin/sh\necho 'a word'\necho 'procmgr: the last words' >&2\nexit 3\n",
        "755",
        "it has ended with exit status 3: the last words",
    );
}

#[test]
fn what_only_says_that_it_is_ready_is_refused() {
    let ready = "procmgr: ready to take over";
    let reason = "it has ended with exit status 1: ready to take over";
    assert_text_is_refused(&format!("#!/bin/sh\necho {ready}\nexit 1\n"), "755", reason);
    let text = format!("#!/bin/sh\necho {ready}\necho and yet not\nexit 0\n");
    assert_text_is_refused(&text, "755", "it has ended with exit status 0: and yet not");
}

#[test]
fn what_crashes_is_refused() {
    let reason = "it has ended with signal 11 before it was ready";
    assert_text_is_refused("#!/bin/sh\nkill -SEGV $$\n", "755", reason);
}

#[test]
fn what_says_more_than_anybody_wants_to_hear_is_refused() {
    let before = Before::new();
    before.sandbox.replace_executable("#!/bin/sh\nyes word | head -c 3000000\necho no\nexit 3\n", "755");
    before.assert_refused("it has ended with exit status 3: no");
    before.assert_goes_on();
}

#[test]
fn a_version_that_knows_nothing_of_upgrades_is_refused_and_disturbs_nothing() {
    let before = Before::new();
    before.sandbox.install("old");
    let text = "#!/bin/sh\nunset PROCMGR_UPGRADE\nexec ./old \"$@\"\n";
    before.sandbox.replace_executable(text, "755");
    let socket = before.sandbox.socket().display().to_string();
    before
        .assert_refused(&format!("it has ended with exit status 1: a daemon is running already at {socket}"));
    fs::remove_file(before.sandbox.path("old")).unwrap();
    before.assert_goes_on();
}

#[test]
fn what_hangs_is_given_up_and_nobody_is_kept_waiting_meanwhile() {
    let before = Before::new();
    let sandbox = &before.sandbox;
    sandbox.replace_executable("#!/bin/sh\n: > begun\nexec sleep 1000\n", "755");
    let begin = Instant::now();
    let client = ask(sandbox, &["-u"]);
    wait_until("it rehearses", || sandbox.path("begun").exists());

    sandbox.succeed(&["p", "restart"]);
    assert_eq!(sandbox.list(), "p: running\n");
    assert!(begin.elapsed() < Duration::from_secs(10));

    let output = answer(client);
    assert!(begin.elapsed() >= Duration::from_secs(10));
    let reason = "ERROR: (SPAWN) the executable cannot take over: it was not ready within 10 s\n";
    assert_eq!((output.code, output.stderr.as_str()), (1, reason));
    let main = sandbox.main_process("p");
    assert!(is_alive(main));
    wait_until("nothing is left of the rehearsal", || children(sandbox.daemon_pid()) == [main]);
    assert_eq!(all_of(&sandbox.path("")).len(), 2);
    fs::remove_file(sandbox.path("begun")).unwrap();
    before.assert_goes_on();
}

#[test]
fn no_process_of_a_rehearsal_keeps_the_descriptors_of_the_daemon() {
    for text in ["#!/bin/sh\nsleep 1000 > /dev/null 2>&1 &\nexit 3\n", "#!/bin/sh\nsleep 1000\n"] {
        let before = Before::new();
        before.sandbox.replace_executable(text, "755");
        assert_eq!(before.sandbox.client(&["-u"]).code, 1);
        // The daemon and its program.
        wait_until("nothing is left of the rehearsal", || all_of(&before.sandbox.path("")).len() == 2);
        before.assert_goes_on();
    }
}
