//! What counts when a daemon starts: the configuration of today, and what was wanted of the programs before.
//!
//! Deaths are in `deaths`, and what was half done in `under_way`.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use nix::sys::signal::{Signal, kill};

use crate::harness::{Sandbox, allowing_us, is_alive, lines, wait_until};
use crate::succession::{LASTING, is_code_or_unknown};

impl Sandbox {
    /// Replaces the configuration while there is no daemon, and starts the next one.
    fn replace_daemon_and_configuration(&mut self, config: &str) {
        self.kill_daemon();
        self.configure(&allowing_us(config));
        self.start_next_daemon(&[]);
    }
}

// The configuration.

#[test]
fn a_program_that_was_removed_meanwhile_lingers_and_is_stopped_as_it_was_to_be() {
    let mut sandbox = Sandbox::with_first_daemon(&format!(
        "[prog-p]\n{LASTING}cmd-stop = echo \"as of old\"; kill -KILL $PID\n"
    ));
    let main = sandbox.start("p");

    sandbox.replace_daemon_and_configuration("[prog-q]\n");

    assert_eq!(sandbox.list(), "q: dead\np: running lingering adopted\n");
    assert_eq!(sandbox.main_process("p"), main);
    let refused = sandbox.client(&["p", "restart"]);
    assert!(refused.stderr.starts_with("ERROR: (NOPROG) "), "{refused:?}");

    // It lingers on, whoever takes over.
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "q: dead\np: running lingering adopted\n");

    let stopped = sandbox.client(&["p", "stop"]);
    assert!(is_code_or_unknown(stopped.code, 128 + 9), "{stopped:?}");
    assert_eq!(stopped.stdout, "as of old\n");
    assert_eq!(sandbox.list(), "q: dead\n");
}

#[test]
fn a_program_that_lingers_and_is_defined_anew_can_be_started_again() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\n{LASTING}"));
    sandbox.start("p");
    sandbox.replace_daemon_and_configuration("");
    assert_eq!(sandbox.list(), "p: running lingering adopted\n");

    sandbox.replace_daemon_and_configuration(&format!("[prog-p]\n{LASTING}"));

    assert_eq!(sandbox.list(), "p: running adopted\n");
    sandbox.succeed(&["p", "restart"]);
    assert_eq!(sandbox.list(), "p: running\n");
}

#[test]
fn a_program_that_was_changed_meanwhile_runs_on_as_before_and_is_outdated() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\n{LASTING}cmd-signal = echo before\n"));
    let main = sandbox.start("p");

    sandbox.replace_daemon_and_configuration(&format!("[prog-p]\n{LASTING}cmd-signal = echo after\n"));

    assert_eq!(sandbox.list(), "p: running adopted outdated\n");
    assert_eq!(sandbox.main_process("p"), main);
    assert_eq!(sandbox.succeed(&["p", "signal"]), "before\n");
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "p: running adopted outdated\n");
    assert_eq!(sandbox.succeed(&["p", "signal"]), "before\n");
    sandbox.succeed(&["p", "restart"]);
    assert_eq!(sandbox.list(), "p: running\n");
    assert_eq!(sandbox.succeed(&["p", "signal"]), "after\n");
}

#[test]
fn a_program_is_not_outdated_for_what_its_definition_says() {
    // Every key that needs no privileges, quotes, and in the end bytes that are no text.
    let config = format!(
        "[prog-\u{e9}t\u{e9} 1]\n{LASTING}cmd-stop =\ncmd-reload = : '\u{e4}' \"\\\" $0\ncmd-restart = : x\n\
         uid-stop = 1\ngid-stop = 2\nrestart-delay = 7\nautostart = 3\ncwd = @\nallow-gid = 9\n"
    );
    let mut sandbox = Sandbox::new(&allowing_us(&config));
    let mut file = File::options().append(true).open(sandbox.config()).unwrap();
    file.write_all(b"cmd-signal = : \xff\xfe; exit 4\n").unwrap();
    sandbox.start_next_daemon(&["-A", "3"]);

    sandbox.replace_daemon();

    assert_eq!(sandbox.list(), "\u{e9}t\u{e9} 1: running adopted\n");
    assert_eq!(sandbox.client(&["\u{e9}t\u{e9} 1", "signal"]).code, 4);
}

// What was wanted.

#[test]
fn autostart_starts_what_does_not_run_and_nothing_else() {
    let section = |name: &str, autostart: &str| {
        format!(
            "[prog-{name}]\nautostart = {autostart}\n\
             cmd-start = echo {name} >> @/starts; exec sleep 1000 > /dev/null 2>&1\n"
        )
    };
    let programs = [("runs", "yes"), ("died", "yes"), ("manual", "no"), ("idle", "no")];
    let config: String = programs.map(|(name, autostart)| section(name, autostart)).concat();
    let mut sandbox = Sandbox::with_first_daemon(&config);
    sandbox.succeed(&["manual", "start"]);
    let (main, dead) = (sandbox.main_process("runs"), sandbox.main_process("died"));
    sandbox.kill_daemon();
    kill(dead, Signal::SIGKILL).unwrap();
    wait_until("it has been reaped", || !Path::new(&format!("/proc/{dead}")).exists());

    let config = config + &section("new", "yes");
    sandbox.configure(&allowing_us(&config));
    sandbox.start_next_daemon(&[]);

    let expected =
        "runs  : running adopted\ndied  : running\nmanual: running adopted\nidle  : dead\nnew   : running\n";
    assert_eq!(sandbox.list(), expected);
    assert_eq!(sandbox.main_process("runs"), main);
    let mut starts = lines(&sandbox, "starts", 5);
    starts.sort();
    assert_eq!(starts, ["died", "died", "manual", "new", "runs"]);
}

#[test]
fn what_was_stopped_by_hand_stays_stopped_until_somebody_starts_it() {
    let mut sandbox =
        Sandbox::with_first_daemon(&format!("[prog-p]\nautostart = yes\nrestart-delay = 1\n{LASTING}"));
    assert_eq!(sandbox.client(&["p", "stop"]).code, 128 + 15);

    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "p: dead\n");
    sandbox.succeed(&["-s"]);
    sandbox.wait_for_daemon();
    sandbox.start_next_daemon(&[]);
    assert_eq!(sandbox.list(), "p: dead\n");
    sandbox.terminate_daemon();
    sandbox.start_next_daemon(&["-A", "yes"]);
    assert_eq!(sandbox.list(), "p: dead\n");
    sandbox.succeed(&["p", "start"]);
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "p: running adopted\n");
}

#[test]
fn what_has_ended_by_itself_was_not_stopped_by_hand() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\nautostart = yes\n{LASTING}"));
    let first = sandbox.main_process("p");
    kill(first, Signal::SIGKILL).unwrap();
    wait_until("the program is down", || sandbox.list() == "p: dead\n");

    sandbox.replace_daemon();

    assert_eq!(sandbox.list(), "p: running\n");
}

#[test]
fn programs_are_adopted_from_a_daemon_that_was_ended_in_all_form() {
    for ending in ["-s", "SIGTERM"] {
        let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\n{LASTING}[prog-q]\n"));
        let main = sandbox.start("p");
        sandbox.end_daemon_by(ending);
        assert!(is_alive(main));

        sandbox.start_next_daemon(&[]);

        assert_eq!(sandbox.list(), "p: running adopted\nq: dead\n", "{ending}");
        assert_eq!(sandbox.main_process("p"), main);
    }
}

#[test]
fn autostart_starts_what_has_died_and_nobody_has_reaped_yet() {
    let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\nautostart = yes\n{LASTING}"));
    let main = sandbox.main_process("p");
    sandbox.kill_daemon();
    kill(main, Signal::SIGKILL).unwrap();
    wait_until("it has ended", || !is_alive(main));
    sandbox.start_next_daemon(&[]);
    wait_until("it runs again", || sandbox.list() == "p: running\n");
}
