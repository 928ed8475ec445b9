//! Which keys tell definitions apart, and that equal ones have none.

use std::path::Path;
use std::time::Duration;

use crate::{
    Action, Allowed, Definition, Gid, Group, Identity, KillMode, Membership, ProgramName, Rule, Terms, Uid,
};

type Change = fn(&mut Definition);

fn definition(default: Rule) -> Definition {
    Definition::new(ProgramName::new(b"a"), default)
}

fn plain() -> Definition {
    definition(Rule::default())
}

fn of(allowed: Allowed) -> Rule {
    Rule::new(None, Terms { allowed, ..Terms::default() })
}

fn run_as(identity: Identity) -> Rule {
    Rule::new(None, Terms { identity, ..Terms::default() })
}

/// Compares both ways, and with what equality says.
fn differences(one: &Definition, other: &Definition) -> Vec<String> {
    let keys = |one: &Definition, other| -> Vec<String> {
        one.differences(other).iter().map(|key| key.escape_ascii().to_string()).collect()
    };
    let found = keys(one, other);
    assert_eq!(found, keys(other, one));
    assert_eq!(found.is_empty(), one == other);
    found
}

#[test]
fn each_key_of_a_section_is_told() {
    let cases: [(&str, Change); 7] = [
        ("restart-delay", |it| it.restart_delay = Some(Duration::from_secs(1))),
        ("restart-max-delay", |it| it.restart_max_delay = Some(Duration::from_secs(1))),
        ("restart-limit", |it| it.restart_limit = Some(1)),
        ("stop-timeout", |it| it.stop_timeout = Some(Duration::from_secs(1))),
        ("kill-mode", |it| it.kill_mode = KillMode::Group),
        ("autostart", |it| it.autostart = Some(Group(1))),
        ("cwd", |it| it.cwd = Some(Path::new("/").into())),
    ];
    for (key, change) in cases {
        let mut changed = plain();
        change(&mut changed);
        assert_eq!(differences(&plain(), &changed), [key]);
        assert_eq!(differences(&changed, &changed), [] as [&str; 0]);
    }
}

#[test]
fn each_key_of_an_action_is_told() {
    let dance = Action::from_name(b"dance\xff");
    let identity = |uid: Option<u32>, gid: Option<u32>| Identity {
        uid: uid.map(Uid),
        gid: gid.map(Gid),
        primary: uid.map(Gid),
        groups: uid.map(|_| [].into()),
    };
    for action in [Action::Stop, dance] {
        let cases = [
            ("uid", of(Allowed::new([Uid(1)], []))),
            ("gid", of(Allowed::new([], [Gid(1)]))),
            ("suid", run_as(identity(Some(1), None))),
            ("sgid", run_as(identity(None, Some(2)))),
        ];
        let script = Some(Box::from(&b"x"[..]));
        let (mut bare, mut scripted) = (plain(), plain());
        scripted.define(action.clone(), Rule { script: script.clone(), ..Rule::default() });
        assert_eq!(differences(&bare, &scripted), [format!("cmd-{action}")]);
        for (kind, rule) in cases {
            bare.define(action.clone(), Rule { script: script.clone(), ..rule });
            assert_eq!(differences(&bare, &scripted), [format!("{kind}-{action}")]);
        }
    }
}

#[test]
fn a_user_and_a_group_of_scripts_are_told_apart() {
    let with = |uid, primary, gid| {
        let identity =
            Identity { uid: Some(Uid(uid)), gid: Some(Gid(gid)), primary: Some(Gid(primary)), groups: None };
        let mut definition = plain();
        definition.define(Action::Start, run_as(identity));
        definition
    };
    assert_eq!(differences(&with(1, 1, 5), &with(2, 2, 6)), ["suid-start", "sgid-start"]);
    assert_eq!(differences(&with(1, 1, 5), &with(2, 2, 5)), ["suid-start"]);
    assert_eq!(differences(&with(1, 1, 5), &with(1, 1, 6)), ["sgid-start"]);
    // The user has been given another group meanwhile.
    assert_eq!(differences(&with(1, 1, 5), &with(1, 3, 5)), ["suid-start"]);
}

#[test]
fn what_holds_for_all_actions_is_told_once() {
    let mut one = definition(of(Allowed::new([Uid(1)], [])));
    let mut other = definition(of(Allowed::new([Uid(2)], [])));
    assert_eq!(differences(&one, &other), ["allow-uid"]);
    other.define(Action::Stop, of(Allowed::new([Uid(3)], [])));
    assert_eq!(differences(&one, &other), ["uid-stop", "allow-uid"]);
    one.define(Action::Stop, of(Allowed::new([Uid(3)], [])));
    assert_eq!(differences(&one, &other), ["allow-uid"]);
    let supplementary = Allowed { membership: Membership::Supplementary, ..Allowed::default() };
    assert_eq!(differences(&plain(), &definition(of(supplementary))), ["supplementary-groups"]);
}

#[test]
fn it_does_not_matter_how_a_section_says_the_same() {
    let rule = of(Allowed::new([Uid(1)], []));
    let each = plain().with_built_in(|_| rule.clone());
    assert_eq!(differences(&each, &definition(rule)), [] as [&str; 0]);
}
