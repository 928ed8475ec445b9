//! Deaths and what follows them; autostart.
//!
//! What somebody asks for while a program waits to be started again is tested in `actions`.

use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procmgr_proto::client::Client;
use procmgr_proto::details::ProgramDetails;
use procmgr_proto::message::ExitStatus;

use crate::harness::{DEADLINE, Sandbox, allowing_us, lines, wait_until};

/// What follows when the script of `p` ends on its own.
fn after_end_of(script: &str, restart_delay: &str) -> Sandbox {
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!(
        "[prog-p]\ncmd-start = {script}\nrestart-delay = {restart_delay}\n"
    )));
    sandbox.succeed(&["p", "start"]);
    wait_until("the program has ended", || sandbox.succeed(&["-a"]).starts_with("p: dead"));
    sandbox
}

fn pid(line: &str) -> Pid {
    Pid::from_raw(line.parse().unwrap())
}

// After a death.

#[test]
fn a_program_that_dies_is_started_again_after_the_delay_and_not_before() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\nrestart-delay = 1\ncmd-start = echo $$ >> @/starts; exec sleep 1000 >/dev/null 2>&1\n",
    ));
    sandbox.succeed(&["p", "start"]);
    let first = pid(&lines(&sandbox, "starts", 1)[0]);

    let death = Instant::now();
    kill(first, Signal::SIGKILL).unwrap();

    let second = pid(&lines(&sandbox, "starts", 2)[1]);
    let delay = death.elapsed();
    assert!(delay >= Duration::from_secs(1) && delay < DEADLINE, "{delay:?}");
    assert_ne!(first, second);
    assert_eq!(sandbox.succeed(&["p", "status"]), "running\n");
}

#[test]
fn every_end_that_nobody_asked_for_is_a_death() {
    for script in ["exit 0", "exit 3", "kill -TERM $$", "kill -KILL $$"] {
        let sandbox = after_end_of(script, "1000");

        assert_eq!(sandbox.succeed(&["-a"]), "p: dead restarting\n", "{script}");
    }
}

#[test]
fn a_program_that_keeps_dying_is_started_again_each_time() {
    let sandbox =
        Sandbox::with_daemon(&allowing_us("[prog-p]\nrestart-delay = 1\ncmd-start = echo >> @/starts\n"));

    sandbox.succeed(&["p", "start"]);

    lines(&sandbox, "starts", 3);
}

#[test]
fn without_a_positive_delay_a_dead_program_stays_dead() {
    for delay in ["none", "0", "-1", "-5"] {
        let sandbox = after_end_of(":", delay);

        // What is to be started again would be listed as restarting.
        assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n", "{delay}");
    }
}

#[test]
fn without_a_delay_in_the_configuration_a_dead_program_stays_dead() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-start = :\n"));
    sandbox.succeed(&["p", "start"]);

    wait_until("the program has ended", || sandbox.succeed(&["-a"]) == "p: dead\n");

    assert!(!sandbox.log().contains("started again"), "{}", sandbox.log());
}

#[test]
fn after_a_stop_nothing_starts_the_program_again() {
    for stop in ["", "cmd-stop = kill -KILL $PID\n"] {
        let sandbox = Sandbox::with_daemon(&allowing_us(&format!(
            "[prog-p]\nrestart-delay = 1\ncmd-start = exec sleep 1000 >/dev/null 2>&1\n{stop}"
        )));
        sandbox.succeed(&["p", "start"]);

        assert!(sandbox.client(&["p", "stop"]).code > 128);

        assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
    }
}

#[test]
fn after_a_stop_and_a_start_a_death_counts_again() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\nrestart-delay = 1000\ncmd-start = exec sleep 1000 >/dev/null 2>&1\ncmd-signal = kill $PID\n",
    ));
    sandbox.succeed(&["p", "start"]);
    sandbox.client(&["p", "stop"]);
    sandbox.succeed(&["p", "start"]);

    sandbox.succeed(&["p", "signal"]);

    wait_until("it is to be started again", || sandbox.succeed(&["-a"]) == "p: dead restarting\n");
}

#[test]
fn a_program_stays_the_same_under_a_restart_that_somebody_asked_for() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\nrestart-delay = 1000\ncmd-start = echo >> @/starts; exec sleep 1000 >/dev/null 2>&1\n",
    ));
    sandbox.succeed(&["p", "start"]);

    sandbox.succeed(&["p", "restart"]);

    // The death of the old process is no reason for another start.
    lines(&sandbox, "starts", 2);
    assert_eq!(sandbox.succeed(&["-a"]), "p: running\n");
}

#[test]
fn an_unattended_start_that_fails_is_tried_again() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\nautostart = yes\nrestart-delay = 1\ncwd = @/cwd\ncmd-start = exec sleep 1000\n",
    ));
    wait_until("the first start has failed", || {
        sandbox.log().contains("p: cannot be started: cannot enter") && sandbox.log().contains("again in 1 s")
    });
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead restarting\n");

    fs::create_dir(sandbox.path("cwd")).unwrap();

    wait_until("the program runs", || sandbox.succeed(&["-a"]) == "p: running\n");
}

#[test]
fn an_unattended_start_that_fails_without_a_delay_is_the_last() {
    let sandbox =
        Sandbox::with_daemon(&allowing_us("[prog-p]\nautostart = yes\ncwd = @/cwd\ncmd-start = :\n"));

    wait_until("the start has failed", || sandbox.log().contains("p: cannot be started: cannot enter"));

    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

#[test]
fn a_start_that_fails_for_a_client_is_not_tried_again() {
    let sandbox =
        Sandbox::with_daemon(&allowing_us("[prog-p]\nrestart-delay = 1\ncwd = @/cwd\ncmd-start = :\n"));

    assert_eq!(sandbox.client(&["p", "start"]).code, 125);

    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

// Back-off and the limit.

#[test]
fn pauses_grow_until_the_daemon_gives_up_and_only_somebody_starts_the_program_again() {
    let config = "[prog-p]\nautostart = yes\nrestart-delay = 1\nrestart-max-delay = 2\nrestart-limit = 3\n\
        cmd-start = echo >> @/starts; test -e @/live && exec sleep 1000 > /dev/null 2>&1\n";
    let mut sandbox = Sandbox::with_first_daemon(config);
    wait_until("it is given up", || sandbox.list() == "p: dead failed\n");

    assert_eq!(sandbox.read("starts").lines().count(), 4);
    for (delay, number) in [(1, 1), (2, 2), (2, 3)] {
        let line = format!("it is started again in {delay} s, restart {number} in a row\n");
        assert_eq!(sandbox.logged(&line), 1, "{}", sandbox.log());
    }
    let line =
        "ERROR: p: it is given up after 3 restarts in a row, and stays down until somebody starts it\n";
    assert_eq!(sandbox.logged(line), 1, "{}", sandbox.log());
    let refused = sandbox.client(&["p", "stop"]);
    assert_eq!((refused.code, refused.stderr.as_str()), (125, "ERROR: (NOTRUNNING) p is not running\n"));

    // No other daemon starts it, nor does another version.
    sandbox.replace_daemon();
    assert_eq!(sandbox.list(), "p: dead failed\n");
    sandbox.end_daemon_by("-s");
    sandbox.start_next_daemon(&[]);
    sandbox.succeed(&["-u"]);
    assert_eq!(sandbox.list(), "p: dead failed\n");
    assert_eq!(sandbox.program("p").marks, [b"failed"]);
    assert_eq!(sandbox.read("starts").lines().count(), 4);

    fs::write(sandbox.path("live"), "").unwrap();
    sandbox.succeed(&["p", "start"]);
    assert_eq!(sandbox.list(), "p: running\n");
}

#[test]
fn a_run_that_was_stable_begins_a_new_row() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\nrestart-delay = 1\nrestart-limit = 1\ncmd-start = echo $$ >> @/starts; exec sleep 1000 > /dev/null 2>&1\n",
    ));
    sandbox.succeed(&["p", "start"]);
    for number in 1..=3 {
        let main = pid(&lines(&sandbox, "starts", number)[number - 1]);
        // This is the time that counts.
        thread::sleep(Duration::from_millis(1100));
        kill(main, Signal::SIGKILL).unwrap();
    }
    lines(&sandbox, "starts", 4);
    assert_eq!(sandbox.log().matches("restart 1 in a row").count(), 3);
}

// What it has gone through.

#[test]
fn whoever_asks_is_told_since_when_and_how_often_and_how_it_has_ended_whatever_daemon_is_there() {
    let mut sandbox = Sandbox::with_first_daemon(
        "[prog-p]\nrestart-delay = 1\ncmd-start = exec sleep 1000 > /dev/null 2>&1\n\
         [prog-q]\nrestart-delay = 1000\ncmd-start = exit 3\n",
    );
    let begin = now();
    let main = sandbox.start("p");
    kill(main, Signal::SIGKILL).unwrap();
    wait_until("it has been started again", || {
        details(&sandbox, "p").restarts == 1 && sandbox.program("p").pid.is_some()
    });
    sandbox.succeed(&["q", "start"]);
    wait_until("the other one has ended", || sandbox.list().contains("q: dead restarting"));

    let told = ["p", "q"].map(|name| details(&sandbox, name));
    let end = now();
    let is_recent = |time: Option<u64>| time.is_some_and(|time| (begin..=end).contains(&time));
    let last_exit = told[0].last_exit.unwrap();
    assert!(is_recent(told[0].since) && is_recent(Some(last_exit.time)), "{told:?}");
    assert!(last_exit.status == ExitStatus::Signal(9) && last_exit.time + 1000 <= told[0].since.unwrap());
    assert_eq!(told[0].next_start, None);
    let last_exit = told[1].last_exit.unwrap();
    assert_eq!((told[1].since, told[1].restarts, last_exit.status), (None, 1, ExitStatus::Code(3)));
    assert_eq!(told[1].next_start, Some(last_exit.time + 1_000_000));

    assert_eq!(["p", "q"].map(|name| details(&sandbox, name)), told, "it is the same each time");
    sandbox.succeed(&["-u"]);
    assert_eq!(["p", "q"].map(|name| details(&sandbox, name)), told, "another version tells the same");
    sandbox.replace_daemon();
    let adopted = details(&sandbox, "p");
    let expected = ProgramDetails { program: sandbox.program("p"), ..told[0].clone() };
    assert_eq!(
        (adopted, details(&sandbox, "q")),
        (expected, told[1].clone()),
        "another daemon tells the same"
    );
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

fn details(sandbox: &Sandbox, name: &str) -> ProgramDetails {
    let programs = Client::connect(&sandbox.socket()).unwrap().inspect().unwrap();
    programs.into_iter().find(|details| details.program.name == name.as_bytes()).unwrap()
}

// Autostart.

/// Programs of several groups. What is to be started is listed as restarting until it runs.
const GROUPS: &str = "[prog-one]\nautostart = yes\ncmd-start = exec sleep 1000\n\
    [prog-two]\nautostart = 2\ncmd-start = exec sleep 1000\n\
    [prog-no]\nautostart = no\ncmd-start = exec sleep 1000\n\
    [prog-zero]\nautostart = 0\ncmd-start = exec sleep 1000\n\
    [prog-unset]\ncmd-start = exec sleep 1000\n\
    [prog-also-one]\nautostart = 1\ncmd-start = exec sleep 1000\n";

/// Starts a daemon with these options on the groups, below these global keys, and waits until all that is to run does.
fn autostarted(globals: &str, options: &[&str]) -> Vec<String> {
    let mut sandbox = Sandbox::new(&allowing_us(&format!("{globals}{GROUPS}")));
    sandbox.start_daemon(options);
    wait_until("nothing is to be started any more", || !sandbox.succeed(&["-a"]).contains("restarting"));
    let list = sandbox.succeed(&["-a"]);
    assert_eq!(list.lines().count(), 6, "{list}");
    let running = list.lines().filter_map(|line| line.strip_suffix(": running"));
    running.map(|name| name.trim_end().to_owned()).collect()
}

#[test]
fn the_daemon_starts_the_programs_of_group_one_when_it_starts() {
    assert_eq!(autostarted("", &[]), ["one", "also-one"]);
}

#[test]
fn do_autostart_names_the_group_that_is_started() {
    assert_eq!(autostarted("do-autostart = 2\n", &[]), ["two"]);
    assert_eq!(autostarted("do-autostart = yes\n", &[]), ["one", "also-one"]);
    assert_eq!(autostarted("do-autostart = 3\n", &[]), [""; 0]);
    assert_eq!(autostarted("do-autostart = no\n", &[]), [""; 0]);
    assert_eq!(autostarted("do-autostart = 0\n", &[]), [""; 0]);
}

#[test]
fn the_command_line_names_the_group_that_is_started_above_all() {
    assert_eq!(autostarted("", &["-A", "2"]), ["two"]);
    assert_eq!(autostarted("", &["-A", "no"]), [""; 0]);
    assert_eq!(autostarted("do-autostart = 2\n", &["-A", "yes"]), ["one", "also-one"]);
    assert_eq!(autostarted("do-autostart = no\n", &["--autostart=1"]), ["one", "also-one"]);
    assert_eq!(autostarted("", &["-A0"]), [""; 0]);
}

#[test]
fn autostart_without_a_script_is_an_error_in_the_log_and_others_start() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-a]\nautostart = yes\n[prog-b]\nautostart = yes\ncmd-start = exec sleep 1000\n",
    ));

    wait_until("the other one runs", || sandbox.succeed(&["-a"]) == "a: dead\nb: running\n");

    let error = "ERROR: a: cannot be started: there is no script for start";
    assert!(sandbox.log().contains(error), "{}", sandbox.log());
}

#[test]
fn a_program_that_was_started_by_the_daemon_is_managed_like_any_other() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\nautostart = yes\nrestart-delay = 1\ncmd-start = echo $$ >> @/starts; exec sleep 1000\n",
    ));
    let first = pid(&lines(&sandbox, "starts", 1)[0]);

    kill(first, Signal::SIGKILL).unwrap();
    let second = lines(&sandbox, "starts", 2).remove(1);

    assert_eq!(sandbox.client(&["p", "start"]).code, 125, "it runs already");
    assert_eq!(sandbox.client(&["p", "stop"]).code, 128 + 15);
    assert!(!crate::harness::is_alive(pid(&second)));
}
