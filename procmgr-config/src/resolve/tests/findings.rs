//! What is found in whole files: each error and each warning, with its place.

use std::fmt::Write;

use crate::resolve::tests::{findings, read};

#[test]
fn each_unusable_value_is_told_with_its_place_and_what_was_expected() {
    let uids = "names or ids (0 to 4294967294) of users, or none";
    let gids = "names or ids (0 to 4294967294) of groups, or none";
    let uid = "the name or id (0 to 4294967294) of a user, or none";
    let gid = "the name or id (0 to 4294967294) of a group, or none";
    let delay = "a number of seconds from -2147483648 to 2147483647, or none";
    let group = "yes, no, or a number from 0 to 4294967295";
    let cases = [
        ("allow-uid = 12a", format!("f:1:13: error: invalid allow-uid \"12a\": expected {uids}")),
        ("allow-uid =", format!("f:1:12: error: invalid allow-uid \"\": expected {uids}")),
        ("  allow-gid=\t+5", format!("f:1:14: error: invalid allow-gid \"+5\": expected {gids}")),
        ("default-suid = -2", format!("f:1:16: error: invalid default-suid \"-2\": expected {uid}")),
        ("default-sgid = 0x10", format!("f:1:16: error: invalid default-sgid \"0x10\": expected {gid}")),
        ("do-autostart = maybe", format!("f:1:16: error: invalid do-autostart \"maybe\": expected {group}")),
        ("socket-path =", "f:1:14: error: invalid socket-path \"\": expected a path".to_owned()),
        ("state-path =", "f:1:13: error: invalid state-path \"\": expected a path".to_owned()),
        ("on-exit = x", "f:1:11: error: invalid on-exit \"x\": expected leave or stop".to_owned()),
        ("on-exit =", "f:1:10: error: invalid on-exit \"\": expected leave or stop".to_owned()),
        (
            "[prog-a]\nallow-uid = 4294967295",
            format!("f:2:13: error: invalid allow-uid \"4294967295\": expected {uids}"),
        ),
        (
            "[prog-a]\nallow-gid = 99999999999",
            format!("f:2:13: error: invalid allow-gid \"99999999999\": expected {gids}"),
        ),
        (
            "[prog-a]\ndefault-suid=1\x1b",
            format!("f:2:14: error: invalid default-suid \"1\\x1b\": expected {uid}"),
        ),
        (
            "[prog-a]\ndefault-sgid=1 2",
            format!("f:2:14: error: invalid default-sgid \"1 2\": expected {gid}"),
        ),
        ("[prog-a]\nuid-stop=-", format!("f:2:10: error: invalid uid-stop \"-\": expected {uids}")),
        (
            "[prog-a]\ngid-reload=1 none",
            format!("f:2:12: error: invalid gid-reload \"1 none\": expected {gids}"),
        ),
        (
            "[prog-a]\ncmd-signal=\nsuid-signal=anna staff",
            format!("f:3:13: error: invalid suid-signal \"anna staff\": expected {uid}"),
        ),
        (
            "[prog-a]\ncmd-stop=\nsgid-stop=1a",
            format!("f:3:11: error: invalid sgid-stop \"1a\": expected {gid}"),
        ),
        (
            "[prog-a]\nrestart-delay = 2147483648",
            format!("f:2:17: error: invalid restart-delay \"2147483648\": expected {delay}"),
        ),
        (
            "[prog-a]\nautostart = none",
            format!("f:2:13: error: invalid autostart \"none\": expected {group}"),
        ),
        (
            "supplementary-groups =",
            "f:1:23: error: invalid supplementary-groups \"\": expected yes or no".to_owned(),
        ),
        ("[prog-a]\ncwd =", "f:2:6: error: invalid cwd \"\": expected a path".to_owned()),
    ];
    for (text, expected) in cases {
        assert_eq!(findings(text), [expected], "{text}");
    }
}

#[test]
fn each_mistake_of_syntax_is_told_and_hides_nothing_below() {
    let text = "garbage\nallow-uid = 1x\n[prog-a\ncmd-start = a\0b\n# \0\n[prog-b] # b\nautostart = 1\n\
                restart-delay = soon\n";

    assert_eq!(
        findings(text),
        [
            "f:1:1: error: neither a [section] nor a comment nor \"key = value\"",
            "f:2:13: error: invalid allow-uid \"1x\": expected names or ids (0 to 4294967294) of users, or none",
            "f:3:1: error: a section must end its line with \"]\"",
            "f:4:14: error: NUL byte",
            "f:5:3: error: NUL byte",
            "f:6:1: error: a section must end its line with \"]\"",
            "f:7:1: warning: autostart has no effect without cmd-start",
            "f:8:17: error: invalid restart-delay \"soon\": expected a number of seconds from -2147483648 to \
             2147483647, or none",
        ]
    );
}

#[test]
fn each_oddity_is_a_warning_and_stops_nothing() {
    let cases = [
        (
            "sokcet-path = /s",
            vec!["f:1:1: warning: unknown key \"sokcet-path\": did you mean \"socket-path\"?"],
        ),
        (
            "cmd-start = x",
            vec!["f:1:1: warning: unknown key \"cmd-start\": it belongs into the section of a program"],
        ),
        ("onexit = stop", vec!["f:1:1: warning: unknown key \"onexit\": did you mean \"on-exit\"?"]),
        ("= x", vec!["f:1:1: warning: unknown key \"\""]),
        (
            "[prog-a]\n socket-path = /s",
            vec!["f:2:2: warning: unknown key \"socket-path\": it belongs ahead of the first section"],
        ),
        (
            "[prog-a]\nstate-path = /s\non-exit = stop",
            vec![
                "f:2:1: warning: unknown key \"state-path\": it belongs ahead of the first section",
                "f:3:1: warning: unknown key \"on-exit\": it belongs ahead of the first section",
            ],
        ),
        (
            "[prog-a]\ncmd-strat=",
            vec!["f:2:1: warning: cmd-strat defines an action of its own: did you mean \"cmd-start\"?"],
        ),
        ("[prog-a]\nenvironment = 5", vec!["f:2:1: warning: unknown key \"environment\""]),
        ("[program-a]\nx=", vec!["f:1:2: warning: unknown section \"program-a\": did you mean \"prog-a\"?"]),
        ("[\x1b]", vec!["f:1:2: warning: unknown section \"\\x1b\": those of programs begin with \"prog-\""]),
        (
            "[prog-a]\n[prog-a]\n[prog-a]",
            vec![
                "f:1:2: warning: section \"prog-a\" is ignored: the one in line 3 counts",
                "f:2:2: warning: section \"prog-a\" is ignored: the one in line 3 counts",
            ],
        ),
        (
            "allow-uid=1\nallow-uid=2\nallow-uid=3",
            vec![
                "f:1:1: warning: allow-uid is ignored: the one in line 3 counts",
                "f:2:1: warning: allow-uid is ignored: the one in line 3 counts",
            ],
        ),
        (
            "[prog-a]\nautostart=2\nrestart-delay=1\nuid-start=none\ngid-start=1",
            vec![
                "f:2:1: warning: autostart has no effect without cmd-start",
                "f:3:1: warning: restart-delay has no effect without cmd-start",
                "f:4:1: warning: uid-start has no effect without cmd-start",
                "f:5:1: warning: gid-start has no effect without cmd-start",
            ],
        ),
        ("[prog-a]\nautostart=no\nrestart-delay=0\nuid-stop=1\ngid-status=1\ndefault-suid=1", vec![]),
        (
            "[prog-a]\nsuid-stop=1\nsgid-status=1",
            vec![
                "f:2:1: warning: suid-stop has no effect without cmd-stop",
                "f:3:1: warning: sgid-status has no effect without cmd-status",
            ],
        ),
        (
            "[prog-a]\ncwd = srv",
            vec!["f:2:7: warning: relative cwd \"srv\": depends on where the daemon was started"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(findings(text), expected, "{text}");
    }
}

#[test]
fn what_does_not_count_is_not_judged() {
    let text = "allow-uid=x\nallow-uid=1\n[other]\nallow-uid=x\n[prog-a]\nallow-uid=x\nnonsense=\n[prog-a]\n\
                autostart=x\nautostart=0\n";

    assert_eq!(
        findings(text),
        [
            "f:1:1: warning: allow-uid is ignored: the one in line 2 counts",
            "f:3:2: warning: unknown section \"other\": those of programs begin with \"prog-\"",
            "f:5:2: warning: section \"prog-a\" is ignored: the one in line 8 counts",
            "f:9:1: warning: autostart is ignored: the one in line 10 counts",
        ]
    );
}

#[test]
fn a_file_full_of_oddities_is_judged_without_delay() {
    let text: String = (0..200_000).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "[prog-{}]\ncmd-strat = x\ncmd-strat = y", number % 3);
        text
    });

    let (config, findings) = read(text.as_bytes());

    assert_eq!(config.programs.len(), 3);
    assert_eq!(findings.lines().last().unwrap(), "f:298:2: warning: 199903 more findings");
}
