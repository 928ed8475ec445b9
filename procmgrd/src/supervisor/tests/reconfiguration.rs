//! A new configuration: what is new, changed, gone or lingers, and by which definition a program lives.
//!
//! A new configuration starts and stops nothing; each test that configures compares the whole list of effects.

use std::path::PathBuf;

use procmgr_config::Action::{self, Reload, Restart, Signal, Start, Status, Stop};
use procmgr_config::{Definition, Group, Rule};
use procmgr_proto::details::ReloadEffect;
use procmgr_proto::message::{Code, Response};

use crate::supervisor::event::{Effect, Loaded, Pid, Rejected, Report};
use crate::supervisor::tests::{
    ANNA, DELAY, MAIN, RESTARTER, SCRIPT, STOPPER, SUCCESS, World, again, answer, answer_exited, config,
    define, define_anew, define_for, define_with_delay, difference, done, ended, for_anna, reconfigured,
    refused, spawn, spawn_for_nobody, terminate,
};

const GONE: &str = "game is no longer in the configuration and cannot be started again";

// Added

#[test]
fn a_program_that_is_added_is_down() {
    let (game, mut chat) = (define("game", &[Start]), define_with_delay("chat", &[Start]));
    chat.autostart = Some(Group(1));
    let mut world = World::down(&game);
    assert_eq!(world.configure(&[&chat, &game]), [reconfigured(&["chat"], &[], &[])]);
    assert_eq!(world.list(), "chat: dead, game: dead");
    assert_eq!(world.next_deadline(), None);
    assert_eq!(world.request(1, "chat", Start), [spawn(&chat, Start, 1, None)]);
}

// Removed

#[test]
fn a_program_that_is_removed_while_down_is_forgotten() {
    let mut world = World::down(&define("game", &[Start]));
    assert_eq!(world.configure(&[]), [reconfigured(&[], &["game"], &[])]);
    assert_is_forgotten(&mut world);
}

#[test]
fn a_program_that_is_removed_while_in_backoff_is_forgotten() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    assert_eq!(world.configure(&[]), [reconfigured(&[], &["game"], &[])]);
    assert_is_forgotten(&mut world);
    assert_eq!(world.pass(DELAY), []);
}

#[test]
fn a_program_that_is_removed_while_starting_lingers() {
    let mut world = World::down(&define("game", &[Start]));
    let effects = world.request(1, "game", Start);
    assert_eq!(world.configure(&[]), [reconfigured(&[], &["game"], &[])]);
    assert_eq!(world.list(), "game: dead lingering");
    assert_eq!(world.spawned(effects, MAIN), [done(1)]);
    assert_eq!(world.list(), "game: running lingering");
}

#[test]
fn a_program_that_is_removed_while_starting_is_forgotten_if_it_does_not_start() {
    let mut world = World::down(&define("game", &[Start]));
    let effects = world.request(1, "game", Start);
    world.configure(&[]);
    assert_eq!(world.spawn_failed(effects), [refused(1, Code::Spawn, "cannot run start of game: no shell")]);
    assert_is_forgotten(&mut world);
}

#[test]
fn a_program_that_is_removed_while_up_lingers_and_is_forgotten_at_its_end() {
    let mut world = World::up(&define_with_delay("game", &[Start]));
    assert_eq!(world.configure(&[]), [reconfigured(&[], &["game"], &[])]);
    assert_eq!(world.list(), "game: running lingering");
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None)]);
    assert_is_forgotten(&mut world);
}

#[test]
fn a_program_that_is_removed_while_stopping_is_forgotten_at_its_end() {
    let mut world = World::stopping(&define("game", &[Start]));
    assert_eq!(world.configure(&[]), [reconfigured(&[], &["game"], &[])]);
    assert_eq!(world.list(), "game: running lingering stopping");
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None), answer_exited(STOPPER, SUCCESS)]);
    assert_is_forgotten(&mut world);
}

#[test]
fn a_program_that_is_removed_while_restarting_is_not_started_again() {
    let mut world = World::restarting(&define("game", &[Start]));
    assert_eq!(world.configure(&[]), [reconfigured(&[], &["game"], &[])]);
    assert_eq!(world.list(), "game: running lingering restarting");
    assert_eq!(
        world.exited(MAIN, SUCCESS),
        [ended(MAIN, SUCCESS, None), refused(RESTARTER, Code::NoProg, GONE)]
    );
    assert_is_forgotten(&mut world);
}

#[test]
fn a_program_is_removed_once() {
    let mut world = World::up(&define("game", &[Start]));
    world.configure(&[]);
    assert_eq!(world.configure(&[]), [reconfigured(&[], &[], &[])]);
    assert_eq!(world.list(), "game: running lingering");
}

// Lingering

#[test]
fn a_program_that_lingers_is_stopped_by_its_old_definition() {
    let game = define("game", &[Start, Stop]);
    let mut world = World::up(&game);
    world.configure(&[]);
    assert_eq!(world.request(1, "game", Stop), [spawn(&game, Stop, 1, Some(MAIN))]);
    assert_eq!(world.list(), "game: running lingering stopping");
}

#[test]
fn a_program_that_lingers_runs_the_other_scripts_of_its_old_definition() {
    for action in [Reload, Signal, Status] {
        let game = define("game", &[Start, action.clone()]);
        let mut world = World::up(&game);
        world.configure(&[]);
        assert_eq!(world.request(1, "game", &action), [spawn(&game, &action, 1, Some(MAIN))]);
    }
}

#[test]
fn a_program_that_lingers_is_never_started_again() {
    let mut world = World::up(&define("game", &[Start, Restart]));
    world.configure(&[]);
    world.assert_refuses(Start, Code::Busy, "game is running");
    world.assert_refuses(Restart, Code::NoProg, GONE);
    world.assert_refuses(Reload, Code::NoProg, GONE);
}

#[test]
fn a_program_that_lingers_comes_back_when_it_is_added_again() {
    let game = define_with_delay("game", &[Start]);
    let mut world = World::up(&game);
    world.configure(&[]);
    assert_eq!(world.configure(&[&game]), [reconfigured(&["game"], &[], &[])]);
    assert_eq!(world.list(), "game: running");
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, Some(again(1)))]);
    assert_eq!(world.pass(DELAY), [spawn_for_nobody(&game)]);
}

#[test]
fn a_program_that_was_forgotten_may_be_added_again() {
    let game = define("game", &[Start]);
    let mut world = World::up(&game);
    world.configure(&[]);
    world.exited(MAIN, SUCCESS);
    assert_eq!(world.configure(&[&game]), [reconfigured(&["game"], &[], &[])]);
    assert_eq!(world.list(), "game: dead");
}

#[test]
fn a_program_that_was_forgotten_leaves_no_trace() {
    let (game, chat) = (define("game", &[Start]), define("chat", &[Start]));
    let mut world = World::of(&[&chat]);
    let before = format!("{:?}", world.supervisor);
    world.configure(&[&chat, &game]);
    let effects = world.request(1, "game", Start);
    world.spawned(effects, MAIN);
    world.configure(&[&chat]);
    world.exited(MAIN, SUCCESS);
    world.configure(&[&chat]);
    assert_eq!(format!("{:?}", world.supervisor), before);
}

// Changed

#[test]
fn only_programs_whose_definition_differs_are_changed() {
    let (game, chat) = (define("game", &[Start]), define("chat", &[Start]));
    let mut world = World::of(&[&game, &chat]);
    let changed = define_with_delay("chat", &[Start]);
    assert_eq!(world.configure(&[&game, &changed]), [reconfigured(&[], &[], &["chat"])]);
    assert_eq!(world.configure(&[&game, &changed]), [reconfigured(&[], &[], &[])]);
}

#[test]
fn a_program_that_is_down_is_changed_at_once() {
    let mut world = World::down(&define("game", &Action::BUILT_IN));
    let changed = define_anew("game", &Action::BUILT_IN);
    world.configure(&[&changed]);
    assert_eq!(world.request(1, "game", Signal), [spawn(&changed, Signal, 1, None)]);
    assert_eq!(world.request(2, "game", Status), [spawn(&changed, Status, 2, None)]);
    assert_eq!(world.request(3, "game", Start), [spawn(&changed, Start, 3, None)]);
}

#[test]
fn a_program_runs_under_its_old_definition_until_it_is_started_again() {
    let scripts = [Start, Stop, Reload, Signal, Status];
    let game = define("game", &scripts);
    let changed = define_anew("game", &scripts);
    let mut world = World::up(&game);
    assert_eq!(world.configure(&[&changed]), [reconfigured(&[], &[], &["game"])]);
    for action in [Reload, Signal, Status, Stop] {
        assert_eq!(world.request(1, "game", &action), [spawn(&game, &action, 1, Some(MAIN))]);
    }
    world.exited(MAIN, SUCCESS);
    let effects = world.request(1, "game", Start);
    assert_eq!(effects, [spawn(&changed, Start, 1, None)]);
    world.spawned(effects, SCRIPT);
    assert_eq!(world.request(1, "game", Stop), [spawn(&changed, Stop, 1, Some(SCRIPT))]);
}

#[test]
fn a_script_that_is_new_does_not_concern_a_process_of_the_old_definition() {
    let mut world = World::up(&define("game", &[Start]));
    world.configure(&[&define("game", &[Start, Stop, Signal])]);
    assert_eq!(world.request(1, "game", Signal), [done(1)]);
    assert_eq!(world.request(2, "game", Stop), [terminate(MAIN)]);
}

#[test]
fn a_default_restart_stops_by_the_old_definition_and_starts_by_the_new_one() {
    let game = define("game", &[Start, Stop]);
    let changed = define_anew("game", &[Start, Stop]);
    let mut world = World::up(&game);
    world.configure(&[&changed]);
    assert_eq!(world.request(1, "game", Restart), [spawn(&game, Stop, 1, Some(MAIN))]);
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None), spawn(&changed, Start, 1, None)]);
}

#[test]
fn a_restart_script_is_that_of_the_new_definition_and_the_program_runs_under_it() {
    let game = define("game", &[Start, Stop, Restart]);
    let changed = define_anew("game", &[Start, Stop, Restart]);
    let mut world = World::up(&game);
    world.configure(&[&changed]);
    let effects = world.request(1, "game", Restart);
    assert_eq!(effects, [spawn(&changed, Restart, 1, Some(MAIN))]);
    world.spawned(effects, SCRIPT);
    assert_eq!(world.request(1, "game", Stop), [spawn(&changed, Stop, 1, Some(SCRIPT))]);
}

#[test]
fn a_program_runs_under_the_definition_by_which_it_was_started_however_late_that_is_known() {
    let game = define("game", &[Start, Stop]);
    let mut world = World::down(&game);
    let effects = world.request(1, "game", Start);
    world.configure(&[&define_anew("game", &[Start, Stop])]);
    world.spawned(effects, MAIN);
    assert_eq!(world.request(1, "game", Stop), [spawn(&game, Stop, 1, Some(MAIN))]);
}

#[test]
fn the_restart_delay_of_the_present_definition_decides_after_a_death() {
    let (hasty, patient) = (define("game", &[Start]), define_with_delay("game", &[Start]));
    let mut world = World::up(&hasty);
    world.configure(&[&patient]);
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, Some(again(1)))]);
    let mut world = World::up(&patient);
    world.configure(&[&hasty]);
    assert_eq!(world.exited(MAIN, SUCCESS), [ended(MAIN, SUCCESS, None)]);
}

#[test]
fn a_backoff_that_has_begun_keeps_its_end_and_starts_by_the_present_definition() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    let mut changed = define_anew("game", &[Start]);
    changed.restart_delay = Some(2 * DELAY);
    assert_eq!(world.configure(&[&changed]), [reconfigured(&[], &[], &["game"])]);
    assert_eq!(world.next_deadline(), Some(DELAY));
    assert_eq!(world.pass(DELAY), [spawn_for_nobody(&changed)]);
}

// Rights

#[test]
fn a_right_that_is_taken_away_is_gone_at_once() {
    for action in Action::BUILT_IN {
        let mut world = World::up(&define_for("game", &Action::BUILT_IN, |_| for_anna()));
        world.configure(&[&define("game", &Action::BUILT_IN)]);
        let text = format!("you may not {action} game");
        world.assert_refuses_to(ANNA, ["game", &action.to_string()], Code::BadAuth, &text);
    }
}

#[test]
fn a_right_that_is_granted_holds_at_once_for_a_script_that_has_not_changed() {
    let game = define("game", &[Start, Stop]);
    let mut world = World::up(&game);
    world.configure(&[&define_for("game", &[Start, Stop], |_| for_anna())]);
    assert_eq!(world.request_words(ANNA, ["game", "stop"], &[]), [spawn(&game, Stop, ANNA, Some(MAIN))]);
}

#[test]
fn a_right_that_is_granted_does_not_open_another_script_of_the_old_definition() {
    let mut world = World::up(&define("game", &[Start, Stop]));
    let tamed = define_for("game", &[Start, Stop], |_| for_anna());
    let tamed = Definition::new(tamed.name.clone(), Rule::default()).with_built_in(|action| Rule {
        script: (*action == Start || *action == Stop).then(|| b"tame"[..].into()),
        ..tamed.rule(action).clone()
    });
    world.configure(&[&tamed]);
    world.assert_refuses_to(ANNA, ["game", "stop"], Code::BadAuth, "you may not stop game");
    // To restart it is to start it by the present definition, which allows that.
    assert_eq!(
        world.request_words(ANNA, ["game", "restart"], &[]),
        [spawn(&define("game", &[Start, Stop]), Stop, ANNA, Some(MAIN))]
    );
}

// Lists

#[test]
fn what_runs_under_an_older_definition_is_listed_as_outdated_until_it_is_started_again() {
    let game = define("game", &[Start]);
    let mut world = World::up(&game);
    world.configure(&[&define_with_delay("game", &[Start])]);
    assert_eq!(world.list(), "game: running outdated");
    world.configure(&[&game]);
    assert_eq!(world.list(), "game: running");
    world.configure(&[&define_with_delay("game", &[Start])]);
    world.request_and_spawn(STOPPER, "game", Stop);
    assert_eq!(world.list(), "game: running stopping outdated");
    world.exited(MAIN, SUCCESS);
    assert_eq!(world.list(), "game: dead");
}

#[test]
fn lists_are_in_the_order_of_the_file_and_what_lingers_comes_last() {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| define(name, &[Start]));
    let mut world = World::of(&[&d, &a, &c, &b]);
    for (pid, name) in [(101, "a"), (102, "c"), (103, "d")] {
        let effects = world.request(1, name, Start);
        world.spawned(effects, Pid(pid));
    }
    assert_eq!(world.list(), "d: running, a: running, c: running, b: dead");
    world.configure(&[&b, &a]);
    assert_eq!(world.list(), "b: dead, a: running, d: running lingering, c: running lingering");
    world.configure(&[&a]);
    assert_eq!(world.list(), "a: running, d: running lingering, c: running lingering");
    world.exited(Pid(103), SUCCESS);
    world.configure(&[&c, &d, &a]);
    assert_eq!(world.list(), "c: running, d: dead, a: running");
}

// The answer

#[test]
fn whoever_had_the_configuration_read_again_is_told_the_remarks() {
    let mut world = World::down(&define("game", &[Start]));
    let loaded = Loaded { config: config(&[]), remarks: vec!["unknown key".to_owned()] };
    let differences = vec![difference(&define("game", &[]).name, ReloadEffect::Removed)];
    assert_eq!(
        world.configured(Some(1), Ok(loaded)),
        [
            Effect::Report(Report::Reconfigured { differences, remarks: vec!["unknown key".to_owned()] }),
            answer(1, Response::Reloaded { remarks: vec![b"unknown key".to_vec()] })
        ]
    );
}

#[test]
fn a_socket_path_that_has_changed_is_remarked_as_long_as_it_differs() {
    let mut world = World::of(&[]);
    let remark = "the socket stays /run/procmgr until the daemon is started anew".to_owned();
    for _ in 0..2 {
        let mut elsewhere = config(&[]);
        elsewhere.socket_path = PathBuf::from("/run/elsewhere");
        let loaded = Loaded { config: elsewhere, remarks: Vec::new() };
        assert_eq!(
            world.configured(Some(1), Ok(loaded)),
            [
                Effect::Report(Report::Reconfigured {
                    differences: Vec::new(),
                    remarks: vec![remark.clone()]
                }),
                answer(1, Response::Reloaded { remarks: vec![remark.clone().into_bytes()] })
            ]
        );
    }
    assert_eq!(world.configure(&[]), [reconfigured(&[], &[], &[])]);
}

#[test]
fn a_configuration_that_is_rejected_changes_nothing() {
    let mut world = World::stopping(&define("game", &[Start]));
    let lines = vec!["1 error".to_owned(), "x:1:1: error: no".to_owned()];
    let before = format!("{:?}", world.supervisor);
    let mut reject = |client| world.configured(client, Err(Rejected { lines: lines.clone() }));
    let report = || Effect::Report(Report::ConfigRejected { lines: lines.clone() });
    assert_eq!(reject(Some(1)), [report(), refused(1, Code::BadConf, "1 error\nx:1:1: error: no")]);
    assert_eq!(reject(None), [report()]);
    assert_eq!(format!("{:?}", world.supervisor), before);
}

fn assert_is_forgotten(world: &mut World) {
    assert_eq!(world.list(), "");
    assert_eq!(world.next_deadline(), None);
    world.assert_refuses(Stop, Code::NoProg, "there is no program game");
}
