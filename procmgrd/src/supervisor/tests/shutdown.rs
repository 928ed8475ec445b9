//! The end of the daemon: who is told, and that programs go on.
//!
//! Who may end it is tested in `rights`.

use procmgr_config::Action::{Reload, Restart, Signal, Start, Status, Stop};
use procmgr_proto::message::Code;

use crate::supervisor::event::{Control, Effect, Event, Pid, Question, Report};
use crate::supervisor::tests::{
    DELAY, MAIN, RESTARTER, SUCCESS, Terminal, World, caller, define, define_with_delay, ended, refused,
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
fn a_restart_that_waits_is_given_up() {
    let mut world = World::restarting(&define("game", &[Start]));
    world.tell(Event::Signaled(Control::Terminate));
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None)]);
    assert_eq!(world.list(), "game: dead");
}

#[test]
fn programs_are_left_as_they_are() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    world.tell(Event::Signaled(Control::Terminate));
    assert_eq!(world.list(), "game: dead restarting");
    assert_eq!(world.next_deadline(), Some(DELAY));
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
