//! The cells of `start`, `stop` and `restart`: what each of them does in each state.
//!
//! What becomes of the scripts that they run is tested in `spawns`.

use procmgr_config::Action::{Restart, Start, Stop};
use procmgr_config::KillMode;
use procmgr_proto::message::Code;

use crate::supervisor::event::Signal;
use crate::supervisor::tests::{
    DELAY, MAIN, RESTARTER, STOPPER, SUCCESS, World, answer_exited, define, define_with_delay, done, ended,
    refused, signal, spawn, spawn_with, terminate,
};

// Down

#[test]
fn start_runs_the_script_on_the_terminal_of_the_client() {
    let game = define("game", &[Start]);
    let mut world = World::down(&game);
    let effects = world.request_with(1, "game", Start, &["level-1", "-v"]);
    assert_eq!(effects, [spawn_with(&game, Start, 1, None, &["level-1", "-v"])]);
    world.assert_refuses(Start, Code::Busy, "game is starting");
}

#[test]
fn start_without_a_script_is_refused() {
    World::down(&define("game", &[Stop])).assert_refuses(Start, Code::NoCmd, "game has no script for start");
}

#[test]
fn stop_of_a_program_that_is_down_is_refused() {
    let mut world = World::down(&define("game", &[Start, Stop]));
    world.assert_refuses(Stop, Code::NotRunning, "game is not running");
}

#[test]
fn restart_of_a_program_that_is_down_is_refused() {
    let mut world = World::down(&define("game", &[Start]));
    world.assert_refuses(Restart, Code::NotRunning, "game is not running");
}

#[test]
fn a_restart_script_does_not_run_for_a_program_that_is_down() {
    let mut world = World::down(&define("game", &[Start, Restart]));
    world.assert_refuses(Restart, Code::NotRunning, "game is not running");
}

// Starting

#[test]
fn start_of_a_program_that_is_starting_is_refused() {
    World::starting(&define("game", &[Start])).assert_refuses(Start, Code::Busy, "game is starting");
}

#[test]
fn stop_of_a_program_that_is_starting_is_refused() {
    World::starting(&define("game", &[Start, Stop])).assert_refuses(Stop, Code::Busy, "game is starting");
}

#[test]
fn restart_of_a_program_that_is_starting_is_refused() {
    World::starting(&define("game", &[Start])).assert_refuses(Restart, Code::Busy, "game is starting");
}

#[test]
fn a_restart_script_does_not_run_for_a_program_that_is_starting() {
    let mut world = World::starting(&define("game", &[Start, Restart]));
    world.assert_refuses(Restart, Code::Busy, "game is starting");
}

// Up

#[test]
fn start_of_a_program_that_is_up_is_refused() {
    World::up(&define("game", &[Start])).assert_refuses(Start, Code::Busy, "game is running");
}

#[test]
fn stop_terminates_the_group_of_the_main_process_if_the_run_was_told_to() {
    let mut game = define("game", &[Start]);
    game.kill_mode = KillMode::Group;
    let mut world = World::up(&game);
    world.configure(&[&define("game", &[Start])]);
    assert_eq!(world.request(1, "game", Stop), [signal(MAIN, Signal::Term, KillMode::Group)]);
}

#[test]
fn stop_terminates_the_main_process_by_default() {
    let mut world = World::up(&define("game", &[Start]));
    assert_eq!(world.request(1, "game", Stop), [terminate(MAIN)]);
    assert_eq!(world.list(), "game: running stopping");
}

#[test]
fn a_stop_script_runs_instead_and_is_told_the_main_process() {
    let game = define("game", &[Start, Stop]);
    let mut world = World::up(&game);
    let effects = world.request_with(1, "game", Stop, &["now"]);
    assert_eq!(effects, [spawn_with(&game, Stop, 1, Some(MAIN), &["now"])]);
    assert_eq!(world.list(), "game: running stopping");
}

#[test]
fn restart_stops_the_program_by_default() {
    let mut world = World::up(&define("game", &[Start]));
    assert_eq!(world.request(1, "game", Restart), [terminate(MAIN)]);
    assert_eq!(world.list(), "game: running restarting");
}

#[test]
fn restart_gives_its_terminal_to_stop_and_start_and_its_arguments_to_the_start() {
    let game = define("game", &[Start, Stop]);
    let mut world = World::up(&game);
    let effects = world.request_with(1, "game", Restart, &["level-2"]);
    assert_eq!(effects, [spawn(&game, Stop, 1, Some(MAIN))]);
    assert_eq!(world.list(), "game: running restarting");
    assert_eq!(
        world.exited(MAIN, SUCCESS),
        [ended(MAIN, SUCCESS, None), spawn_with(&game, Start, 1, None, &["level-2"])]
    );
}

#[test]
fn restart_does_not_stop_what_it_could_not_start_again() {
    let mut world = World::up(&define("game", &[Start]));
    world.configure(&[&define("game", &[Stop])]);
    world.assert_refuses(Restart, Code::NoCmd, "game has no script for start");
}

#[test]
fn a_restart_script_runs_beside_the_program() {
    let game = define("game", &[Start, Stop, Restart]);
    let mut world = World::up(&game);
    let effects = world.request_with(1, "game", Restart, &["level-2"]);
    assert_eq!(effects, [spawn_with(&game, Restart, 1, Some(MAIN), &["level-2"])]);
    assert_eq!(world.list(), "game: running");
}

// Stopping

#[test]
fn start_of_a_program_that_is_stopping_is_refused() {
    World::stopping(&define("game", &[Start])).assert_refuses(Start, Code::Busy, "game is stopping");
}

#[test]
fn a_second_stop_terminates_again_and_both_wait() {
    let mut world = World::stopping(&define("game", &[Start]));
    assert_eq!(world.request(1, "game", Stop), [terminate(MAIN)]);
    assert_eq!(
        world.exited(MAIN, SUCCESS),
        [ended(MAIN, SUCCESS, None), answer_exited(STOPPER, SUCCESS), answer_exited(1, SUCCESS)]
    );
}

#[test]
fn a_second_stop_runs_the_stop_script_again() {
    let game = define("game", &[Start, Stop]);
    let mut world = World::stopping(&game);
    assert_eq!(world.request(1, "game", Stop), [spawn(&game, Stop, 1, Some(MAIN))]);
    assert_eq!(world.list(), "game: running stopping");
}

#[test]
fn restart_of_a_program_that_is_stopping_lets_the_stop_finish_and_starts_it_then() {
    let game = define("game", &[Start, Stop]);
    let mut world = World::stopping(&game);
    assert_eq!(world.request_with(1, "game", Restart, &["level-2"]), []);
    assert_eq!(world.list(), "game: running restarting");
    assert_eq!(
        world.exited(MAIN, SUCCESS),
        [
            ended(MAIN, SUCCESS, None),
            answer_exited(STOPPER, SUCCESS),
            spawn_with(&game, Start, 1, None, &["level-2"])
        ]
    );
}

#[test]
fn restart_without_a_start_script_does_not_wait_for_a_stop() {
    let mut world = World::stopping(&define("game", &[Start]));
    world.configure(&[&define("game", &[])]);
    world.assert_refuses(Restart, Code::NoCmd, "game has no script for start");
}

#[test]
fn a_restart_script_runs_beside_a_program_that_is_stopping() {
    let game = define("game", &[Start, Restart]);
    let mut world = World::stopping(&game);
    assert_eq!(world.request(1, "game", Restart), [spawn(&game, Restart, 1, Some(MAIN))]);
    assert_eq!(world.list(), "game: running stopping");
}

// Restarting

#[test]
fn start_of_a_program_that_is_restarting_is_refused() {
    World::restarting(&define("game", &[Start])).assert_refuses(Start, Code::Busy, "game is restarting");
}

#[test]
fn stop_cancels_a_restart_that_waits_for_the_old_process() {
    let mut world = World::restarting(&define("game", &[Start]));
    assert_eq!(
        world.request(1, "game", Stop),
        [refused(RESTARTER, Code::Cancelled, "game was stopped meanwhile"), terminate(MAIN)]
    );
    assert_eq!(world.list(), "game: running stopping");
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None), answer_exited(1, SUCCESS)]);
    assert_eq!(world.list(), "game: dead");
}

#[test]
fn stop_runs_its_script_when_it_cancels_a_restart() {
    let game = define("game", &[Start, Stop]);
    let mut world = World::restarting(&game);
    assert_eq!(
        world.request(1, "game", Stop),
        [
            refused(RESTARTER, Code::Cancelled, "game was stopped meanwhile"),
            spawn(&game, Stop, 1, Some(MAIN))
        ]
    );
}

#[test]
fn restart_of_a_program_that_is_restarting_is_refused() {
    World::restarting(&define("game", &[Start])).assert_refuses(Restart, Code::Busy, "game is restarting");
}

#[test]
fn a_restart_script_does_not_run_for_a_program_that_is_restarting() {
    let mut world = World::restarting(&define("game", &[Start]));
    world.configure(&[&define("game", &[Start, Restart])]);
    world.assert_refuses(Restart, Code::Busy, "game is restarting");
}

// Backoff

#[test]
fn start_does_not_wait_for_the_restart_delay() {
    let game = define_with_delay("game", &[Start]);
    let mut world = World::in_backoff(&game);
    assert_eq!(world.request_with(1, "game", Start, &["-v"]), [spawn_with(&game, Start, 1, None, &["-v"])]);
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn start_without_a_script_leaves_the_backoff_as_it_is() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    world.configure(&[&define("game", &[])]);
    world.assert_refuses(Start, Code::NoCmd, "game has no script for start");
    assert_eq!(world.next_deadline(), Some(DELAY));
}

#[test]
fn stop_cancels_the_backoff() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start, Stop]));
    assert_eq!(world.request(1, "game", Stop), [done(1)]);
    assert_eq!(world.list(), "game: dead");
    assert_eq!(world.next_deadline(), None);
    assert_eq!(world.pass(DELAY), []);
}

#[test]
fn restart_does_not_wait_for_the_restart_delay() {
    let game = define_with_delay("game", &[Start, Stop]);
    let mut world = World::in_backoff(&game);
    assert_eq!(world.request_with(1, "game", Restart, &["-v"]), [spawn_with(&game, Start, 1, None, &["-v"])]);
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn restart_starts_a_program_in_backoff_even_if_it_has_a_script() {
    let game = define_with_delay("game", &[Start, Restart]);
    let mut world = World::in_backoff(&game);
    assert_eq!(world.request(1, "game", Restart), [spawn(&game, Start, 1, None)]);
}
