//! State that cannot be written: it is told once, all goes on, and nothing is lost once it can be written again.
//!
//! A file system that is full, or read-only, is in `full`.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::unistd::geteuid;

use crate::harness::{Sandbox, allowing_us, is_alive, wait_until};
use crate::succession::{LASTING, is_code_or_unknown};

/// What is logged when the state cannot be written, and when it can be again.
const LOST: &str = "WARN: cannot keep the state in ";
const KEPT: &str = "NOTE: the state is kept in ";

/// Asserts that a daemon whose state cannot be written says so once and does its work, and that nothing is lost after
/// `mend`.
#[track_caller]
fn assert_goes_on(mut sandbox: Sandbox, mend: impl FnOnce(&Sandbox)) {
    sandbox.start_next_daemon(&[]);
    sandbox.start("p");
    let main = sandbox.start("q");
    assert_eq!(sandbox.client(&["p", "stop"]).code, 128 + 15);
    sandbox.succeed(&["q", "restart"]);
    assert!(!is_alive(main));
    assert_eq!(sandbox.list(), "p: dead\nq: running\n");
    assert_eq!((sandbox.logged(LOST), sandbox.logged(KEPT)), (1, 0), "{}", sandbox.log());

    mend(&sandbox);

    wait_until("the state is kept", || sandbox.logged(KEPT) == 1);
    let main = sandbox.main_process("q");
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "p: dead\nq: running adopted\n");
    assert_eq!(sandbox.main_process("q"), main);
    assert!(is_code_or_unknown(sandbox.client(&["q", "stop"]).code, 128 + 15));
    assert_eq!((sandbox.logged(LOST), sandbox.logged(KEPT)), (1, 1), "{}", sandbox.log());
}

/// Returns a sandbox whose daemon is to keep its state there.
fn with_state_at(path: &str) -> Sandbox {
    Sandbox::new(&allowing_us(&format!("state-path = {path}\n[prog-p]\n{LASTING}[prog-q]\n{LASTING}")))
}

#[test]
fn a_file_in_place_of_the_folder_is_no_obstacle() {
    let sandbox = with_state_at("@/state");
    fs::write(sandbox.path("state"), "dear to somebody").unwrap();
    assert_goes_on(sandbox, |sandbox| {
        assert_eq!(sandbox.read("state"), "dear to somebody");
        fs::remove_file(sandbox.path("state")).unwrap();
    });
}

#[test]
fn a_file_in_place_of_the_folders_parent_is_no_obstacle() {
    let sandbox = with_state_at("@/parent/state");
    File::create(sandbox.path("parent")).unwrap();
    assert_goes_on(sandbox, |sandbox| {
        fs::remove_file(sandbox.path("parent")).unwrap();
        fs::create_dir(sandbox.path("parent")).unwrap();
    });
}

#[test]
fn a_parent_that_is_missing_is_no_obstacle() {
    assert_goes_on(with_state_at("@/parent/state"), |sandbox| {
        fs::create_dir(sandbox.path("parent")).unwrap();
    });
}

#[test]
fn a_parent_that_may_not_be_written_in_is_no_obstacle() {
    if geteuid().is_root() {
        eprintln!("skipped: root may write everywhere");
        return;
    }
    let sandbox = with_state_at("@/parent/state");
    fs::create_dir(sandbox.path("parent")).unwrap();
    fs::set_permissions(sandbox.path("parent"), Permissions::from_mode(0o555)).unwrap();
    assert_goes_on(sandbox, |sandbox| {
        fs::set_permissions(sandbox.path("parent"), Permissions::from_mode(0o755)).unwrap();
    });
}

#[test]
fn a_folder_in_place_of_the_draft_is_no_obstacle() {
    let sandbox = with_state_at("@/state");
    fs::create_dir_all(sandbox.path("state/programs.new")).unwrap();
    fs::set_permissions(sandbox.path("state"), Permissions::from_mode(0o700)).unwrap();
    assert_goes_on(sandbox, |sandbox| fs::remove_dir(sandbox.path("state/programs.new")).unwrap());
}

#[test]
fn a_folder_that_was_taken_away_for_good_is_no_obstacle() {
    let mut sandbox = with_state_at("@/parent/state");
    fs::create_dir(sandbox.path("parent")).unwrap();
    sandbox.start_next_daemon(&[]);
    sandbox.start("p");
    assert_eq!(sandbox.logged(LOST), 0);
    fs::rename(sandbox.path("parent"), sandbox.path("away")).unwrap();
    fs::remove_dir_all(sandbox.path("away")).unwrap();
    wait_until("that is told", || sandbox.logged(LOST) == 1);
    sandbox.start("q");

    fs::create_dir(sandbox.path("parent")).unwrap();

    wait_until("the state is kept", || sandbox.logged(KEPT) == 1);
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "p: running adopted\nq: running adopted\n");
    assert_eq!(sandbox.logged(LOST), 1, "{}", sandbox.log());
}

#[test]
fn what_was_not_on_record_when_the_daemon_was_killed_runs_on_and_is_left_alone() {
    let mut sandbox = with_state_at("@/state");
    File::create(sandbox.path("state")).unwrap();
    sandbox.start_next_daemon(&[]);
    let main = sandbox.start("p");

    sandbox.replace_daemon();

    assert_eq!(sandbox.list(), "p: dead\nq: dead\n");
    assert!(is_alive(main));
}
