//! `reload`, `signal` and `status`: with a script and by default, in each state.
//!
//! A default reload is a restart, whose further fate is tested in `requests` and `spawns`.

use procmgr_config::Action::{self, Reload, Restart, Signal, Start, Status, Stop};
use procmgr_proto::message::{Code, ExitStatus, Response};

use crate::supervisor::event::Pid;
use crate::supervisor::tests::{
    MAIN, SCRIPT, SUCCESS, World, answer, answer_exited, define, define_with_delay, done, refused, spawn,
    spawn_with, terminate,
};

// Reload

#[test]
fn a_reload_script_is_waited_for_and_its_status_told() {
    let game = define("game", &[Start, Reload]);
    let mut world = World::up(&game);
    let effects = world.request_with(1, "game", Reload, &["fast"]);
    assert_eq!(effects, [spawn_with(&game, Reload, 1, Some(MAIN), &["fast"])]);
    assert_eq!(world.spawned(effects, SCRIPT), []);
    assert_eq!(world.exited(SCRIPT, ExitStatus::Code(3)), [answer_exited(1, ExitStatus::Code(3))]);
    assert_eq!(world.list(), "game: running");
}

#[test]
fn a_reload_script_runs_beside_a_program_that_is_stopping() {
    let game = define("game", &[Start, Reload]);
    let mut world = World::stopping(&game);
    assert_eq!(world.request(1, "game", Reload), [spawn(&game, Reload, 1, Some(MAIN))]);
    assert_eq!(world.list(), "game: running stopping");
}

#[test]
fn a_reload_script_runs_beside_a_program_that_is_restarting() {
    let game = define("game", &[Start, Reload]);
    let mut world = World::restarting(&game);
    assert_eq!(world.request(1, "game", Reload), [spawn(&game, Reload, 1, Some(MAIN))]);
    assert_eq!(world.list(), "game: running restarting");
}

#[test]
fn a_reload_script_does_not_run_without_a_main_process() {
    let game = define_with_delay("game", &[Start, Reload]);
    World::down(&game).assert_refuses(Reload, Code::NotRunning, "game is not running");
    World::in_backoff(&game).assert_refuses(Reload, Code::NotRunning, "game is not running");
    World::starting(&game).assert_refuses(Reload, Code::Busy, "game is starting");
}

#[test]
fn reload_restarts_a_program_that_is_up_by_default() {
    let mut world = World::up(&define("game", &[Start]));
    assert_eq!(world.request(1, "game", Reload), [terminate(MAIN)]);
    assert_eq!(world.list(), "game: running restarting");
}

#[test]
fn reload_runs_the_restart_script_by_default_and_waits_no_longer_than_a_restart() {
    let game = define("game", &[Start, Restart]);
    let mut world = World::up(&game);
    let effects = world.request(1, "game", Reload);
    assert_eq!(effects, [spawn(&game, Restart, 1, Some(MAIN))]);
    assert_eq!(world.spawned(effects, SCRIPT), [done(1)]);
}

#[test]
fn a_default_reload_is_a_restart_in_every_other_state() {
    let game = define_with_delay("game", &[Start]);
    World::down(&game).assert_refuses(Reload, Code::NotRunning, "game is not running");
    World::starting(&game).assert_refuses(Reload, Code::Busy, "game is starting");
    World::restarting(&game).assert_refuses(Reload, Code::Busy, "game is restarting");
    assert_eq!(World::in_backoff(&game).request(1, "game", Reload), [spawn(&game, Start, 1, None)]);
    let mut world = World::stopping(&game);
    assert_eq!(world.request(1, "game", Reload), []);
    assert_eq!(world.list(), "game: running restarting");
}

// Signal and status

#[test]
fn signal_succeeds_by_default_in_every_state() {
    for (mut world, _) in every_state(&[Start]) {
        assert_unchanged(&mut world, |world| {
            assert_eq!(world.request(1, "game", Signal), [done(1)]);
        });
    }
}

#[test]
fn status_tells_by_default_whether_there_is_a_main_process() {
    for (mut world, main) in every_state(&[Start]) {
        assert_unchanged(&mut world, |world| {
            let expected = Response::Status { running: main.is_some() };
            assert_eq!(world.request(1, "game", Status), [answer(1, expected)]);
        });
    }
}

#[test]
fn a_signal_script_runs_in_every_state_and_is_told_the_main_process() {
    assert_runs_in_every_state(&Signal);
}

#[test]
fn a_status_script_runs_in_every_state_and_is_told_the_main_process() {
    assert_runs_in_every_state(&Status);
}

#[test]
fn a_script_of_an_action_of_its_own_runs_in_every_state_and_is_told_the_main_process() {
    assert_runs_in_every_state(&Action::from_name(b"dance"));
}

#[test]
fn an_action_of_its_own_is_by_the_definition_that_has_it() {
    let dance = Action::from_name(b"dance");
    let (plain, dancing) = (define("game", &[Start]), define("game", &[Start, dance.clone()]));
    let mut world = World::up(&plain);
    world.assert_refuses(&dance, Code::NoAction, "there is no action dance");
    world.configure(&[&dancing]);
    assert_eq!(world.request(1, "game", &dance), [spawn(&dancing, &dance, 1, Some(MAIN))]);
    let mut world = World::up(&dancing);
    world.configure(&[&plain]);
    assert_eq!(world.request(1, "game", &dance), [spawn(&dancing, &dance, 1, Some(MAIN))]);
}

#[test]
fn a_script_beside_the_program_that_cannot_be_executed_is_refused_and_changes_nothing() {
    for action in [Reload, Signal, Status, Action::from_name(b"dance")] {
        let mut world = World::up(&define("game", &[Start, action.clone()]));
        assert_unchanged(&mut world, |world| {
            let effects = world.request(1, "game", &action);
            let text = format!("cannot run {action} of game: no shell");
            assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, &text)]);
        });
    }
}

#[test]
fn scripts_beside_the_program_are_waited_for_each_by_its_own_client() {
    let mut world = World::up(&define("game", &[Start, Signal, Status]));
    for (client, action, pid) in [(1, Signal, Pid(201)), (2, Status, Pid(202)), (3, Signal, Pid(203))] {
        let effects = world.request(client, "game", action);
        assert_eq!(world.spawned(effects, pid), []);
    }
    assert_eq!(world.exited(Pid(202), ExitStatus::Code(2)), [answer_exited(2, ExitStatus::Code(2))]);
    assert_eq!(world.exited(Pid(203), ExitStatus::Signal(9)), [answer_exited(3, ExitStatus::Signal(9))]);
    assert_eq!(world.exited(Pid(201), SUCCESS), [answer_exited(1, SUCCESS)]);
}

#[test]
fn a_script_outlives_the_program_it_was_run_for() {
    let mut world = World::up(&define("game", &[Start, Stop, Signal]));
    world.request_and_spawn(1, "game", Signal);
    world.exited(MAIN, SUCCESS);
    assert_eq!(world.exited(SCRIPT, ExitStatus::Code(4)), [answer_exited(1, ExitStatus::Code(4))]);
}

fn assert_runs_in_every_state(action: &Action) {
    let scripts = [Start, action.clone()];
    let game = define_with_delay("game", &scripts);
    for (mut world, main) in every_state(&scripts) {
        assert_unchanged(&mut world, |world| {
            let effects = world.request_with(1, "game", action, &["USR1"]);
            assert_eq!(effects, [spawn_with(&game, action, 1, main, &["USR1"])]);
            assert_eq!(world.spawned(effects, SCRIPT), []);
            assert_eq!(world.exited(SCRIPT, ExitStatus::Code(3)), [answer_exited(1, ExitStatus::Code(3))]);
        });
    }
}

fn assert_unchanged(world: &mut World, act: impl FnOnce(&mut World)) {
    let before = format!("{:?}", world.supervisor);
    act(world);
    assert_eq!(format!("{:?}", world.supervisor), before);
}

/// Returns a world for each state of a program with these scripts, and the main process that it has in it.
fn every_state(scripts: &[Action]) -> [(World, Option<Pid>); 6] {
    let game = define_with_delay("game", scripts);
    [
        (World::down(&game), None),
        (World::starting(&game), None),
        (World::up(&game), Some(MAIN)),
        (World::stopping(&game), Some(MAIN)),
        (World::restarting(&game), Some(MAIN)),
        (World::in_backoff(&game), None),
    ]
}
