//! The daemon is killed at each step of what it is asked, or has to do, while it serves.
//!
//! How, and what holds in any case, is in `sweep`.

use crate::faults::stage::{Stage, lasting};
use crate::faults::sweep::{After, Cause, PROGRAM, Scenario, WITH_RESTART, with};
use crate::harness::allowing_us;

/// Begins anew with a program that this very daemon has started.
pub(super) fn started(stage: &mut Stage) {
    stopped(stage);
    stage.invoke(PROGRAM, "start");
}

/// Begins anew with a program that an earlier daemon has started.
fn adopted(stage: &mut Stage) {
    started(stage);
    stage.kill_daemon();
    stage.launch();
}

/// Begins anew with a program that was stopped by hand.
pub(super) fn stopped(stage: &mut Stage) {
    if stage.programs().unwrap().iter().any(|program| program.name == b"p" && program.pid.is_some()) {
        stage.invoke(PROGRAM, "stop");
    }
}

/// Whether the client was told or not, the program was started once at the most, and nobody stops it.
fn started_or_not(after: &After) {
    let told = after.was_told(0, 125);
    assert!(!told || after.pid_now(PROGRAM).is_some(), "{after}");
    assert_eq!(after.births, usize::from(after.pid_now(PROGRAM).is_some()), "{after}");
}

/// What was stopped stays so; what was not, is the same.
fn stopped_or_the_same(after: &After) {
    let told = after.was_told(128 + 15, 125);
    let now = after.pid_now(PROGRAM);
    assert!(now.is_none() || (!told && now == after.pid_before(PROGRAM)), "{after}");
    assert_eq!(after.births, 0, "{after}");
}

/// There is one, be it the old one or the new one.
fn restarted_or_the_same(after: &After) {
    let told = after.was_told(0, 125);
    let is_same = after.pid_now(PROGRAM) == after.pid_before(PROGRAM);
    assert!(after.pid_now(PROGRAM).is_some() && !(told && is_same), "{after}");
    assert_eq!(after.births, usize::from(!is_same), "{after}");
}

/// Nobody has asked for another one.
fn the_same(after: &After) {
    assert!(after.pid_now(PROGRAM).is_some(), "{after}");
    assert_eq!((after.pid_now(PROGRAM), after.births), (after.pid_before(PROGRAM), 0), "{after}");
}

/// Somebody else is there instead.
fn another(after: &After) {
    assert!(after.pid_now(PROGRAM).is_some(), "{after}");
    assert_ne!(after.pid_now(PROGRAM), after.pid_before(PROGRAM), "{after}");
    assert_eq!(after.births, 1, "{after}");
}

#[test]
fn a_start_happens_once_or_not_at_all() {
    let cause = Cause::Requests(&[&["p", "start"]]);
    let scenario = Scenario { config: with!(""), prepare: stopped, cause, verify: started_or_not };
    scenario.sweep("a_start_happens_once_or_not_at_all");
}

/// A program that would be back if it did not count that it was stopped by hand.
const AUTOSTARTED: &str = with!("autostart = yes\nrestart-delay = 1\n");

#[test]
fn what_was_stopped_stays_so() {
    let cause = Cause::Requests(&[&["p", "stop"]]);
    let scenario = Scenario { config: AUTOSTARTED, prepare: started, cause, verify: stopped_or_the_same };
    scenario.sweep("what_was_stopped_stays_so");
}

#[test]
fn what_was_stopped_stays_so_if_an_earlier_daemon_had_started_it() {
    let cause = Cause::Requests(&[&["p", "stop"]]);
    let scenario = Scenario { config: AUTOSTARTED, prepare: adopted, cause, verify: stopped_or_the_same };
    scenario.sweep("what_was_stopped_stays_so_if_an_earlier_daemon_had_started_it");
}

#[test]
fn what_was_stopped_by_a_script_stays_so() {
    let config = with!("autostart = yes\nrestart-delay = 1\ncmd-stop = kill $PID\n");
    let cause = Cause::Requests(&[&["p", "stop"]]);
    let scenario = Scenario { config, prepare: started, cause, verify: stopped_or_the_same };
    scenario.sweep("what_was_stopped_by_a_script_stays_so");
}

#[test]
fn a_restart_leaves_the_old_one_or_the_new_one() {
    let cause = Cause::Requests(&[&["p", "restart"]]);
    let scenario = Scenario { config: with!(""), prepare: started, cause, verify: restarted_or_the_same };
    scenario.sweep("a_restart_leaves_the_old_one_or_the_new_one");
}

#[test]
fn a_restart_leaves_the_new_one_if_an_earlier_daemon_had_started_the_old_one() {
    let cause = Cause::Requests(&[&["p", "restart"]]);
    let scenario = Scenario { config: with!(""), prepare: adopted, cause, verify: restarted_or_the_same };
    scenario.sweep("a_restart_leaves_the_new_one_if_an_earlier_daemon_had_started_the_old_one");
}

#[test]
fn a_restart_by_a_script_leaves_the_old_one_or_the_new_one() {
    let cause = Cause::Requests(&[&["p", "restart"]]);
    let scenario = Scenario { config: WITH_RESTART, prepare: started, cause, verify: restarted_or_the_same };
    scenario.sweep("a_restart_by_a_script_leaves_the_old_one_or_the_new_one");
}

#[test]
fn a_restart_goes_on_however_long_the_old_one_takes_to_end() {
    let config = with!(
        "cmd-start = exec > /dev/null 2>&1; trap 'echo $$ >> @/ends-$PROGNAME; kill -KILL $!; sleep 0.2; exit' TERM; \
        echo $$ >> @/births-$PROGNAME; sleep 1000 & wait\n",
        ""
    );
    let cause = Cause::Requests(&[&["p", "restart"]]);
    let scenario = Scenario { config, prepare: started, cause, verify: restarted_or_the_same };
    scenario.sweep_by(8, "a_restart_goes_on_however_long_the_old_one_takes_to_end");
}

#[test]
fn a_reload_by_a_script_leaves_the_program_as_it_is() {
    let config = with!("cmd-reload = echo >> @/reloads\n");
    let cause = Cause::Requests(&[&["p", "reload"]]);
    let verify = |after: &After| {
        after.was_told(0, 125);
        the_same(after);
    };
    let scenario = Scenario { config, prepare: started, cause, verify };
    scenario.sweep("a_reload_by_a_script_leaves_the_program_as_it_is");
}

const WITH_ONE_MORE: &str = concat!(with!(""), "[prog-gone]\n", lasting!());
const WITHOUT_IT: &str = with!("restart-delay = 1000\n");

/// Has the daemon find another configuration the next time: one without a program that runs, or one with it again.
fn reconfigured(stage: &mut Stage) {
    started(stage);
    let programs = stage.programs().unwrap();
    let gone = programs.iter().find(|program| program.name == b"gone").expect("it is defined, or lingers");
    if gone.pid.is_none() {
        stage.invoke("gone", "start");
    }
    let lingers = gone.marks.iter().any(|mark| mark == b"lingering");
    let config = if lingers { WITH_ONE_MORE } else { WITHOUT_IT };
    stage.sandbox.configure(&allowing_us(config));
}

#[test]
fn another_configuration_leaves_all_programs_as_they_are_those_that_it_lacks_included() {
    let verify = |after: &After| {
        after.was_told(0, 1);
        the_same(after);
        assert!(after.pid_now("gone").is_some(), "{after}");
        assert_eq!(after.pid_now("gone"), after.pid_before("gone"), "{after}");
    };
    let cause = Cause::Requests(&[&["-r"]]);
    let scenario = Scenario { config: WITH_ONE_MORE, prepare: reconfigured, cause, verify };
    scenario.sweep("another_configuration_leaves_all_programs_as_they_are_those_that_it_lacks_included");
}

#[test]
fn an_upgrade_leaves_all_programs_as_they_are_and_every_client_is_told() {
    // Another client waits for its script all the time.
    let config = with!("cmd-signal = sleep 0.2\n");
    let cause = Cause::Requests(&[&["p", "signal"], &["-u"]]);
    let verify = |after: &After| {
        after.was_one_told(0, 0, 125);
        after.was_one_told(1, 0, 1);
        the_same(after);
    };
    let scenario = Scenario { config, prepare: started, cause, verify };
    scenario.sweep_by(4, "an_upgrade_leaves_all_programs_as_they_are_and_every_client_is_told");
}

#[test]
fn a_program_that_has_died_is_started_again_once() {
    let config = with!("restart-delay = 1\n");
    let scenario = Scenario { config, prepare: started, cause: Cause::Death, verify: another };
    scenario.sweep_by(8, "a_program_that_has_died_is_started_again_once");
}
