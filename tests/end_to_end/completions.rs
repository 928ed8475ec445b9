//! Completion in bash, zsh and fish: it offers the options, what may be done, and nothing that does harm.
//!
//! Who may do what is shown in `rights` and `inspection`.

mod shell;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::completions::shell::{Name, Shell, shells};
use crate::harness::{Sandbox, allowing_us, procmgr, run};

const PROGRAMS: &str = "\
[prog-web]\ncmd-start = exit\ncmd-rotate = exit\n\
[prog-worker]\ncmd-clean up = exit\n\
[prog-db]\ncmd-start = exit\n";

#[track_caller]
fn assert_offers(shell: &Shell<'_>, line: &str, expected: &[&str]) {
    assert_eq!(shell.offers(line), expected, "{shell} {line:?}");
}

// What may be done.

#[test]
fn programs_and_actions_are_offered_that_one_may_perform() {
    let sandbox = Sandbox::with_daemon(&allowing_us(PROGRAMS));
    for shell in shells("programs_and_actions_are_offered_that_one_may_perform", &sandbox) {
        assert_offers(&shell, "procmgr ", &["db", "web", "worker"]);
        assert_offers(&shell, "procmgr w", &["web", "worker"]);
        assert_offers(&shell, "procmgr web r", &["reload", "restart", "rotate"]);
        assert_offers(&shell, "procmgr db r", &["reload", "restart"]);
        assert_offers(&shell, "procmgr -q --timeout 5 web st", &["start", "status", "stop"]);
        assert_offers(&shell, "procmgr --idempotent -- web sta", &["start", "status"]);
        assert_offers(&shell, "procmgr nobody ", &[]);
        assert_eq!(shell.hands_over("procmgr wo\tcle\tx"), ["worker", "clean up", "x"], "{shell}");
    }
}

#[test]
fn whoever_names_a_configuration_is_offered_what_its_daemon_tells() {
    let sandbox = Sandbox::with_daemon(&allowing_us(PROGRAMS));
    let programs = "[prog-other]\ncmd-start = exit\n[prog-more]\ncmd-start = exit\n";
    let other = Sandbox::with_daemon(&allowing_us(programs));
    let named = other.path("it's a file");
    fs::copy(other.config(), &named).unwrap();
    let config = other.config().display().to_string();
    for mut shell in shells("whoever_names_a_configuration_is_offered_what_its_daemon_tells", &sandbox) {
        for option in ["-c ", "-c", "-qc ", "-qc", "--config ", "--config=", "-c none -c ", "-P x -c"] {
            assert_offers(&shell, &format!("procmgr {option}{config} "), &["more", "other"]);
        }
        let quoted = format!("\"{}\"", named.display());
        assert_offers(&shell, &format!("procmgr -c {quoted} o"), &["other"]);
        let escaped = named.display().to_string().replace('\'', "\\'").replace(' ', "\\ ");
        assert_offers(&shell, &format!("procmgr --config={escaped} other rel"), &["reload"]);
        // This is not expanded, so it leads nowhere.
        assert_offers(&shell, &format!("procmgr -c $(echo {config}) "), &[]);

        shell.set("PROCMGR_CONFFILE", &config);
        assert_offers(&shell, "procmgr ", &["more", "other"]);
        shell.set("PROCMGR_SOCKET", sandbox.socket().to_str().unwrap());
        assert_offers(&shell, &format!("procmgr -c {config} "), &["db", "web", "worker"]);
    }
}

#[test]
fn a_configuration_is_found_below_the_home_of_the_user() {
    let sandbox = Sandbox::with_daemon(&allowing_us(PROGRAMS));
    fs::create_dir(sandbox.path("home")).unwrap();
    fs::copy(sandbox.config(), sandbox.path("home/mine.cfg")).unwrap();
    for mut shell in shells("a_configuration_is_found_below_the_home_of_the_user", &sandbox) {
        shell.set("PROCMGR_CONFFILE", "/nowhere");
        assert_offers(&shell, "procmgr -c ~/mine.cfg d", &["db"]);
    }
}

// Options.

#[test]
fn every_option_of_the_help_is_offered() {
    let sandbox = Sandbox::new("");
    let help = run(procmgr().arg("-h")).stdout;
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names = lines.map(|line| line.split("  ").next().unwrap_or_default());
    let words = names.flat_map(|names| names.split([' ', ',']));
    let mut expected: Vec<&str> = words.filter(|word| word.starts_with('-')).collect();
    expected.sort_unstable();
    assert!(expected.len() >= 40, "{help}");
    for shell in shells("every_option_of_the_help_is_offered", &sandbox) {
        let offered = shell.offers("procmgr -");
        let offered: Vec<&str> = offered.iter().map(|word| word.trim_end_matches('=')).collect();
        assert_eq!(offered, expected, "{shell}");
    }
}

#[test]
fn values_of_options_are_offered() {
    let sandbox = Sandbox::with_daemon(&allowing_us(PROGRAMS));
    for shell in shells("values_of_options_are_offered", &sandbox) {
        for (line, words) in [
            ("procmgr -L ", &["CRITICAL", "DEBUG", "ERROR", "FATAL", "INFO", "NOTE", "WARN"][..]),
            ("procmgr --loglevel W", &["WARN"]),
            ("procmgr -d --log l", &LOCAL_LOGS),
            ("procmgr -l s", &["stderr"]),
            ("procmgr -dA ", &["no", "yes"]),
            ("procmgr --autostart y", &["yes"]),
            ("procmgr --timeout ", &[]),
        ] {
            assert_offers(&shell, line, words);
        }
        assert_eq!(shell.hands_over("procmgr -dfL WA\t-A n\t"), ["-dfL", "WARN", "-A", "no"]);
        assert_eq!(shell.hands_over("procmgr --log=std\tweb rot\t"), ["--log=stderr", "web", "rotate"]);
        assert_eq!(shell.hands_over("procmgr -LFA\tweb rot\t"), ["-LFATAL", "web", "rotate"]);
        for option in ["-c", "--config", "-P", "--pidfile"] {
            let words = shell.hands_over(&format!("procmgr {option} ./procmgr.c\t-t"));
            assert_eq!(words, [option, "./procmgr.cfg", "-t"], "{shell}");
        }
        assert_eq!(shell.hands_over("procmgr --config=./procmgr.c\t-t"), ["--config=./procmgr.cfg", "-t"]);
    }
}

const LOCAL_LOGS: [&str; 9] =
    ["local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7", "lpr"];

#[test]
fn options_end_at_the_first_word_and_what_follows_the_action_is_the_scripts() {
    let sandbox = Sandbox::with_daemon(&allowing_us(PROGRAMS));
    for shell in shells("options_end_at_the_first_word_and_what_follows_the_action_is_the_scripts", &sandbox)
    {
        assert_offers(&shell, "procmgr web -", &[]);
        assert_offers(&shell, "procmgr -- --", &[]);
        for words in ["web rotate", "-- web rotate x", "web rotate -c"] {
            for (typed, completed) in [("--allo", "--allo"), ("./procmgr.c", "./procmgr.cfg")] {
                let mut expected: Vec<&str> = words.split(' ').collect();
                expected.push(completed);
                assert_eq!(shell.hands_over(&format!("procmgr {words} {typed}\t")), expected, "{shell}");
            }
        }
    }
}

#[test]
fn a_mode_takes_no_program() {
    let sandbox = Sandbox::with_daemon(&allowing_us(PROGRAMS));
    for shell in shells("a_mode_takes_no_program", &sandbox) {
        for mode in ["-a", "--all", "-t", "-rn", "-df", "--watch", "--check", "-qdL DEBUG"] {
            assert_offers(&shell, &format!("procmgr {mode} w"), &[]);
        }
    }
}

// Whatever there is.

#[test]
fn nothing_is_offered_nor_said_without_an_answer() {
    let sandbox = Sandbox::new(PROGRAMS);
    mkfifo(&sandbox.path("fifo"), Mode::S_IRWXU).unwrap();
    for shell in shells("nothing_is_offered_nor_said_without_an_answer", &sandbox) {
        for config in ["procmgr.cfg", "missing", ".", "fifo", "/dev/zero", "-x", "''"] {
            assert_offers(&shell, &format!("procmgr -c {config} "), &[]);
        }
        assert_offers(&shell, "procmgr web ", &[]);
        // Connections are accepted by the kernel; nobody ever reads what is asked.
        let _silent = UnixListener::bind(sandbox.socket()).unwrap();
        assert_offers(&shell, "procmgr ", &[]);
        fs::remove_file(sandbox.socket()).unwrap();
    }
}

/// Names that would do something if a shell expanded them, and what is typed of each. `@` is the folder.
const MALICIOUS: [(&str, &str); 13] = [
    ("$(touch @/harm)", "\\$"),
    // Bash itself completes nothing behind a word that ends with a backquote or a separator.
    ("`touch @/harm`x", "\\`"),
    (";touch @/harm", "\\;"),
    ("&touch @/harm", "\\&"),
    (">@/harm", "\\>"),
    ("|touch @/harm", "\\|"),
    ("(touch @/harm)", "\\("),
    ("'$(touch @/harm)'", "\\'"),
    ("\"$(touch @/harm)\"", "\\\""),
    ("a b: c=d@e", "a"),
    ("~zoë *?[x]{y,z}!", "\\~"),
    ("#$HOME\\", "\\#"),
    ("%1^2!!", "%"),
];

fn malicious() -> String {
    let sections =
        MALICIOUS.map(|(name, _)| format!("[prog-{name}]\ncmd-start = :\ncmd-{} = :\n", action(name)));
    allowing_us(&sections.concat())
}

/// Returns an action that is as malicious: its key ends at the first `=`.
fn action(name: &str) -> String {
    format!("x{}", name.replace('=', ""))
}

#[test]
fn names_are_handed_over_as_they_are_and_do_nothing() {
    let sandbox = Sandbox::with_daemon(&malicious());
    let folder = sandbox.path("").display().to_string();
    for shell in shells("names_are_handed_over_as_they_are_and_do_nothing", &sandbox) {
        for (name, typed) in MALICIOUS {
            let name = name.replace('@', folder.trim_end_matches('/'));
            let words = shell.hands_over(&format!("procmgr {typed}\tx\t"));
            assert_eq!(words, [name.clone(), action(&name)], "{shell}");
        }
        assert!(!sandbox.path("harm").exists(), "{shell}");
    }
}

#[test]
fn names_are_completed_within_quotes_and_behind_colons() {
    let names = ["a b:c", "it's $x", "q:one", "q:two"];
    let sections = names.map(|name| format!("[prog-{name}]\ncmd-start = :\n"));
    let sandbox = Sandbox::with_daemon(&allowing_us(&sections.concat()));
    for shell in shells("names_are_completed_within_quotes_and_behind_colons", &sandbox) {
        for (keys, name) in [
            ("'a \t", "a b:c"),
            ("\"a b\t", "a b:c"),
            ("a\\ b:\t", "a b:c"),
            ("'a'\\ b:\t", "a b:c"),
            ("it\\'s\t", "it's $x"),
            ("q:o\t", "q:one"),
            ("q\to\t", "q:one"),
            ("q\\:o\t", "q:one"),
        ] {
            // Some line editors leave a space behind the closing quote, some do not.
            let words = shell.hands_over(&format!("procmgr {keys} star\t"));
            assert_eq!(words, [name, "start"], "{shell} {keys:?}");
        }
    }
}

#[test]
fn names_that_terminals_obey_are_not_offered_and_like_options_only_behind_the_end_of_options() {
    let test = "names_that_terminals_obey_are_not_offered_and_like_options_only_behind_the_end_of_options";
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-e\x1b[2J]\n[prog-e\x07]\n[prog-e\u{9b}2J]\n[prog-e\x7f]\n[prog-e\tx]\n[prog-]\n\
         [prog--x]\n[prog---allow]\n[prog-even]\ncmd-x\x1b[2J = :\ncmd-x\rx = :\ncmd-xx = :\n",
    ));
    for shell in shells(test, &sandbox) {
        assert_offers(&shell, "procmgr ", &["even"]);
        assert_offers(&shell, "procmgr even x", &["xx"]);
        assert_offers(&shell, "procmgr --allow", &["--allowed"]);
        assert_offers(&shell, "procmgr -- -", &["--allow", "-x"]);
    }
}

#[test]
fn bash_completes_the_same_with_its_usual_completions_about() {
    let sandbox = Sandbox::with_daemon(&allowing_us(PROGRAMS));
    let usual = "/usr/share/bash-completion/bash_completion";
    if !Path::new(usual).exists() {
        eprintln!("skipped: bash_completes_the_same_with_its_usual_completions_about needs bash-completion");
        return;
    }
    let shells = shells("bash_completes_the_same_with_its_usual_completions_about", &sandbox);
    for shell in shells.iter().filter(|shell| shell.name == Name::Bash) {
        let words = shell.hands_over_after(&format!("source {usual}"), "procmgr --log=std\two\tcle\t");
        assert_eq!(words, ["--log=stderr", "worker", "clean up"]);
    }
}
