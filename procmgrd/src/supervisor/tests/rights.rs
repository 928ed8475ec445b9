//! Who may do what, what cannot be asked for at all, and what the daemon itself is asked.
//!
//! How one peer is judged by one rule is tested beside `access`; refusals that a state is the reason for, in
//! `requests`.

use procmgr_config::Action::{self, Reload, Restart, Signal, Start, Status, Stop};
use procmgr_config::{Allowed, Gid, Membership};
use procmgr_proto::details::Permission;
use procmgr_proto::message::{Code, Invocation, ProgramEntry, Response};

use crate::supervisor::event::{Control, Effect, Event, Intent, Question};
use crate::supervisor::tests::{
    ANNA, BERT, GROUP_OF_ANNA, MAIN, OWNER, World, answer, caller, define, define_for, done, for_anna,
    refused, spawn, terminal, terminate,
};

fn for_nobody() -> Allowed {
    Allowed::default()
}

// Actions on programs

#[test]
fn the_allowed_user_and_the_allowed_group_may_perform_an_action() {
    for allowed in [for_anna(), Allowed::new([], [GROUP_OF_ANNA])] {
        let game = define_for("game", &[Start], |_| allowed.clone());
        let mut world = World::down(&game);
        world.assert_refuses_to(BERT, ["game", "start"], Code::BadAuth, "you may not start game");
        assert_eq!(world.request_words(ANNA, ["game", "start"], &[]), [spawn(&game, Start, ANNA, None)]);
    }
}

#[test]
fn nobody_but_root_may_perform_an_action_that_nobody_is_allowed() {
    for action in Action::BUILT_IN {
        let game =
            define_for(
                "game",
                &Action::BUILT_IN,
                |asked| if *asked == action { for_nobody() } else { for_anna() },
            );
        let mut world = World::up(&game);
        let text = format!("you may not {action} game");
        world.assert_refuses_to(ANNA, ["game", &action.to_string()], Code::BadAuth, &text);
    }
}

#[test]
fn supplementary_groups_give_the_right_where_they_count() {
    let in_group = Allowed::new([], [Gid(77)]);
    let in_any_group = Allowed { membership: Membership::Supplementary, ..in_group.clone() };
    for (allowed, may) in [(in_group, false), (in_any_group, true)] {
        let game = define_for("game", &[Start], |_| allowed.clone());
        let mut world = World::down(&game);
        let invocation = Invocation { program: "game".into(), action: "start".into(), arguments: Vec::new() };
        let (caller, groups, stdio) = (caller(ANNA), [Gid(76), Gid(77)].into(), terminal(ANNA));
        let effects = world.tell(Event::Invoked { caller, groups, invocation, stdio });
        let refusal = refused(ANNA, Code::BadAuth, "you may not start game");
        assert_eq!(effects, [if may { spawn(&game, Start, ANNA, None) } else { refusal }]);
    }
}

#[test]
fn the_owner_of_the_daemon_has_no_right_to_the_programs() {
    let mut world = World::down(&define("game", &[Start]));
    world.assert_refuses_to(OWNER, ["game", "start"], Code::BadAuth, "you may not start game");
}

#[test]
fn a_default_restart_needs_no_right_to_stop_or_start() {
    let game =
        define_for("game", &[Start], |action| if *action == Restart { for_anna() } else { for_nobody() });
    let mut world = World::up(&game);
    assert_eq!(world.request_words(ANNA, ["game", "restart"], &[]), [terminate(MAIN)]);
}

#[test]
fn a_default_reload_needs_no_right_to_restart() {
    let game =
        define_for("game", &[Start], |action| if *action == Reload { for_anna() } else { for_nobody() });
    let mut world = World::up(&game);
    assert_eq!(world.request_words(ANNA, ["game", "reload"], &[]), [terminate(MAIN)]);
}

#[test]
fn default_actions_that_do_nothing_need_their_right_as_well() {
    for action in [Signal, Status] {
        let mut world = World::down(&define("game", &[]));
        let text = format!("you may not {action} game");
        world.assert_refuses_to(ANNA, ["game", &action.to_string()], Code::BadAuth, &text);
    }
}

#[test]
fn rights_are_judged_before_the_state_is() {
    let mut world = World::down(&define("game", &[]));
    world.assert_refuses_to(ANNA, ["game", "stop"], Code::BadAuth, "you may not stop game");
    world.assert_refuses_to(1, ["game", "stop"], Code::NotRunning, "game is not running");
}

#[test]
fn whoever_asks_for_an_unknown_program_is_told_so_whatever_the_action() {
    let mut world = World::down(&define("game", &[]));
    world.assert_refuses_to(ANNA, ["chat\n", "dance"], Code::NoProg, "there is no program chat\\n");
}

#[test]
fn an_action_of_its_own_has_a_right_of_its_own() {
    let dance = Action::from_name(b"dance");
    let game = define_for("game", std::slice::from_ref(&dance), |action| {
        if *action == dance { for_anna() } else { for_nobody() }
    });
    let mut world = World::down(&game);
    world.assert_refuses_to(BERT, ["game", "dance"], Code::BadAuth, "you may not dance game");
    assert_eq!(world.request_words(ANNA, ["game", "dance"], &[]), [spawn(&game, &dance, ANNA, None)]);
    world.assert_refuses_to(ANNA, ["game", "sing"], Code::NoAction, "there is no action sing");
}

#[test]
fn whoever_asks_for_an_unknown_action_is_told_so_whatever_the_rights() {
    let mut world = World::down(&define("game", &[]));
    world.assert_refuses_to(ANNA, ["game", "Start\x1b"], Code::NoAction, "there is no action Start\\x1b");
}

#[test]
fn the_status_of_every_program_is_told_to_its_own_clients_only() {
    let game = define_for("game", &[], |action| if *action == Status { for_anna() } else { for_nobody() });
    let mut world = World::down(&game);
    assert_eq!(
        world.request_words(ANNA, ["game", "status"], &[]),
        [answer(ANNA, Response::Status { running: false })]
    );
    world.assert_refuses_to(BERT, ["game", "status"], Code::BadAuth, "you may not status game");
}

#[test]
fn a_program_that_lingers_obeys_those_its_old_definition_names() {
    let game = define_for("game", &[Start], |action| if *action == Stop { for_anna() } else { for_nobody() });
    let mut world = World::up(&game);
    world.configure(&[]);
    world.assert_refuses_to(BERT, ["game", "stop"], Code::BadAuth, "you may not stop game");
    assert_eq!(world.request_words(ANNA, ["game", "stop"], &[]), [terminate(MAIN)]);
}

// Questions to the daemon

#[test]
fn everybody_may_ping_and_list() {
    let mut world = World::down(&define("game", &[]));
    let entry = ProgramEntry { name: b"game".to_vec(), tokens: vec![b"dead".to_vec()] };
    assert_eq!(world.question(BERT, Question::Ping), [done(BERT)]);
    assert_eq!(world.question(BERT, Question::List), [answer(BERT, Response::Programs(vec![entry]))]);
}

#[test]
fn only_root_and_the_owner_may_stop_or_reload_the_daemon() {
    let mut world = World::down(&define("game", &[]));
    for question in [Question::Stop, Question::Reload] {
        let effects = world.question(BERT, question);
        let text = "only root and the user of the daemon may stop, reload or upgrade it";
        assert_eq!(effects, [refused(BERT, Code::Eperm, text)]);
    }
    for client in [1, OWNER] {
        let effects = world.question(client, Question::Reload);
        assert_eq!(effects, [Effect::LoadConfig { caller: Some(caller(client)), intent: Intent::Apply }]);
    }
}

#[test]
fn a_signal_reloads_for_nobody() {
    let mut world = World::down(&define("game", &[]));
    assert_eq!(
        world.tell(Event::Signaled(Control::Reload)),
        [Effect::LoadConfig { caller: None, intent: Intent::Apply }]
    );
}

// What whoever asks may do

impl World {
    fn permissions(&mut self, client: u64, groups: Vec<Gid>) -> String {
        let effects = self.question(client, Question::Permissions { groups: groups.into() });
        let [Effect::Reply { response: Response::Permissions(permissions), .. }] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        let line = |Permission { program, actions }: &Permission| {
            format!("{}: {}", program.escape_ascii(), actions.join(&b' ').escape_ascii())
        };
        permissions.iter().map(line).collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn everybody_is_told_what_they_may_do_and_what_does_something() {
    let dance = Action::from_name(b"dance");
    let game = define_for("game", &[Start, Signal, dance.clone()], |action| {
        if [Start, Stop, Restart, dance.clone()].contains(action) { for_anna() } else { for_nobody() }
    });
    let chat = define_for("chat", &[], |_| for_anna());
    let mut world = World::of(&[&game, &define("closed", &[Start]), &chat]);
    assert_eq!(world.permissions(ANNA, vec![]), "game: start restart stop dance, chat: stop status");
    assert_eq!(world.permissions(BERT, vec![]), "");
    assert_eq!(
        world.permissions(1, vec![]),
        "game: start restart reload signal stop status dance, closed: start restart reload stop status, \
         chat: stop status"
    );
}

#[test]
fn supplementary_groups_show_in_what_one_may_do() {
    let in_any_group = Allowed { membership: Membership::Supplementary, ..Allowed::new([], [Gid(77)]) };
    let mut world = World::of(&[&define_for("game", &[], |_| in_any_group.clone())]);
    assert_eq!(world.permissions(ANNA, vec![Gid(77)]), "game: stop status");
    assert_eq!(world.permissions(ANNA, vec![Gid(78)]), "");
}

#[test]
fn what_lingers_can_be_ended_and_asked_and_not_be_started() {
    let dance = Action::from_name(b"dance");
    let game = define_for("game", &[Start, Signal, dance], |_| for_anna());
    let mut world = World::up(&game);
    world.configure(&[]);
    assert_eq!(world.permissions(ANNA, vec![]), "game: signal stop status dance");
}

#[test]
fn what_is_offered_is_what_is_carried_out_in_some_state() {
    let others = [Restart, Reload, Signal, Stop, Status, Action::from_name(b"dance")];
    for bits in 0..1_u32 << others.len() {
        let chosen = others.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1);
        let scripts: Vec<Action> = chosen.map(|(_, script)| script.clone()).chain([Start]).collect();
        let game = define_for("game", &scripts, |_| for_anna());
        let offered = World::down(&game).permissions(ANNA, vec![]);
        for action in others.iter().chain([&Start]) {
            let name = action.to_string();
            let does_something = |mut world: World| {
                let effects = world.request_words(ANNA, ["game", &name], &[]);
                let refused = matches!(&effects[..], [Effect::Reply { response: Response::Refused(_), .. }]);
                let does_nothing = *action == Signal && effects == [done(ANNA)];
                !(refused || does_nothing)
            };
            let is_possible = does_something(World::down(&game)) || does_something(World::up(&game));
            assert_eq!(offered.split(' ').any(|word| word == name), is_possible, "{name} of {scripts:?}");
        }
    }
}
