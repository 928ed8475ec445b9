//! Deaths of programs that an earlier daemon has started, and restarts that it has promised.
//!
//! What is asked of such programs is in `requests`.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procmgr_proto::event::State;

use crate::harness::{Sandbox, is_alive, lines, wait_until};
use crate::succession::LASTING;

/// A start script that tells the pid of each main process in the file `starts`.
const COUNTED: &str = "cmd-start = echo $$ >> @/starts; exec sleep 1000 > /dev/null 2>&1\n";

/// What is said of the first death in a row.
const AGAIN: &str = "; it is started again in 1 s, restart 1 in a row";

/// Kills a main process and waits until it is no more.
fn end(main: Pid) {
    kill(main, Signal::SIGKILL).unwrap();
    wait_until("the process has ended", || !is_alive(main));
}

/// Waits until the program runs, as another process than this one, and returns it.
fn wait_for_another(sandbox: &Sandbox, former: Pid) -> Pid {
    wait_until("the program runs anew", || {
        let program = sandbox.program("p");
        program.state == State::Running && program.pid != Some(former.as_raw().unsigned_abs())
    });
    sandbox.main_process("p")
}

/// Returns when the program is to be started, as the records have it: in nanoseconds of the monotonic clock.
fn due_time(sandbox: &Sandbox) -> u64 {
    let records = sandbox.read("socket.state/programs");
    let (_, due) = records.rsplit_once("{\"due\":{\"at\":").unwrap();
    due.split(|character: char| !character.is_ascii_digit()).next().unwrap().parse().unwrap()
}

// While there is a daemon.

#[test]
fn an_adopted_program_that_dies_is_started_again_and_is_the_daemons_own_then() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\nrestart-delay = 1\n{COUNTED}"));
    let first = sandbox.start("p");
    sandbox.replace_daemon();

    let death = Instant::now();
    end(first);

    let second = wait_for_another(&sandbox, first);
    assert!(death.elapsed() >= Duration::from_secs(1));
    assert_eq!(lines(&sandbox, "starts", 2), [first.to_string(), second.to_string()]);
    assert_eq!(sandbox.list(), "p: running\n");
    assert_eq!(sandbox.logged_end(first, "signal 9", AGAIN), 1, "{}", sandbox.log());
}

#[test]
fn an_adopted_program_without_a_delay_stays_dead() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\n{LASTING}"));
    let main = sandbox.start("p");
    sandbox.replace_daemon();

    end(main);

    wait_until("the program is down", || sandbox.list() == "p: dead\n");
}

#[test]
fn restarts_in_a_row_are_counted_over_all_daemons() {
    // Whatever lives for less than the longest pause is not stable.
    let keys = "restart-delay = 1\nrestart-max-delay = 1000\n";
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\n{keys}{LASTING}"));
    let restarts = |sandbox: &Sandbox, number: u32| {
        let delay = 1 << (number - 1);
        wait_until("the death is logged", || {
            sandbox.logged(&format!("it is started again in {delay} s, restart {number} in a row\n")) == 1
        });
    };
    let first = sandbox.start("p");
    end(first);
    restarts(&sandbox, 1);
    let second = wait_for_another(&sandbox, first);

    // One that runs.
    sandbox.replace_daemon();
    end(second);
    restarts(&sandbox, 2);

    // One that waits to be started.
    sandbox.replace_daemon();
    let third = wait_for_another(&sandbox, second);
    end(third);
    restarts(&sandbox, 3);
    let fourth = wait_for_another(&sandbox, third);

    // One that dies while nobody watches.
    sandbox.kill_daemon();
    end(fourth);
    sandbox.start_next_daemon(&[]);
    restarts(&sandbox, 4);

    // Somebody's request begins a new row.
    sandbox.succeed(&["p", "restart"]);
    let last = sandbox.main_process("p");
    sandbox.replace_daemon();
    end(last);
    wait_until("the death is logged", || sandbox.logged("restart 1 in a row\n") == 2);
}

// While there is none.

#[test]
fn a_program_that_died_while_there_was_no_daemon_is_started_after_its_delay() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\nrestart-delay = 1\n{COUNTED}"));
    let first = sandbox.start("p");
    sandbox.kill_daemon();
    end(first);

    let beginning = Instant::now();
    sandbox.start_next_daemon(&[]);

    let second = wait_for_another(&sandbox, first);
    assert!(beginning.elapsed() >= Duration::from_secs(1));
    assert_eq!(sandbox.list(), "p: running\n");
    assert_eq!(lines(&sandbox, "starts", 2)[1], second.to_string());
    assert_eq!(sandbox.logged_end(first, "signal 9", AGAIN), 1, "{}", sandbox.log());
}

#[test]
fn a_program_without_a_delay_that_died_while_there_was_no_daemon_is_down() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\n{LASTING}"));
    let main = sandbox.start("p");
    sandbox.kill_daemon();
    end(main);

    sandbox.start_next_daemon(&[]);

    // If nobody has reaped it yet, the daemon hears of its death a moment later.
    wait_until("the program is down", || sandbox.list() == "p: dead\n");
    assert_eq!(sandbox.logged_end(main, "signal 9", ""), 1, "{}", sandbox.log());
}

// Promised restarts.

#[test]
fn a_promised_restart_is_due_when_it_was_due_before() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\nrestart-delay = 1000\n{LASTING}"));
    end(sandbox.start("p"));
    wait_until("it is to be started again", || sandbox.list() == "p: dead restarting\n");
    let due = due_time(&sandbox);

    for _ in 0..3 {
        sandbox.replace_daemon();
        assert_eq!(sandbox.list(), "p: dead restarting\n");
        // The numbers of two processes agree as far as two looks at the clock do.
        assert!(due_time(&sandbox).abs_diff(due) < 100_000_000);
    }
    assert_eq!(sandbox.logged("it is started again in"), 1, "{}", sandbox.log());
}

#[test]
fn a_promised_restart_comes_in_time_whoever_does_it() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\nrestart-delay = 3\n{COUNTED}"));
    let first = sandbox.start("p");
    let death = Instant::now();
    end(first);
    wait_until("it is to be started again", || sandbox.list() == "p: dead restarting\n");

    sandbox.replace_daemon();

    wait_for_another(&sandbox, first);
    assert!(death.elapsed() >= Duration::from_secs(3));
    assert_eq!(sandbox.logged("it is started again in"), 1, "{}", sandbox.log());
}

#[test]
fn a_restart_that_was_due_while_there_was_no_daemon_is_made_up_for_at_once() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\nrestart-delay = 1\n{COUNTED}"));
    let first = sandbox.start("p");
    end(first);
    wait_until("it is to be started again", || sandbox.list() == "p: dead restarting\n");
    sandbox.kill_daemon();
    // This is the time that passes without a daemon.
    thread::sleep(Duration::from_secs(1));

    sandbox.start_next_daemon(&[]);

    // What is due is done before anybody is served.
    assert_eq!(sandbox.list(), "p: running\n");
    assert_eq!(lines(&sandbox, "starts", 2).len(), 2);
}

#[test]
fn a_promised_restart_can_be_anticipated_or_cancelled() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\nrestart-delay = 1000\n{LASTING}"));
    end(sandbox.start("p"));
    wait_until("it is to be started again", || sandbox.list() == "p: dead restarting\n");

    sandbox.replace_daemon();
    let main = sandbox.start("p");
    assert_eq!(sandbox.list(), "p: running\n");

    end(main);
    wait_until("it is to be started again", || sandbox.list() == "p: dead restarting\n");
    sandbox.replace_daemon();
    sandbox.succeed(&["p", "stop"]);
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "p: dead\n");
}

#[test]
fn a_program_that_is_gone_from_the_configuration_is_not_started_again() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\nrestart-delay = 1\n{LASTING}"));
    end(sandbox.start("p"));
    wait_until("it is to be started again", || sandbox.list() == "p: dead restarting\n");
    sandbox.kill_daemon();

    sandbox.configure("");
    sandbox.start_next_daemon(&[]);

    assert_eq!(sandbox.list(), "");
}
