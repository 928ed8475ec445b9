//! Completion in the shell: it offers what may be done, and nothing else.
//!
//! What may be done is told in `inspection`.

use std::path::Path;
use std::process::Command;

use crate::harness::{Sandbox, allowing_us, installed, procmgr, run};

/// The words that are offered behind a command line, whose last word is the one to be completed. `None` without a bash.
fn offered(sandbox: &Sandbox, words: &[&str]) -> Option<Vec<String>> {
    let Some(bash) = installed("bash") else {
        eprintln!("skipped: completion needs bash");
        return None;
    };
    let script = "\
source \"$0\"; compopt() { :; }
COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_procmgr \"$1\" \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"
[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\\n' \"${COMPREPLY[@]}\"";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions/procmgr.bash");
    let mut shell = Command::new(bash);
    shell.args(["--norc", "-c", script]).arg(file).arg(procmgr().get_program()).args(words);
    shell.env_remove("PROCMGR_SOCKET").env("PROCMGR_CONFFILE", sandbox.config());
    let result = run(&mut shell);
    assert_eq!((result.code, result.stderr.as_str()), (0, ""), "{words:?}");
    Some(result.stdout.lines().map(str::to_owned).collect())
}

#[track_caller]
fn assert_offered(sandbox: &Sandbox, words: &[&str], expected: &[&str]) {
    if let Some(offered) = offered(sandbox, words) {
        assert_eq!(offered, expected, "{words:?}");
    }
}

const PROGRAMS: &str = "\
[prog-web]\ncmd-start = exit\ncmd-rotate = exit\n\
[prog-worker]\n\
[prog-a b: c]\ncmd-start = exit\n";

#[test]
fn programs_and_actions_are_offered_that_one_may_perform() {
    let sandbox = Sandbox::with_daemon(&allowing_us(PROGRAMS));
    assert_offered(&sandbox, &[""], &["web", "worker", "a\\ b:\\ c"]);
    assert_offered(&sandbox, &["we"], &["web"]);
    assert_offered(&sandbox, &["a\\ b"], &["a\\ b:\\ c"]);
    assert_offered(&sandbox, &["web", "r"], &["restart", "reload", "rotate"]);
    assert_offered(&sandbox, &["-q", "--timeout", "5", "web", "st"], &["start", "stop", "status"]);
    assert_offered(&sandbox, &["a\\ b:\\ c", "sta"], &["start", "status"]);
    assert_offered(&sandbox, &["nobody", ""], &[]);
    // These belong to the script.
    assert_offered(&sandbox, &["web", "rotate", ""], &[]);
    assert_offered(&sandbox, &["web", "rotate", "--j"], &[]);
}

#[test]
fn a_configuration_that_is_named_is_heeded() {
    let sandbox = Sandbox::with_daemon(&allowing_us(PROGRAMS));
    let other = Sandbox::with_daemon(&allowing_us("[prog-other]\n"));
    let config = other.config().display().to_string();
    assert_offered(&sandbox, &["-c", &config, ""], &["other"]);
    assert_offered(&sandbox, &["--config", "=", &config, ""], &["other"]);
}

#[test]
fn options_and_their_values_are_offered() {
    let sandbox = Sandbox::new("");
    assert_offered(&sandbox, &["--a"], &["--autostart", "--all", "--allowed"]);
    assert_offered(&sandbox, &["-r", "--d"], &["--daemon", "--dry-run"]);
    assert_offered(&sandbox, &["-L", "W"], &["WARN"]);
    assert_offered(&sandbox, &["--log", "=", "std"], &["stderr"]);
    assert_offered(&sandbox, &["-A", ""], &["yes", "no"]);
    let config = sandbox.config().display().to_string();
    assert_offered(&sandbox, &["-c", &config[..config.len() - 3]], &[&config]);
}

#[test]
fn nothing_is_offered_without_a_daemon() {
    let sandbox = Sandbox::new(PROGRAMS);
    assert_offered(&sandbox, &[""], &[]);
    assert_offered(&sandbox, &["web", ""], &[]);
}
