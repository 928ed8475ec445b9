//! What whole files mean.
//!
//! Users come from a made-up account database, so that the tests say the same on every system.

mod findings;
mod round_trip;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use crate::accounts::{Account, Accounts, Database};
use crate::diagnostic::{Collector, Findings};
use crate::document::Document;
use crate::resolve::resolve;
use crate::{
    Action, Allowed, Config, Definition, Gid, Group, Identity, KillMode, Membership, OnExit, ProgramName,
    Rule, Terms, Uid,
};

/// Knows user 7, "anna", whose primary group is 70, "staff"; not user 8; and fails to tell about user 9, and about
/// names that begin with "lost".
const DATABASE: Database = Database {
    account,
    user: |name| of_name(name, b"anna").map(|found| found.then_some(Uid(7))),
    group: |name| of_name(name, b"staff").map(|found| found.then_some(Gid(70))),
    ..Database::OF_SYSTEM
};

fn of_name(name: &[u8], known: &[u8]) -> Result<bool, Errno> {
    if name.starts_with(b"lost") { Err(Errno::EIO) } else { Ok(name == known) }
}

fn account(uid: Uid) -> Result<Account, Errno> {
    match uid {
        Uid(7) => Ok(Account { uid, gid: Some(Gid(70)), groups: [Gid(70), Gid(71)].into() }),
        Uid(9) => Err(Errno::EIO),
        _ => Ok(Account { uid, gid: None, groups: [].into() }),
    }
}

fn read(text: &[u8]) -> (Config, Findings) {
    let mut collector = Collector::default();
    let document = Document::read(text, &mut collector);
    let accounts = &mut Accounts::new(DATABASE);
    let config = resolve(&document, Path::new("/default"), accounts, &mut Arc::new, &mut collector);
    (config, collector.finish(Path::new("f")))
}

fn config(text: &str) -> Config {
    let (config, findings) = read(text.as_bytes());
    assert!(!findings.has_errors(), "{findings:?}");
    config
}

fn program(text: &str) -> Arc<Definition> {
    config(text).programs.pop().unwrap()
}

fn findings(text: &str) -> Vec<String> {
    read(text.as_bytes()).1.lines().collect()
}

#[test]
fn an_empty_file_is_a_configuration_without_programs() {
    let empty = Config {
        socket_path: "/default".into(),
        state_path: None,
        on_exit: OnExit::Leave,
        autostart: Some(Group(1)),
        programs: vec![],
    };

    assert_eq!(config(""), empty);
    assert_eq!(findings(""), [] as [&str; 0]);
}

#[test]
fn the_example_of_the_manual_means_what_the_manual_says() {
    let config = config(
        "socket-path = /var/local/procmgr-local\n# a comment\nallow-gid = 99\n\n[prog-game-server]\n\
         allow-uid = 1000\ncmd-start = exec /home/johndoe/bin/game.server\ncmd-reload = kill -HUP $PID\n",
    );

    let allowed = Allowed::new([Uid(1000)], [Gid(99)]);
    let rule = Rule::new(None, Terms { allowed, ..Terms::default() });
    let mut definition = Definition::new(ProgramName::new(b"game-server"), rule.clone());
    for (action, script) in
        [(Action::Start, "exec /home/johndoe/bin/game.server"), (Action::Reload, "kill -HUP $PID")]
    {
        definition.define(action, Rule { script: Some(script.as_bytes().into()), ..rule.clone() });
    }
    assert_eq!(config.socket_path, PathBuf::from("/var/local/procmgr-local"));
    assert_eq!(config.programs, [Arc::new(definition)]);
}

#[test]
fn what_is_for_the_same_persons_shares_them() {
    let config = config(
        "allow-uid = 7\n[prog-a]\ncmd-start=a\ncmd-stop=b\n[prog-b]\ncmd-start=\nuid-stop=8\n\
         [prog-c]\nsuid-start=7\ncmd-stop=\n",
    );
    let [a, b, c] = config.programs.as_slice() else { panic!() };
    let shared = &a.default_rule().terms;
    let is_shared = |definition: &Definition, action| Arc::ptr_eq(&definition.rule(&action).terms, shared);

    assert!([Action::Start, Action::Stop, Action::Status].into_iter().all(|action| is_shared(a, action)));
    assert!(is_shared(b, Action::Start) && !is_shared(b, Action::Stop));
    assert!(is_shared(c, Action::Stop) && !is_shared(c, Action::Start));
}

#[test]
fn the_keys_of_a_program_are_its_own() {
    let config = config(
        "do-autostart = 3\n[prog-a]\ncmd-start=x\nrestart-delay = 5\nautostart = yes\ncwd = /srv\n\
         [prog-b]\ncmd-start =\n",
    );

    let [a, b] = &config.programs[..] else { panic!("two programs") };
    assert_eq!(config.autostart, Some(Group(3)));
    assert_eq!(
        (a.restart_delay, a.autostart, a.cwd.clone()),
        (Some(Duration::from_secs(5)), Some(Group(1)), Some(Path::new("/srv").into()))
    );
    assert_eq!((b.restart_delay, b.autostart, b.cwd.clone()), (None, None, None));
    // An empty text is a script still: a start that does nothing is not a start that is not possible.
    assert_eq!(b.rule(&Action::Start).script.as_deref(), Some(&b""[..]));
}

#[test]
fn a_program_says_how_it_is_ended_and_how_often_it_comes_back() {
    let text = "[prog-a]\ncmd-start=x\nrestart-delay=2\nrestart-max-delay=60\nrestart-limit=5\nstop-timeout=9\nkill-mode=group";
    let of = |definition: &Definition| {
        let seconds = |duration: Option<Duration>| duration.map(|it| it.as_secs());
        let Definition { restart_max_delay, stop_timeout, .. } = definition;
        let durations = (seconds(*restart_max_delay), seconds(*stop_timeout));
        (durations, definition.restart_limit, definition.kill_mode)
    };
    assert_eq!(of(&program(text)), ((Some(60), Some(9)), Some(5), KillMode::Group));
    assert_eq!(of(&program("[prog-a]")), ((None, None), None, KillMode::Process));
    let none = "[prog-a]\nrestart-max-delay=none\nrestart-limit=none\nstop-timeout=none\nkill-mode=process";
    assert_eq!(of(&program(none)), ((None, None), None, KillMode::Process));
    assert!(findings(text).is_empty() && findings(none).is_empty());
}

#[test]
fn what_has_no_effect_on_restarts_is_remarked_upon() {
    assert_eq!(
        findings("[prog-a]\ncmd-start=x\nrestart-max-delay=9\nrestart-limit=3"),
        [
            "f:3:1: warning: restart-max-delay has no effect without restart-delay",
            "f:4:1: warning: restart-limit has no effect without restart-delay",
        ]
    );
    assert_eq!(
        findings("[prog-a]\ncmd-start=x\nrestart-delay=9\nrestart-max-delay=8"),
        ["f:4:1: warning: restart-max-delay has no effect: restart-delay is not shorter"]
    );
    assert_eq!(findings("[prog-a]\ncmd-start=x\nrestart-delay=9\nrestart-max-delay=9").len(), 1);
    assert!(findings("[prog-a]\ncmd-start=x\nrestart-delay=9\nrestart-max-delay=10").is_empty());
    assert_eq!(
        findings("[prog-a]\nrestart-delay=1\nrestart-max-delay=9\nrestart-limit=3"),
        [
            "f:2:1: warning: restart-delay has no effect without cmd-start",
            "f:3:1: warning: restart-max-delay has no effect without cmd-start",
            "f:4:1: warning: restart-limit has no effect without cmd-start",
        ]
    );
}

#[test]
fn users_and_groups_may_be_named_and_be_many() {
    let text = "allow-gid = staff 5\n[prog-a]\nallow-uid = 9 anna 7 3\nuid-stop = anna\ngid-stop = staff staff\n\
                cmd-start = x\ndefault-suid = anna\nsgid-start = staff";
    let definition = program(text);
    assert_eq!(findings(text), [] as [&str; 0]);
    let rule = |action| definition.rule(&action).clone();
    assert_eq!(rule(Action::Status).terms.allowed, Allowed::new([Uid(3), Uid(7), Uid(9)], [Gid(5), Gid(70)]));
    assert_eq!(rule(Action::Stop).terms.allowed, Allowed::new([Uid(7)], [Gid(70)]));
    assert_eq!(rule(Action::Start).terms.identity.uid, Some(Uid(7)));
    assert_eq!(rule(Action::Start).terms.identity.gid, Some(Gid(70)));
}

#[test]
fn whoever_is_named_and_not_there_is_an_error_at_its_place() {
    assert_eq!(
        findings(
            "allow-uid = anna zoe  ÿ 7\nallow-gid = anna\ndefault-suid = root\n[prog-a]\nuid-stop = lost\n"
        ),
        [
            "f:1:18: error: unknown user \"zoe\"",
            "f:1:23: error: unknown user \"\\xc3\\xbf\"",
            "f:2:13: error: unknown group \"anna\"",
            "f:3:16: error: unknown user \"root\"",
            "f:5:12: error: cannot look up user \"lost\": I/O error",
        ]
    );
}

#[test]
fn supplementary_groups_count_where_the_file_says_so() {
    let membership = |text| program(text).rule(&Action::Stop).terms.allowed.membership;
    assert_eq!(membership("[prog-a]"), Membership::Effective);
    assert_eq!(membership("supplementary-groups = yes\n[prog-a]"), Membership::Supplementary);
    assert_eq!(
        membership("supplementary-groups = yes\n[prog-a]\nsupplementary-groups = no"),
        Membership::Effective
    );
    assert_eq!(membership("[prog-a]\nuid-stop = 1\nsupplementary-groups = yes"), Membership::Supplementary);
}

#[test]
fn a_script_makes_an_action_of_any_name() {
    let text = "allow-uid = 1\n[prog-a]\ncmd-back-up = x\nuid-back-up = 2\nsuid-back-up = 7\ncmd-ÿ =";
    let definition = program(text);
    let rule = |name: &str| definition.rule(&Action::from_name(name.as_bytes())).clone();
    assert_eq!(findings(text), [] as [&str; 0]);
    assert_eq!(definition.actions().count(), 8);
    assert_eq!(rule("back-up").script.as_deref(), Some(&b"x"[..]));
    assert_eq!(rule("back-up").terms.allowed, Allowed::new([Uid(2)], []));
    assert_eq!(rule("back-up").terms.identity.uid, Some(Uid(7)));
    for (action, script) in [("ÿ", Some(Box::default())), ("dance", None)] {
        let rule = rule(action);
        assert_eq!((rule.script, &rule.terms.allowed), (script, &Allowed::new([Uid(1)], [])));
    }
}

#[test]
fn an_action_without_script_that_is_not_built_in_is_none() {
    assert_eq!(
        findings(
            "[prog-a]\nuid-strat = 1\nsuid-back-up = x\ngid- = 1\ncmd- = x\ncmd-Start = x\nuid-Start = 1"
        ),
        [
            "f:2:1: warning: unknown key \"uid-strat\": did you mean \"uid-start\"?",
            "f:3:1: warning: suid-back-up has no effect without cmd-back-up",
            "f:4:1: warning: unknown key \"gid-\"",
            "f:5:1: warning: unknown key \"cmd-\"",
            "f:6:1: warning: cmd-Start defines an action of its own: did you mean \"cmd-start\"?",
        ]
    );
    assert_eq!(program("[prog-a]\nuid-strat = 1\nsuid-back-up = x").actions().count(), 6);
}

#[test]
fn autostart_may_be_switched_off_for_all() {
    assert_eq!(config("do-autostart = no").autostart, None);
    assert_eq!(config("do-autostart = 0").autostart, None);
}

#[test]
fn the_folder_of_the_state_is_the_one_that_the_file_names() {
    let state_path = |text| config(text).state_path;

    assert_eq!(state_path("state-path = /var/lib/procmgr"), Some("/var/lib/procmgr".into()));
    assert_eq!(state_path("state-path = a state = b"), Some("a state = b".into()));
    assert_eq!(state_path("state-path = /a\nstate-path = /b"), Some("/b".into()));
    assert_eq!(state_path("socket-path = /s"), None);
    assert_eq!(state_path("[prog-a]\nstate-path = /a"), None);
}

#[test]
fn programs_outlive_the_daemon_unless_the_file_says_otherwise() {
    assert_eq!(config("socket-path = /s").on_exit, OnExit::Leave);
    assert_eq!(config("on-exit = leave").on_exit, OnExit::Leave);
    assert_eq!(config("on-exit = stop").on_exit, OnExit::Stop);
    assert_eq!(config("on-exit = stop\non-exit = leave").on_exit, OnExit::Leave);
    assert_eq!(config("[prog-a]\non-exit = stop").on_exit, OnExit::Leave);
}

#[test]
fn the_more_particular_level_says_who_is_allowed() {
    let cases = [
        ("", "", "", None),
        ("1", "", "", Some(1)),
        ("1", "2", "", Some(2)),
        ("1", "2", "3", Some(3)),
        ("1", "", "3", Some(3)),
        ("1", "none", "", None),
        ("1", "-1", "", None),
        ("1", "2", "none", None),
        ("none", "none", "3", Some(3)),
        ("none", "2", "", Some(2)),
    ];
    for (global, section, action, expected) in cases {
        let line = |key: &str, value: &str| match value {
            "" => String::new(),
            _ => format!("{key} = {value}\n"),
        };
        // The order of the levels in a section must not matter, so the most particular one comes first.
        let text = |id: &str| {
            line(&format!("allow-{id}"), global)
                + "[prog-a]\ncmd-stop=\n"
                + &line(&format!("{id}-stop"), action)
                + &line(&format!("allow-{id}"), section)
        };
        let with_uid = program(&text("uid"));
        let with_group = program(&text("gid"));

        let case = (global, section, action);
        assert_eq!(
            with_uid.rule(&Action::Stop).terms.allowed,
            Allowed::new(Vec::from_iter(expected.map(Uid)), []),
            "{case:?}"
        );
        assert_eq!(
            with_group.rule(&Action::Stop).terms.allowed,
            Allowed::new([], Vec::from_iter(expected.map(Gid))),
            "{case:?}"
        );
        let of_section: Option<u32> = if section.is_empty() { global } else { section }.parse().ok();
        let uids = Vec::from_iter(of_section.map(Uid));
        assert_eq!(*with_uid.rule(&Action::Start).terms.allowed.uids, uids, "{case:?}");
    }
}

#[test]
fn the_more_particular_level_says_as_whom_a_script_runs() {
    let user = |uid| Identity { uid: Some(Uid(uid)), gid: None, primary: None, groups: Some([].into()) };
    let group = |gid| Identity { gid: Some(Gid(gid)), ..Identity::default() };
    let cases = [
        ("[prog-a]\n", Identity::default()),
        ("default-suid=1\n[prog-a]\n", user(1)),
        ("default-suid=1\n[prog-a]\ndefault-suid=2\n", user(2)),
        ("default-suid=1\n[prog-a]\nsuid-stop=3\ndefault-suid=2\n", user(3)),
        ("default-suid=1\n[prog-a]\nsuid-start=3\ndefault-suid=none\n", Identity::default()),
        ("default-suid=1\n[prog-a]\ndefault-suid=2\nsuid-stop=-1\n", Identity::default()),
        ("default-sgid=1\n[prog-a]\n", group(1)),
        ("default-sgid=1\n[prog-a]\ndefault-sgid=2\n", group(2)),
        ("default-sgid=1\n[prog-a]\nsgid-stop=3\ndefault-sgid=2\n", group(3)),
        ("default-sgid=1\n[prog-a]\nsgid-stop=none\n", Identity::default()),
        ("default-suid=1\n[prog-a]\nsgid-stop=2\n", Identity { gid: Some(Gid(2)), ..user(1) }),
    ];
    for (text, identity) in cases {
        assert_eq!(
            program(&format!("{text}cmd-stop=\n")).rule(&Action::Stop).terms.identity,
            identity,
            "{text}"
        );
    }
}

#[test]
fn a_user_brings_its_groups_along() {
    let groups: Option<Arc<[Gid]>> = Some([Gid(70), Gid(71)].into());
    let cases = [
        ("suid-stop=7", Some(Gid(70)), groups.clone()),
        ("suid-stop=7\nsgid-stop=5", Some(Gid(5)), groups.clone()),
        ("suid-stop=7\nsgid-stop=none", Some(Gid(70)), groups),
        ("suid-stop=8", None, Some([].into())),
        ("suid-stop=8\nsgid-stop=5", Some(Gid(5)), Some([].into())),
        ("suid-stop=none\nsgid-stop=5", Some(Gid(5)), None),
    ];
    for (text, gid, groups) in cases {
        let definition = program(&format!("[prog-a]\ncmd-stop=\n{text}\n"));
        let identity = &definition.rule(&Action::Stop).terms.identity;
        assert_eq!((identity.group(), identity.groups.clone()), (gid, groups), "{text}");
    }
}

#[test]
fn a_user_that_cannot_be_looked_up_is_an_error() {
    assert_eq!(findings("default-suid = 9\n"), ["f:1:16: error: cannot look up user 9: I/O error"]);
}

#[test]
fn of_same_named_keys_and_sections_the_last_counts() {
    let config = config("[prog-a]\ncmd-stop=1\n[prog-b]\ncmd-stop=2\ncmd-stop=3\n[prog-a]\ncmd-start=4\n");

    let names: Vec<_> = config.programs.iter().map(|program| program.name.to_string()).collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(config.programs[0].rule(&Action::Stop).script.as_deref(), Some(&b"3"[..]));
    assert_eq!(config.programs[1].rule(&Action::Stop).script, None);
}
