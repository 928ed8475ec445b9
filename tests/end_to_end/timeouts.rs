//! What has a time to end in: `stop-timeout`, and whom `kill-mode` has signalled then.
//!
//! What `stop` does apart from that is in `actions`; the end of the daemon by `on-exit` alone, in `on_exit`.

use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::harness::{DEADLINE, Sandbox, answer, ask, is_alive, lines, wait_until};
use crate::succession::{STUBBORN, is_code_or_unknown};

const TIMEOUT: Duration = Duration::from_secs(1);

/// What a client is told of a program that was killed.
const KILLED: i32 = 128 + 9;

/// A start script of a program that heeds no SIGTERM, nor does its child, whose PID is in `child`.
const STUBBORN_FAMILY: &str = "cmd-start = trap '' TERM; sleep 1000 > /dev/null 2>&1 & echo $! > @/child; exec sleep 1000 > /dev/null 2>&1\n";

/// Makes a daemon that runs the program `p` of this script, whom [`TIMEOUT`] is given to end.
fn running(globals: &str, keys: &str) -> Sandbox {
    let config = format!("{globals}[prog-p]\nstop-timeout = 1\n{keys}");
    let sandbox = Sandbox::with_first_daemon(&config);
    sandbox.start("p");
    sandbox
}

fn child(sandbox: &Sandbox) -> Pid {
    Pid::from_raw(lines(sandbox, "child", 1)[0].parse().unwrap())
}

fn logged_kill(sandbox: &Sandbox, main: Pid) -> usize {
    sandbox.logged(&format!("WARN: p: pid {main} has not ended in time and is killed\n"))
}

#[test]
fn a_program_that_heeds_no_sigterm_is_killed_after_its_timeout_and_not_before() {
    let sandbox = running("", STUBBORN);
    let main = sandbox.main_process("p");
    lines(&sandbox, "up", 1);

    let begin = Instant::now();
    let output = sandbox.client(&["p", "stop"]);
    let time = begin.elapsed();

    assert_eq!((output.code, output.stderr.as_str()), (KILLED, ""));
    assert!(time >= TIMEOUT && time < DEADLINE, "{time:?}");
    assert_eq!(sandbox.read("terms"), "\n", "it was told before");
    assert_eq!((logged_kill(&sandbox, main), sandbox.list().as_str()), (1, "p: dead\n"));
}

#[test]
fn a_stop_script_that_hangs_saves_no_program() {
    let sandbox = running("", &format!("{STUBBORN}cmd-stop = exec sleep 1000 > /dev/null 2>&1\n"));

    assert_eq!(sandbox.client(&["p", "stop"]).code, KILLED);
}

#[test]
fn a_restart_goes_on_when_the_old_process_has_been_killed() {
    let sandbox = running("", STUBBORN);
    let main = sandbox.main_process("p");
    lines(&sandbox, "up", 1);

    sandbox.succeed(&["p", "restart"]);

    assert!(!is_alive(main) && sandbox.main_process("p") != main);
    assert_eq!(sandbox.list(), "p: running\n");
}

#[test]
fn the_child_of_a_program_is_killed_with_it_if_that_is_wanted() {
    for (mode, dies) in [("", false), ("kill-mode = process\n", false), ("kill-mode = group\n", true)] {
        let sandbox = running("", &format!("{mode}{STUBBORN_FAMILY}"));
        let child = child(&sandbox);

        assert_eq!(sandbox.client(&["p", "stop"]).code, KILLED);

        if dies {
            wait_until("the child has ended", || !is_alive(child));
        } else {
            assert!(is_alive(child), "{mode}");
        }
    }
}

#[test]
fn sigterm_is_for_the_whole_group_if_that_is_wanted() {
    let script =
        "kill-mode = group\ncmd-start = exec > /dev/null 2>&1; sleep 1000 & echo $! > @/child; wait\n";
    let sandbox = running("", script);
    let child = child(&sandbox);

    assert_eq!(sandbox.client(&["p", "stop"]).code, 128 + 15);

    wait_until("the child has ended", || !is_alive(child));
}

#[test]
fn an_adopted_program_is_killed_as_well_with_its_group() {
    let mut sandbox = running("", &format!("kill-mode = group\n{STUBBORN_FAMILY}"));
    let (main, child) = (sandbox.main_process("p"), child(&sandbox));
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "p: running adopted\n");

    let output = sandbox.client(&["p", "stop"]);

    assert!(is_code_or_unknown(output.code, KILLED), "{output:?}");
    assert!(!is_alive(main));
    wait_until("the child has ended", || !is_alive(child));
    assert_eq!(logged_kill(&sandbox, main), 1);
}

#[test]
fn a_stop_that_the_daemon_has_not_survived_has_its_timeout_under_the_next_one() {
    let mut sandbox = running("", STUBBORN);
    let main = sandbox.main_process("p");
    lines(&sandbox, "up", 1);
    let client = ask(&sandbox, &["p", "stop"]);
    lines(&sandbox, "terms", 1);

    sandbox.replace_daemon();

    assert_eq!(answer(client).code, 125);
    wait_until("the program has ended", || sandbox.list() == "p: dead\n");
    assert!(!is_alive(main));
    assert_eq!(lines(&sandbox, "terms", 2).len(), 2, "it is told once more before");
}

#[test]
fn a_stop_goes_on_in_the_next_version_and_so_does_its_time() {
    let sandbox = running("", STUBBORN);
    lines(&sandbox, "up", 1);
    let client = ask(&sandbox, &["p", "stop"]);
    lines(&sandbox, "terms", 1);

    sandbox.succeed(&["-u"]);

    assert_eq!(answer(client).code, KILLED);
    assert_eq!(sandbox.read("terms"), "\n", "it is not told once more");
}

#[test]
fn a_daemon_that_ends_with_its_programs_gives_them_no_more_time() {
    let mut sandbox = running("on-exit = stop\n", &format!("kill-mode = group\n{STUBBORN_FAMILY}"));
    let (main, child) = (sandbox.main_process("p"), child(&sandbox));

    sandbox.succeed(&["-s"]);

    assert!(sandbox.wait_for_daemon().success());
    assert!(!is_alive(main));
    wait_until("the child has ended", || !is_alive(child));
    assert_eq!(logged_kill(&sandbox, main), 1);
}
