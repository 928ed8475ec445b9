//! The end of the daemon: who is told, and whether programs go on.
//!
//! Who may end it is tested in `rights`.

use procmgr_config::Action::{Reload, Restart, Signal, Start, Status, Stop};
use procmgr_config::OnExit;
use procmgr_proto::message::Code;

use crate::supervisor::event::{Control, Effect, Event, Pid, Question, Report};
use crate::supervisor::memory::{Aim, Memory};
use crate::supervisor::tests::{
    DELAY, MAIN, RESTARTER, SUCCESS, Terminal, World, answer_exited, caller, define, define_with_delay, done,
    ended, refused, spawn_for_nobody, spawn_stop_for_nobody, terminate,
};

const TEXT: &str = "the daemon ends before this is done";

#[test]
fn a_daemon_without_clients_just_ends() {
    let mut world = World::up(&define("game", &[Start]));
    assert_eq!(world.tell(Event::Signaled(Control::Terminate)), [ending(), exit(None)]);
}

#[test]
fn who_ends_the_daemon_is_answered_last_of_all() {
    let mut world = World::restarting(&define("game", &[Start]));
    assert_eq!(world.question(1, Question::Stop), [shutdown(RESTARTER), ending(), exit(Some(1))]);
}

#[test]
fn everybody_who_waits_is_told_once_in_the_order_of_asking() {
    let (game, chat) = (define("game", &[Start, Status, Signal, Reload]), define("chat", &[Start, Stop]));
    let mut world = World::of(&[&game, &chat]);
    for (program, pid) in [("game", Pid(101)), ("chat", Pid(102))] {
        let effects = world.request(9, program, Start);
        world.spawned(effects, pid);
    }
    for (client, action, pid) in [(6, Status, Pid(201)), (1, Signal, Pid(202)), (5, Reload, Pid(203))] {
        let effects = world.request(client, "game", action);
        world.spawned(effects, pid);
    }
    for (client, pid) in [(4, Pid(301)), (2, Pid(302))] {
        let effects = world.request(client, "chat", Stop);
        world.spawned(effects, pid);
    }
    world.request(3, "chat", Restart);
    assert_eq!(
        world.tell(Event::Signaled(Control::Terminate)),
        [shutdown(1), shutdown(2), shutdown(3), shutdown(4), shutdown(5), shutdown(6), ending(), exit(None)]
    );
    assert_eq!(world.tell(Event::Signaled(Control::Terminate)), [ending(), exit(None)]);
    assert_eq!(world.exited(Pid(202), SUCCESS), []);
}

#[test]
fn a_restart_that_waits_is_left_to_the_next_daemon_and_to_nobody() {
    let game = define("game", &[Start]);
    let mut world = World::restarting(&game);
    world.tell(Event::Signaled(Control::Terminate));
    let Some((_, Memory::Running(running))) = world.remembered.last() else { panic!("it is on record") };
    assert_eq!(running.aim, Aim::Restart);
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None), spawn_for_nobody(&game)]);
}

#[test]
fn programs_are_left_as_they_are() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    world.tell(Event::Signaled(Control::Terminate));
    assert_eq!(world.list(), "game: dead restarting");
    assert_eq!(world.next_deadline(), Some(DELAY));
}

// What follows ends programs with the daemon.

#[test]
fn programs_that_are_to_end_with_the_daemon_end_before_it() {
    let (game, chat, down) = (define("game", &[Start]), define("chat", &[Start, Stop]), define("down", &[]));
    let mut world = World::of(&[&game, &chat, &down]);
    world.supervisor.standing.on_exit = OnExit::Stop;
    for (program, pid) in [("game", Pid(101)), ("chat", Pid(102))] {
        let effects = world.request(9, program, Start);
        world.spawned(effects, pid);
    }
    let stop_chat = spawn_stop_for_nobody(&chat, Pid(102));
    assert_eq!(world.question(1, Question::Stop), [stopping(2), terminate(Pid(101)), stop_chat]);
    assert_eq!(world.list(), "game: running stopping, chat: running stopping, down: dead");
    assert_eq!(world.exited(Pid(101), SUCCESS), [ended(Pid(101), SUCCESS, None)]);
    let last = Effect::Report(Report::Ended {
        program: chat.name.clone(),
        pid: Pid(102),
        status: SUCCESS,
        restart: None,
    });
    assert_eq!(world.exited(Pid(102), SUCCESS), [last, ending(), exit(Some(1))]);
    assert_eq!(world.supervisor.memories().count(), 0, "the next daemon may start them");
}

#[test]
fn a_daemon_whose_programs_are_down_ends_at_once_though_they_were_to_end_with_it() {
    let mut world = ending_with_programs(World::in_backoff(&define_with_delay("game", &[Start])));
    assert_eq!(world.tell(Event::Signaled(Control::Terminate)), [stopping(0), ending(), exit(None)]);
    assert_eq!(world.list(), "game: dead");
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn everybody_who_has_asked_for_the_end_is_answered_and_the_first_one_last() {
    let mut world = ending_with_programs(World::up(&define("game", &[Start])));
    assert_eq!(world.question(1, Question::Stop), [stopping(1), terminate(MAIN)]);
    assert_eq!(world.question(2, Question::Stop), []);
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None), done(2), ending(), exit(Some(1))]);
}

#[test]
fn a_second_signal_waits_for_no_program() {
    let mut world = ending_with_programs(World::up(&define("game", &[Start])));
    world.tell(Event::Signaled(Control::Terminate));
    assert_eq!(world.tell(Event::Signaled(Control::Terminate)), [ending(), exit(None)]);
}

#[test]
fn nothing_is_started_while_programs_end_and_whoever_waits_for_a_restart_is_told() {
    let mut world = ending_with_programs(World::restarting(&define_with_delay("game", &[Start])));
    assert_eq!(world.tell(Event::Signaled(Control::Terminate)), [stopping(1), shutdown(RESTARTER)]);
    for action in [Start, Restart, Reload] {
        world.assert_refuses(action, Code::Shutdown, "the daemon is about to end");
    }
    assert_eq!(world.request(2, "game", Stop), [terminate(MAIN)]);
    assert_eq!(
        world.exited(MAIN, SUCCESS),
        [ended(MAIN, SUCCESS, None), answer_exited(2, SUCCESS), ending(), exit(None)]
    );
    let stopped = world.supervisor.memories().map(|(_, memory)| memory).collect::<Vec<_>>();
    assert!(matches!(stopped[..], [Memory::Stopped(_)]), "somebody has asked for this one");
}

#[test]
fn a_program_whose_stop_script_cannot_be_run_is_ended_without_it() {
    let game = define("game", &[Start, Stop]);
    let mut world = ending_with_programs(World::up(&game));
    let effects = world.tell(Event::Signaled(Control::Terminate));
    assert_eq!(effects, [stopping(1), spawn_stop_for_nobody(&game, MAIN)]);
    let failed = Report::StopFailed { program: game.name.clone(), reason: "no shell".to_owned() };
    assert_eq!(world.spawn_failed(effects), [Effect::Report(failed), terminate(MAIN)]);
}

fn ending_with_programs(mut world: World) -> World {
    world.supervisor.standing.on_exit = OnExit::Stop;
    world
}

fn stopping(programs: usize) -> Effect<Terminal> {
    Effect::Report(Report::Stopping { programs })
}

fn shutdown(client: u64) -> Effect<Terminal> {
    refused(client, Code::Shutdown, TEXT)
}

fn ending() -> Effect<Terminal> {
    Effect::Report(Report::Ending)
}

fn exit(client: Option<u64>) -> Effect<Terminal> {
    Effect::Exit { caller: client.map(caller) }
}
