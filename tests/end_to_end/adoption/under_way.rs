//! What was half done when the daemon was killed: the next one completes it.
//!
//! What follows a death is in `deaths`.

use std::fs;

use nix::sys::signal::{Signal, kill};
use procmgr_proto::event::State;

use crate::harness::{Output, Sandbox, answer, ask, is_alive, lines, wait_until};
use crate::succession::{LASTING, STUBBORN};

/// What a client says whose daemon is gone.
const GONE: &str = "ERROR: the daemon went away before it answered\n";

/// Returns a sandbox in which the stubborn program `p` was sent a SIGTERM by this action, has not followed it, and has
/// no daemon any more.
fn left_in(action: &str, section: &str) -> Sandbox {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\nautostart = yes\n{section}{STUBBORN}"));
    wait_until("the program can be asked", || sandbox.path("up").exists());
    let client = ask(&sandbox, &["p", action, "word"]);
    lines(&sandbox, "terms", 1);
    sandbox.kill_daemon();
    let expected = Output { code: 125, stdout: String::new(), stderr: GONE.to_owned() };
    assert_eq!(answer(client), expected);
    sandbox
}

#[test]
fn a_stop_is_completed_and_the_program_stays_down() {
    let mut sandbox = left_in("stop", "restart-delay = 1\n");

    sandbox.start_next_daemon(&[]);
    assert_eq!(sandbox.list(), "p: running stopping adopted\n");
    lines(&sandbox, "terms", 2);
    sandbox.replace_daemon();
    lines(&sandbox, "terms", 3);
    fs::write(sandbox.path("leave"), "").unwrap();
    // Whoever asks now waits for the same end.
    let stopped = sandbox.client(&["p", "stop"]);

    assert!([3, 125].contains(&stopped.code), "{stopped:?}");
    assert_eq!(sandbox.list(), "p: dead\n");
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "p: dead\n");
}

#[test]
fn a_stop_of_a_program_that_died_meanwhile_is_completed() {
    let mut sandbox =
        Sandbox::with_first_daemon(&format!("[prog-p]\nautostart = yes\nrestart-delay = 1\n{STUBBORN}"));
    wait_until("the program can be asked", || sandbox.path("up").exists());
    let main = sandbox.main_process("p");
    let client = ask(&sandbox, &["p", "stop"]);
    lines(&sandbox, "terms", 1);
    sandbox.kill_daemon();
    assert_eq!(answer(client).code, 125);
    kill(main, Signal::SIGKILL).unwrap();
    wait_until("the program has ended", || !is_alive(main));

    sandbox.start_next_daemon(&[]);

    wait_until("the program is down", || sandbox.list() == "p: dead\n");
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "p: dead\n");
}

#[test]
fn a_restart_is_completed_for_nobody() {
    for action in ["restart", "reload"] {
        let mut sandbox = left_in(action, "");
        let former = sandbox.read("socket.state/programs");
        assert!(former.contains("\"aim\":\"restart\""), "{former}");

        sandbox.start_next_daemon(&[]);
        assert_eq!(sandbox.list(), "p: running restarting adopted\n");
        let main = sandbox.main_process("p");
        lines(&sandbox, "terms", 2);
        fs::remove_file(sandbox.path("up")).unwrap();
        fs::write(sandbox.path("leave"), "").unwrap();
        kill(main, Signal::SIGTERM).unwrap();

        wait_until("the program runs anew", || sandbox.list() == "p: running\n");
        assert_ne!(sandbox.main_process("p"), main);
        // Its terminal and its arguments have gone with the client.
        wait_until("it is up", || sandbox.path("up").exists());
    }
}

#[test]
fn a_restart_of_a_program_that_died_meanwhile_is_completed() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\nrestart-delay = 1000\n{STUBBORN}"));
    let main = sandbox.start("p");
    wait_until("the program can be asked", || sandbox.path("up").exists());
    let client = ask(&sandbox, &["p", "restart"]);
    lines(&sandbox, "terms", 1);
    sandbox.kill_daemon();
    assert_eq!(answer(client).code, 125);
    kill(main, Signal::SIGKILL).unwrap();
    wait_until("the program has ended", || !is_alive(main));

    sandbox.start_next_daemon(&[]);

    wait_until("the program runs anew", || sandbox.list() == "p: running\n");
    assert_ne!(sandbox.main_process("p"), main);
}

#[test]
fn a_stop_script_is_run_anew() {
    let mut sandbox = Sandbox::with_first_daemon(&format!(
        "[prog-p]\n{LASTING}cmd-stop = echo $PID >> @/stops; test -e @/leave && kill -KILL $PID\n"
    ));
    let main = sandbox.start("p");
    let client = ask(&sandbox, &["p", "stop"]);
    lines(&sandbox, "stops", 1);
    fs::write(sandbox.path("leave"), "").unwrap();

    sandbox.replace_daemon();

    assert_eq!(answer(client).code, 125);
    assert_eq!(lines(&sandbox, "stops", 2), [main.to_string(), main.to_string()]);
    wait_until("the program is down", || sandbox.list() == "p: dead\n");
}

#[test]
fn a_program_that_was_removed_amid_a_restart_ends_and_is_gone() {
    let mut sandbox = left_in("restart", "");
    sandbox.configure("");
    fs::write(sandbox.path("leave"), "").unwrap();

    sandbox.start_next_daemon(&[]);

    wait_until("the program is gone", || sandbox.list().is_empty());
    assert_eq!(lines(&sandbox, "terms", 2).len(), 2);
}

#[test]
fn a_restart_that_was_left_half_done_can_be_cancelled_by_a_stop() {
    let mut sandbox = left_in("restart", "");
    sandbox.start_next_daemon(&[]);
    assert_eq!(sandbox.program("p").state, State::Restarting);
    lines(&sandbox, "terms", 2);
    fs::write(sandbox.path("leave"), "").unwrap();

    let stopped = sandbox.client(&["p", "stop"]);

    assert!([3, 125].contains(&stopped.code), "{stopped:?}");
    assert_eq!(sandbox.list(), "p: dead\n");
}

#[test]
fn a_watch_ends_with_an_error() {
    let mut sandbox = Sandbox::with_first_daemon("[prog-p]\n");
    let watch = ask(&sandbox, &["--watch"]);
    wait_until("somebody watches", || sandbox.log().contains("subscription"));

    sandbox.kill_daemon();

    let output = answer(watch);
    assert_eq!((output.code, output.stderr.as_str()), (1, GONE));
}
