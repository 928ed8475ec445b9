//! What a daemon makes of what an earlier one has left on record.
//!
//! What is put on record is tested in `memories`.

use std::sync::Arc;
use std::time::Duration;

use procmgr_config::Action::{Signal, Start, Stop};
use procmgr_config::{Definition, Group, KillMode, ProgramName};
use procmgr_proto::message::{Code, ExitStatus};

use crate::supervisor::event::{self, Effect, Event, Pid, Process, Report};
use crate::supervisor::memory::{Aim, Memory, Past, Recollection, Running};
use crate::supervisor::tests::{
    DELAY, MAIN, SUCCESS, Terminal, World, again, answer_exited, beginning, define, define_with_delay, done,
    ended, process, refused, signal, spawn_for_nobody, spawn_stop_for_nobody, start_failed, started,
    terminate,
};

const FORMER: Pid = Pid(90);
const UNKNOWN: ExitStatus = ExitStatus::Unknown;

fn recall(world: &mut World, memory: Memory, living: Option<Pid>) -> Vec<Effect<Terminal>> {
    let (program, living) = (ProgramName::new(b"game"), living.map(process));
    world.tell(Event::Recalled { programs: vec![Recollection { program, memory, living }] })
}

fn running(game: &Definition, aim: Aim) -> Memory {
    let (main, former): (_, Option<Process>) = (Some(process(MAIN)), None);
    let (since, definition, past) = (Some(beginning()), Arc::new(game.clone()), past(3));
    Memory::Running(Running { main, former, since, definition, aim, past })
}

/// A past with as many restarts in a row.
fn past(restarts: u32) -> Past {
    Past { restarts, row: restarts, last_exit: None }
}

fn taken_over(pid: Pid) -> Effect<Terminal> {
    Effect::Report(Report::TakenOver { program: ProgramName::new(b"game"), pid })
}

#[test]
fn a_program_that_lives_is_taken_over_as_it_is() {
    let game = define_with_delay("game", &[Start]);
    let mut world = World::down(&game);
    assert_eq!(recall(&mut world, running(&game, Aim::Run), Some(MAIN)), [taken_over(MAIN)]);
    assert_eq!(world.list(), "game: running adopted");
    assert_eq!(world.request(1, "game", Stop), [terminate(MAIN)]);
    assert_eq!(world.exited(MAIN, UNKNOWN), [ended(MAIN, UNKNOWN, None), answer_exited(1, UNKNOWN)]);
    assert_eq!(world.list(), "game: dead");
}

#[test]
fn a_program_that_was_taken_over_is_started_again_after_its_death_and_is_our_own_then() {
    let game = define_with_delay("game", &[Start]);
    let mut world = World::down(&game);
    recall(&mut world, running(&game, Aim::Run), Some(MAIN));
    assert_eq!(world.exited(MAIN, UNKNOWN), [ended(MAIN, UNKNOWN, Some(again(4)))]);
    let effects = world.pass(DELAY);
    assert_eq!(world.spawned(effects, Pid(7)), [started("game", Pid(7))]);
    assert_eq!(world.list(), "game: running");
}

#[test]
fn of_two_processes_it_is_the_one_that_lives() {
    let game = define("game", &[Start]);
    let mut world = World::down(&game);
    assert_eq!(recall(&mut world, running(&game, Aim::Run), Some(FORMER)), [taken_over(FORMER)]);
    assert_eq!(world.request(1, "game", Stop), [terminate(FORMER)]);
}

#[test]
fn a_program_that_has_died_meanwhile_is_started_again_or_not_as_after_any_death() {
    let game = define_with_delay("game", &[Start]);
    let mut world = World::down(&game);
    let effects = recall(&mut world, running(&game, Aim::Run), None);
    assert_eq!(effects, [ended(MAIN, UNKNOWN, Some(again(4)))]);
    assert_eq!(world.next_deadline(), Some(DELAY));

    let game = define("game", &[Start]);
    let mut world = World::down(&game);
    assert_eq!(recall(&mut world, running(&game, Aim::Run), None), [ended(MAIN, UNKNOWN, None)]);
    assert_eq!(world.list(), "game: dead");
}

#[test]
fn a_stop_that_was_under_way_is_gone_on_with_for_nobody() {
    let game = define_with_delay("game", &[Start]);
    let mut world = World::down(&game);
    let effects = recall(&mut world, running(&game, Aim::Stop), Some(MAIN));
    assert_eq!(effects, [taken_over(MAIN), terminate(MAIN)]);
    assert_eq!(world.list(), "game: running stopping adopted");
    assert_eq!(world.exited(MAIN, UNKNOWN), [ended(MAIN, UNKNOWN, None)]);
    assert_eq!(world.list(), "game: dead");
    assert_eq!(world.next_deadline(), None);

    let mut world = World::down(&game);
    assert_eq!(recall(&mut world, running(&game, Aim::Stop), None), []);
    assert_eq!((world.list().as_str(), world.next_deadline()), ("game: dead", None));
}

#[test]
fn a_stop_script_that_cannot_be_run_then_is_told_and_the_program_goes_on() {
    let game = define("game", &[Start, Stop]);
    let mut world = World::down(&game);
    let mut effects = recall(&mut world, running(&game, Aim::Stop), Some(MAIN));
    assert_eq!(effects, [taken_over(MAIN), spawn_stop_for_nobody(&game, MAIN)]);
    let failed = Report::StopFailed { program: game.name.clone(), reason: "no shell".to_owned() };
    assert_eq!(world.spawn_failed(effects.split_off(1)), [Effect::Report(failed)]);
    assert_eq!(world.list(), "game: running adopted");
}

#[test]
fn a_restart_that_was_under_way_is_gone_on_with_for_nobody() {
    let game = define("game", &[Start]);
    let mut world = World::down(&game);
    let effects = recall(&mut world, running(&game, Aim::Restart), Some(MAIN));
    assert_eq!(effects, [taken_over(MAIN), terminate(MAIN)]);
    assert_eq!(world.list(), "game: running restarting adopted");
    assert_eq!(world.exited(MAIN, UNKNOWN), [ended(MAIN, UNKNOWN, None), spawn_for_nobody(&game)]);

    let mut world = World::down(&game);
    assert_eq!(recall(&mut world, running(&game, Aim::Restart), None), []);
    assert_eq!(world.tell(Event::Deadline), [spawn_for_nobody(&game)]);
}

#[test]
fn the_time_to_end_begins_anew_for_a_program_that_was_told_before() {
    let mut game = define_with_delay("game", &[Start]);
    game.stop_timeout = Some(Duration::from_secs(9));
    for aim in [Aim::Stop, Aim::End, Aim::Restart] {
        let mut world = World::down(&game);
        world.pass(DELAY);
        recall(&mut world, running(&game, aim), Some(MAIN));
        assert_eq!(world.next_deadline(), game.stop_timeout);
        let killed = Report::Killed { program: game.name.clone(), pid: MAIN };
        let kill = signal(MAIN, event::Signal::Kill, KillMode::Process);
        assert_eq!(world.pass(Duration::from_secs(9)), [Effect::Report(killed), kill]);
    }
}

#[test]
fn a_program_that_was_to_end_with_the_daemon_ends_and_comes_back_if_it_starts_with_it() {
    let mut game = define("game", &[Start]);
    let mut world = World::down(&game);
    recall(&mut world, running(&game, Aim::End), Some(MAIN));
    assert_eq!(world.exited(MAIN, UNKNOWN), [ended(MAIN, UNKNOWN, None)]);

    game.autostart = Some(Group(1));
    let mut world = World::down(&game);
    let effects = recall(&mut world, running(&game, Aim::End), Some(MAIN));
    assert_eq!(effects, [taken_over(MAIN), terminate(MAIN)]);
    assert_eq!(world.tell(Event::Autostart(Group(2))), []);
    assert_eq!(world.list(), "game: running stopping adopted");
    assert_eq!(world.tell(Event::Autostart(Group(1))), []);
    assert_eq!(world.list(), "game: running restarting adopted");
    assert_eq!(world.exited(MAIN, UNKNOWN), [ended(MAIN, UNKNOWN, None), spawn_for_nobody(&game)]);

    let mut world = World::down(&game);
    assert_eq!(recall(&mut world, running(&game, Aim::End), None), []);
    world.tell(Event::Autostart(Group(1)));
    assert_eq!(world.tell(Event::Deadline), [spawn_for_nobody(&game)]);
}

#[test]
fn what_was_stopped_by_hand_stays_stopped_until_somebody_asks() {
    let mut game = define("game", &[Start]);
    game.autostart = Some(Group(1));
    let mut world = World::down(&game);
    assert_eq!(recall(&mut world, Memory::Stopped(past(0)), None), []);
    world.tell(Event::Autostart(Group(1)));
    assert_eq!(world.next_deadline(), None);
    let effects = world.request(1, "game", Start);
    assert_eq!(world.spawned(effects, MAIN), [done(1)]);
}

#[test]
fn back_off_goes_on_and_so_does_its_count() {
    let game = define_with_delay("game", &[Start]);
    let mut world = World::down(&game);
    let at = world.now + Duration::from_secs(2);
    assert_eq!(recall(&mut world, Memory::Due { at, past: past(5) }, None), []);
    assert_eq!(world.list(), "game: dead restarting");
    assert_eq!(world.next_deadline(), Some(Duration::from_secs(2)));
    let effects = world.pass(Duration::from_secs(2));
    let failed = start_failed("game", "no shell", Some(again(6)));
    assert_eq!(world.spawn_failed(effects), [failed]);
}

#[test]
fn autostart_starts_only_what_does_not_run() {
    let mut game = define("game", &[Start]);
    game.autostart = Some(Group(1));
    let mut world = World::down(&game);
    recall(&mut world, running(&game, Aim::Run), Some(MAIN));
    world.tell(Event::Autostart(Group(1)));
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn a_program_that_has_left_the_configuration_lingers_under_the_definition_that_it_was_started_by() {
    let game = define_with_delay("game", &[Start, Stop, Signal]);
    let mut world = World::of(&[]);
    assert_eq!(recall(&mut world, running(&game, Aim::Run), Some(MAIN)), [taken_over(MAIN)]);
    assert_eq!(world.list(), "game: running lingering adopted");
    assert_eq!(world.request(1, "game", Start), [refused(1, Code::Busy, "game is running")]);
    let effects = world.request(1, "game", Stop);
    world.spawned(effects, Pid(7));
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None), answer_exited(1, SUCCESS)]);
    assert_eq!(world.list(), "");
}

#[test]
fn of_a_program_that_has_left_the_configuration_and_does_not_live_nothing_is_left() {
    let game = define_with_delay("game", &[Start]);
    let due = Memory::Due { at: World::of(&[]).now, past: past(1) };
    for memory in [running(&game, Aim::Run), running(&game, Aim::Restart), Memory::Stopped(past(0)), due] {
        let mut world = World::of(&[]);
        assert_eq!(recall(&mut world, memory, None), []);
        assert_eq!((world.list().as_str(), world.next_deadline()), ("", None));
        assert_eq!(world.supervisor.memories().count(), 0);
    }
}

#[test]
fn a_program_that_is_defined_in_another_way_now_is_outdated() {
    let mut world = World::down(&define("game", &[Start, Stop]));
    recall(&mut world, running(&define("game", &[Start]), Aim::Run), Some(MAIN));
    assert_eq!(world.list(), "game: running adopted outdated");
    assert_eq!(world.request(1, "game", Stop), [terminate(MAIN)]);
}
