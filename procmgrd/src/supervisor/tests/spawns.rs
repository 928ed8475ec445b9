//! The cells of scripts that have been executed and of scripts that could not be, in each state.
//!
//! When a script is run at all is tested in `requests` and in `beside`.

use procmgr_config::Action::{Restart, Start, Stop};
use procmgr_proto::message::Code;

use crate::supervisor::event::Event;
use crate::supervisor::tests::{
    DELAY, MAIN, RESTARTER, SCRIPT, STARTER, STOPPER, SUCCESS, World, again, answer_exited, define,
    define_with_delay, done, ended, job, process, refused, spawn, spawn_for_nobody, start_failed, started,
    terminate,
};

const NO_START: &str = "cannot run start of game: no shell";
const NO_STOP: &str = "cannot run stop of game: no shell";
const NO_RESTART: &str = "cannot run restart of game: no shell";

// Starting

#[test]
fn a_start_is_done_once_its_script_has_been_executed() {
    let mut world = World::down(&define("game", &[Start]));
    let effects = world.request(1, "game", Start);
    assert_eq!(world.spawned(effects, MAIN), [done(1)]);
    assert_eq!(world.list(), "game: running");
}

#[test]
fn a_start_whose_script_cannot_be_executed_is_refused_and_not_tried_again() {
    let mut world = World::down(&define_with_delay("game", &[Start]));
    let effects = world.request(1, "game", Start);
    assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, NO_START)]);
    assert_eq!(world.list(), "game: dead");
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn a_start_that_fails_during_back_off_leaves_the_program_due_as_before() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    world.pass(DELAY / 2);
    let effects = world.request(1, "game", Start);
    assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, NO_START)]);
    assert_eq!(world.list(), "game: dead restarting");
    assert_eq!(world.next_deadline(), Some(DELAY / 2));
}

#[test]
fn an_unattended_start_is_reported_once_its_script_has_been_executed() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    let effects = world.pass(DELAY);
    assert_eq!(world.spawned(effects, SCRIPT), [started("game", SCRIPT)]);
    assert_eq!(world.list(), "game: running");
}

#[test]
fn an_unattended_start_that_fails_counts_as_a_death() {
    let game = define_with_delay("game", &[Start]);
    let mut world = World::in_backoff(&game);
    let effects = world.pass(DELAY);
    assert_eq!(world.spawn_failed(effects), [start_failed("game", "no shell", Some(again(2)))]);
    assert_eq!(world.next_deadline(), Some(DELAY));
    assert_eq!(world.pass(DELAY), [spawn_for_nobody(&game)]);
}

#[test]
fn an_unattended_start_that_fails_without_a_delay_is_the_last() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    world.configure(&[&define("game", &[Start])]);
    let effects = world.pass(DELAY);
    assert_eq!(world.spawn_failed(effects), [start_failed("game", "no shell", None)]);
    assert_eq!(world.list(), "game: dead");
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn the_start_of_a_restart_that_fails_leaves_the_program_down() {
    let mut world = World::restarting(&define_with_delay("game", &[Start]));
    let effects = world.exited(MAIN, SUCCESS);
    assert_eq!(world.spawn_failed(effects), [refused(RESTARTER, Code::Spawn, NO_START)]);
    assert_eq!(world.list(), "game: dead");
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn a_default_restart_is_answered_by_its_start() {
    let game = define("game", &[Start]);
    let mut world = World::restarting(&game);
    let effects = world.exited(MAIN, SUCCESS);
    assert_eq!(effects, [ended(MAIN, SUCCESS, None), spawn(&game, Start, RESTARTER, None)]);
    assert_eq!(world.spawned(effects, SCRIPT), [done(RESTARTER)]);
    assert_eq!(world.list(), "game: running");
}

// Up

#[test]
fn the_process_of_a_restart_script_becomes_the_main_process() {
    let mut world = World::up(&define("game", &[Start, Restart]));
    let effects = world.request(1, "game", Restart);
    assert_eq!(world.spawned(effects, SCRIPT), [done(1)]);
    assert_eq!(world.exited(MAIN, SUCCESS), [], "the old process is nobody's");
    assert_eq!(world.list(), "game: running");
    assert_eq!(world.request(2, "game", Stop), [terminate(SCRIPT)]);
}

#[test]
fn a_restart_script_that_cannot_be_executed_leaves_the_program_running() {
    let mut world = World::up(&define("game", &[Start, Restart]));
    let effects = world.request(1, "game", Restart);
    assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, NO_RESTART)]);
    assert_eq!(world.list(), "game: running");
    assert_eq!(world.request(2, "game", Stop), [terminate(MAIN)]);
}

// Stopping

#[test]
fn stop_waits_for_the_main_process_not_for_the_script() {
    let mut world = World::up(&define("game", &[Start, Stop]));
    let effects = world.request(1, "game", Stop);
    assert_eq!(world.spawned(effects, SCRIPT), []);
    assert_eq!(world.exited(SCRIPT, SUCCESS), []);
    assert_eq!(world.list(), "game: running stopping");
}

#[test]
fn a_restart_script_that_is_executed_cancels_the_stops_that_wait() {
    let mut world = World::stopping(&define("game", &[Start, Restart]));
    world.request(1, "game", Stop);
    let effects = world.request(2, "game", Restart);
    assert_eq!(
        world.spawned(effects, SCRIPT),
        [
            done(2),
            refused(STOPPER, Code::Cancelled, "game was restarted meanwhile"),
            refused(1, Code::Cancelled, "game was restarted meanwhile")
        ]
    );
    assert_eq!(world.list(), "game: running");
    assert_eq!(world.exited(MAIN, SUCCESS), []);
}

#[test]
fn a_restart_script_that_cannot_be_executed_lets_the_stop_go_on() {
    let mut world = World::stopping(&define("game", &[Start, Restart]));
    let effects = world.request(1, "game", Restart);
    assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, NO_RESTART)]);
    assert_eq!(world.list(), "game: running stopping");
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None), answer_exited(STOPPER, SUCCESS)]);
}

#[test]
fn a_stop_whose_script_cannot_be_executed_is_taken_back() {
    let mut world = World::up(&define_with_delay("game", &[Start, Stop]));
    let effects = world.request(1, "game", Stop);
    assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, NO_STOP)]);
    assert_eq!(world.list(), "game: running");
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, Some(again(1)))]);
}

#[test]
fn a_stop_whose_script_cannot_be_executed_leaves_the_stops_of_others_alone() {
    let mut world = World::stopping(&define("game", &[Start, Stop]));
    let effects = world.request(1, "game", Stop);
    assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, NO_STOP)]);
    assert_eq!(world.list(), "game: running stopping");
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None), answer_exited(STOPPER, SUCCESS)]);
}

// Restarting

#[test]
fn a_restart_whose_stop_script_cannot_be_executed_is_taken_back() {
    let mut world = World::up(&define("game", &[Start, Stop]));
    let effects = world.request(1, "game", Restart);
    assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, NO_STOP)]);
    assert_eq!(world.list(), "game: running");
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None)]);
}

#[test]
fn a_stop_whose_script_cannot_be_executed_has_cancelled_the_restart_all_the_same() {
    let mut world = World::restarting(&define("game", &[Start, Stop]));
    let effects = world.request(1, "game", Stop);
    assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, NO_STOP)]);
    assert_eq!(world.list(), "game: running");
}

#[test]
fn a_stop_whose_script_cannot_be_executed_leaves_a_stop_that_a_restart_waits_for() {
    let mut world = World::stopping(&define("game", &[Start, Stop]));
    world.request(RESTARTER, "game", Restart);
    let effects = world.request(1, "game", Stop);
    assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, NO_STOP)]);
    assert_eq!(world.list(), "game: running stopping");
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None), answer_exited(STOPPER, SUCCESS)]);
}

/// Spawns are answered before anything else happens, so this does not come about; but the cell is filled.
#[test]
fn a_restart_script_that_is_executed_late_cancels_the_stops_and_the_restart() {
    let game = define("game", &[Start]);
    let mut world = World::stopping(&game);
    world.request(RESTARTER, "game", Restart);
    assert_eq!(
        world.tell(Event::Spawned { job: job(&game, Restart, Some(STARTER)), process: process(SCRIPT) }),
        [
            done(STARTER),
            refused(STOPPER, Code::Cancelled, "game was restarted meanwhile"),
            refused(RESTARTER, Code::Cancelled, "game was restarted meanwhile")
        ]
    );
    assert_eq!(world.list(), "game: running");
}
