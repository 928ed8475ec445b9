//! The folder of records: that one daemon alone has it, and that it comes back when it is taken away.
//!
//! Folders that cannot be used from the beginning are in `unwritable`, those of others in `origins`.

use std::fs;
use std::os::unix::fs::symlink;

use crate::harness::{Output, Sandbox, allowing_us, procmgr, run, wait_until};
use crate::succession::LASTING;

/// A sandbox in which `p` runs, and the daemon has logged nothing to worry about.
fn running() -> Sandbox {
    let sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\n{LASTING}[prog-q]\n{LASTING}"));
    sandbox.start("p");
    sandbox
}

/// Kills the daemon, and asserts that the next one finds `p`, and `q` as well if that was started.
#[track_caller]
fn assert_nothing_is_lost(mut sandbox: Sandbox, expected: &str) {
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), expected);
    assert_eq!(sandbox.logged("WARN"), 0, "{}", sandbox.log());
}

// Taken away.

#[test]
fn records_that_are_removed_are_written_anew_at_once() {
    let sandbox = running();
    for _ in 0..3 {
        fs::remove_file(sandbox.records()).unwrap();
        wait_until("the records are there again", || sandbox.records().exists());
    }
    sandbox.start("q");
    assert_nothing_is_lost(sandbox, "p: running adopted\nq: running adopted\n");
}

#[test]
fn records_that_are_replaced_are_written_anew_at_once() {
    let sandbox = running();
    let written = sandbox.read("socket.state/programs");
    sandbox.write_records(b"something else\n");
    wait_until("the records are there again", || sandbox.read("socket.state/programs") == written);
    sandbox.start("q");
    assert_nothing_is_lost(sandbox, "p: running adopted\nq: running adopted\n");
}

#[test]
fn a_folder_that_is_removed_or_moved_away_is_made_anew_at_once() {
    let sandbox = running();
    let folder = sandbox.path("socket.state");
    sandbox.remove_state();
    wait_until("the records are there again", || sandbox.records().exists());
    fs::rename(&folder, sandbox.path("away")).unwrap();
    wait_until("the records are there again", || sandbox.records().exists());

    let there = sandbox.read("away/programs");
    sandbox.start("q");

    assert_eq!(sandbox.read("away/programs"), there, "nothing is written there any more");
    assert_nothing_is_lost(sandbox, "p: running adopted\nq: running adopted\n");
}

#[test]
fn records_do_not_grow_without_bounds() {
    let sandbox = running();
    // Each of these records is longer than that.
    let long = format!("[prog-p]\n{LASTING}[prog-q]\ncmd-start = : {}\n", "x".repeat(50_000));
    sandbox.configure(&allowing_us(&long));
    sandbox.succeed(&["-r"]);
    for _ in 0..40 {
        sandbox.succeed(&["q", "start"]);
        wait_until("it has ended", || sandbox.list().ends_with("q: dead\n"));
    }
    let length = fs::metadata(sandbox.records()).unwrap().len();
    assert!(length < 600_000, "{length}");
    assert_nothing_is_lost(sandbox, "p: running adopted\nq: dead\n");
}

// One daemon alone.

#[test]
fn a_second_daemon_with_the_same_state_fails_and_disturbs_nothing() {
    let config = format!("state-path = @/state\n[prog-p]\nautostart = yes\n{LASTING}");
    let mut sandbox = Sandbox::with_first_daemon(&config);
    let main = sandbox.main_process("p");
    let other = format!("socket-path = other\n{}", config.replace("@/", ""));
    fs::write(sandbox.path("other.cfg"), other).unwrap();
    let (files, records) = (sandbox.files(), sandbox.read("state/programs"));

    for mode in ["-d", "-df"] {
        let mut command = procmgr();
        let output = run(command.args(["-c", "other.cfg", "-P", "pid", mode]).current_dir(sandbox.path("")));
        let reason = format!("another daemon keeps its state in {}", sandbox.path("state").display());
        let expected = Output { code: 1, stdout: String::new(), stderr: format!("procmgr: {reason}\n") };
        assert_eq!(output, expected);
    }

    assert_eq!((sandbox.files(), sandbox.read("state/programs")), (files, records));
    assert_eq!(sandbox.main_process("p"), main);
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "p: running adopted\n");
}

#[test]
fn a_folder_that_somebody_else_has_put_there_as_a_link_is_not_followed() {
    let mut sandbox = Sandbox::new(&allowing_us(&format!("[prog-p]\n{LASTING}")));
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    symlink("elsewhere", sandbox.path("socket.state")).unwrap();

    sandbox.start_next_daemon(&[]);
    sandbox.start("p");

    assert_eq!(sandbox.list(), "p: running\n");
    assert_eq!(sandbox.logged("WARN: cannot keep the state in "), 1, "{}", sandbox.log());
    assert_eq!(fs::read_dir(sandbox.path("elsewhere")).unwrap().count(), 0);
}
