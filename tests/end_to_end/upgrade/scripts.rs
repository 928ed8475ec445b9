//! How scripts run after an upgrade: as before.
//!
//! How they run at all is told in the rooms outside.

use nix::sys::signal::{Signal, kill};

use crate::harness::{Sandbox, through_shell, wait_until};
use crate::scripts::{SHOW_SIGNALS, signals};

/// Shows what a script is given and what is not its own, as a pid is.
const SHOW_ALL: &str = "cat /proc/$$/environ; ulimit -a; umask; pwd; ls /proc/$$/fd; \
     exec grep -e ^Cap -e ^Uid -e ^Gid -e Groups -e ^PPid -e NoNewPrivs /proc/self/status";

#[test]
fn a_script_is_given_the_same_as_before() {
    let mut sandbox =
        Sandbox::installed(&format!("[prog-p]\ncmd-signal = {SHOW_ALL}\ncmd-status = {SHOW_SIGNALS}\n"));
    let mut command = sandbox.installed_command(sandbox.executable());
    command.args(["-l", "stderr", "-d", "-f"]);
    let unusual = "trap '' HUP USR1 PIPE; umask 027; ulimit -n 200; export NOISE=1; exec 9> held";
    let mut command = through_shell(unusual, &command);
    command.current_dir(sandbox.path(""));
    sandbox.run_daemon(command);
    let before = sandbox.succeed(&["p", "signal"]);

    for _ in 0..2 {
        sandbox.upgrade();
        assert_eq!(sandbox.succeed(&["p", "signal"]), before);
        let status = sandbox.succeed(&["p", "status"]);
        assert_eq!(["SigBlk", "SigIgn"].map(|name| signals(&status, name)), [0; 2]);
    }

    let variables = before.split('\0').filter_map(|variable| variable.split_once('='));
    let names: Vec<&str> = variables.map(|(name, _)| name).take(5).collect();
    assert_eq!(names, ["ACTION", "PATH", "PID", "PROGNAME", "SHELL"]);
    assert!(!before.contains("NOISE") && !before.contains("PROCMGR"), "{before}");
}

#[test]
fn what_runs_for_nobody_writes_to_the_log_in_the_foreground_as_before() {
    let sandbox = Sandbox::with_installed_daemon(
        "[prog-p]\nautostart = yes\nrestart-delay = 1\ncmd-start = echo \"this is $$\"; exec sleep 1000\n",
    );
    wait_until("it has written", || sandbox.logged("this is ") == 1);

    sandbox.upgrade();
    kill(sandbox.main_process("p"), Signal::SIGKILL).unwrap();

    wait_until("it has written again", || sandbox.logged("this is ") == 2);
    assert_eq!(sandbox.logged(&format!("this is {}\n", sandbox.main_process("p"))), 1);
}
