//! What each action does to a program, by default and by a script.
//!
//! Who may ask for it is tested in `rights`, how its script runs in `scripts`.

use std::fs;
use std::path::Path;
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Output, Sandbox, allowing_us, answer, ask, code, is_alive, lines, wait_until};

/// A program that runs until somebody ends it. Its `signal` tells which process the daemon takes for it.
///
/// It lets go of its client's pipes: whoever reads them waits for all that might write.
const SLEEPER: &str = "[prog-p]\ncmd-start = exec sleep 1000 >/dev/null 2>&1\ncmd-signal = echo $PID\n";

/// A program that no signal ends: it exits with status 7 when the file `up` is gone, at the latest with the folder.
/// Once it is deaf to signals it adds a line to `deaf`.
const STUBBORN: &str = "[prog-p]\n\
    cmd-start = trap '' TERM; exec >/dev/null 2>&1; echo >> @/deaf; while [ -e @/up ]; do sleep 0.02; done; exit 7\n\
    cmd-signal = echo $PID\n";

/// Starts a daemon, and `p` on it. More keys of its section may follow.
fn started(program: &str, more: &str) -> Sandbox {
    let mut sandbox = Sandbox::new(&allowing_us(&format!("{program}{more}")));
    fs::write(sandbox.path("up"), "").unwrap();
    sandbox.start_daemon(&[]);
    sandbox.succeed(&["p", "start"]);
    sandbox
}

/// Starts a daemon, and a stubborn `p` on it, which does not heed signals any more when this returns.
fn started_stubborn(more: &str) -> Sandbox {
    let sandbox = started(STUBBORN, more);
    lines(&sandbox, "deaf", 1);
    sandbox
}

/// Returns which process the daemon takes for the program.
fn main_process(sandbox: &Sandbox) -> Pid {
    Pid::from_raw(sandbox.succeed(&["p", "signal"]).trim().parse().unwrap())
}

/// Waits until the list shows `p` like this.
#[track_caller]
fn wait_for_state(sandbox: &Sandbox, state: &str) {
    wait_until(&format!("p is {state}"), || sandbox.succeed(&["-a"]) == format!("p: {state}\n"));
}

/// Lets a stubborn program end.
fn let_end(sandbox: &Sandbox) {
    fs::remove_file(sandbox.path("up")).unwrap();
}

#[track_caller]
fn assert_waits(client: &mut Child) {
    assert!(client.try_wait().unwrap().is_none(), "the client does not wait");
}

#[track_caller]
fn assert_refused(output: &Output, code: &str) {
    assert_eq!((output.code, output.stdout.as_str()), (125, ""), "{output:?}");
    assert!(output.stderr.starts_with(&format!("ERROR: ({code}) ")), "{output:?}");
    assert_eq!(output.stderr.matches('\n').count(), 1, "{output:?}");
}

// Start.

#[test]
fn start_returns_at_once_with_success() {
    let sandbox = Sandbox::with_daemon(&allowing_us(SLEEPER));

    // Whether the client waits for the program shows by whether this ever returns.
    let output = sandbox.client(&["p", "start"]);

    assert_eq!(output, Output { code: 0, stdout: String::new(), stderr: String::new() });
    assert!(is_alive(main_process(&sandbox)));
}

#[test]
fn start_succeeds_even_if_the_script_fails_at_once() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-start = exit 3\n"));

    let output = sandbox.client(&["p", "start"]);

    assert_eq!(output.code, 0);
    wait_for_state(&sandbox, "dead");
}

#[test]
fn the_pid_of_the_program_is_that_of_its_start_script() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = echo $$ > @/pid; exec sleep 1000 >/dev/null 2>&1\ncmd-signal = echo $PID\n",
    ));
    sandbox.succeed(&["p", "start"]);

    let pid = main_process(&sandbox);

    assert_eq!(lines(&sandbox, "pid", 1), [pid.to_string()]);
    // By `exec` the program has taken the place of the shell.
    wait_until("the script has become the program", || {
        fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "sleep\n"
    });
}

#[test]
fn start_without_a_script_fails() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-stop = :\n"));

    let output = sandbox.client(&["p", "start"]);

    assert_refused(&output, "NOCMD");
    assert_eq!(sandbox.client(&["p", "status"]).stdout, "not running\n");
}

#[test]
fn start_of_a_program_that_runs_is_refused_and_changes_nothing() {
    let sandbox = started(SLEEPER, "");
    let pid = main_process(&sandbox);

    let output = sandbox.client(&["p", "start"]);

    assert_refused(&output, "BUSY");
    assert_eq!(main_process(&sandbox), pid);
}

#[test]
fn start_after_the_end_starts_the_program_again() {
    let sandbox = started(SLEEPER, "");
    let pid = main_process(&sandbox);
    kill(pid, Signal::SIGKILL).unwrap();
    wait_for_state(&sandbox, "dead");

    sandbox.succeed(&["p", "start"]);

    assert_ne!(main_process(&sandbox), pid);
}

#[test]
fn start_that_cannot_be_executed_is_told_and_leaves_the_program_down() {
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!("{SLEEPER}cwd = @/none\n")));

    let output = sandbox.client(&["p", "start"]);

    assert_refused(&output, "SPAWN");
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

// Stop.

#[test]
fn stop_sends_sigterm_by_default() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = trap 'exit 9' TERM; echo > @/trapping; exec >/dev/null 2>&1\
         ; while :; do sleep 0.02; done\n",
    ));
    sandbox.succeed(&["p", "start"]);
    lines(&sandbox, "trapping", 1);

    let output = sandbox.client(&["p", "stop"]);

    assert_eq!(output, Output { code: 9, stdout: String::new(), stderr: String::new() });
}

#[test]
fn stop_of_a_program_that_a_signal_ends_returns_128_and_the_signal() {
    let sandbox = started(SLEEPER, "");
    assert_eq!(sandbox.client(&["p", "stop"]).code, 128 + 15);

    let sandbox = started_stubborn("");
    let stop = ask(&sandbox, &["p", "stop"]);
    wait_for_state(&sandbox, "running stopping");
    kill(main_process(&sandbox), Signal::SIGKILL).unwrap();
    assert_eq!(answer(stop).code, 128 + 9);
}

#[test]
fn stop_signals_the_program_and_not_what_it_has_started() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = exec >/dev/null 2>&1; sleep 1000 & echo $! > @/child; wait\n",
    ));
    sandbox.succeed(&["p", "start"]);
    let child = Pid::from_raw(lines(&sandbox, "child", 1)[0].parse().unwrap());

    let output = sandbox.client(&["p", "stop"]);

    assert_eq!(output.code, 128 + 15);
    assert!(is_alive(child));
    kill(child, Signal::SIGKILL).unwrap();
}

#[test]
fn stop_waits_for_the_program_not_for_its_script() {
    let sandbox = started_stubborn("cmd-stop = echo $$ > @/script; exit 3\n");
    let mut stop = ask(&sandbox, &["p", "stop"]);
    let script = Pid::from_raw(lines(&sandbox, "script", 1)[0].parse().unwrap());
    wait_until("the stop script has ended", || !Path::new(&format!("/proc/{script}")).exists());
    assert_eq!(sandbox.succeed(&["-a"]), "p: running stopping\n");
    assert_waits(&mut stop);

    let_end(&sandbox);

    assert_eq!(answer(stop).code, 7, "the status of the program, not the script's 3");
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

#[test]
fn stop_returns_when_the_program_has_ended_although_its_script_goes_on() {
    let sandbox =
        started(SLEEPER, "cmd-stop = kill -KILL $PID; echo $$ > @/script; exec sleep 1000 >/dev/null 2>&1\n");

    let output = sandbox.client(&["p", "stop"]);

    assert_eq!(output.code, 128 + 9);
    let script = Pid::from_raw(lines(&sandbox, "script", 1)[0].parse().unwrap());
    assert!(is_alive(script));
}

#[test]
fn the_stop_script_is_told_the_pid_of_the_program() {
    let sandbox = started(SLEEPER, "cmd-stop = echo $PID; kill $PID\n");
    let pid = main_process(&sandbox);

    let output = sandbox.client(&["p", "stop"]);

    assert_eq!((output.code, output.stdout), (128 + 15, format!("{pid}\n")));
    assert!(!is_alive(pid));
}

#[test]
fn several_stops_at_once_all_wait_and_get_the_same_status() {
    let sandbox = started_stubborn("cmd-stop = echo >> @/stops\n");
    let mut stops: Vec<Child> = (0..3).map(|_| ask(&sandbox, &["p", "stop"])).collect();
    lines(&sandbox, "stops", 3);
    stops.iter_mut().for_each(assert_waits);

    let_end(&sandbox);

    for stop in stops {
        assert_eq!(answer(stop).code, 7);
    }
}

#[test]
fn stop_of_a_program_that_is_down_is_refused() {
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!("{SLEEPER}cmd-stop = echo > @/ran\n")));

    let output = sandbox.client(&["p", "stop"]);

    assert_refused(&output, "NOTRUNNING");
    assert!(!sandbox.path("ran").exists());
}

#[test]
fn start_of_a_program_that_is_stopping_is_refused() {
    let sandbox = started_stubborn("");
    let stop = ask(&sandbox, &["p", "stop"]);
    wait_for_state(&sandbox, "running stopping");

    let output = sandbox.client(&["p", "start"]);

    assert_refused(&output, "BUSY");
    let_end(&sandbox);
    assert_eq!(answer(stop).code, 7);
}

#[test]
fn stop_whose_script_cannot_be_executed_is_told_and_leaves_the_program_running() {
    let sandbox =
        Sandbox::with_daemon(&allowing_us(&format!("{SLEEPER}cmd-stop = kill $PID\ncwd = @/cwd\n")));
    fs::create_dir(sandbox.path("cwd")).unwrap();
    sandbox.succeed(&["p", "start"]);
    fs::remove_dir(sandbox.path("cwd")).unwrap();

    let output = sandbox.client(&["p", "stop"]);

    assert_refused(&output, "SPAWN");
    assert_eq!(sandbox.succeed(&["-a"]), "p: running\n");
}

// Restart.

#[test]
fn restart_stops_the_program_and_starts_it_again() {
    let sandbox = started(SLEEPER, "");
    let old = main_process(&sandbox);

    // Whether the client waits for the new program shows by whether this ever returns.
    let output = sandbox.client(&["p", "restart"]);

    assert_eq!(output, Output { code: 0, stdout: String::new(), stderr: String::new() });
    assert!(!is_alive(old));
    let new = main_process(&sandbox);
    assert!(new != old && is_alive(new));
}

#[test]
fn restart_uses_the_scripts_of_stop_and_start_for_its_own_client() {
    let sandbox = started(
        SLEEPER,
        "cmd-stop = echo \"stop $# arguments\"; kill $PID\n\
         cmd-start = echo \"start $0 $*\"; exec sleep 1000 >/dev/null 2>&1\n",
    );

    let output = sandbox.succeed(&["p", "restart", "a", "b c"]);

    assert_eq!(output, "stop 0 arguments\nstart a b c\n");
}

#[test]
fn restart_waits_for_the_old_process_before_it_starts_the_new_one() {
    let sandbox = started_stubborn("");
    let mut restart = ask(&sandbox, &["p", "restart"]);
    wait_for_state(&sandbox, "running restarting");
    assert_waits(&mut restart);
    assert_eq!(sandbox.read("deaf").lines().count(), 1);

    let_end(&sandbox);

    assert_eq!(answer(restart).code, 0);
    lines(&sandbox, "deaf", 2);
}

#[test]
fn a_restart_script_takes_over_the_program_and_the_client_does_not_wait_for_it() {
    let sandbox = started(
        SLEEPER,
        "cmd-restart = echo $PID; echo $$ > @/new; kill $PID; exec sleep 1000 >/dev/null 2>&1\n",
    );
    let old = main_process(&sandbox);

    let output = sandbox.client(&["p", "restart"]);

    assert_eq!((output.code, output.stdout), (0, format!("{old}\n")));
    assert_eq!(lines(&sandbox, "new", 1), [main_process(&sandbox).to_string()]);
}

#[test]
fn after_a_restart_script_the_death_of_the_old_process_is_not_that_of_the_program() {
    let sandbox = started(SLEEPER, "cmd-restart = exec sleep 1000 >/dev/null 2>&1\nrestart-delay = 1000\n");
    let old = main_process(&sandbox);
    sandbox.succeed(&["p", "restart"]);
    let new = main_process(&sandbox);
    assert!(new != old && is_alive(old), "the old process is the script's to end");

    kill(old, Signal::SIGKILL).unwrap();
    wait_until("the old process is reaped", || !Path::new(&format!("/proc/{old}")).exists());

    assert_eq!(sandbox.succeed(&["-a"]), "p: running\n");
    assert_eq!(main_process(&sandbox), new);
}

#[test]
fn a_restart_script_cancels_the_stops_that_wait() {
    let sandbox = started_stubborn("cmd-restart = exec sleep 1000 >/dev/null 2>&1\n");
    let stop = ask(&sandbox, &["p", "stop"]);
    wait_for_state(&sandbox, "running stopping");

    sandbox.succeed(&["p", "restart"]);

    assert_refused(&answer(stop), "CANCELLED");
    assert_eq!(sandbox.succeed(&["-a"]), "p: running\n");
}

#[test]
fn restart_of_a_program_that_is_restarting_is_refused() {
    let sandbox = started_stubborn("");
    let first = ask(&sandbox, &["p", "restart"]);
    wait_for_state(&sandbox, "running restarting");

    let second = sandbox.client(&["p", "restart"]);

    assert_refused(&second, "BUSY");
    let_end(&sandbox);
    assert_eq!(answer(first).code, 0);
}

#[test]
fn stop_cancels_a_restart_that_waits_for_the_old_process() {
    let sandbox = started_stubborn("");
    let restart = ask(&sandbox, &["p", "restart"]);
    wait_for_state(&sandbox, "running restarting");

    let stop = ask(&sandbox, &["p", "stop"]);

    assert_refused(&answer(restart), "CANCELLED");
    assert_eq!(sandbox.succeed(&["-a"]), "p: running stopping\n");
    let_end(&sandbox);
    assert_eq!(answer(stop).code, 7);
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

#[test]
fn restart_of_a_program_that_is_stopping_lets_the_stop_finish_and_starts_it_then() {
    let sandbox = started_stubborn("");
    let stop = ask(&sandbox, &["p", "stop"]);
    wait_for_state(&sandbox, "running stopping");
    let restart = ask(&sandbox, &["p", "restart"]);
    wait_for_state(&sandbox, "running restarting");

    let_end(&sandbox);

    assert_eq!((answer(stop).code, answer(restart).code), (7, 0));
}

#[test]
fn restart_of_a_program_that_is_down_is_refused_whether_by_a_script_or_not() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = exec sleep 1000\n\
         [prog-scripted]\ncmd-start = exec sleep 1000\ncmd-restart = echo > @/ran\n",
    ));

    assert_refused(&sandbox.client(&["p", "restart"]), "NOTRUNNING");
    assert_refused(&sandbox.client(&["scripted", "restart"]), "NOTRUNNING");

    assert!(!sandbox.path("ran").exists());
    assert_eq!(sandbox.succeed(&["-a"]), "p       : dead\nscripted: dead\n");
}

// What waits to be started again.

/// Starts `p` and has it die, so that it waits for a quarter of an hour to be started again.
fn in_backoff(more: &str) -> Sandbox {
    let sandbox = started(SLEEPER, &format!("restart-delay = 1000\n{more}"));
    kill(main_process(&sandbox), Signal::SIGKILL).unwrap();
    wait_for_state(&sandbox, "dead restarting");
    sandbox
}

#[test]
fn start_does_not_wait_for_the_restart_delay() {
    let sandbox = in_backoff("");

    sandbox.succeed(&["p", "start"]);

    assert_eq!(sandbox.succeed(&["-a"]), "p: running\n");
}

#[test]
fn restart_does_not_wait_for_the_restart_delay() {
    for more in ["", "cmd-restart = echo > @/ran\n"] {
        let sandbox = in_backoff(more);

        sandbox.succeed(&["p", "restart"]);

        assert_eq!(sandbox.succeed(&["-a"]), "p: running\n");
        assert!(!sandbox.path("ran").exists(), "there is nothing that a restart script could restart");
    }
}

#[test]
fn stop_takes_back_the_start_that_is_to_come() {
    let sandbox = in_backoff("cmd-stop = echo > @/ran\n");

    assert_eq!(sandbox.succeed(&["p", "stop"]), "");

    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
    assert!(!sandbox.path("ran").exists());
    assert_refused(&sandbox.client(&["p", "stop"]), "NOTRUNNING");
}

// Reload.

#[test]
fn a_reload_script_is_waited_for_and_its_status_passed_on() {
    let sandbox =
        started(SLEEPER, "cmd-reload = echo $PID > @/pid; while [ -e @/up ]; do sleep 0.02; done; exit 5\n");
    let pid = main_process(&sandbox);
    let mut reload = ask(&sandbox, &["p", "reload"]);
    assert_eq!(lines(&sandbox, "pid", 1), [pid.to_string()]);
    assert_waits(&mut reload);

    let_end(&sandbox);

    assert_eq!(answer(reload).code, 5);
    assert_eq!(main_process(&sandbox), pid, "without downtime");
}

#[test]
fn a_reload_script_can_have_the_program_read_its_configuration_again() {
    let sandbox = started(
        SLEEPER,
        "cmd-start = trap 'echo >> @/hups' HUP; echo > @/trapping; exec >/dev/null 2>&1\
         ; while [ -e @/up ]; do sleep 0.02; done\n\
         cmd-reload = kill -HUP $PID\n",
    );
    lines(&sandbox, "trapping", 1);
    let pid = main_process(&sandbox);

    sandbox.succeed(&["p", "reload"]);

    lines(&sandbox, "hups", 1);
    assert_eq!(main_process(&sandbox), pid);
}

#[test]
fn reload_restarts_the_program_by_default() {
    let sandbox = started(SLEEPER, "");
    let old = main_process(&sandbox);

    let output = sandbox.client(&["p", "reload"]);

    assert_eq!((output.code, output.stdout.as_str()), (0, ""));
    assert!(!is_alive(old));
    assert_ne!(main_process(&sandbox), old);
}

#[test]
fn reload_restarts_the_program_by_its_restart_script_by_default() {
    let sandbox =
        started(SLEEPER, "cmd-restart = echo \"$ACTION $PID\"; kill $PID; exec sleep 1000 >/dev/null 2>&1\n");
    let old = main_process(&sandbox);

    let output = sandbox.succeed(&["p", "reload"]);

    assert_eq!(output, format!("restart {old}\n"));
    assert_ne!(main_process(&sandbox), old);
}

#[test]
fn reload_of_a_program_that_is_down_is_refused_whether_by_a_script_or_not() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = exec sleep 1000\n\
         [prog-scripted]\ncmd-start = exec sleep 1000\ncmd-reload = echo > @/ran\n",
    ));

    assert_refused(&sandbox.client(&["p", "reload"]), "NOTRUNNING");
    assert_refused(&sandbox.client(&["scripted", "reload"]), "NOTRUNNING");

    assert!(!sandbox.path("ran").exists());
}

// Signal.

#[test]
fn signal_does_nothing_and_succeeds_by_default() {
    let sandbox =
        Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-start = exec sleep 1000 >/dev/null 2>&1\n"));
    assert_eq!(sandbox.succeed(&["p", "signal"]), "");
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
    sandbox.succeed(&["p", "start"]);

    assert_eq!(sandbox.succeed(&["p", "signal"]), "");

    assert_eq!(sandbox.succeed(&["-a"]), "p: running\n");
}

#[test]
fn a_signal_script_does_whatever_it_wishes_in_any_state_and_its_status_is_passed_on() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = exec sleep 1000 >/dev/null 2>&1\ncmd-signal = echo \"${PID:+up} $0\"; exit $1\n",
    ));

    let down = sandbox.client(&["p", "signal", "hello", "4"]);
    sandbox.succeed(&["p", "start"]);
    let up = sandbox.client(&["p", "signal", "hello", "5"]);

    assert_eq!((down.code, down.stdout.as_str()), (4, " hello\n"));
    assert_eq!((up.code, up.stdout.as_str()), (5, "up hello\n"));
}

#[test]
fn a_script_that_a_signal_ends_makes_the_client_return_128_and_the_signal() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-signal = kill -USR1 $$\n"));

    let output = sandbox.client(&["p", "signal"]);

    assert_eq!(output, Output { code: 128 + 10, stdout: String::new(), stderr: String::new() });
}

#[test]
fn a_signal_script_that_ends_the_program_is_no_stop() {
    let sandbox = started(SLEEPER, "restart-delay = 1000\ncmd-signal = kill -INT $PID\n");

    sandbox.succeed(&["p", "signal"]);

    wait_for_state(&sandbox, "dead restarting");
}

// Status.

#[test]
fn status_tells_by_default_whether_the_program_runs() {
    let sandbox = Sandbox::with_daemon(&allowing_us(SLEEPER));
    let output = |code, stdout: &str| Output { code, stdout: stdout.to_owned(), stderr: String::new() };
    assert_eq!(sandbox.client(&["p", "status"]), output(1, "not running\n"));

    sandbox.succeed(&["p", "start"]);
    assert_eq!(sandbox.client(&["p", "status"]), output(0, "running\n"));

    sandbox.client(&["p", "stop"]);
    assert_eq!(sandbox.client(&["p", "status"]), output(1, "not running\n"));
}

#[test]
fn a_program_that_waits_to_be_started_again_is_not_running() {
    let sandbox = in_backoff("");

    let output = sandbox.client(&["p", "status"]);

    assert_eq!((output.code, output.stdout.as_str()), (1, "not running\n"));
}

#[test]
fn a_status_script_prints_and_returns_what_it_wishes() {
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!(
        "{SLEEPER}cmd-status = if [ \"$PID\" ]; then echo fine; else echo gone; exit 3; fi\n"
    )));

    let down = sandbox.client(&["p", "status"]);
    sandbox.succeed(&["p", "start"]);
    let up = sandbox.client(&["p", "status"]);

    assert_eq!((down.code, down.stdout.as_str()), (3, "gone\n"));
    assert_eq!((up.code, up.stdout.as_str()), (0, "fine\n"));
}

// Names.

#[test]
fn an_unknown_program_is_refused() {
    let sandbox = Sandbox::with_daemon(&allowing_us(SLEEPER));

    assert_refused(&sandbox.client(&["q", "start"]), "NOPROG");
    assert_refused(&sandbox.client(&["P", "start"]), "NOPROG");
    assert_refused(&sandbox.client(&["prog-p", "start"]), "NOPROG");
    assert_refused(&sandbox.client(&["", "start"]), "NOPROG");
}

#[test]
fn an_unknown_action_is_refused() {
    let sandbox = Sandbox::with_daemon(&allowing_us(SLEEPER));

    assert_refused(&sandbox.client(&["p", "sart"]), "NOACTION");
    assert_refused(&sandbox.client(&["p", "START"]), "NOACTION");
    assert_refused(&sandbox.client(&["p", ""]), "NOACTION");
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

#[test]
fn programs_are_managed_apart_from_each_other() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-a]\ncmd-start = exec sleep 1000 >/dev/null 2>&1\n[prog-b]\ncmd-start = exec sleep 1000 >/dev/null 2>&1\n",
    ));
    sandbox.succeed(&["a", "start"]);
    sandbox.succeed(&["b", "start"]);

    assert_eq!(sandbox.client(&["a", "stop"]).code, 128 + 15);

    assert_eq!(sandbox.succeed(&["-a"]), "a: dead\nb: running\n");
}

// Who goes away.

#[test]
fn a_client_that_is_killed_while_it_waits_for_a_stop_changes_nothing() {
    let sandbox = started_stubborn("restart-delay = 1000\n");
    let descriptors = sandbox.daemon_descriptors();
    let mut stop = ask(&sandbox, &["p", "stop"]);
    wait_for_state(&sandbox, "running stopping");

    stop.kill().unwrap();
    assert_eq!(code(stop.wait().unwrap()), 128 + 9);
    wait_until("the daemon has let go of the client", || sandbox.daemon_descriptors() <= descriptors);

    assert_eq!(sandbox.succeed(&["-a"]), "p: running stopping\n");
    let_end(&sandbox);
    // Stopped, it is not to be started again, although nobody waits for the stop any more.
    wait_for_state(&sandbox, "dead");
}

#[test]
fn a_script_goes_on_when_its_client_is_killed() {
    let sandbox = started(
        SLEEPER,
        "cmd-reload = echo > @/begun; while [ -e @/up ]; do sleep 0.02; done; echo > @/ended\n",
    );
    let pid = main_process(&sandbox);
    let mut reload = ask(&sandbox, &["p", "reload"]);
    lines(&sandbox, "begun", 1);

    reload.kill().unwrap();
    reload.wait().unwrap();
    let_end(&sandbox);

    lines(&sandbox, "ended", 1);
    assert_eq!(main_process(&sandbox), pid);
}

#[test]
fn a_restart_goes_on_when_its_client_is_killed() {
    let sandbox = started_stubborn("");
    let mut restart = ask(&sandbox, &["p", "restart"]);
    wait_for_state(&sandbox, "running restarting");

    restart.kill().unwrap();
    restart.wait().unwrap();
    let_end(&sandbox);

    lines(&sandbox, "deaf", 2);
}

/// Starts `p`, and clients that wait for its stop, its restart and its reload script.
fn with_waiting_clients() -> (Sandbox, Vec<Child>) {
    let q = STUBBORN.replace("[prog-p]", "[prog-q]");
    let sandbox = started_stubborn(&format!(
        "cmd-reload = echo > @/reloading; while [ -e @/up ]; do sleep 0.02; done\n{q}"
    ));
    sandbox.succeed(&["q", "start"]);
    lines(&sandbox, "deaf", 2);
    let waiting =
        [["p", "reload"], ["p", "stop"], ["q", "restart"]].map(|arguments| ask(&sandbox, &arguments)).into();
    lines(&sandbox, "reloading", 1);
    wait_until("all clients wait", || {
        sandbox.succeed(&["-a"]) == "p: running stopping\nq: running restarting\n"
    });
    (sandbox, waiting)
}

#[test]
fn a_daemon_that_ends_tells_every_client_that_waits() {
    let (mut sandbox, clients) = with_waiting_clients();

    assert_eq!(code(sandbox.terminate_daemon()), 0);

    // The reload script holds the pipes of its client until it ends.
    let_end(&sandbox);
    for client in clients {
        assert_refused(&answer(client), "SHUTDOWN");
    }
}

#[test]
fn a_daemon_that_is_killed_ends_every_client_that_waits_with_an_error() {
    let (mut sandbox, clients) = with_waiting_clients();

    kill(sandbox.daemon_pid(), Signal::SIGKILL).unwrap();

    assert_eq!(code(sandbox.wait_for_daemon()), 128 + 9);
    let_end(&sandbox);
    for client in clients {
        let output = answer(client);
        assert_eq!(output.code, 125);
        assert_eq!(output.stderr, "ERROR: the daemon went away before it answered\n");
    }
}
