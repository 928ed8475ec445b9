//! Clients over an upgrade: whoever waits is served by the new image, and nobody notices which one it is.
//!
//! What becomes of the daemon itself is in `process`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use procmgr_proto::client::Client;
use procmgr_proto::codec::encode_request;
use procmgr_proto::message::{Invocation, Request};
use procmgr_proto::stdio;

use crate::harness::{DEADLINE, Output, Sandbox, answer, ask, is_root, lines, run, wait_until};
use crate::succession::{LASTING, STUBBORN};

// Who waits.

#[test]
fn all_who_wait_for_a_stop_are_told_how_the_program_has_ended() {
    let sandbox = Sandbox::with_installed_daemon(&format!("[prog-p]\n{STUBBORN}"));
    sandbox.succeed(&["p", "start"]);
    wait_until("the program can be asked", || sandbox.path("up").exists());
    let early = ask(&sandbox, &["p", "stop"]);
    lines(&sandbox, "terms", 1);

    sandbox.upgrade();

    assert_eq!(sandbox.list(), "p: running stopping\n");
    let late = ask(&sandbox, &["p", "stop"]);
    lines(&sandbox, "terms", 2);
    sandbox.upgrade();
    fs::write(sandbox.path("leave"), "").unwrap();
    kill(sandbox.main_process("p"), Signal::SIGTERM).unwrap();
    let ended = Output { code: 3, stdout: String::new(), stderr: String::new() };
    assert_eq!([answer(early), answer(late)], [ended.clone(), ended]);
    assert_eq!(sandbox.list(), "p: dead\n");
}

#[test]
fn who_waits_for_a_script_is_told_how_it_has_ended() {
    let sandbox = Sandbox::with_installed_daemon(
        "[prog-p]\ncmd-signal = echo > @/begun; read line; echo \"done: $line\"; exit 9\n",
    );
    let mut command = sandbox.command();
    command.args(["p", "signal"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().unwrap();
    wait_until("the script has begun", || sandbox.path("begun").exists());

    sandbox.upgrade();
    sandbox.upgrade();

    client.stdin.take().unwrap().write_all(b"words\n").unwrap();
    let expected = Output { code: 9, stdout: "done: words\n".to_owned(), stderr: String::new() };
    assert_eq!(answer(client), expected);
}

#[test]
fn who_waits_for_a_restart_has_the_program_started_with_its_terminal_and_arguments() {
    let sandbox = Sandbox::with_installed_daemon(&format!(
        "[prog-p]\n{}",
        STUBBORN.replace("= ", "= read line; echo \"for $0 and $1: $line\"; ")
    ));
    sandbox.succeed(&["p", "start"]);
    wait_until("the program can be asked", || sandbox.path("up").exists());
    let mut command = sandbox.command();
    command.args(["p", "restart", "me", "mine"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().unwrap();
    client.stdin.take().unwrap().write_all(b"words\n").unwrap();
    lines(&sandbox, "terms", 1);

    sandbox.upgrade();
    assert_eq!(sandbox.list(), "p: running restarting\n");
    sandbox.upgrade();

    fs::write(sandbox.path("leave"), "").unwrap();
    kill(sandbox.main_process("p"), Signal::SIGTERM).unwrap();
    let expected = Output { code: 0, stdout: "for me and mine: words\n".to_owned(), stderr: String::new() };
    assert_eq!(answer(client), expected);
    assert_eq!(sandbox.list(), "p: running\n");
}

#[test]
fn who_watches_is_told_of_all_that_changes_and_of_nothing_else() {
    let sandbox = Sandbox::with_installed_daemon(&format!("[prog-p]\n{LASTING}"));
    let mut watch = sandbox.command().arg("--watch").stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || shown.next().unwrap().unwrap();
    assert!(next().ends_with(" p: down"));

    sandbox.upgrade();
    let main = sandbox.start("p");
    sandbox.upgrade();
    kill(main, Signal::SIGKILL).unwrap();

    let (starting, running, down) = (next(), next(), next());
    assert!(starting.contains(" p: starting, by pid "), "{starting}");
    assert!(running.contains(&format!(" p: running, pid {main}, by pid ")), "{running}");
    assert!(down.ends_with(" p: down, ended with signal 9"), "{down}");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn a_promised_restart_comes_in_time_and_once() {
    let sandbox = Sandbox::with_installed_daemon(
        "[prog-p]\nrestart-delay = 2\ncmd-start = echo >> @/starts; exec sleep 1000 > /dev/null 2>&1\n",
    );
    let main = sandbox.start("p");
    let death = Instant::now();
    kill(main, Signal::SIGKILL).unwrap();
    wait_until("it is to be started again", || sandbox.list() == "p: dead restarting\n");

    sandbox.upgrade();

    assert_eq!(sandbox.list(), "p: dead restarting\n");
    wait_until("the program runs", || sandbox.list() == "p: running\n");
    assert!(death.elapsed() >= Duration::from_secs(2));
    assert_eq!(lines(&sandbox, "starts", 2).len(), 2);
    kill(sandbox.main_process("p"), Signal::SIGKILL).unwrap();
    wait_until("the second death in a row is counted", || sandbox.logged("restart 2 in a row\n") == 1);
}

// Who is connected.

#[test]
fn half_a_request_is_completed_and_served() {
    let sandbox = Sandbox::with_installed_daemon("[prog-p]\ncmd-signal = echo \"$0\"; exit 6\n");
    let invocation = Invocation {
        program: b"p".to_vec(),
        action: b"signal".to_vec(),
        arguments: vec![b"x".repeat(100_000)],
    };
    let frame = encode_request(5, &Request::Invoke(invocation)).unwrap();
    // Within the header, right behind it, and within the body. The descriptors come with the first byte.
    for cut in [1, 15, 16, 17, 50_000, frame.len() - 1] {
        let mut stream = UnixStream::connect(sandbox.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (mut output, writer) = std::io::pipe().unwrap();
        let null = File::open("/dev/null").unwrap();
        stdio::send(&stream, &frame[..cut], &[null.as_fd(), writer.as_fd(), null.as_fd()]).unwrap();
        drop(writer);
        sandbox.upgrade();

        stream.write_all(&frame[cut..]).unwrap();

        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        assert_eq!(said.len(), 100_001, "cut at {cut}");
        let mut answer = [0; 25];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!((answer[8], answer[16], answer[24]), (5, 2, 6), "cut at {cut}: {answer:?}");
    }
}

#[test]
fn no_request_fails_while_the_daemon_is_upgraded() {
    let sandbox = Sandbox::with_installed_daemon("[prog-p]\ncmd-signal = exit 5\n");
    let has_ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let old_clients = scope.spawn(|| {
            let mut client = Client::connect(&sandbox.socket()).unwrap();
            let mut count = 0;
            while !has_ended.load(Ordering::Relaxed) {
                client.ping().unwrap();
                assert_eq!(client.list().unwrap().len(), 1);
                count += 1;
            }
            count
        });
        let new_clients = scope.spawn(|| {
            while !has_ended.load(Ordering::Relaxed) {
                let output = sandbox.client(&["p", "signal"]);
                assert_eq!((output.code, output.stderr.as_str()), (5, ""));
            }
        });
        for _ in 0..20 {
            sandbox.upgrade();
        }
        has_ended.store(true, Ordering::Relaxed);
        assert!(old_clients.join().unwrap() > 20);
        new_clients.join().unwrap();
    });
}

// Who may ask.

#[test]
fn nobody_but_root_and_the_user_of_the_daemon_may_upgrade_it() {
    if !is_root("nobody_but_root_and_the_user_of_the_daemon_may_upgrade_it") {
        return;
    }
    let sandbox = Sandbox::with_installed_daemon("");
    let mut command = sandbox.installed_command(sandbox.executable());
    let refused = run(command.arg("-u").uid(12345).gid(12345));

    let reason = "only root and the user of the daemon may stop, reload or upgrade it";
    assert_eq!((refused.code, refused.stderr), (1, format!("ERROR: (EPERM) {reason}\n")));
    assert_eq!(sandbox.logged("the executable"), 0);
}

#[test]
fn while_one_upgrade_is_under_way_there_is_no_other() {
    let sandbox = Sandbox::with_installed_daemon("");
    let rehearsal = "#!/bin/sh\n: > begun\nwhile ! test -e go; do sleep 0.01; done\nexit 3\n";
    sandbox.replace_executable(rehearsal, "755");
    let first = ask(&sandbox, &["-u"]);
    wait_until("it rehearses", || sandbox.path("begun").exists());

    let second = sandbox.client(&["-u"]);

    assert_eq!((second.code, second.stderr.as_str()), (1, "ERROR: (BUSY) an upgrade is under way\n"));
    fs::write(sandbox.path("go"), "").unwrap();
    assert_eq!(answer(first).code, 1);
    sandbox.install("procmgr");
    sandbox.upgrade();
}

#[test]
fn whoever_has_asked_and_does_not_wait_has_the_daemon_upgraded_all_the_same() {
    let sandbox = Sandbox::with_installed_daemon("");
    let rehearsal = "#!/bin/sh\n: > begun\nwhile ! test -e go; do sleep 0.01; done\nexec ./real \"$@\"\n";
    sandbox.install("real");
    sandbox.replace_executable(rehearsal, "755");
    let mut client = ask(&sandbox, &["-u"]);
    wait_until("it rehearses", || sandbox.path("begun").exists());

    client.kill().unwrap();
    client.wait().unwrap();
    sandbox.succeed(&["-t"]);
    fs::write(sandbox.path("go"), "").unwrap();

    wait_until("it has taken over", || sandbox.logged("NOTE: the executable has taken over\n") == 1);
    sandbox.succeed(&["-t"]);
}
