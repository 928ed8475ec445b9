//! What becomes of programs when the daemon ends in all form: `on-exit`.
//!
//! Daemons that are killed have no say in it; what follows then is in `adoption`.

use std::fs;
use std::process::Child;

use nix::sys::signal::{Signal, kill};

use crate::harness::{Output, Sandbox, allowing_us, answer, ask, is_alive, lines, wait_until};
use crate::succession::{LASTING, STUBBORN};

/// A sandbox with the stubborn program `p`, which runs, and others. Programs end with the daemon.
fn stubborn(others: &str) -> Sandbox {
    let sandbox = Sandbox::with_first_daemon(&format!("on-exit = stop\n[prog-p]\n{STUBBORN}{others}"));
    // It may run already.
    sandbox.client(&["p", "start"]);
    wait_until("the program can be asked", || sandbox.path("up").exists());
    sandbox
}

/// Asks the daemon to end, and returns the client when `p` has been told.
fn begin_end(sandbox: &Sandbox) -> Child {
    let told = sandbox.read("terms").lines().count();
    let client = ask(sandbox, &["-s"]);
    lines(sandbox, "terms", told + 1);
    client
}

/// Lets the stubborn program end.
fn let_go(sandbox: &Sandbox) {
    fs::write(sandbox.path("leave"), "").unwrap();
    kill(sandbox.main_process("p"), Signal::SIGTERM).unwrap();
}

fn done() -> Output {
    Output { code: 0, stdout: String::new(), stderr: String::new() }
}

// Leave.

#[test]
fn programs_are_left_running_unless_something_else_is_said() {
    for config in ["", "on-exit = leave\n"] {
        for ending in ["-s", "SIGTERM"] {
            let mut sandbox = Sandbox::with_first_daemon(&format!("{config}[prog-p]\n{LASTING}"));
            let main = sandbox.start("p");
            sandbox.end_daemon_by(ending);
            assert!(is_alive(main), "{config}{ending}");
            assert_eq!(sandbox.logged("NOTE: the daemon ends\n"), 1);
        }
    }
}

// Stop.

#[test]
fn all_programs_end_before_the_daemon_does() {
    for ending in ["-s", "SIGTERM", "SIGINT"] {
        let mut sandbox = Sandbox::with_first_daemon(&format!(
            "on-exit = stop\n[prog-p]\n{LASTING}[prog-q]\nrestart-delay = 1\n{LASTING}\
             cmd-stop = echo \"$ACTION $PROGNAME $PID\" > @/stopped; kill -KILL $PID\n[prog-idle]\n{LASTING}"
        ));
        let mains = [sandbox.start("p"), sandbox.start("q")];

        match ending {
            "-s" => assert_eq!(sandbox.client(&["-s"]), done()),
            "SIGTERM" => kill(sandbox.daemon_pid(), Signal::SIGTERM).unwrap(),
            _ => kill(sandbox.daemon_pid(), Signal::SIGINT).unwrap(),
        }
        assert_eq!(sandbox.wait_for_daemon().code(), Some(0));

        assert!(!mains.into_iter().any(is_alive), "{ending}");
        assert_eq!(sandbox.read("stopped"), format!("stop q {}\n", mains[1]));
        let ends = [
            format!("p: pid {} has ended with signal 15\n", mains[0]),
            format!("q: pid {} has ended with signal 9\n", mains[1]),
        ];
        assert!(ends.iter().all(|end| sandbox.logged(end) == 1), "{}", sandbox.log());
        // There is nothing that anybody would have to know afterwards.
        assert_eq!(sandbox.files(), ["log", "procmgr.cfg", "stopped"]);
    }
}

#[test]
fn without_a_program_that_runs_the_daemon_ends_at_once() {
    let mut sandbox = Sandbox::with_first_daemon(
        "on-exit = stop\n[prog-p]\nautostart = yes\nrestart-delay = 1000\ncmd-start = :\n",
    );
    wait_until("it is to be started again", || sandbox.list() == "p: dead restarting\n");

    sandbox.succeed(&["-s"]);

    assert!(sandbox.wait_for_daemon().success());
}

#[test]
fn whoever_ends_the_daemon_waits_for_the_last_program() {
    let mut sandbox = stubborn("");
    let mut first = begin_end(&sandbox);
    let second = ask(&sandbox, &["-s"]);
    assert_eq!(sandbox.list(), "p: running stopping\n");
    assert!(first.try_wait().unwrap().is_none());

    let_go(&sandbox);

    assert_eq!([answer(first), answer(second)], [done(), done()]);
    assert!(sandbox.wait_for_daemon().success());
    assert_eq!(lines(&sandbox, "terms", 2).len(), 2);
}

#[test]
fn meanwhile_nothing_is_started_and_all_else_is_served() {
    let mut sandbox = stubborn(&format!("cmd-status = echo $PID; exit 4\n[prog-q]\n{LASTING}[prog-r]\n"));
    let main = sandbox.main_process("p");
    let ending = begin_end(&sandbox);

    for words in [["q", "start"], ["p", "start"], ["p", "restart"], ["p", "reload"]] {
        let refused = sandbox.client(&words);
        let expected = "ERROR: (SHUTDOWN) the daemon is about to end\n";
        assert_eq!((refused.code, refused.stderr.as_str()), (125, expected), "{words:?}");
    }
    let status = sandbox.client(&["p", "status"]);
    assert_eq!((status.code, status.stdout), (4, format!("{main}\n")));
    assert_eq!(sandbox.succeed(&["-t"]), "running\n");
    assert_eq!(sandbox.list(), "p: running stopping\nq: dead\nr: dead\n");
    sandbox.succeed(&["-r"]);

    let_go(&sandbox);
    assert_eq!(answer(ending), done());
    assert!(sandbox.wait_for_daemon().success());
}

#[test]
fn whoever_waits_for_a_stop_is_told_how_the_program_has_ended() {
    let mut sandbox = stubborn("[prog-idle]\n");
    let early = ask(&sandbox, &["p", "stop"]);
    lines(&sandbox, "terms", 1);
    let ending = ask(&sandbox, &["-s"]);
    wait_until("the daemon is about to end", || {
        sandbox.client(&["idle", "start"]).stderr.contains("(SHUTDOWN)")
    });
    let late = ask(&sandbox, &["p", "stop"]);
    lines(&sandbox, "terms", 2);

    let_go(&sandbox);

    let ended = Output { code: 3, ..done() };
    assert_eq!([answer(early), answer(late)], [ended.clone(), ended]);
    assert_eq!(answer(ending), done());
    assert!(sandbox.wait_for_daemon().success());
}

#[test]
fn whoever_waits_for_a_restart_is_told_that_the_daemon_ends() {
    let mut sandbox = stubborn("");
    let restart = ask(&sandbox, &["p", "restart"]);
    lines(&sandbox, "terms", 1);
    let ending = ask(&sandbox, &["-s"]);

    let refused = answer(restart);
    let expected = "ERROR: (SHUTDOWN) the daemon ends before this is done\n";
    assert_eq!((refused.code, refused.stderr.as_str()), (125, expected));

    let_go(&sandbox);
    assert_eq!(answer(ending), done());
    assert!(sandbox.wait_for_daemon().success());
}

#[test]
fn a_second_signal_ends_the_daemon_whatever_runs() {
    let mut sandbox = stubborn("");
    let main = sandbox.main_process("p");
    let ending = begin_end(&sandbox);
    let waiting = ask(&sandbox, &["p", "stop"]);
    lines(&sandbox, "terms", 2);

    assert!(sandbox.terminate_daemon().success());

    assert!(is_alive(main));
    assert_eq!(answer(ending), done());
    let refused = answer(waiting);
    let expected = "ERROR: (SHUTDOWN) the daemon ends before this is done\n";
    assert_eq!((refused.code, refused.stderr.as_str()), (125, expected));
    // The next one completes it.
    fs::write(sandbox.path("leave"), "").unwrap();
    sandbox.start_next_daemon(&[]);
    wait_until("the program has ended", || sandbox.list() == "p: dead\n");
}

#[test]
fn a_stop_script_that_cannot_be_executed_is_no_obstacle() {
    let mut sandbox = Sandbox::with_first_daemon(&format!(
        "on-exit = stop\n[prog-p]\n{LASTING}cwd = @/cwd\ncmd-stop = :\n"
    ));
    fs::create_dir(sandbox.path("cwd")).unwrap();
    let main = sandbox.start("p");
    fs::remove_dir(sandbox.path("cwd")).unwrap();

    sandbox.succeed(&["-s"]);

    assert!(sandbox.wait_for_daemon().success());
    assert!(!is_alive(main));
    assert_eq!(sandbox.logged("ERROR: p: cannot be stopped: cannot enter "), 1, "{}", sandbox.log());
}

#[test]
fn programs_that_linger_or_were_adopted_end_as_well() {
    let mut sandbox =
        Sandbox::with_first_daemon(&format!("on-exit = stop\n[prog-p]\n{LASTING}[prog-q]\n{LASTING}"));
    let mains = [sandbox.start("p"), sandbox.start("q")];
    sandbox.kill_daemon();
    sandbox.configure(&allowing_us(&format!("on-exit = stop\n[prog-q]\n{LASTING}")));
    sandbox.start_next_daemon(&[]);
    assert_eq!(sandbox.list(), "q: running adopted\np: running lingering adopted\n");

    sandbox.succeed(&["-s"]);

    assert!(sandbox.wait_for_daemon().success());
    assert!(!mains.into_iter().any(is_alive));
}

// What comes back.

#[test]
fn programs_of_the_autostart_come_back_and_others_do_not() {
    let mut sandbox = Sandbox::with_first_daemon(&format!(
        "on-exit = stop\n[prog-auto]\nautostart = yes\n{LASTING}[prog-stopped]\nautostart = yes\n{LASTING}\
         [prog-manual]\n{LASTING}[prog-due]\nautostart = yes\nrestart-delay = 1000\ncmd-start = :\n"
    ));
    sandbox.start("manual");
    assert_eq!(sandbox.client(&["stopped", "stop"]).code, 128 + 15);
    wait_until("one is to be started again", || sandbox.list().contains("due    : dead restarting\n"));

    sandbox.succeed(&["-s"]);
    sandbox.wait_for_daemon();
    sandbox.configure(&allowing_us(&format!(
        "on-exit = stop\n[prog-auto]\nautostart = yes\n{LASTING}[prog-stopped]\nautostart = yes\n{LASTING}\
         [prog-manual]\n{LASTING}[prog-due]\nautostart = yes\n{LASTING}"
    )));
    sandbox.start_next_daemon(&[]);

    assert_eq!(sandbox.list(), "auto   : running\nstopped: dead\nmanual : dead\ndue    : running\n");
}

#[test]
fn a_daemon_that_is_killed_at_its_end_leaves_that_to_the_next_one() {
    for (autostart, expected) in [("yes", "p: running\n"), ("no", "p: dead\n")] {
        let mut sandbox = stubborn(&format!("autostart = {autostart}\n"));
        let main = sandbox.main_process("p");
        let ending = begin_end(&sandbox);
        sandbox.kill_daemon();
        // That it is gone is what was asked for.
        assert_eq!(answer(ending), done());
        fs::write(sandbox.path("leave"), "").unwrap();

        sandbox.start_next_daemon(&[]);

        wait_until("the former process has ended", || !is_alive(main));
        wait_until("the program is what it is to be", || sandbox.list() == expected);
        assert_eq!(lines(&sandbox, "terms", 2).len(), 2);
    }
}

// Which of them.

#[test]
fn a_reload_changes_what_is_to_become_of_programs() {
    for (before, after, does) in [("leave", "stop", "stops"), ("stop", "leave", "leaves")] {
        let mut sandbox = Sandbox::with_first_daemon(&format!("on-exit = {before}\n[prog-p]\n{LASTING}"));
        let main = sandbox.start("p");
        sandbox.configure(&allowing_us(&format!("on-exit = {after}\n[prog-p]\n{LASTING}")));
        let told = format!("on-exit: when the daemon ends, it {does} the programs from now on\n");
        for arguments in [&["-r", "-n"][..], &["-r"]] {
            let output = sandbox.client(arguments);
            assert_eq!((output.code, &output.stderr), (0, &told), "{arguments:?}");
        }
        sandbox.succeed(&["-r"]);

        sandbox.succeed(&["-s"]);

        assert!(sandbox.wait_for_daemon().success());
        assert_eq!(is_alive(main), after == "leave");
    }
}

#[test]
fn what_else_may_be_said_is_an_error() {
    for value in ["", "yes", "Stop", "kill"] {
        let sandbox = Sandbox::new(&format!("on-exit = {value}\n"));
        let output = sandbox.client(&["-df"]);
        assert_eq!(output.code, 1);
        let place = format!("{}:2:", sandbox.config().display());
        assert!(output.stderr.starts_with(&place) && output.stderr.contains(" error: "), "{}", output.stderr);
    }
}
