//! What the system has too little of: processes, descriptors, memory, room in files. Service goes on, and nothing is
//! lost.
//!
//! What one user may take of the daemon is tested in `hostile::limits`; a full disk, in `records`.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, chown};
use procmgr_proto::client::Client;
use procmgr_proto::error::ClientError;
use procmgr_proto::message::{Code, Invocation};
use procmgr_proto::stdio::StdioRef;

use crate::harness::{Sandbox, allowing_us, children, is_alive, is_root, run, through_shell, wait_until};

/// A user of whom nothing else runs.
const SOMEBODY: u32 = 61_011;

#[test]
fn where_no_process_can_be_created_that_is_told_and_it_is_tried_again() {
    if !is_root("where_no_process_can_be_created_that_is_told_and_it_is_tried_again") {
        return;
    }
    let config = format!(
        "allow-uid = 0\n{}[prog-back]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\nrestart-delay = 1\n",
        programs(40, "")
    );
    let mut sandbox = Sandbox::new(&config);
    for path in [sandbox.config(), sandbox.path("")] {
        chown(&path, Some(Uid::from_raw(SOMEBODY)), None).unwrap();
    }
    let mut command = sandbox.command();
    command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
    let command = as_somebody(&sandbox, &command, 30);
    sandbox.run_daemon(command);
    sandbox.succeed(&["back", "start"]);
    let back = only_child(&sandbox);

    let refused = (0..40).map(|number| sandbox.client(&[&format!("p{number}"), "start"]));
    let refused: Vec<_> = refused.skip_while(|output| output.code == 0).collect();
    let first = refused.first().expect("there is no room for all");
    assert_eq!(first.code, 125);
    assert!(first.stderr.starts_with("ERROR: (SPAWN) cannot run start of p"), "{}", first.stderr);
    assert!(first.stderr.contains("Resource temporarily unavailable"), "{}", first.stderr);
    assert_eq!(sandbox.client(&["p0", "status"]).stdout, "running\n");

    // Somebody else takes its place, and gives it back.
    kill(back, Signal::SIGKILL).unwrap();
    wait_until("its place is taken", || sandbox.client(&["p39", "start"]).code == 0);
    wait_until("its start has failed", || sandbox.log().contains("back: cannot be started"));
    assert_eq!(sandbox.client(&["p39", "stop"]).code, 143);
    wait_until("it is back", || sandbox.client(&["back", "status"]).stdout == "running\n");
}

#[test]
fn more_programs_than_descriptors_are_taken_over_and_clients_are_served_still() {
    const COUNT: usize = 60;
    let mut sandbox = Sandbox::new(&allowing_us(&programs(COUNT, "autostart = yes\n")));
    let daemon = |sandbox: &Sandbox| {
        let mut command = sandbox.command();
        command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
        through_shell("ulimit -n 64", &command)
    };
    let command = daemon(&sandbox);
    sandbox.run_daemon(command);
    wait_until("all run", || children(sandbox.daemon_pid()).len() == COUNT);
    let programs = children(sandbox.daemon_pid());
    kill(sandbox.daemon_pid(), Signal::SIGKILL).unwrap();
    sandbox.wait_for_daemon();

    let command = daemon(&sandbox);
    sandbox.run_daemon(command);
    let adopted = |sandbox: &Sandbox| sandbox.succeed(&["-a"]).matches("running adopted").count();
    assert_eq!(adopted(&sandbox), COUNT);
    sandbox.succeed(&["-u"]);
    assert_eq!(adopted(&sandbox), COUNT);
    // Some of them are watched, the others looked after.
    let stopped = [0, 1, COUNT - 2, COUNT - 1];
    for number in stopped {
        let output = sandbox.client(&[&format!("p{number}"), "stop"]);
        assert!([143, 125].contains(&output.code) && output.stderr.is_empty(), "{output:?}");
    }
    assert_eq!(sandbox.succeed(&["-a"]).matches("dead").count(), stopped.len());
    assert_eq!(programs.iter().filter(|program| !is_alive(**program)).count(), stopped.len());
}

#[test]
fn a_large_request_for_which_there_is_no_memory_is_refused_and_the_next_one_served() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-signal = exit 3\n"));
    let pid = sandbox.daemon_pid();
    let size = sandbox.daemon_statistic("VmSize") * 1024;
    let limit = format!("--as={}", size + (7 << 20));
    let output = run(Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]));
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    for _ in 0..3 {
        let arguments = vec![vec![b'x'; 100_000]; 38];
        let invocation = Invocation { program: b"p".to_vec(), action: b"signal".to_vec(), arguments };
        let mut client = Client::connect(&sandbox.socket()).unwrap();
        match client.invoke(invocation, StdioRef::of_process()) {
            Err(ClientError::Refused(refusal)) => assert_eq!(refusal.code, Code::Limit),
            other => panic!("{other:?}"),
        }
        assert_eq!(sandbox.client(&["p", "signal"]).code, 3);
    }
    assert_eq!(sandbox.daemon_pid(), pid);
}

#[test]
fn records_that_would_be_longer_than_files_may_be_end_nobody() {
    let mut sandbox = Sandbox::new(&allowing_us(&programs(60, "autostart = yes\n")));
    let mut command = sandbox.command();
    command.args(["-d", "-f"]);
    sandbox.run_daemon(through_shell("ulimit -f 8", &command));
    wait_until("all run", || children(sandbox.daemon_pid()).len() == 60);
    assert!(fs::metadata(sandbox.path("socket.state/programs")).unwrap().len() <= 8 * 1024);
    assert_eq!(sandbox.client(&["p7", "stop"]).code, 143);
    sandbox.succeed(&["p7", "start"]);
}

#[test]
fn a_program_that_was_started_while_nothing_could_be_put_on_record_is_taken_over_if_it_could_be_later() {
    let config = "state-path = @/missing/state\n[prog-p]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\n";
    let mut sandbox = Sandbox::with_daemon(&allowing_us(config));
    wait_until("it is told", || sandbox.log().contains("cannot keep the state in"));
    sandbox.succeed(&["p", "start"]);
    let program = only_child(&sandbox);
    fs::create_dir(sandbox.path("missing")).unwrap();
    wait_until("it works", || sandbox.log().contains("the state is kept in"));
    kill(sandbox.daemon_pid(), Signal::SIGKILL).unwrap();
    sandbox.wait_for_daemon();
    sandbox.start_daemon(&[]);
    assert_eq!(sandbox.succeed(&["-a"]), "p: running adopted\n");
    assert_eq!(sandbox.client(&["p", "stop"]).code, 143);
    wait_until("it was the one that was stopped", || !is_alive(program));
}

#[test]
fn a_thousand_programs_that_were_taken_over_and_die_at_once_are_all_started_again() {
    const COUNT: usize = 1000;
    let config = allowing_us(&programs(COUNT, "autostart = yes\nrestart-delay = 1\n"));
    let mut sandbox = Sandbox::with_daemon(&config);
    wait_until("all run", || children(sandbox.daemon_pid()).len() == COUNT);
    let first = children(sandbox.daemon_pid());
    kill(sandbox.daemon_pid(), Signal::SIGKILL).unwrap();
    sandbox.wait_for_daemon();
    sandbox.start_daemon(&[]);
    for program in &first {
        kill(*program, Signal::SIGKILL).unwrap();
    }
    wait_until("all run again", || children(sandbox.daemon_pid()).len() == COUNT);
    let list = sandbox.succeed(&["-a"]);
    assert_eq!((list.matches("running").count(), list.matches("adopted").count()), (COUNT, 0));
}

/// Returns a command that does the same as another user, who may have so many processes. Root only.
fn as_somebody(sandbox: &Sandbox, command: &Command, processes: u32) -> Command {
    // The folder that it was built in may be closed to others.
    let program = sandbox.path("procmgr");
    fs::copy(command.get_program(), &program).unwrap();
    let id = SOMEBODY.to_string();
    let mut other = Command::new("setpriv");
    other.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
    other.args(["prlimit", &format!("--nproc={processes}"), "--"]);
    other.arg(program).args(command.get_args());
    other
}

fn programs(count: usize, keys: &str) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        write!(text, "[prog-p{number}]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\n{keys}").unwrap();
        text
    })
}

fn only_child(sandbox: &Sandbox) -> Pid {
    match children(sandbox.daemon_pid()).as_slice() {
        [child] => *child,
        others => panic!("{others:?}"),
    }
}
