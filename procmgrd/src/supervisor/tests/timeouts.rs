//! The time that a program has to end: when it is killed, and what a kill is not.
//!
//! What `stop` does apart from that is tested in `requests`, the end of the daemon in `shutdown`.

use std::time::Duration;

use procmgr_config::Action::{self, Restart, Start, Stop};
use procmgr_config::{Definition, KillMode, OnExit, ProgramName};
use procmgr_proto::message::{Code, ExitStatus};

use crate::supervisor::event::{Control, Effect, Event, Pid, Question, Report, Signal};
use crate::supervisor::tests::{
    MAIN, RESTARTER, SCRIPT, STOPPER, Terminal, World, answer_exited, caller, define, done, ended, refused,
    signal, spawn, spawn_for_nobody, spawn_stop_for_nobody, terminate,
};

const TIMEOUT: Duration = Duration::from_secs(9);
const MOMENT: Duration = Duration::from_nanos(1);
const ALMOST: Duration = TIMEOUT.checked_sub(MOMENT).unwrap();

const KILLED: ExitStatus = ExitStatus::Signal(9);

/// Defines a program that has scripts for these actions, and [`TIMEOUT`] to end.
fn define_with_timeout(name: &str, scripts: &[Action]) -> Definition {
    let mut definition = define(name, scripts);
    definition.stop_timeout = Some(TIMEOUT);
    definition
}

/// The effects of the kill of a process of `game`.
fn kill(pid: Pid, scope: KillMode) -> [Effect<Terminal>; 2] {
    let program = ProgramName::new(b"game");
    [Effect::Report(Report::Killed { program, pid }), signal(pid, Signal::Kill, scope)]
}

fn killed() -> [Effect<Terminal>; 2] {
    kill(MAIN, KillMode::Process)
}

fn ending_with_programs(mut world: World, patience: Option<Duration>) -> World {
    world.supervisor.standing.on_exit = OnExit::Stop;
    world.supervisor.host.patience = patience;
    world
}

#[test]
fn what_has_not_ended_in_time_is_killed_once_and_its_end_is_waited_for() {
    for scripts in [&[Start][..], &[Start, Stop]] {
        let mut world = World::stopping(&define_with_timeout("game", scripts));
        assert_eq!(world.next_deadline(), Some(TIMEOUT));
        assert_eq!(world.pass(ALMOST), []);
        assert_eq!(world.pass(MOMENT), killed());
        assert_eq!((world.list().as_str(), world.next_deadline()), ("game: running stopping", None));
        assert_eq!(world.pass(TIMEOUT), []);
        assert_eq!(world.exited(MAIN, KILLED), [ended(MAIN, KILLED, None), answer_exited(STOPPER, KILLED)]);
        assert_eq!(world.list(), "game: dead");
    }
}

#[test]
fn what_ends_in_time_is_not_killed() {
    let mut world = World::stopping(&define_with_timeout("game", &[Start]));
    world.exited(MAIN, KILLED);
    assert_eq!(world.next_deadline(), None);
    assert_eq!(world.pass(TIMEOUT), []);
}

#[test]
fn a_restart_has_the_time_of_a_stop_and_goes_on_after_a_kill() {
    let game = define_with_timeout("game", &[Start]);
    let mut world = World::restarting(&game);
    assert_eq!(world.pass(ALMOST), []);
    assert_eq!(world.pass(MOMENT), killed());
    assert_eq!(world.list(), "game: running restarting");
    let effects = world.exited(MAIN, KILLED);
    assert_eq!(effects, [ended(MAIN, KILLED, None), spawn(&game, Start, RESTARTER, None)]);
}

#[test]
fn nothing_that_is_asked_for_later_gives_more_time() {
    let mut world = World::stopping(&define_with_timeout("game", &[Start]));
    world.pass(ALMOST);
    assert_eq!(world.request(1, "game", Stop), [terminate(MAIN)]);
    assert_eq!(world.request(2, "game", Restart), []);
    assert_eq!(world.request(3, "game", Stop).len(), 2);
    assert_eq!(world.next_deadline(), Some(MOMENT));
    assert_eq!(world.pass(MOMENT), killed());
    assert_eq!(world.request(4, "game", Stop), [terminate(MAIN)]);
    assert_eq!(world.next_deadline(), None, "it has been killed");
}

#[test]
fn the_time_and_the_scope_are_those_of_the_definition_that_it_was_started_by() {
    let mut game = define_with_timeout("game", &[Start]);
    game.kill_mode = KillMode::Group;
    let mut world = World::up(&game);
    world.configure(&[&define("game", &[Start])]);
    assert_eq!(world.request(STOPPER, "game", Stop), [signal(MAIN, Signal::Term, KillMode::Group)]);
    assert_eq!(world.pass(TIMEOUT), kill(MAIN, KillMode::Group));
}

#[test]
fn what_lingers_is_killed_as_well() {
    let mut world = World::stopping(&define_with_timeout("game", &[Start]));
    world.configure(&[]);
    assert_eq!(world.pass(TIMEOUT), killed());
    world.exited(MAIN, KILLED);
    assert_eq!(world.list(), "");
}

#[test]
fn the_new_process_of_a_restart_script_is_not_killed_for_the_old_one() {
    let mut world = World::stopping(&define_with_timeout("game", &[Start, Restart]));
    world.request_and_spawn(1, "game", Restart);
    assert_eq!((world.list().as_str(), world.next_deadline()), ("game: running", None));
    assert_eq!(world.pass(TIMEOUT), []);
    assert_eq!(world.request(2, "game", Stop), [terminate(SCRIPT)]);
    assert_eq!(world.next_deadline(), Some(TIMEOUT));
}

#[test]
fn a_stop_whose_script_cannot_be_executed_kills_nothing_unless_others_wait() {
    let game = define_with_timeout("game", &[Start, Stop]);
    let mut world = World::up(&game);
    let effects = world.request(1, "game", Stop);
    world.spawn_failed(effects);
    assert_eq!((world.list().as_str(), world.next_deadline()), ("game: running", None));

    let mut world = World::stopping(&game);
    world.pass(ALMOST);
    let effects = world.request(1, "game", Stop);
    world.spawn_failed(effects);
    assert_eq!(world.pass(MOMENT), killed());
}

#[test]
fn what_has_been_killed_is_not_taken_back() {
    let game = define_with_timeout("game", &[Start, Stop]);
    let mut world = World::up(&game);
    world.request_and_spawn(RESTARTER, "game", Restart);
    world.pass(TIMEOUT);
    let effects = world.request(1, "game", Stop);
    let text = "cannot run stop of game: no shell";
    assert_eq!(
        world.spawn_failed(vec![effects.into_iter().last().unwrap()]),
        [refused(1, Code::Spawn, text)]
    );
    assert_eq!(world.list(), "game: running stopping");
    world.exited(MAIN, KILLED);
    assert_eq!((world.list().as_str(), world.next_deadline()), ("game: dead", None));
}

#[test]
fn whatever_is_due_first_is_done_first() {
    let mut chat = define("chat", &[Start]);
    chat.restart_delay = Some(TIMEOUT + MOMENT);
    let mut world = World::of(&[&chat, &define_with_timeout("game", &[Start])]);
    for (program, pid) in [("chat", Pid(101)), ("game", MAIN)] {
        let effects = world.request(1, program, Start);
        world.spawned(effects, pid);
    }
    world.exited(Pid(101), KILLED);
    world.request(1, "game", Stop);
    assert_eq!(world.next_deadline(), Some(TIMEOUT));
    let [report, signal] = killed();
    assert_eq!(world.pass(TIMEOUT + MOMENT), [report, signal, spawn_for_nobody(&chat)]);
}

// The end of the daemon.

#[test]
fn a_daemon_that_ends_with_its_programs_has_as_much_patience_as_their_definitions() {
    let mut world = ending_with_programs(World::up(&define_with_timeout("game", &[Start])), None);
    world.question(1, Question::Stop);
    assert_eq!(world.pass(ALMOST), []);
    assert_eq!(world.pass(MOMENT), killed());
    let effects = world.exited(MAIN, KILLED);
    assert_eq!(effects.last(), Some(&Effect::Exit { caller: Some(caller(1)) }));
}

#[test]
fn where_a_definition_has_no_time_the_daemon_has_its_own_patience() {
    let patience = Duration::from_secs(10);
    for world in [World::up, World::stopping, World::restarting] {
        let mut world = ending_with_programs(world(&define("game", &[Start])), Some(patience));
        world.tell(Event::Signaled(Control::Terminate));
        assert_eq!(world.next_deadline(), Some(patience));
        assert_eq!(world.request(1, "game", Stop), [terminate(MAIN)]);
        assert_eq!(world.pass(patience), killed());
    }
    let mut world = ending_with_programs(World::up(&define("game", &[Start])), None);
    world.tell(Event::Signaled(Control::Terminate));
    assert_eq!(world.next_deadline(), None, "it waits without end");
}

#[test]
fn the_time_of_a_definition_is_not_cut_short_by_the_daemon_nor_prolonged() {
    for patience in [Duration::from_secs(1), Duration::from_secs(100)] {
        for world in [World::stopping, World::restarting] {
            let world = world(&define_with_timeout("game", &[Start]));
            let mut world = ending_with_programs(world, Some(patience));
            world.pass(ALMOST);
            world.tell(Event::Signaled(Control::Terminate));
            assert_eq!(world.next_deadline(), Some(MOMENT));
        }
    }
}

#[test]
fn a_stop_that_somebody_fails_to_carry_out_meanwhile_is_no_way_to_survive_the_daemon() {
    let game = define("game", &[Start, Stop]);
    let mut world = ending_with_programs(World::up(&game), Some(TIMEOUT));
    let effects = world.tell(Event::Signaled(Control::Terminate));
    world.spawned(effects, SCRIPT);
    let effects = world.request(1, "game", Stop);
    let again = world.spawn_failed(effects);
    let refusal = refused(1, Code::Spawn, "cannot run stop of game: no shell");
    assert_eq!(again, [refusal, spawn_stop_for_nobody(&game, MAIN)]);
    let failed = Report::StopFailed { program: game.name.clone(), reason: "no shell".to_owned() };
    assert_eq!(world.spawn_failed(again), [Effect::Report(failed), terminate(MAIN)]);
    assert_eq!(world.list(), "game: running stopping");
    assert_eq!(world.pass(TIMEOUT), killed());
}

#[test]
fn a_program_that_is_killed_may_be_started_then() {
    let game = define_with_timeout("game", &[Start]);
    let mut world = World::stopping(&game);
    world.pass(TIMEOUT);
    world.exited(MAIN, KILLED);
    let effects = world.request(1, "game", Start);
    assert_eq!(world.spawned(effects, SCRIPT), [done(1)]);
}
