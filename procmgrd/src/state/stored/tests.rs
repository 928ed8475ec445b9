//! Records through their words and back, and the words of earlier and later daemons.
//!
//! Files full of them are read in `reading`.

use std::path::Path;

use procmgr_proto::message::ExitStatus;

use super::*;
use crate::clock;

fn process(pid: i32) -> Process {
    Process { pid: Pid(pid), started: Ticks(77) }
}

fn definition() -> Definition {
    let membership = Membership::Supplementary;
    let allowed = Allowed { membership, ..Allowed::new([Uid(7)], []) };
    let default = Rule::new(None, Terms { allowed, ..Terms::default() });
    let mut definition = Definition::new(ProgramName::new(b"we\xffb"), default);
    definition.define(
        Action::Start,
        Rule::new(
            Some(b"exec web \"$1\"\xfe"[..].into()),
            Terms {
                allowed: Allowed::new([Uid(1), Uid(8)], [Gid(2), Gid(9)]),
                identity: Identity {
                    uid: Some(Uid(3)),
                    gid: Some(Gid(4)),
                    primary: Some(Gid(10)),
                    groups: Some([Gid(5), Gid(6)].into()),
                },
            },
        ),
    );
    definition.define(Action::Stop, Rule { script: Some(Box::default()), ..Rule::default() });
    let identity = Identity { groups: Some([].into()), ..Identity::default() };
    let terms = Terms { identity, ..Terms::default() };
    definition.define(Action::from_name(b"dan\xffce"), Rule::new(None, terms));
    definition.restart_delay = Some(Duration::from_secs(5));
    definition.restart_max_delay = Some(Duration::from_secs(60));
    definition.restart_limit = Some(8);
    definition.stop_timeout = Some(Duration::from_secs(9));
    definition.kill_mode = KillMode::Group;
    definition.autostart = Some(Group(7));
    definition.cwd = Some(Path::new("/srv/web").into());
    definition
}

#[test]
fn every_memory_means_the_same_after_the_way_through_words() {
    let (clock, now) = (Clock::now(), clock::timestamp());
    let past = |restarts, row, status: Option<ExitStatus>| {
        let last_exit = status.map(|status| PastExit { status, time: now.time });
        Past { restarts, row, last_exit }
    };
    let running = |main, former, aim, past| {
        let (since, definition) = (Some(now), Arc::new(definition()));
        Memory::Running(Running { main, former, since, definition, aim, past })
    };
    let none = Past::default();
    for memory in [
        Memory::Nothing,
        Memory::Stopped(none),
        Memory::Stopped(past(1, 0, Some(ExitStatus::Code(3)))),
        Memory::Failed(past(4, 3, Some(ExitStatus::Signal(9)))),
        Memory::Due { at: now + Duration::from_secs(9), past: past(3, 2, Some(ExitStatus::Unknown)) },
        running(Some(process(1)), None, Aim::Run, none),
        running(None, Some(process(2)), Aim::Run, past(4, 4, None)),
        running(Some(process(1)), None, Aim::Stop, none),
        running(Some(process(1)), None, Aim::End, none),
        running(Some(process(1)), None, Aim::Restart, past(u32::MAX, u32::MAX, None)),
    ] {
        let (stored, main) = StoredProgram::new(&ProgramName::new(b"we\xffb"), &memory, clock);
        let text = serde_json::to_string(&stored).unwrap();
        let stored: StoredProgram = serde_json::from_str(&text).unwrap();
        let expected = (ProgramName::new(b"we\xffb"), memory);
        assert_eq!(stored.understand(main, clock), expected, "{text}");
    }
}

#[test]
fn what_earlier_daemons_did_not_put_on_record_is_not_known() {
    let clock = Clock::now();
    let understand = |memory: &str| {
        let text = format!(r#"{{"program":"a","memory":{memory}}}"#);
        let stored: StoredProgram = serde_json::from_str(&text).unwrap();
        stored.understand(Some(process(1)), clock).1
    };
    let definition = r#"{"name":"a","rules":[]}"#;
    let memory =
        format!(r#"{{"running":{{"former":null,"aim":"run","restarts":3,"definition":{definition}}}}}"#);
    let Memory::Running(Running { since, past, .. }) = understand(&memory) else { panic!() };
    assert_eq!((since, past), (None, Past { restarts: 3, row: 3, last_exit: None }));
    let Memory::Due { past, .. } = understand(r#"{"due":{"at":1,"restarts":2}}"#) else { panic!() };
    assert_eq!(past, Past { restarts: 2, row: 2, last_exit: None });
    let Memory::Due { at, past } = understand(r#"{"due":{"at":1}}"#) else { panic!() };
    assert_eq!(past, Past::default());
    assert!(at.time <= clock::timestamp().time, "what is not on record is worked out");
    assert_eq!(understand(r#""stopped""#), Memory::Stopped(Past::default()));
}

#[test]
fn what_a_later_daemon_may_have_added_is_passed_over() {
    let text = r#"{"program":"a","memory":{"running":{"former":null,"aim":"run","restarts":1,"new":[],
        "definition":{"name":"a","new":{"x":1},"rules":[["start",{"script":"x","new":0}]]}}}}"#;
    let stored: StoredProgram = serde_json::from_str(text).unwrap();
    let (_, memory) = stored.understand(Some(process(1)), Clock::now());
    let Memory::Running(Running { definition, .. }) = memory else { panic!("{memory:?}") };
    assert_eq!(definition.rule(&Action::Start).script.as_deref(), Some(&b"x"[..]));
}

#[test]
fn what_an_earlier_daemon_did_not_know_is_as_if_nobody_had_asked_for_it() {
    let text = r#"{"name":"a","rules":[["stop",{"allowed_uid":1,"allowed_gid":2}]]}"#;
    let stored: StoredDefinition = serde_json::from_str(text).unwrap();
    let mut expected = Definition::new(ProgramName::new(b"a"), Rule::default());
    let allowed = Allowed::new([Uid(1)], [Gid(2)]);
    expected.define(Action::Stop, Rule::new(None, Terms { allowed, ..Terms::default() }));
    assert_eq!(Definition::from(stored), expected);
}
