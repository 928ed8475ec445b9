//! The upgrade: who may ask for it, what it begins with, and who is told how it has ended.
//!
//! How an executable takes over is the shell's business.

use procmgr_config::Action::{Start, Stop};
use procmgr_config::OnExit;
use procmgr_proto::message::Code;

use crate::supervisor::Supervisor;
use crate::supervisor::event::{Control, Effect, Event, Question, Report};
use crate::supervisor::tests::{
    BERT, HOST, MAIN, OWNER, RESTARTER, SUCCESS, World, caller, define, define_with_delay, done, ended,
    refused, spawn, terminate,
};

#[test]
fn an_upgrade_begins_with_a_rehearsal_and_is_answered_by_the_executable_that_has_taken_over() {
    for client in [1, OWNER] {
        let mut world = World::down(&define("game", &[]));
        assert_eq!(world.question(client, Question::Upgrade), [Effect::Rehearse]);
        assert_eq!(world.tell(Event::Rehearsed), [Effect::HandOver]);
        assert_eq!(world.tell(Event::Upgraded), [Effect::Report(Report::Upgraded), done(client)]);
    }
}

#[test]
fn nobody_else_may_ask_for_it() {
    let mut world = World::down(&define("game", &[]));
    let text = "only root and the user of the daemon may stop, reload or upgrade it";
    assert_eq!(world.question(BERT, Question::Upgrade), [refused(BERT, Code::Eperm, text)]);
}

#[test]
fn there_is_one_at_a_time() {
    let mut world = World::down(&define("game", &[]));
    world.question(1, Question::Upgrade);
    let busy = refused(2, Code::Busy, "an upgrade is under way");
    assert_eq!(world.question(2, Question::Upgrade), [busy]);
    world.tell(Event::NotUpgraded { reason: "no".to_owned() });
    assert_eq!(world.question(2, Question::Upgrade), [Effect::Rehearse]);
}

#[test]
fn whoever_has_asked_is_told_why_the_executable_could_not_take_over() {
    let mut world = World::down(&define("game", &[]));
    world.question(1, Question::Upgrade);
    let reason = "it is too old".to_owned();
    assert_eq!(
        world.tell(Event::NotUpgraded { reason: reason.clone() }),
        [
            Effect::Report(Report::NotUpgraded { reason }),
            refused(1, Code::Spawn, "the executable cannot take over: it is too old")
        ]
    );
}

#[test]
fn the_end_of_the_daemon_is_the_end_of_an_upgrade() {
    let mut world = World::down(&define("game", &[]));
    world.question(1, Question::Upgrade);
    assert_eq!(
        world.tell(Event::Signaled(Control::Terminate)),
        [
            refused(1, Code::Shutdown, "the daemon ends before this is done"),
            Effect::Report(Report::Ending),
            Effect::Exit { caller: None }
        ]
    );
    assert_eq!(world.tell(Event::Rehearsed), []);
}

#[test]
fn another_image_goes_on_where_this_one_was() {
    let game = define("game", &[Start]);
    let mut worlds = [
        World::down(&game),
        World::up(&game),
        World::stopping(&game),
        World::in_backoff(&define_with_delay("game", &[Start])),
    ];
    for world in &mut worlds {
        let (list, deadline) = (world.list(), world.next_deadline());
        hand_over(world);
        assert_eq!((world.list(), world.next_deadline()), (list, deadline));
    }
    let mut world = World::restarting(&game);
    hand_over(&mut world);
    assert_eq!(
        world.exited(MAIN, SUCCESS),
        [ended(MAIN, SUCCESS, None), spawn(&game, Start, RESTARTER, None)]
    );
}

#[test]
fn an_end_that_waits_for_programs_waits_on_in_another_image() {
    let mut world = World::up(&define("game", &[Start]));
    world.supervisor.standing.on_exit = OnExit::Stop;
    world.question(1, Question::Stop);
    hand_over(&mut world);
    assert_eq!(world.request(2, "game", Stop), [terminate(MAIN)]);
    let effects = world.exited(MAIN, SUCCESS);
    assert_eq!(effects.last(), Some(&Effect::Exit { caller: Some(caller(1)) }));
}

/// Has another supervisor go on with all that this one knows.
fn hand_over(world: &mut World) {
    let snapshot = world.supervisor.snapshot();
    let programs = snapshot.programs.into_iter().cloned().collect();
    let snapshot = crate::supervisor::Snapshot {
        standing: snapshot.standing,
        programs,
        controls: snapshot.controls,
        upgrader: snapshot.upgrader,
        enders: snapshot.enders,
    };
    world.supervisor = Supervisor::restored(snapshot, HOST);
}
