//! How the client behaves towards scripts: what it leaves unsaid, what it takes for done, and what ends it.
//!
//! The words of the command line are tested in `command_line`.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::unistd::Pid;

use crate::harness::{Output, Sandbox, allowing_us, answer, ask, code, lines, procmgr, wait_for, wait_until};

const NAP: &str = "[prog-nap]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\n";

fn silence(code: i32) -> Output {
    Output { code, stdout: String::new(), stderr: String::new() }
}

fn complaint(line: &str) -> Output {
    Output { stderr: format!("{line}\n"), ..silence(125) }
}

// Quiet.

#[test]
fn quiet_leaves_nothing_but_the_exit_status_to_say_whether_something_runs() {
    let mut sandbox = Sandbox::new(&allowing_us(NAP));
    assert_eq!(sandbox.client(&["-qt"]), silence(1));
    sandbox.start_daemon(&[]);
    assert_eq!(sandbox.client(&["-t", "--quiet"]), silence(0));
    assert_eq!(sandbox.client(&["-q", "nap", "status"]), silence(1));
    assert_eq!(sandbox.client(&["-q", "nap", "start"]), silence(0));
    assert_eq!(sandbox.client(&["-q", "nap", "status"]), silence(0));
    assert_eq!(sandbox.client(&["-q", "-a"]), silence(0));
    assert_eq!(sandbox.client(&["-qa0"]), silence(0));
    assert_eq!(sandbox.client(&["-qs"]), silence(0));
}

#[test]
fn quiet_says_nothing_of_what_a_reload_remarks() {
    let sandbox = Sandbox::with_daemon("");
    sandbox.configure("[nonsense]\n");
    let remark = sandbox.client(&["-r"]);
    assert!(remark.code == 0 && remark.stderr.contains(": warning: "), "{remark:?}");
    assert_eq!(sandbox.client(&["-qr"]), silence(0));
}

#[test]
fn quiet_does_not_silence_errors() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\n"));
    assert_eq!(sandbox.client(&["-q", "p", "stop"]), complaint("ERROR: (NOTRUNNING) p is not running"));
    sandbox.configure("[nonsense]\nnonsense\n");
    let refused = sandbox.client(&["-qr"]);
    assert!(refused.code == 1 && refused.stderr.starts_with("ERROR: (BADCONF) "), "{refused:?}");
    let absent = Sandbox::new("").client(&["-qa"]);
    assert!(absent.code == 1 && absent.stderr.starts_with("ERROR: cannot connect to "), "{absent:?}");
}

#[test]
fn quiet_does_not_silence_scripts() {
    let sandbox =
        Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-signal = echo out; echo err >&2; exit 3\n"));
    let expected = Output { code: 3, stdout: "out\n".to_owned(), stderr: "err\n".to_owned() };
    assert_eq!(sandbox.client(&["-q", "p", "signal"]), expected);
}

#[test]
fn a_quiet_watch_goes_on_although_nobody_reads() {
    let mut sandbox = Sandbox::with_daemon(NAP);
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut watch = sandbox.command();
    watch.args(["-q", "--watch"]).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let watch = watch.spawn().unwrap();
    // Served after the watch, which is connected by then.
    wait_until("the watch is there", || sandbox.connections() == 1);
    sandbox.terminate_daemon();
    assert_eq!(answer(watch).code, 1);
}

// What is done already.

#[test]
fn start_of_what_runs_and_stop_of_what_is_down_succeed_without_a_word_if_idempotent() {
    let sandbox = Sandbox::with_daemon(&allowing_us(NAP));
    assert_eq!(sandbox.client(&["--idempotent", "nap", "stop"]), silence(0));
    assert_eq!(sandbox.client(&["--idempotent", "nap", "start"]), silence(0));
    assert_eq!(sandbox.succeed(&["-a"]), "nap: running\n");
    assert_eq!(sandbox.client(&["--idempotent", "nap", "start"]), silence(0));
    assert_eq!(sandbox.client(&["--idempotent", "nap", "start", "again"]), silence(0));
    // A stop that has something to do tells how the program has ended, as ever.
    assert_eq!(sandbox.client(&["--idempotent", "nap", "stop"]), silence(143));
    assert_eq!(sandbox.client(&["--idempotent", "nap", "stop"]), silence(0));
}

#[test]
fn start_of_what_is_about_to_end_stays_refused_if_idempotent() {
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!("{NAP}cmd-stop = echo > @/stopping\n")));
    sandbox.succeed(&["nap", "start"]);
    let mut stop = ask(&sandbox, &["nap", "stop"]);
    wait_until("the program is to end", || sandbox.path("stopping").exists());

    let refused = sandbox.client(&["--idempotent", "nap", "start"]);

    assert_eq!(refused.code, 125);
    assert!(refused.stderr.starts_with("ERROR: (BUSY) "), "{refused:?}");
    let _ = stop.kill();
    wait_for(&mut stop);
}

#[test]
fn other_refusals_stay_refusals_if_idempotent() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\n"));
    for (arguments, line) in [
        (["q", "start"], "ERROR: (NOPROG) there is no program q"),
        (["q", "stop"], "ERROR: (NOPROG) there is no program q"),
        (["p", "start"], "ERROR: (NOCMD) p has no script for start"),
    ] {
        let [program, action] = arguments;
        assert_eq!(sandbox.client(&["--idempotent", program, action]), complaint(line));
    }
}

// Time.

/// Runs a client to its end and no longer, although others may hold its standard streams by then.
fn until_its_end(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let file = |name| File::create(sandbox.path(name)).unwrap();
    let mut client = sandbox.command();
    client.args(arguments).stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
    let code = code(wait_for(&mut client.spawn().unwrap()));
    Output { code, stdout: sandbox.read("stdout"), stderr: sandbox.read("stderr") }
}

#[test]
fn a_client_whose_time_is_up_leaves_the_action_going() {
    let script = "until test -e @/go; do sleep 0.01; done; echo done > @/done";
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!("[prog-p]\ncmd-signal = {script}\n")));
    let late = Output { code: 124, ..complaint("ERROR: not done in time; the action goes on") };

    assert_eq!(until_its_end(&sandbox, &["--timeout", "0.1", "p", "signal"]), late);
    assert_eq!(until_its_end(&sandbox, &["-q", "--timeout=0.1", "p", "signal"]), late);

    fs::write(sandbox.path("go"), "").unwrap();
    assert_eq!(lines(&sandbox, "done", 1), ["done"]);
}

#[test]
fn what_is_done_in_time_is_as_without_a_timeout() {
    let mut sandbox = Sandbox::new(&allowing_us("[prog-p]\ncmd-signal = exit 3\n"));
    assert_eq!(sandbox.client(&["--timeout", "60", "-qt"]), silence(1));
    sandbox.start_daemon(&[]);
    assert_eq!(sandbox.client(&["--timeout", "60", "p", "signal"]), silence(3));
    assert_eq!(sandbox.client(&["--timeout", "60", "p", "stop"]).code, 125);
    assert_eq!(sandbox.succeed(&["--timeout", "2147483647", "-a"]), "p: dead\n");
    assert_eq!(sandbox.client(&["--timeout", "60", "-s"]), silence(0));
}

#[test]
fn a_daemon_that_does_not_answer_is_waited_for_until_the_time_is_up() {
    let sandbox = Sandbox::new("");
    let _listener = UnixListener::bind(sandbox.socket()).unwrap();
    for (arguments, reason) in [
        (&["-t"][..], "no answer in time"),
        (&["-t", "--json"], "no answer in time"),
        (&["-a"], "no answer in time"),
        (&["-a", "--long"], "no answer in time"),
        (&["-rn"], "no answer in time"),
        (&["--allowed"], "no answer in time"),
        (&["-s"], "not done in time; what was asked for goes on"),
        (&["-r"], "not done in time; what was asked for goes on"),
        (&["-u"], "not done in time; what was asked for goes on"),
        (&["--watch"], "the time of the watch is up"),
        (&["p", "start"], "not done in time; the action goes on"),
    ] {
        let result = until_its_end(&sandbox, &[&["--timeout", "0.05"], arguments].concat());
        assert_eq!(result, Output { code: 124, ..complaint(&format!("ERROR: {reason}")) }, "{arguments:?}");
    }
}

#[test]
fn a_connection_that_is_not_taken_up_is_waited_for_until_the_time_is_up() {
    let sandbox = Sandbox::new("");
    let path = sandbox.socket();
    let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    // There is room for this one, and for no other.
    let _first = UnixStream::connect(&path).unwrap();
    let line = format!("ERROR: cannot connect to {}: not taken up in time", path.display());
    for (arguments, consequence, code) in [
        (&["-t"][..], "", 124),
        (&["-s"], "", 124),
        (&["p", "start"], "; the action was not carried out", 125),
    ] {
        let result = sandbox.client(&[&["--timeout", "0.05"], arguments].concat());
        assert_eq!(result, Output { code, ..complaint(&format!("{line}{consequence}")) }, "{arguments:?}");
    }
}

#[test]
fn an_action_that_the_daemon_does_not_take_in_time_is_not_carried_out() {
    let sandbox = Sandbox::new("");
    let _listener = UnixListener::bind(sandbox.socket()).unwrap();
    // More than waits in a socket that nobody reads.
    let argument = "x".repeat(100_000);
    let result = until_its_end(
        &sandbox,
        &[&["--timeout", "0.05", "p", "start"][..], &[argument.as_str(); 10]].concat(),
    );
    let line = "ERROR: the daemon has not taken the request in time; the action was not carried out";
    assert_eq!(result, complaint(line));
}

#[test]
fn a_watch_ends_when_its_time_is_up() {
    let sandbox = Sandbox::with_daemon(NAP);
    // On a machine with much to do, the time may be up before anything is shown.
    let watch = ["0.2", "2", "20"]
        .map(|timeout| ["--watch", "--timeout", timeout])
        .iter()
        .map(|arguments| sandbox.client(arguments))
        .find(|watch| !watch.stdout.is_empty())
        .expect("something is shown");
    assert_eq!((watch.code, watch.stderr.as_str()), (124, "ERROR: the time of the watch is up\n"));
    assert!(watch.stdout.ends_with(" nap: down\n"), "{watch:?}");
}

// Signals.

#[test]
fn sigint_ends_the_client_and_leaves_the_action_going() {
    a_signal_ends_the_client_and_leaves_the_action_going(Signal::SIGINT, 130);
}

#[test]
fn sigterm_ends_the_client_and_leaves_the_action_going() {
    a_signal_ends_the_client_and_leaves_the_action_going(Signal::SIGTERM, 143);
}

fn a_signal_ends_the_client_and_leaves_the_action_going(signal: Signal, status: i32) {
    let script = "echo > @/runs; until test -e @/go; do sleep 0.01; done; echo done > @/done";
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!("[prog-p]\ncmd-signal = {script}\n")));
    let mut client = ask(&sandbox, &["p", "signal"]);
    wait_until("the script runs", || sandbox.path("runs").exists());

    kill(Pid::from_raw(client.id().cast_signed()), signal).unwrap();

    assert_eq!(code(wait_for(&mut client)), status);
    fs::write(sandbox.path("go"), "").unwrap();
    assert_eq!(lines(&sandbox, "done", 1), ["done"]);
}

// Pipes.

/// Runs a client whose standard output nobody reads.
fn unread(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut client = sandbox.command();
    client.args(arguments).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    answer(client.spawn().unwrap())
}

#[test]
fn without_a_reader_the_client_ends_by_sigpipe_as_any_filter_does() {
    let sandbox = Sandbox::with_daemon(&allowing_us(NAP));
    for arguments in [
        &["-a"][..],
        &["-a0"],
        &["-t"],
        &["-t", "--json"],
        &["nap", "status"],
        &["--watch"],
        &["-h"],
        &["-V"],
    ] {
        assert_eq!(unread(&sandbox, arguments), silence(128 + 13), "{arguments:?}");
    }
}

#[test]
fn without_a_reader_whoever_has_nothing_to_say_does_not_notice() {
    let sandbox = Sandbox::with_daemon(&allowing_us(NAP));
    for arguments in [&["nap", "start"][..], &["-qa"], &["-r"], &["-s"]] {
        assert_eq!(unread(&sandbox, arguments), silence(0), "{arguments:?}");
    }
}

#[test]
fn a_shell_sees_a_list_that_was_cut_off_end_by_sigpipe() {
    // More than a pipe takes, so that the list is still being written when its reader has left.
    let programs: Vec<String> = (0..9000).map(|number| format!("[prog-{number}]\n")).collect();
    let sandbox = Sandbox::with_daemon(&programs.concat());
    let mut shell = std::process::Command::new("/bin/sh");
    let script = "{ \"$0\" -c \"$1\" -a; echo $? >&2; } | head -n 1";
    shell.args(["-c", script]).arg(procmgr().get_program()).arg(sandbox.config());

    let result = crate::harness::run(&mut shell);

    assert_eq!((result.stdout.as_str(), result.stderr.as_str()), ("0   : dead\n", "141\n"));
}
