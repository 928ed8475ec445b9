//! Restarts in a row: how long the pauses are, when the row ends, and when the program is given up.
//!
//! How long a pause is after how many restarts is computed, and tested, in `program/deaths`.

use std::time::Duration;

use procmgr_config::Action::{Reload, Restart, Signal, Start, Stop};
use procmgr_config::{Definition, Group, ProgramName};
use procmgr_proto::message::{Code, ExitStatus};

use crate::supervisor::event::{Effect, Event, Pid, Report, Restart as Again};
use crate::supervisor::memory::{Memory, Past, Recollection};
use crate::supervisor::tests::{
    Effects, MAIN, SCRIPT, Terminal, World, define, done, ended, reconfigured, refused, spawn,
    spawn_for_nobody, start_failed, started,
};

const CRASH: ExitStatus = ExitStatus::Signal(11);
const MOMENT: Duration = Duration::from_nanos(1);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Defines a program with a pause of a second ahead of its first restart.
fn define_restarting(longest: Option<u64>, limit: Option<u32>) -> Definition {
    let mut definition = define("game", &[Start]);
    definition.restart_delay = Some(seconds(1));
    definition.restart_max_delay = longest.map(seconds);
    definition.restart_limit = limit;
    definition
}

fn almost(time: u64) -> Duration {
    seconds(time).checked_sub(MOMENT).unwrap()
}

fn again(delay: u64, number: u32) -> Again {
    Again { delay: seconds(delay), number }
}

fn given_up(restarts: u32) -> Effect<Terminal> {
    Effect::Report(Report::GivenUp { program: ProgramName::new(b"game"), restarts })
}

/// A world whose only program has been given up after a restart.
fn failed(game: &Definition) -> World {
    let mut world = World::up(game);
    world.exited(MAIN, CRASH);
    let effects = world.pass(seconds(1));
    world.spawned(effects, MAIN);
    world.exited(MAIN, CRASH);
    assert_eq!((world.list().as_str(), world.next_deadline()), ("game: dead failed", None));
    world
}

/// Has the program die, which it does right after its start, and be started again after the pause and not before.
fn die_and_return(world: &mut World, game: &Definition, delay: u64, number: u32) {
    assert_eq!(world.exited(MAIN, CRASH), [ended(MAIN, CRASH, Some(again(delay, number)))]);
    assert_eq!(world.next_deadline(), Some(seconds(delay)));
    assert_eq!(world.pass(almost(delay)), []);
    let effects = world.pass(MOMENT);
    assert_eq!(effects, [spawn_for_nobody(game)]);
    assert_eq!(world.spawned(effects, MAIN), [started("game", MAIN)]);
}

// Back-off

#[test]
fn the_pauses_of_a_program_that_keeps_dying_double_up_to_the_longest_one() {
    let game = define_restarting(Some(60), None);
    let mut world = World::up(&game);
    for (delay, number) in [1, 2, 4, 8, 16, 32, 60, 60, 60].into_iter().zip(1..) {
        die_and_return(&mut world, &game, delay, number);
    }
}

#[test]
fn a_start_for_nobody_that_fails_is_a_death_in_the_row() {
    let mut game = define_restarting(Some(60), Some(3));
    game.autostart = Some(Group(1));
    let mut world = World::down(&game);
    world.tell(Event::Autostart(Group(1)));
    let mut effects = world.tell(Event::Deadline);
    for (delay, number) in [(1, 1), (2, 2), (4, 3)] {
        assert_eq!(
            world.spawn_failed(effects),
            [start_failed("game", "no shell", Some(again(delay, number)))]
        );
        effects = world.pass(seconds(delay));
    }
    assert_eq!(world.spawn_failed(effects), [start_failed("game", "no shell", None), given_up(3)]);
    assert_eq!(world.list(), "game: dead failed");
}

#[test]
fn a_stable_run_begins_a_new_row_and_a_shorter_one_does_not() {
    let game = define_restarting(Some(4), Some(3));
    let mut world = World::up(&game);
    for (delay, number) in [(1, 1), (2, 2), (4, 3)] {
        die_and_return(&mut world, &game, delay, number);
    }
    world.pass(seconds(4));
    die_and_return(&mut world, &game, 1, 1);
    world.pass(almost(4));
    die_and_return(&mut world, &game, 2, 2);
}

#[test]
fn somebodys_start_begins_a_new_row() {
    let game = define_restarting(Some(60), Some(3));
    let mut world = World::up(&game);
    die_and_return(&mut world, &game, 1, 1);
    die_and_return(&mut world, &game, 2, 2);
    world.exited(MAIN, CRASH);
    let effects = world.request(1, "game", Start);
    assert_eq!(world.spawned(effects, MAIN), [done(1)]);
    die_and_return(&mut world, &game, 1, 1);
}

// The limit

#[test]
fn after_as_many_restarts_as_there_may_be_a_death_is_the_last() {
    let game = define_restarting(None, Some(3));
    let mut world = World::up(&game);
    for number in 1..=3 {
        die_and_return(&mut world, &game, 1, number);
    }
    world.published.clear();
    assert_eq!(world.exited(MAIN, CRASH), [ended(MAIN, CRASH, None), given_up(3)]);
    assert_eq!((world.list().as_str(), world.next_deadline()), ("game: dead failed", None));
    let [change] = world.published.as_slice() else { panic!("{:?}", world.published) };
    assert_eq!(change.program.marks, [b"failed"]);
    assert!(matches!(world.remembered.last(), Some((_, Memory::Failed(Past { restarts: 3, row: 3, .. })))));
}

#[test]
fn limit_and_pauses_are_those_of_the_present_definition() {
    let mut world = World::up(&define_restarting(None, None));
    world.exited(MAIN, CRASH);
    let effects = world.pass(seconds(1));
    world.spawned(effects, MAIN);
    let game = define_restarting(Some(60), Some(2));
    assert_eq!(world.configure(&[&game]), [reconfigured(&[], &[], &["game"])]);
    die_and_return(&mut world, &game, 2, 2);
    world.configure(&[&define_restarting(None, Some(1))]);
    assert_eq!(world.exited(MAIN, CRASH), [ended(MAIN, CRASH, None), given_up(2)]);
}

// Failed

#[test]
fn what_has_failed_is_down_for_all_who_ask_but_for_a_start() {
    let mut world = failed(&define_restarting(None, Some(1)));
    for action in [Stop, Restart, Reload] {
        world.assert_refuses(action, Code::NotRunning, "game is not running");
    }
    assert_eq!(world.request(1, "game", Signal), [done(1)]);
    assert_eq!(world.list(), "game: dead failed");
}

#[test]
fn a_start_that_succeeds_is_a_new_beginning_and_one_that_fails_changes_nothing() {
    let game = define_restarting(None, Some(1));
    let mut world = failed(&game);
    let effects = world.request(1, "game", Start);
    assert_eq!(effects, [spawn(&game, Start, 1, None)]);
    let text = "cannot run start of game: no shell";
    assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, text)]);
    assert_eq!(world.list(), "game: dead failed");

    let effects = world.request(1, "game", Start);
    assert_eq!(world.spawned(effects, MAIN), [done(1)]);
    assert_eq!(world.list(), "game: running");
    die_and_return(&mut world, &game, 1, 1);
    assert_eq!(world.exited(MAIN, CRASH), [ended(MAIN, CRASH, None), given_up(1)]);
}

#[test]
fn no_autostart_and_no_configuration_starts_what_has_failed() {
    let mut game = define_restarting(None, Some(1));
    game.autostart = Some(Group(1));
    let mut world = failed(&game);
    assert_eq!(world.tell(Event::Autostart(Group(1))), []);
    game.restart_limit = None;
    world.configure(&[&game]);
    assert_eq!((world.list().as_str(), world.next_deadline()), ("game: dead failed", None));
    world.configure(&[]);
    world.configure(&[&game]);
    assert_eq!(world.list(), "game: dead", "it was forgotten");
}

#[test]
fn what_has_failed_stays_so_under_another_daemon() {
    let mut game = define_restarting(None, Some(1));
    game.autostart = Some(Group(1));
    let memory = failed(&game).remembered.pop().map(|(_, memory)| memory).unwrap();
    let mut world = World::down(&game);
    let recollection = Recollection { program: game.name.clone(), memory: memory.clone(), living: None };
    assert_eq!(world.tell(Event::Recalled { programs: vec![recollection] }), []);
    world.tell(Event::Autostart(Group(1)));
    assert_eq!((world.list().as_str(), world.next_deadline()), ("game: dead failed", None));
    assert_eq!(world.supervisor.memories().map(|(_, it)| it).collect::<Vec<_>>(), [memory]);
    let effects = world.request(1, "game", Start);
    assert_eq!(world.spawned(effects, SCRIPT), [done(1)]);
}

#[test]
fn a_run_that_an_earlier_daemon_has_begun_counts_from_its_beginning() {
    let game = define_restarting(Some(4), None);
    for (time, expected) in [(4, again(1, 1)), (3, again(2, 2))] {
        let mut former = World::up(&game);
        die_and_return(&mut former, &game, 1, 1);
        let Some((_, memory)) = former.supervisor.memories().next() else { panic!("it runs") };
        let mut world = World::down(&game);
        world.now = former.now;
        world.tell(recalled(&game, memory));
        world.now = world.now + seconds(time);
        let effects: Effects = world.exited(MAIN, CRASH);
        assert_eq!(effects, [ended(MAIN, CRASH, Some(expected))]);
    }
}

#[test]
fn a_run_that_ended_while_there_was_no_daemon_keeps_its_place_in_the_row() {
    let game = define_restarting(None, Some(1));
    let mut former = World::up(&game);
    die_and_return(&mut former, &game, 1, 1);
    let Some((_, memory)) = former.supervisor.memories().next() else { panic!("it runs") };
    let mut world = World::down(&game);
    // However long that was.
    world.now = former.now + seconds(1000);
    let program = game.name.clone();
    world.tell(Event::Recalled { programs: vec![Recollection { program, memory, living: None }] });
    assert_eq!(world.list(), "game: dead failed");
}

fn recalled(game: &Definition, memory: Memory) -> Event<Terminal> {
    let living = match &memory {
        Memory::Running(running) => running.main,
        other => panic!("{other:?}"),
    };
    assert_eq!(living.map(|process| process.pid), Some(MAIN));
    Event::Recalled { programs: vec![Recollection { program: game.name.clone(), memory, living }] }
}

#[test]
fn a_count_at_its_end_does_not_begin_anew() {
    let mut game = define_restarting(Some(60), None);
    game.restart_delay = Some(seconds(60));
    let mut world = World::down(&game);
    let past = Past { restarts: u32::MAX, row: u32::MAX, last_exit: None };
    let memory = Memory::Due { at: world.now, past };
    let program = game.name.clone();
    world.tell(Event::Recalled { programs: vec![Recollection { program, memory, living: None }] });
    let effects = world.tell(Event::Deadline);
    world.spawned(effects, Pid(1));
    assert_eq!(world.exited(Pid(1), CRASH), [ended(Pid(1), CRASH, Some(again(60, u32::MAX)))]);
}
