//! The PID of a program is given to a stranger while no daemon looks: the stranger is left alone.
//!
//! In a PID namespace of its own, root may say which PID comes next, and whatever is left ends with it.

use std::path::Path;
use std::process::Command;

use crate::harness::{DEADLINE, Output, Sandbox, allowing_us, installed, is_root, procmgr, run};

/// What the scripts below have in common: a daemon that runs a program, and how to have a PID given to a stranger,
/// who tells which signals it gets.
const BEGINNING: &str = r#"
cd "$FOLDER"
procmgr() { "$PROCMGR" -c "$FOLDER/procmgr.cfg" "$@"; }
serve() { "$PROCMGR" -c "$FOLDER/procmgr.cfg" -d -f & daemon=$!; until procmgr -t > /dev/null 2>&1; do sleep 0.01; done; }
end() { kill -KILL $1; while [ -e /proc/$1 ]; do sleep 0.01; done; }
stranger='[ $$ = $0 ] || exit
    for signal in HUP INT QUIT TERM USR1 USR2; do trap "echo the stranger got $signal" $signal; done
    : > stranger
    while :; do sleep 0.1; done'
give_to_stranger() {
    until echo $(($1 - 1)) > /proc/sys/kernel/ns_last_pid; sh -c "$stranger" $1 & [ $! = $1 ]; do wait $!; done
    until [ -e stranger ]; do sleep 0.01; done
}
serve
procmgr p start
until [ -s births ]; do sleep 0.01; done
main=$(cat births)
"#;

/// Runs a script after the common beginning, in a namespace of its own, and returns what it has written and how it
/// has ended. `None` if that cannot be, which is told.
fn play(test: &str, keys: &str, script: &str) -> Option<Output> {
    if !is_root(test) {
        return None;
    }
    let tools = installed("unshare").zip(installed("timeout"));
    let Some((unshare, timeout)) = tools.filter(|_| Path::new(LAST_PID).exists()) else {
        eprintln!("skipped: {test} needs unshare, timeout and {LAST_PID}");
        return None;
    };
    let sandbox = Sandbox::new(&allowing_us(&format!(
        "[prog-p]\n{keys}cmd-start = echo $$ >> @/births; exec sleep 1000 > /dev/null 2>&1\n"
    )));
    let mut command = Command::new(timeout);
    command.args(["-s", "KILL", &DEADLINE.as_secs().to_string()]).arg(unshare);
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c"]);
    command.arg(format!("{BEGINNING}{script}"));
    command.env("FOLDER", sandbox.path("")).env("PROCMGR", procmgr().get_program());
    Some(run(&mut command))
}

/// The PID that was given last in a namespace. The kernel has it if it can restore processes from checkpoints.
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

#[test]
fn a_program_whose_pid_a_stranger_has_counts_as_dead() {
    let script = r"
end $daemon
end $main
give_to_stranger $main
serve
procmgr -a
procmgr p stop
echo $?
kill -0 $main && echo the stranger lives
";
    let Some(output) = play("a_program_whose_pid_a_stranger_has_counts_as_dead", "", script) else { return };
    assert_eq!(output.stdout, "p: dead\n125\nthe stranger lives\n", "{output:?}");
}

#[test]
fn a_program_whose_pid_a_stranger_has_is_started_again_after_the_delay() {
    let script = r"
end $daemon
end $main
give_to_stranger $main
serve
until [ $(wc -l < births) = 2 ]; do sleep 0.01; done
procmgr -a
procmgr p stop
echo $?
kill -0 $main && echo the stranger lives
";
    let test = "a_program_whose_pid_a_stranger_has_is_started_again_after_the_delay";
    let Some(output) = play(test, "restart-delay = 1\n", script) else { return };
    assert_eq!(output.stdout, "p: running\n143\nthe stranger lives\n", "{output:?}");
}

#[test]
fn a_stop_of_a_program_that_was_taken_over_never_meets_the_stranger_who_has_its_pid() {
    // The daemon hears of the death, of the request, and of whoever has the PID by then, all at once.
    let script = r"
end $daemon
serve
procmgr -a
kill -STOP $daemon
procmgr p stop & client=$!
end $main
give_to_stranger $main
kill -CONT $daemon
wait $client
echo $?
procmgr -a
kill -0 $main && echo the stranger lives
";
    let test = "a_stop_of_a_program_that_was_taken_over_never_meets_the_stranger_who_has_its_pid";
    let Some(output) = play(test, "", script) else { return };
    assert_eq!(output.stdout, "p: running adopted\n125\np: dead\nthe stranger lives\n", "{output:?}");
}
