//! Much at once: programs, clients, bytes, requests; and nothing at all.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use procmgr_proto::client::{Client, Outcome};
use procmgr_proto::error::ClientError;
use procmgr_proto::message::{Code, ExitStatus, Invocation};
use procmgr_proto::stdio::StdioRef;

use crate::harness::{Sandbox, allowing_us, children, code, wait_for, wait_until};

const PROGRAMS: usize = 500;
const CLIENTS: usize = 200;

#[test]
fn five_hundred_programs_are_started_with_the_daemon_and_stopped() {
    let sandbox = daemon(&programs("autostart = yes\n"));
    wait_until("all programs run", || states(&sandbox, "running") == PROGRAMS);
    assert_eq!(children(sandbox.daemon_pid()).len(), PROGRAMS);
    // A daemon keeps no descriptor for a program.
    let before = sandbox.descriptors_of_idle_daemon();
    assert!(before < 20, "{before} descriptors");
    let mut client = Client::connect(&sandbox.socket()).unwrap();
    for number in 0..PROGRAMS {
        let outcome = client.invoke(invocation(number, "stop"), StdioRef::of_process()).unwrap();
        assert_eq!(outcome, Outcome::Exited(ExitStatus::Signal(15)));
    }
    drop(client);
    assert_eq!(states(&sandbox, "dead"), PROGRAMS);
    assert!(children(sandbox.daemon_pid()).is_empty());
    wait_until("all descriptors are closed", || sandbox.descriptors_of_idle_daemon() == before);
}

#[test]
fn five_hundred_programs_that_die_at_once_are_all_started_again() {
    let sandbox = daemon(&programs("autostart = yes\nrestart-delay = 1\n"));
    wait_until("all programs run", || states(&sandbox, "running") == PROGRAMS);
    let first = children(sandbox.daemon_pid());
    for program in &first {
        nix::sys::signal::kill(*program, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    wait_until("all programs run again", || {
        let now = children(sandbox.daemon_pid());
        now.len() == PROGRAMS && now.iter().all(|program| !first.contains(program))
    });
    assert_eq!(states(&sandbox, "running"), PROGRAMS);
}

#[test]
fn two_hundred_clients_are_served_at_once() {
    let sandbox =
        daemon("[prog-p]\ncmd-signal = echo >> @/arrived; : < @/gate; echo \"$0\"; cat; exit \"$1\"\n");
    let before = sandbox.descriptors_of_idle_daemon();
    nix::unistd::mkfifo(&sandbox.path("gate"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let clients: Vec<Child> = (0..CLIENTS)
        .map(|number| {
            let (word, status) = (format!("word-{number}"), (number % 100).to_string());
            fs::write(sandbox.path(format!("input-{number}")), format!("input {number}\n")).unwrap();
            spawn(&sandbox, number, &["p", "signal", &word, &status])
        })
        .collect();
    // Each script waits at the gate, so that all clients are under way at the same time.
    wait_until("all scripts have begun", || sandbox.read("arrived").lines().count() == CLIENTS);
    assert_eq!(sandbox.client(&["p", "status"]).stdout, "not running\n");
    drop(File::options().write(true).open(sandbox.path("gate")).unwrap());
    for (number, mut client) in clients.into_iter().enumerate() {
        assert_eq!(code(wait_for(&mut client)), i32::try_from(number % 100).unwrap());
        let output = sandbox.read(format!("output-{number}"));
        assert_eq!(output, format!("word-{number}\ninput {number}\n"));
    }
    wait_until("all descriptors are closed", || sandbox.descriptors_of_idle_daemon() == before);
}

#[test]
fn two_hundred_programs_are_started_and_stopped_by_two_hundred_clients_at_once() {
    let sandbox = daemon(&programs(""));
    let before = sandbox.descriptors_of_idle_daemon();
    for (action, expected, running) in [("start", 0, CLIENTS), ("restart", 0, CLIENTS), ("stop", 143, 0)] {
        let clients: Vec<Child> = (0..CLIENTS)
            .map(|number| spawn(&sandbox, number, &[format!("p{number}").as_str(), action]))
            .collect();
        for (number, mut client) in clients.into_iter().enumerate() {
            let output = || sandbox.read(format!("output-{number}"));
            assert_eq!(code(wait_for(&mut client)), expected, "{action} of p{number}: {}", output());
        }
        assert_eq!(states(&sandbox, "running"), running);
    }
    wait_until("all descriptors are closed", || sandbox.descriptors_of_idle_daemon() == before);
}

#[test]
fn of_two_hundred_clients_that_start_the_same_program_one_succeeds() {
    let sandbox = daemon(&programs(""));
    let clients: Vec<Child> = (0..CLIENTS).map(|number| spawn(&sandbox, number, &["p0", "start"])).collect();
    let codes: Vec<i32> = clients.into_iter().map(|mut client| code(wait_for(&mut client))).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1);
    assert_eq!(codes.iter().filter(|code| **code == 125).count(), CLIENTS - 1);
    assert_eq!(children(sandbox.daemon_pid()).len(), 1);
}

#[test]
fn fifty_megabytes_go_through_a_script_unchanged() {
    const LENGTH: usize = 50_000_000;
    let sandbox = daemon("[prog-p]\ncmd-signal = exec cat\n");
    let before = sandbox.descriptors_of_idle_daemon();
    // No two places of it look alike: a linear congruential generator.
    let mut state = 1_u64;
    let bytes: Vec<u8> = (0..LENGTH)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_le_bytes()[7]
        })
        .collect();
    let mut command = sandbox.command();
    command.args(["p", "signal"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = command.spawn().unwrap();
    let mut input = client.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        let bytes = &bytes;
        scope.spawn(move || input.write_all(bytes).unwrap());
        client.wait_with_output().unwrap()
    });
    assert_eq!(code(output.status), 0);
    assert!(output.stdout == bytes, "{} bytes have come, and not those that were sent", output.stdout.len());
    wait_until("all descriptors are closed", || sandbox.descriptors_of_idle_daemon() == before);
}

/// One of the named long tests: ten seconds are what is measured.
#[test]
fn an_idle_daemon_makes_no_system_call_in_ten_seconds() {
    let sandbox = daemon(&programs("autostart = yes\n"));
    wait_until("all programs run", || states(&sandbox, "running") == PROGRAMS);
    let _silent_client = Client::connect(&sandbox.socket()).unwrap();
    // The daemon is through with everybody else when it has answered, and then has nothing more to do.
    sandbox.descriptors_of_idle_daemon();
    let switches = || {
        ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"].map(|name| sandbox.daemon_statistic(name))
    };
    wait_until("the daemon sleeps", || {
        let before = switches();
        thread::sleep(Duration::from_millis(100));
        switches() == before
    });
    let before = switches();
    thread::sleep(Duration::from_secs(10));
    // Whoever sleeps in a call and makes another one is switched to and away in between.
    assert_eq!(switches(), before);
}

#[test]
fn thousands_of_requests_leave_no_memory_behind() {
    let sandbox =
        daemon("[prog-p]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\ncmd-signal = exit 3\n[prog-p0]\n");
    let before = sandbox.descriptors_of_idle_daemon();
    let play = |rounds: usize| {
        for round in 0..rounds {
            let mut client = Client::connect(&sandbox.socket()).unwrap();
            let mut invoke = |program: &str, action: &str, arguments: usize| {
                let invocation = Invocation {
                    program: program.into(),
                    action: action.into(),
                    arguments: vec![vec![b'x'; 1000]; arguments],
                };
                client.invoke(invocation, StdioRef::of_process())
            };
            assert_eq!(invoke("p", "signal", 1).unwrap(), Outcome::Exited(ExitStatus::Code(3)));
            assert_eq!(invoke("p", "start", 1).unwrap(), Outcome::Done);
            assert!(
                matches!(invoke("p", "start", 20), Err(ClientError::Refused(it)) if it.code == Code::Busy)
            );
            assert_eq!(invoke("p", "stop", 1).unwrap(), Outcome::Exited(ExitStatus::Signal(15)));
            let unknown = format!("nope-{round}");
            assert!(
                matches!(invoke(&unknown, "stop", 0), Err(ClientError::Refused(it)) if it.code == Code::NoProg)
            );
            assert_eq!(invoke("p", "status", 0).unwrap(), Outcome::Status { running: false });
            client.ping().unwrap();
            client.list().unwrap();
            client.reload().unwrap();
        }
    };
    play(50);
    let memory = sandbox.daemon_statistic("VmRSS");
    play(500);
    let grown = sandbox.daemon_statistic("VmRSS").saturating_sub(memory);
    eprintln!("{memory} KiB before, {grown} KiB more after 4500 requests");
    assert!(grown < 1 << 10, "the daemon has grown by {grown} KiB");
    wait_until("all descriptors are closed", || sandbox.descriptors_of_idle_daemon() == before);
}

/// Starts a daemon in which whoever runs the tests may do everything.
fn daemon(config: &str) -> Sandbox {
    Sandbox::with_daemon(&allowing_us(config))
}

/// Returns a configuration of many programs with this in their sections.
fn programs(definition: &str) -> String {
    (0..PROGRAMS).fold(String::new(), |mut config, number| {
        let start = "cmd-start = exec sleep 1000 > /dev/null 2>&1";
        writeln!(config, "[prog-p{number}]\n{start}\n{definition}").unwrap();
        config
    })
}

/// Returns how many programs are listed as in this state.
fn states(sandbox: &Sandbox, state: &str) -> usize {
    sandbox.succeed(&["-a"]).lines().filter(|line| line.ends_with(&format!(": {state}"))).count()
}

fn invocation(number: usize, action: &str) -> Invocation {
    Invocation { program: format!("p{number}").into(), action: action.into(), arguments: Vec::new() }
}

/// Runs a client of its number, whose output goes into a file, and whose input is from one if there is one.
fn spawn(sandbox: &Sandbox, number: usize, arguments: &[&str]) -> Child {
    let output = File::create(sandbox.path(format!("output-{number}"))).unwrap();
    let input =
        File::open(sandbox.path(format!("input-{number}"))).map_or_else(|_| Stdio::null(), Stdio::from);
    let mut command = sandbox.command();
    command.args(arguments).stdin(input).stdout(output.try_clone().unwrap()).stderr(output);
    command.spawn().unwrap()
}
