//! The cells of deaths and deadlines, in each state.
//!
//! What becomes of programs that leave the configuration is tested in `reconfiguration`.

use std::time::Duration;

use procmgr_config::Action::{Restart, Signal, Start, Stop};
use procmgr_proto::message::{Code, ExitStatus};

use crate::supervisor::event::Pid;
use crate::supervisor::tests::{
    DELAY, MAIN, RESTARTER, SCRIPT, STOPPER, SUCCESS, World, again, answer_exited, define, define_with_delay,
    ended, refused, spawn_for_nobody, start_failed,
};

const CRASH: ExitStatus = ExitStatus::Signal(11);
const MOMENT: Duration = Duration::from_nanos(1);
const ALMOST: Duration = DELAY.checked_sub(MOMENT).unwrap();

// Deaths

#[test]
fn a_program_without_a_restart_delay_stays_dead() {
    let mut world = World::up(&define("game", &[Start]));
    assert_eq!(world.exited(MAIN, CRASH), [ended(MAIN, CRASH, None)]);
    assert_eq!(world.list(), "game: dead");
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn a_program_with_a_restart_delay_is_to_be_started_after_it() {
    let mut world = World::up(&define_with_delay("game", &[Start]));
    assert_eq!(world.exited(MAIN, CRASH), [ended(MAIN, CRASH, Some(again(1)))]);
    assert_eq!(world.list(), "game: dead restarting");
    assert_eq!(world.next_deadline(), Some(DELAY));
}

#[test]
fn a_program_that_was_stopped_stays_dead_whatever_its_restart_delay() {
    let mut world = World::stopping(&define_with_delay("game", &[Start]));
    assert_eq!(world.exited(MAIN, CRASH), [ended(MAIN, CRASH, None), answer_exited(STOPPER, CRASH)]);
    assert_eq!(world.list(), "game: dead");
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn a_restart_whose_start_script_has_gone_meanwhile_is_refused_and_the_program_stays_dead() {
    let mut world = World::restarting(&define_with_delay("game", &[Start]));
    world.configure(&[&define_with_delay("game", &[])]);
    assert_eq!(
        world.exited(MAIN, SUCCESS),
        [ended(MAIN, SUCCESS, None), refused(RESTARTER, Code::NoCmd, "game has no script for start")]
    );
    assert_eq!(world.list(), "game: dead");
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn the_death_of_a_stranger_concerns_nobody() {
    let mut world = World::up(&define("game", &[Start]));
    assert_eq!(world.exited(Pid(4711), CRASH), []);
    assert_eq!(world.list(), "game: running");
}

#[test]
fn a_process_dies_once() {
    let mut world = World::up(&define("game", &[Start, Signal]));
    world.request_and_spawn(1, "game", Signal);
    assert_eq!(world.exited(SCRIPT, SUCCESS), [answer_exited(1, SUCCESS)]);
    assert_eq!(world.exited(SCRIPT, SUCCESS), []);
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None)]);
    assert_eq!(world.exited(MAIN, SUCCESS), []);
}

#[test]
fn a_pid_that_comes_again_is_another_process() {
    let mut world = World::up(&define("game", &[Start, Signal, Restart]));
    world.request_and_spawn(1, "game", Signal);
    world.exited(SCRIPT, SUCCESS);
    world.request_and_spawn(2, "game", Restart);
    assert_eq!(world.exited(SCRIPT, CRASH), [ended(SCRIPT, CRASH, None)]);
}

// Deadlines

#[test]
fn a_program_is_started_for_nobody_when_its_restart_delay_is_over() {
    let game = define_with_delay("game", &[Start]);
    let mut world = World::in_backoff(&game);
    assert_eq!(world.pass(DELAY), [spawn_for_nobody(&game)]);
    assert_eq!(world.next_deadline(), None);
    world.assert_refuses(Start, Code::Busy, "game is starting");
}

#[test]
fn a_deadline_that_has_not_come_changes_nothing() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    assert_eq!(world.pass(ALMOST), []);
    assert_eq!(world.list(), "game: dead restarting");
    assert_eq!(world.next_deadline(), Some(MOMENT));
}

#[test]
fn a_program_that_has_lost_its_start_script_is_reported_and_given_up_when_it_is_due() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    world.configure(&[&define_with_delay("game", &[Stop])]);
    assert_eq!(world.pass(DELAY), [start_failed("game", "there is no script for start", None)]);
    assert_eq!(world.list(), "game: dead");
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn deadlines_concern_only_programs_in_backoff() {
    let game = define_with_delay("game", &[Start]);
    let worlds = [
        World::down(&game),
        World::starting(&game),
        World::up(&game),
        World::stopping(&game),
        World::restarting(&game),
    ];
    for mut world in worlds {
        let before = format!("{:?}", world.supervisor);
        assert_eq!(world.next_deadline(), None);
        assert_eq!(world.pass(DELAY), []);
        assert_eq!(format!("{:?}", world.supervisor), before);
    }
}

#[test]
fn the_program_that_died_first_is_due_first() {
    let (game, chat) = (define_with_delay("game", &[Start]), define_with_delay("chat", &[Start]));
    let mut world = World::of(&[&chat, &game]);
    for (program, pid) in [("game", MAIN), ("chat", Pid(101))] {
        let effects = world.request(1, program, Start);
        world.spawned(effects, pid);
        world.exited(pid, CRASH);
        world.pass(MOMENT);
    }
    assert_eq!(world.pass(DELAY), [spawn_for_nobody(&game), spawn_for_nobody(&chat)]);
}
