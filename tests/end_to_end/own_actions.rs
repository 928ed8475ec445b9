//! Actions that a section gives a name and a script of its own.

use crate::harness::{Sandbox, allowing_us};

#[test]
fn an_action_of_its_own_is_run_and_answered_as_signal_is() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = exec sleep 1000 >/dev/null 2>&1\n\
         cmd-back-up = echo \"$ACTION of $PROGNAME: $0 $1, ${PID:+running}\"; cat; exit 7\n",
    ));
    let down = sandbox.client(&["p", "back-up", "-x", "--json"]);
    assert_eq!((down.code, down.stdout.as_str()), (7, "back-up of p: -x --json, \n"), "{down:?}");
    sandbox.succeed(&["p", "start"]);
    let up = sandbox.client(&["p", "back-up", "a", "b"]);
    assert_eq!((up.code, up.stdout.as_str()), (7, "back-up of p: a b, running\n"), "{up:?}");
}

#[test]
fn an_action_that_no_section_has_is_refused() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\nuid-dance = 1\n[prog-q]\ncmd-dance = :\n"));
    let refused = sandbox.client(&["p", "dance"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (125, ""));
    assert_eq!(refused.stderr, "ERROR: (NOACTION) there is no action dance\n");
    sandbox.succeed(&["q", "dance"]);
}

#[test]
fn a_name_near_a_built_in_one_is_remarked_upon() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-start = :\n"));
    sandbox.configure(&allowing_us("[prog-p]\ncmd-strat = :\n"));
    let reload = sandbox.client(&["-r"]);
    assert_eq!(reload.code, 0, "{reload:?}");
    let remark = "warning: cmd-strat defines an action of its own: did you mean \"cmd-start\"?\n";
    assert!(reload.stderr.ends_with(remark), "{reload:?}");
}
