//! What is on record about a program, in each state and on the way from one to the next.
//!
//! What a later daemon makes of it is tested in `succession`.

use std::sync::Arc;
use std::time::Duration;

use procmgr_config::Action::{Restart, Signal, Start, Stop};
use procmgr_config::{Definition, Group, ProgramName};
use procmgr_proto::details::PastExit;

use crate::supervisor::event::{Event, Pid, Timestamp};
use crate::supervisor::memory::{Aim, Memory, Past, Running};
use crate::supervisor::tests::{
    DELAY, MAIN, SCRIPT, STOPPER, SUCCESS, World, beginning, define, define_with_delay, process,
};

/// Returns what has been put on record since this was last asked.
fn remembered(world: &mut World) -> Vec<Memory> {
    let name = ProgramName::new(b"game");
    let memories = std::mem::take(&mut world.remembered).into_iter();
    memories.map(|(program, memory)| if program == name { memory } else { panic!("{program}") }).collect()
}

fn running(game: &Definition, pid: Pid, aim: Aim) -> Memory {
    let (main, since, definition) = (Some(process(pid)), Some(beginning()), Arc::new(game.clone()));
    Memory::Running(Running { main, former: None, since, definition, aim, past: Past::default() })
}

/// Returns what is on record about a run that began at another time, and not with the first process.
fn later(memory: Memory, since: Timestamp, past: Past) -> Memory {
    let Memory::Running(running) = memory else { panic!("it runs") };
    Memory::Running(Running { since: Some(since), past, ..running })
}

/// Returns the past of a program whose main process has succeeded at this time, after so many restarts in a row.
fn past(at: Timestamp, restarts: u32) -> Past {
    let last_exit = Some(PastExit { status: SUCCESS, time: at.time });
    Past { restarts, row: restarts, last_exit }
}

#[test]
fn a_start_is_put_on_record_by_the_process_itself_and_by_nobody_else() {
    let game = define("game", &[Start]);
    let mut world = World::up(&game);
    let Memory::Running(signed) = running(&game, MAIN, Aim::Run) else { panic!("it runs") };
    assert_eq!(world.signatures, [Memory::Running(Running { main: None, ..signed })]);
    assert_eq!(remembered(&mut world), []);
}

#[test]
fn a_start_that_has_failed_takes_back_what_its_process_may_have_signed() {
    let game = define("game", &[Start]);
    let mut world = World::down(&game);
    let effects = world.request(1, "game", Start);
    world.spawn_failed(effects);
    assert_eq!(remembered(&mut world), [Memory::Nothing]);

    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    let (at, past) = (world.now + DELAY, past(world.now, 1));
    let effects = world.request(1, "game", Start);
    remembered(&mut world);
    world.spawn_failed(effects);
    assert_eq!(remembered(&mut world), [Memory::Due { at, past }]);
}

#[test]
fn a_stop_is_on_record_before_it_is_carried_out_and_stays_there() {
    let game = define("game", &[Start]);
    let mut world = World::up(&game);
    world.request(STOPPER, "game", Stop);
    assert_eq!(remembered(&mut world), [running(&game, MAIN, Aim::Stop)]);
    world.exited(MAIN, SUCCESS);
    assert_eq!(remembered(&mut world), [Memory::Stopped(past(world.now, 0))]);
    let effects = world.request(1, "game", Start);
    assert_eq!(remembered(&mut world), [], "until it has been executed it is stopped");
    world.spawn_failed(effects);
    assert_eq!(remembered(&mut world), [Memory::Stopped(past(world.now, 0))]);
}

#[test]
fn a_restart_is_on_record_until_the_new_process_has_signed() {
    let game = define("game", &[Start]);
    let mut world = World::restarting(&game);
    assert_eq!(remembered(&mut world), [running(&game, MAIN, Aim::Restart)]);
    let effects = world.exited(MAIN, SUCCESS);
    assert_eq!(remembered(&mut world), []);
    world.spawned(effects, SCRIPT);
    assert_eq!(remembered(&mut world), [], "the process has signed");
}

#[test]
fn the_process_of_a_restart_script_names_the_one_that_it_replaces_until_it_is_executed() {
    let game = define("game", &[Start, Restart]);
    let mut world = World::up(&game);
    world.signatures.clear();
    let effects = world.request(1, "game", Restart);
    let Some(Memory::Running(signed)) = world.signatures.pop() else { panic!("it signs") };
    assert_eq!((signed.main, signed.former), (None, Some(process(MAIN))));
    assert_eq!(remembered(&mut world), []);
    world.spawned(effects, SCRIPT);
    assert_eq!(remembered(&mut world), [running(&game, SCRIPT, Aim::Run)]);

    let effects = world.request(1, "game", Restart);
    world.spawn_failed(effects);
    assert_eq!(remembered(&mut world), [running(&game, SCRIPT, Aim::Run)]);
}

#[test]
fn a_death_is_on_record_with_when_and_the_how_manieth_time_the_program_is_started_again() {
    let game = define_with_delay("game", &[Start]);
    let mut world = World::up(&game);
    for number in 1..4 {
        let pid = Pid(100 + number);
        world.exited(if number == 1 { MAIN } else { Pid(99 + number) }, SUCCESS);
        let (at, past) = (world.now + DELAY, past(world.now, number.unsigned_abs()));
        assert_eq!(remembered(&mut world), [Memory::Due { at, past }]);
        let effects = world.pass(DELAY);
        assert_eq!(remembered(&mut world), []);
        world.spawned(effects, pid);
        let running = later(running(&game, pid, Aim::Run), world.now, past);
        assert_eq!(world.supervisor.memories().map(|(_, it)| it).collect::<Vec<_>>(), [running]);
    }
    world.request(1, "game", Stop);
    world.exited(Pid(103), SUCCESS);
    let effects = world.request(1, "game", Start);
    world.spawned(effects, SCRIPT);
    let anew = later(running(&game, SCRIPT, Aim::Run), world.now, past(world.now, 0));
    assert_eq!(world.supervisor.memories().map(|(_, it)| it).collect::<Vec<_>>(), [anew]);
}

#[test]
fn a_death_without_a_restart_leaves_nothing_on_record() {
    let mut world = World::up(&define("game", &[Start]));
    world.exited(MAIN, SUCCESS);
    assert_eq!(remembered(&mut world), [Memory::Nothing]);
}

#[test]
fn a_stop_during_back_off_is_remembered_as_one() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    remembered(&mut world);
    world.request(1, "game", Stop);
    assert_eq!(remembered(&mut world), [Memory::Stopped(past(world.now, 1))]);
}

#[test]
fn an_autostart_is_on_record_before_its_turn_has_come() {
    let mut game = define("game", &[Start]);
    game.autostart = Some(Group(1));
    let mut world = World::down(&game);
    world.tell(Event::Autostart(Group(1)));
    assert_eq!(remembered(&mut world), [Memory::Due { at: world.now, past: Past::default() }]);
}

#[test]
fn what_changes_nothing_that_is_to_be_remembered_is_not_put_on_record() {
    let game = define("game", &[Start, Signal]);
    let mut world = World::up(&game);
    world.request_and_spawn(1, "game", Signal);
    world.exited(SCRIPT, SUCCESS);
    world.configure(&[&define("game", &[Start])]);
    world.pass(Duration::from_secs(1));
    assert_eq!(remembered(&mut world), []);
}

#[test]
fn what_is_forgotten_is_on_record_no_more() {
    let mut world = World::up(&define("game", &[Start]));
    world.configure(&[]);
    assert_eq!(remembered(&mut world), []);
    world.exited(MAIN, SUCCESS);
    assert_eq!(remembered(&mut world), [Memory::Nothing]);

    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    remembered(&mut world);
    world.configure(&[]);
    assert_eq!(remembered(&mut world), [Memory::Nothing]);
}
