//! The words of the command line, and what the client tells of.
//!
//! Which configuration and socket are used is tested in `configuration`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::thread;

use procmgr_proto::codec::{encode_request, encode_response};
use procmgr_proto::message::{Code, Refusal, Request, Response};

use crate::harness::{Output, Sandbox, allowing_us, answer, procmgr, raw, run};

fn output(code: i32, stdout: &str, stderr: &str) -> Output {
    Output { code, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

// What is asked of nobody.

#[test]
fn version_is_one_line_on_standard_output() {
    let expected = output(0, concat!("procmgr ", env!("CARGO_PKG_VERSION"), "\n"), "");

    assert_eq!(run(procmgr().arg("-V")), expected);
    assert_eq!(run(procmgr().arg("--version")), expected);
}

#[test]
fn help_tells_every_option_on_standard_output() {
    let help = run(procmgr().arg("-h"));

    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for option in [
        "-h, --help",
        "-V, --version",
        "-c, --config",
        "-d, --daemon",
        "-f, --foreground",
        "-t, --test",
        "-s, --stop",
        "-r, --reload",
        "-u, --upgrade",
        "-l, --log",
        "-L, --loglevel",
        "-P, --pidfile",
        "-A, --autostart",
        "-a, --all",
        "-0, --null",
        "--long",
        "--json",
        "-n, --dry-run",
        "--allowed",
        "--watch",
        "-q, --quiet",
        "--idempotent",
        "--timeout",
    ] {
        assert!(help.stdout.contains(option), "{option} is not in {}", help.stdout);
    }
    assert!(help.stdout.ends_with('\n'), "{}", help.stdout);
    assert_eq!(run(procmgr().arg("--help")), help);
}

#[test]
fn help_and_version_are_given_although_there_is_no_configuration() {
    for option in ["-h", "-V"] {
        assert_eq!(run(procmgr().args(["-c", "/nonexistent", option])).code, 0);
    }
}

// Words.

#[test]
fn options_can_be_joined_and_written_in_each_way() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\n"));
    let file = sandbox.config().display().to_string();

    for arguments in [
        vec!["-c", &file, "-t"],
        vec!["-t", "-c", &file],
        vec![&format!("-c{file}"), "-t"],
        vec![&format!("-tc{file}")],
        vec!["-tc", &file],
        vec!["--config", &file, "--test"],
        vec!["--test", &format!("--config={file}")],
    ] {
        assert_eq!(run(procmgr().args(&arguments)), output(0, "running\n", ""), "{arguments:?}");
    }
    assert_eq!(sandbox.succeed(&["-a0"]), "p\0dead\0");
    assert_eq!(sandbox.succeed(&["-0a"]), "p\0dead\0");
    assert_eq!(sandbox.succeed(&["--all", "--null"]), "p\0dead\0");
}

#[test]
fn the_daemon_takes_its_options_joined_and_by_their_long_names() {
    for options in [
        vec!["-df"],
        vec!["-fd"],
        vec!["--daemon", "--foreground"],
        vec!["-df", "-Ano", "-LDEBUG", "-lstderr", "-P@/pid"],
        vec!["-dfA", "yes", "--loglevel=warn", "--log", "daemon", "--pid", "@/pid"],
        vec!["--pid=@/pid", "-dfl", "stderr", "--autostart", "2", "-L", "critical"],
        vec!["-df", "--pidfile=@/pid"],
    ] {
        let mut sandbox = Sandbox::new("");
        let folder = sandbox.path("").display().to_string();
        let mut daemon = sandbox.command();
        daemon.args(options.iter().map(|option| option.replace("@/", &folder)));

        sandbox.run_daemon(daemon);

        let has_pid_file = options.iter().any(|option| option.ends_with("@/pid"));
        let expected = if has_pid_file { format!("{}\n", sandbox.daemon_pid()) } else { String::new() };
        assert_eq!(sandbox.read("pid"), expected, "{options:?}");
    }
}

/// A program whose `signal` writes the number of its arguments and the arguments, a line each.
const SHOW: &str = "[prog-p]\ncmd-signal = printf '%s\\n' \"$0\" \"$1\"\n[prog--x]\ncmd-signal = echo dash\n";

#[test]
fn options_end_at_the_first_word_that_is_none() {
    let sandbox = Sandbox::with_daemon(&allowing_us(SHOW));

    assert_eq!(sandbox.succeed(&["p", "signal", "-V", "--help"]), "-V\n--help\n");
    assert_eq!(sandbox.succeed(&["p", "signal", "-c", "/nonexistent"]), "-c\n/nonexistent\n");
    assert_eq!(sandbox.succeed(&["p", "signal", "--", "-t"]), "--\n-t\n");
    assert_eq!(sandbox.succeed(&["p", "signal", "--nonsense", "--"]), "--nonsense\n--\n");
    // Even the action is no option.
    assert!(sandbox.client(&["p", "-h"]).stderr.starts_with("ERROR: (NOACTION) "));
    assert!(sandbox.client(&["p", "--", "signal"]).stderr.starts_with("ERROR: (NOACTION) "));
}

#[test]
fn two_hyphens_end_options_and_are_no_word() {
    let sandbox = Sandbox::with_daemon(&allowing_us(SHOW));

    assert_eq!(sandbox.succeed(&["--", "p", "signal", "a", "b"]), "a\nb\n");
    assert_eq!(sandbox.succeed(&["--", "p", "signal", "--", "-t"]), "--\n-t\n");
    assert_eq!(sandbox.succeed(&["--", "-x", "signal"]), "dash\n");
}

#[test]
fn a_word_need_not_be_utf_8() {
    let sandbox = Sandbox::with_daemon(&allowing_us(SHOW));
    let mut command = sandbox.command();

    let refused = run(command.arg(raw(b"\xffp")).arg("signal"));

    assert_eq!(refused, output(125, "", "ERROR: (NOPROG) there is no program \\xffp\n"));
}

#[test]
fn a_command_line_that_makes_no_sense_is_told_in_one_line_with_the_usage() {
    for arguments in [
        &[][..],
        &["p"],
        &["-c", "/nonexistent"],
        &["--"],
        &["--", "p"],
        &["-x"],
        &["--nonsense"],
        &["-x", "p", "start"],
        &["-c"],
        &["-d", "-t"],
        &["-ts"],
        &["-r", "-a"],
        &["-ru"],
        &["-u", "-d"],
        &["-u", "--watch"],
        &["-u", "-f"],
        &["-u0"],
        &["--upgrade", "--json"],
        &["-u", "p"],
        &["-u", "p", "start"],
        &["--upgrade=yes"],
        &["-s", "-d", "-f"],
        &["-f"],
        &["-f", "p", "start"],
        &["-t", "-f"],
        &["-0"],
        &["--json"],
        &["--watch", "-a"],
        &["--watch", "p", "start"],
        &["-t0"],
        &["-a0", "--json"],
        &["-a0", "--long"],
        &["-a", "--long", "--json"],
        &["--long"],
        &["-t", "--long"],
        &["--watch", "--long"],
        &["-s", "--json"],
        &["-r", "--json"],
        &["--json", "p", "start"],
        &["-n"],
        &["-n", "p", "start"],
        &["-an"],
        &["-sn"],
        &["--dry-run", "-t"],
        &["--allowed", "-a"],
        &["--allowed", "-0", "--json"],
        &["--allowed", "--long"],
        &["--watch", "-0"],
        &["--allowed", "p"],
        &["--idempotent"],
        &["--idempotent", "p"],
        &["--idempotent", "p", "restart"],
        &["--idempotent", "p", "status"],
        &["--idempotent", "p", "Start"],
        &["--idempotent", "-a"],
        &["--idempotent", "-d"],
        &["--timeout"],
        &["--timeout", "5"],
        &["--timeout", "5", "p"],
        &["--timeout", "-t"],
        &["--timeout", "0", "-t"],
        &["--timeout", "-1", "-t"],
        &["--timeout=", "-t"],
        &["--timeout=soon", "p", "start"],
        &["--timeout=1e3", "p", "start"],
        &["--timeout", "99999999999999999999", "-a"],
        &["--timeout", "5", "-d"],
        &["-df", "--timeout", "5"],
        &["-q"],
        &["-q", "p"],
        &["-qd"],
        &["--quiet", "-d", "-f"],
        &["--quiet=yes", "-t"],
        &["-A", "yes", "p", "start"],
        &["-t", "-Ano"],
        &["-d", "-A", "maybe"],
        &["-d", "-A"],
        &["-t", "p"],
        &["-t", "p", "start"],
        &["-d", "p", "start"],
        &["-a", "--", "p"],
        &["-l", "nowhere", "-t"],
        &["-l", "daemon", "-l", "user", "-t"],
        &["-L", "loud", "-t"],
        &["-t=yes"],
        &["--test=yes"],
        &["--conf\nig"],
    ] {
        let Output { code, stdout, stderr } = run(procmgr().args(arguments));

        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        let lines: Vec<_> = stderr.lines().collect();
        let [reason, usage] = lines.as_slice() else { panic!("{arguments:?}: {stderr}") };
        assert!(
            reason.starts_with("procmgr: ") && reason.len() > "procmgr: ".len(),
            "{arguments:?}: {stderr}"
        );
        assert!(usage.starts_with("USAGE: procmgr "), "{arguments:?}: {stderr}");
    }
}

#[test]
fn an_option_that_is_not_utf_8_is_a_usage_error() {
    let result = run(procmgr().arg(raw(b"-\xff")));

    assert_eq!(
        (result.code, result.stdout.as_str(), result.stderr.lines().count()),
        (2, "", 2),
        "{result:?}"
    );
}

// Modes.

#[test]
fn test_tells_whether_the_daemon_runs() {
    let mut sandbox = Sandbox::new("");
    assert_eq!(sandbox.client(&["-t"]), output(1, "not running\n", ""));

    sandbox.start_daemon(&[]);
    assert_eq!(sandbox.client(&["-t"]), output(0, "running\n", ""));

    sandbox.terminate_daemon();
    assert_eq!(sandbox.client(&["-t"]), output(1, "not running\n", ""));
}

#[test]
fn test_finds_nobody_behind_a_dead_socket() {
    let sandbox = Sandbox::new("");
    drop(UnixListener::bind(sandbox.socket()).unwrap());

    assert_eq!(sandbox.client(&["-t"]), output(1, "not running\n", ""));
}

#[test]
fn stop_returns_when_the_daemon_is_gone() {
    let mut sandbox = Sandbox::with_daemon("");

    assert_eq!(sandbox.client(&["-s"]), output(0, "", ""));

    assert!(!sandbox.socket().exists());
    assert_eq!(sandbox.client(&["-t"]).code, 1);
    assert!(sandbox.wait_for_daemon().success());
}

#[test]
fn reload_puts_the_file_in_force_as_it_is_now() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\n"));
    sandbox.configure(&allowing_us("[prog-p]\n[prog-q]\n"));
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");

    assert_eq!(sandbox.client(&["-r"]), output(0, "", ""));

    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\nq: dead\n");
}

#[test]
fn reload_of_a_bad_file_fails_and_tells_why() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\n"));
    sandbox.configure(&allowing_us("[prog-q]\nnonsense\n"));
    let file = sandbox.config().display().to_string();

    let result = sandbox.client(&["-r"]);

    let finding = "neither a [section] nor a comment nor \"key = value\"";
    let stderr = format!("ERROR: (BADCONF) 1 error in {file}\n{file}:4:1: error: {finding}\n");
    assert_eq!(result, output(1, "", &stderr));
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

#[test]
fn upgrade_asks_for_one_and_tells_what_the_daemon_answers() {
    for (response, told) in [
        (Response::Done, output(0, "", "")),
        (
            Response::Refused(Refusal::new(Code::Spawn, "it cannot take over\x1b")),
            output(1, "", "ERROR: (SPAWN) it cannot take over\\u{1b}\n"),
        ),
    ] {
        let sandbox = Sandbox::new("");
        let listener = UnixListener::bind(sandbox.socket()).unwrap();
        let daemon = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut asked = encode_request(1, &Request::Upgrade).unwrap();
            let expected = asked.clone();
            stream.read_exact(&mut asked).unwrap();
            assert_eq!(asked, expected);
            stream.write_all(&encode_response(1, &response).unwrap()).unwrap();
        });

        assert_eq!(sandbox.client(&["-u"]), told);

        daemon.join().unwrap();
    }
}

#[test]
fn every_other_mode_fails_without_a_daemon() {
    let sandbox = Sandbox::new("");
    let stderr = format!(
        "ERROR: cannot connect to {}: there is no such socket; does a daemon run?\n",
        sandbox.socket().display()
    );

    for mode in ["-s", "-r", "-u", "--upgrade", "-a", "-a0"] {
        assert_eq!(sandbox.client(&[mode]), output(1, "", &stderr));
    }
}

#[test]
fn a_second_daemon_fails_and_says_why() {
    let sandbox = Sandbox::with_daemon("");

    let second = run(sandbox.command().arg("-df"));

    assert_eq!(
        (second.code, second.stdout.as_str(), second.stderr.lines().count()),
        (1, "", 1),
        "{second:?}"
    );
    assert!(second.stderr.contains(&sandbox.socket().display().to_string()), "{second:?}");
    assert_eq!(sandbox.succeed(&["-t"]), "running\n");
}

// Lists.

#[test]
fn a_list_has_a_line_for_each_program_in_the_order_of_the_file() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-short]\n[prog-a longer name]\ncmd-start = exec sleep 1000 >/dev/null 2>&1\n[prog-Zoë]\n",
    ));
    sandbox.succeed(&["a longer name", "start"]);

    assert_eq!(
        sandbox.succeed(&["-a"]),
        "short        : dead\na longer name: running\nZoë          : dead\n"
    );
    assert_eq!(sandbox.succeed(&["-a0"]), "short\0dead\0a longer name\0running\0Zoë\0dead\0");
}

// What the client tells of.

#[test]
fn without_a_daemon_an_action_is_not_carried_out_and_the_reason_is_told() {
    let sandbox = Sandbox::new("");
    let socket = sandbox.socket();
    let told =
        |reason: &str| output(125, "", &format!("ERROR: cannot connect to {}: {reason}\n", socket.display()));

    assert_eq!(sandbox.client(&["p", "start"]), told("there is no such socket; does a daemon run?"));

    fs::write(&socket, "").unwrap();
    assert_eq!(sandbox.client(&["p", "start"]), told("is not a socket"));

    fs::remove_file(&socket).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    assert_eq!(sandbox.client(&["p", "start"]), told("connection refused, nobody listens"));
}

#[test]
fn a_socket_path_that_is_too_long_is_told() {
    let sandbox = Sandbox::new("");
    let path = sandbox.path("x".repeat(108));

    let result = run(procmgr().args(["p", "start"]).env("PROCMGR_SOCKET", &path));

    assert_eq!((result.code, result.stdout.as_str()), (125, ""));
    assert!(result.stderr.contains("that of a socket at most 107\n"), "{result:?}");
}

#[test]
fn the_client_exits_with_the_status_of_the_script_whatever_it_is() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-signal = exit $0\n"));

    for status in [0, 1, 2, 3, 77, 124, 125, 126, 127, 128, 143, 254, 255] {
        assert_eq!(sandbox.client(&["p", "signal", &status.to_string()]), output(status, "", ""));
    }
}

#[test]
fn the_client_exits_with_128_and_the_signal_that_has_killed_the_script() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-signal = kill -$0 $$\n"));

    for signal in [1, 2, 9, 13, 15, 34, 64] {
        assert_eq!(sandbox.client(&["p", "signal", &signal.to_string()]), output(128 + signal, "", ""));
    }
}

#[test]
fn a_refusal_is_one_line_with_a_code_on_standard_error() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\n"));

    for (arguments, line) in [
        (["q", "start"], "ERROR: (NOPROG) there is no program q\n"),
        (["p", "sart"], "ERROR: (NOACTION) there is no action sart\n"),
        (["p", "start"], "ERROR: (NOCMD) p has no script for start\n"),
        (["p", "stop"], "ERROR: (NOTRUNNING) p is not running\n"),
    ] {
        assert_eq!(sandbox.client(&arguments), output(125, "", line));
    }
}

#[test]
fn a_refusal_cannot_command_a_terminal() {
    let sandbox = Sandbox::with_daemon("");

    let result = sandbox.client(&["\x1b[2J\n", "start"]);

    assert_eq!(result, output(125, "", "ERROR: (NOPROG) there is no program \\x1b[2J\\n\n"));
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\n"));
    for (arguments, code) in [(&["-t"][..], 1), (&["-a"], 1), (&["p", "status"], 125)] {
        let mut client = sandbox.command();
        client
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::options().write(true).open("/dev/full").unwrap());
        client.stderr(Stdio::piped());

        let result = answer(client.spawn().unwrap());

        let stderr = "ERROR: cannot write to standard output: No space left on device (os error 28)\n";
        assert_eq!(result, output(code, "", stderr), "{arguments:?}");
    }
}

#[test]
fn an_output_that_takes_nothing_changes_no_exit_status_but_that_of_what_was_to_be_printed() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let help = procmgr().arg("-h").stdout(full()).output().unwrap();
    let complaint = String::from_utf8_lossy(&help.stderr).into_owned();
    assert_eq!(help.status.code(), Some(1));
    assert!(complaint.starts_with("ERROR: cannot write to standard output: "), "{complaint}");
    let usage = procmgr().arg("-x").stderr(full()).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    let absent = procmgr().args(["-c", "/nonexistent", "-d"]).stderr(full()).output().unwrap();
    assert_eq!(absent.status.code(), Some(1));
}

#[test]
fn what_stands_on_the_command_line_commands_no_terminal() {
    let sandbox = Sandbox::new("");
    for arguments in [
        &["-t", "\x1b[2J"][..],
        &["-L", "\x1b[31m", "-t"],
        &["-l", "\x1b[31m", "-t"],
        &["-c", "/\x1b[31m", "-t"],
        &["-d\x1b"],
    ] {
        let mut command = procmgr();
        let output = run(command.args(arguments).env("PROCMGR_CONFFILE", sandbox.config()));
        assert!(output.code != 0 && output.stderr.contains("\\u{1b}"), "{output:?}");
        assert!(!output.stderr.contains('\x1b'), "{output:?}");
    }
}
