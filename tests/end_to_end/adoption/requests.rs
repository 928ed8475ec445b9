//! What can be asked of a program that an earlier daemon has started.
//!
//! What happens to one that nobody asks anything of is in `deaths`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use procmgr_proto::event::State;

use crate::harness::{Sandbox, is_alive, lines, wait_until};
use crate::succession::{LASTING, STUBBORN, is_code_or_unknown};

/// Returns a sandbox whose second daemon has adopted the program `p` of this section.
fn adopted(section: &str) -> Sandbox {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\n{section}"));
    sandbox.succeed(&["p", "start"]);
    sandbox.replace_daemon();
    sandbox
}

#[test]
fn a_program_goes_on_as_the_same_process_and_is_listed_as_adopted() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\n{LASTING}[prog-idle]\n"));
    let main = sandbox.start("p");

    sandbox.replace_daemon();

    assert_eq!(sandbox.list(), "p   : running adopted\nidle: dead\n");
    assert_eq!(sandbox.main_process("p"), main);
    assert!(is_alive(main));
    let told = format!("NOTE: p: taken over from an earlier daemon as pid {main}\n");
    assert!(sandbox.log().contains(&told), "{}", sandbox.log());
}

#[test]
fn a_watch_tells_which_programs_are_adopted() {
    let sandbox = adopted(LASTING);
    let main = sandbox.main_process("p");
    let mut watch = sandbox.command().arg("--watch").stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || shown.next().unwrap().unwrap();

    let present = next();
    sandbox.succeed(&["p", "restart"]);
    let (restarting, starting, running) = (next(), next(), next());

    assert!(present.ends_with(&format!(" p: running, adopted, pid {main}")), "{present}");
    assert!(restarting.contains(&format!(" p: restarting, adopted, pid {main}, by pid ")), "{restarting}");
    assert!(starting.contains(" p: starting, ended with "), "{starting}");
    assert!(running.contains(" p: running, pid "), "{running}");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn it_runs_and_cannot_be_started_once_more() {
    let sandbox = adopted(LASTING);

    assert_eq!(sandbox.succeed(&["p", "status"]), "running\n");
    let refused = sandbox.client(&["p", "start"]);
    assert_eq!((refused.code, refused.stderr.as_str()), (125, "ERROR: (BUSY) p is running\n"));
}

#[test]
fn it_is_stopped_by_a_signal_and_down_afterwards() {
    let sandbox = adopted(LASTING);
    let main = sandbox.main_process("p");

    let stopped = sandbox.client(&["p", "stop"]);

    assert!(is_code_or_unknown(stopped.code, 128 + 15), "{stopped:?}");
    assert_eq!((stopped.stdout, stopped.stderr), (String::new(), String::new()));
    assert!(!is_alive(main));
    assert_eq!(sandbox.list(), "p: dead\n");
    assert_eq!(sandbox.logged_end(main, "signal 15", ""), 1, "{}", sandbox.log());
    assert_eq!(sandbox.client(&["p", "status"]).stdout, "not running\n");
}

#[test]
fn whoever_stops_it_is_told_its_exit_status_or_that_it_is_unknown() {
    let sandbox = adopted(STUBBORN);
    wait_until("the program can be asked", || sandbox.path("up").exists());
    fs::write(sandbox.path("leave"), "").unwrap();

    let stopped = sandbox.client(&["p", "stop"]);

    assert!(is_code_or_unknown(stopped.code, 3), "{stopped:?}");
}

#[test]
fn a_stop_script_finds_it() {
    let sandbox =
        adopted(&format!("{LASTING}cmd-stop = echo \"$0 $ACTION $PROGNAME $PID\"; kill -KILL $PID\n"));
    let main = sandbox.main_process("p");

    let stopped = sandbox.client(&["p", "stop", "word"]);

    assert!(is_code_or_unknown(stopped.code, 128 + 9), "{stopped:?}");
    assert_eq!(stopped.stdout, format!("word stop p {main}\n"));
    assert_eq!(sandbox.list(), "p: dead\n");
}

#[test]
fn scripts_beside_it_find_it() {
    let sandbox = adopted(&format!(
        "{LASTING}cmd-reload = echo $PID; exit 4\ncmd-signal = echo $PID; exit 5\n\
         cmd-status = echo $PID; exit 6\n"
    ));
    let main = sandbox.main_process("p");

    for (action, code) in [("reload", 4), ("signal", 5), ("status", 6)] {
        let output = sandbox.client(&["p", action]);
        assert_eq!((output.code, output.stdout), (code, format!("{main}\n")), "{action}");
    }
    assert_eq!(sandbox.list(), "p: running adopted\n");
}

#[test]
fn after_a_restart_it_is_the_daemons_own() {
    for action in ["restart", "reload"] {
        let sandbox = adopted("cmd-start = echo \"for $0\"; exec sleep 1000 > /dev/null 2>&1\n");
        let main = sandbox.main_process("p");

        let output = sandbox.succeed(&["p", action, "me"]);

        assert_eq!(output, "for me\n");
        assert!(!is_alive(main));
        assert_eq!(sandbox.list(), "p: running\n");
        // Its exit status is told as that of any other.
        assert_eq!(sandbox.client(&["p", "stop"]).code, 128 + 15);
    }
}

#[test]
fn a_restart_script_replaces_it_and_its_death_is_not_the_programs() {
    let sandbox = adopted(&format!(
        "{LASTING}restart-delay = 1000\n\
         cmd-restart = echo $PID > @/former; exec > /dev/null 2>&1; exec sleep 1000\n"
    ));
    let former = sandbox.main_process("p");

    sandbox.succeed(&["p", "restart"]);

    assert_eq!(lines(&sandbox, "former", 1), [former.to_string()]);
    let main = sandbox.main_process("p");
    assert_ne!(main, former);
    assert_eq!(sandbox.list(), "p: running\n");
    kill(former, Signal::SIGKILL).unwrap();
    wait_until("the former process has ended", || !is_alive(former));
    assert_eq!(sandbox.list(), "p: running\n");
    assert_eq!(sandbox.main_process("p"), main);
}

#[test]
fn a_stop_script_that_cannot_be_executed_leaves_it_as_it_is() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\n{LASTING}cwd = @/cwd\ncmd-stop = :\n"));
    fs::create_dir(sandbox.path("cwd")).unwrap();
    let main = sandbox.start("p");
    fs::remove_dir(sandbox.path("cwd")).unwrap();
    sandbox.replace_daemon();

    let refused = sandbox.client(&["p", "stop"]);

    assert!(refused.stderr.starts_with("ERROR: (SPAWN) cannot run stop of p: "), "{refused:?}");
    assert_eq!(refused.code, 125);
    assert_eq!(sandbox.list(), "p: running adopted\n");
    kill(main, Signal::SIGKILL).unwrap();
}

#[test]
fn it_is_adopted_again_and_again() {
    let mut sandbox = adopted(LASTING);
    let main = sandbox.main_process("p");

    for _ in 0..3 {
        sandbox.replace_daemon();
        assert_eq!(sandbox.list(), "p: running adopted\n");
    }

    assert_eq!(sandbox.main_process("p"), main);
    assert_eq!(sandbox.program("p").state, State::Running);
}

#[test]
fn a_hundred_programs_are_adopted() {
    let names: Vec<String> = (0..100).map(|number| format!("p{number}")).collect();
    let section = |name: &String| format!("[prog-{name}]\nautostart = yes\n{LASTING}");
    let mut sandbox = Sandbox::with_first_daemon(&names.iter().map(section).collect::<Vec<_>>().concat());
    wait_until("all of them run", || sandbox.list().matches(": running\n").count() == 100);
    let mains: Vec<_> = names.iter().map(|name| sandbox.program(name).pid).collect();

    sandbox.replace_daemon();

    assert_eq!(sandbox.list().matches(": running adopted\n").count(), 100);
    assert_eq!(names.iter().map(|name| sandbox.program(name).pid).collect::<Vec<_>>(), mains);
}
