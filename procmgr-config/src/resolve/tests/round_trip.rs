//! No configuration is misunderstood: what is written down is read back, and nothing brings the reader down.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::diagnostic::Severity;
use crate::resolve::identity;
use crate::resolve::tests::{account, read};
use crate::{Action, Allowed, Config, Definition, Gid, Group, OnExit, ProgramName, Rule, Terms, Uid};

/// Bytes that survive in a file: no NUL, no LF, no white space at the ends.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let odd =
        prop_oneof![any::<u8>(), Just(b'='), Just(b'#'), Just(b'"'), Just(b'\\'), Just(b']'), Just(b' ')];
    vec(odd.prop_filter("one line", |byte| !matches!(byte, 0 | b'\n')), 0..12).prop_map(|mut bytes| {
        let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | 9..=13));
        while is_space(bytes.last()) {
            bytes.pop();
        }
        while is_space(bytes.first()) {
            bytes.remove(0);
        }
        bytes
    })
}

fn ids() -> impl Strategy<Value = Option<u32>> {
    option::of(prop_oneof![0..8_u32, 10..u32::MAX])
}

fn rules() -> impl Strategy<Value = Rule> {
    (option::of(bytes()), ids(), ids(), ids(), ids()).prop_map(|(script, uid, gid, suid, sgid)| {
        let allowed = Allowed::new(Vec::from_iter(uid.map(Uid)), Vec::from_iter(gid.map(Gid)));
        let identity = identity(suid.map(|uid| account(Uid(uid)).unwrap()), sgid.map(Gid));
        Rule::new(script.map(Into::into), Terms { allowed, identity })
    })
}

fn definitions() -> impl Strategy<Value = Definition> {
    let group = || option::of((1..=u32::MAX).prop_map(Group));
    let delay = option::of((1..=i32::MAX as u64).prop_map(Duration::from_secs));
    let cwd = option::of("/[a-z]{0,5}".prop_map(|path| PathBuf::from(path).into()));
    (bytes(), delay, group(), cwd, vec(rules(), Action::BUILT_IN.len())).prop_map(
        |(name, restart_delay, autostart, cwd, rules)| {
            let mut rules = rules.into_iter();
            let definition = Definition::new(ProgramName::new(&name), Rule::default());
            let definition = definition.with_built_in(|_| rules.next().unwrap());
            Definition { restart_delay, autostart, cwd, ..definition }
        },
    )
}

fn configs() -> impl Strategy<Value = Config> {
    let path = || "[a-z/]{1,9}".prop_map(PathBuf::from);
    let on_exit = prop_oneof![Just(OnExit::Leave), Just(OnExit::Stop)];
    let autostart = option::of((1..=u32::MAX).prop_map(Group));
    (path(), option::of(path()), on_exit, autostart, vec(definitions(), 0..5)).prop_map(
        |(socket_path, state_path, on_exit, autostart, mut programs)| {
            let mut names = std::collections::HashSet::new();
            programs.retain(|program| names.insert(program.name.clone()));
            let programs = programs.into_iter().map(Arc::new).collect();
            Config { socket_path, state_path, on_exit, autostart, programs }
        },
    )
}

fn id(id: Option<u32>) -> String {
    id.map_or("none".to_owned(), |id| id.to_string())
}

/// Writes a configuration down, every value where it is most particular.
fn render(config: &Config) -> Vec<u8> {
    let group = |group: Option<Group>| group.map_or(0, |group| group.0);
    let on_exit = match config.on_exit {
        OnExit::Leave => "leave",
        OnExit::Stop => "stop",
    };
    let mut text = format!(
        "socket-path = {}\non-exit = {on_exit}\ndo-autostart = {}\n\
         allow-uid = 3\ndefault-suid = 3\ndefault-sgid = 3\n",
        config.socket_path.display(),
        group(config.autostart)
    )
    .into_bytes();
    if let Some(state_path) = &config.state_path {
        text.extend(format!("state-path = {}\n", state_path.display()).into_bytes());
    }
    for program in &config.programs {
        text.extend([b"[prog-", program.name.as_bytes(), b"]\nallow-gid = 4\n"].concat());
        let delay = program.restart_delay.map_or("none".to_owned(), |delay| delay.as_secs().to_string());
        text.extend(
            format!("restart-delay = {delay}\nautostart = {}\n", group(program.autostart)).into_bytes(),
        );
        if let Some(cwd) = &program.cwd {
            text.extend(format!("cwd = {}\n", cwd.display()).into_bytes());
        }
        for action in Action::BUILT_IN {
            let Rule { script, terms } = program.rule(&action);
            let Terms { allowed, identity } = &**terms;
            if let Some(script) = script {
                text.extend([format!("cmd-{action}=").as_bytes(), script, b"\n"].concat());
            }
            let lines = format!(
                "uid-{action} = {}\ngid-{action} = {}\nsuid-{action} = {}\nsgid-{action} = {}\n",
                id(allowed.uids.first().map(|uid| uid.0)),
                id(allowed.gids.first().map(|gid| gid.0)),
                id(identity.uid.map(|uid| uid.0)),
                id(identity.gid.map(|gid| gid.0)),
            );
            text.extend(lines.into_bytes());
        }
    }
    text
}

proptest! {
    #[test]
    fn what_is_written_down_is_read_back(config in configs()) {
        let (read, findings) = read(&render(&config));

        prop_assert!(!findings.has_errors(), "{:?}", findings);
        prop_assert_eq!(read, config);
    }

    #[test]
    fn no_file_brings_the_reader_down(text in vec(any::<u8>(), 0..400)) {
        let _ = read(&text);
    }

    #[test]
    fn no_finding_holds_a_byte_that_a_terminal_obeys(
        lines in vec(("(allow-uid|cwd|cmd-start|prog-a|\\[prog-|\\[|)", vec(any::<u8>(), 0..8), "(=|\\]|)"), 0..20)
    ) {
        let line = |(start, middle, end): (String, Vec<u8>, String)| {
            [start.as_bytes(), &middle, end.as_bytes(), b"\n"].concat()
        };

        let (_, findings) = read(&lines.into_iter().flat_map(line).collect::<Vec<u8>>());

        for finding in &findings.diagnostics {
            prop_assert!(finding.text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{:?}", finding);
        }
        let sorted = findings.diagnostics.is_sorted_by_key(|finding| (finding.line, finding.column));
        prop_assert!(sorted);
        prop_assert_eq!(findings.has_errors(), findings.diagnostics.iter().any(|d| d.severity == Severity::Error));
    }
}
