//! The start of a group of programs by the daemon itself.
//!
//! What follows an unattended start that fails is tested in `spawns`.

use std::time::Duration;

use procmgr_config::Action::{self, Start, Stop};
use procmgr_config::{Definition, Group};
use procmgr_proto::message::Code;

use crate::supervisor::event::Event;
use crate::supervisor::tests::{
    MAIN, World, define, define_with_delay, done, spawn, spawn_for_nobody, start_failed, started,
};

const GROUP: Group = Group(1);

#[test]
fn only_programs_of_the_group_are_started() {
    let (game, mut chat, plain) =
        (define_in_group("game", &[Start]), define("chat", &[Start]), define("plain", &[Start]));
    chat.autostart = Some(Group(2));
    let mut world = World::of(&[&chat, &plain, &game]);
    assert_eq!(world.tell(Event::Autostart(GROUP)), []);
    assert_eq!(world.list(), "chat: dead, plain: dead, game: dead restarting");
    assert_eq!(world.next_deadline(), Some(Duration::ZERO));
    assert_eq!(world.tell(Event::Deadline), [spawn_for_nobody(&game)]);
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn a_program_without_a_start_script_is_reported_and_keeps_no_other_from_starting() {
    let (scriptless, game) = (define_in_group("chat", &[Stop]), define_in_group("game", &[Start]));
    let mut world = World::of(&[&scriptless, &game]);
    world.tell(Event::Autostart(GROUP));
    assert_eq!(world.tell(Event::Deadline), [start_failed("chat", "there is no script for start", None)]);
    assert_eq!(world.tell(Event::Deadline), [spawn_for_nobody(&game)]);
    assert_eq!(world.list(), "chat: dead, game: dead");
    assert_eq!(world.next_deadline(), None);
}

#[test]
fn a_start_that_fails_keeps_no_other_from_starting() {
    let (game, chat) = (define_in_group("game", &[Start]), define_in_group("chat", &[Start]));
    let mut world = World::of(&[&game, &chat]);
    world.tell(Event::Autostart(GROUP));
    let for_game = world.tell(Event::Deadline);
    assert_eq!(for_game, [spawn_for_nobody(&game)]);
    assert_eq!(world.spawn_failed(for_game), [start_failed("game", "no shell", None)]);
    let for_chat = world.tell(Event::Deadline);
    assert_eq!(for_chat, [spawn_for_nobody(&chat)]);
    assert_eq!(world.spawned(for_chat, MAIN), [started("chat", MAIN)]);
    assert_eq!(world.list(), "game: dead, chat: running");
}

#[test]
fn programs_are_started_in_the_order_of_the_file_and_one_at_a_time() {
    let programs: Vec<Definition> =
        (0..20).rev().map(|number| define_in_group(&format!("game-{number}"), &[Start])).collect();
    let mut world = World::of(&programs.iter().collect::<Vec<_>>());
    world.tell(Event::Autostart(GROUP));
    for program in &programs {
        assert_eq!(world.next_deadline(), Some(Duration::ZERO));
        assert_eq!(world.tell(Event::Deadline), [spawn_for_nobody(program)]);
    }
    assert_eq!(world.next_deadline(), None);
    assert_eq!(world.tell(Event::Deadline), []);
}

#[test]
fn a_program_that_is_not_down_is_left_alone() {
    let mut game = define_with_delay("game", &[Start]);
    game.autostart = Some(GROUP);
    let worlds = [
        World::starting(&game),
        World::up(&game),
        World::stopping(&game),
        World::restarting(&game),
        World::in_backoff(&game),
    ];
    for mut world in worlds {
        let before = format!("{:?}", world.supervisor);
        assert_eq!(world.tell(Event::Autostart(GROUP)), []);
        assert_eq!(format!("{:?}", world.supervisor), before);
    }
}

#[test]
fn a_program_is_not_started_again_when_its_turn_comes() {
    let game = define_in_group("game", &[Start]);
    let mut world = World::down(&game);
    world.tell(Event::Autostart(GROUP));
    assert_eq!(world.request(1, "game", Start), [spawn(&game, Start, 1, None)]);
    assert_eq!(world.next_deadline(), None);
    assert_eq!(world.tell(Event::Deadline), []);
}

#[test]
fn a_program_that_is_stopped_before_its_turn_is_not_started() {
    let mut world = World::down(&define_in_group("game", &[Start]));
    world.tell(Event::Autostart(GROUP));
    assert_eq!(world.request(1, "game", Stop), [done(1)]);
    assert_eq!(world.next_deadline(), None);
    assert_eq!(world.list(), "game: dead");
}

#[test]
fn a_program_that_leaves_the_configuration_before_its_turn_is_not_started() {
    let mut world = World::down(&define_in_group("game", &[Start]));
    world.tell(Event::Autostart(GROUP));
    world.configure(&[]);
    assert_eq!(world.next_deadline(), None);
    assert_eq!(world.tell(Event::Deadline), []);
    world.assert_refuses(Start, Code::NoProg, "there is no program game");
}

fn define_in_group(name: &str, scripts: &[Action]) -> Definition {
    let mut definition = define(name, scripts);
    definition.autostart = Some(GROUP);
    definition
}
