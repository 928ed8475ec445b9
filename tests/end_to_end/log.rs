//! The log: where it goes, which lines are in it, and what they tell.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{getegid, geteuid, getpid};

use crate::harness::{
    DEADLINE, Sandbox, allowing_us, children, is_root, raw, run, through_shell, wait_for, wait_until,
};

/// Two programs: one that lasts, and one that may be asked for a status by a script.
const PROGRAMS: &str = "[prog-p]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\ncmd-signal = exit 3\n";

#[test]
fn without_l_nothing_is_logged() {
    let sandbox = daemon(PROGRAMS, &[]);
    play(&sandbox);
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.log(), "");
}

#[test]
fn without_l_remarks_on_the_configuration_are_shown_as_they_are() {
    let sandbox = daemon("alow-uid = 3\n", &["-L", "FATAL"]);
    let config = sandbox.config().display().to_string();
    let remark =
        |key, meant| format!("{config}:3:1: warning: unknown key \"{key}\": did you mean \"{meant}\"?\n");
    assert_eq!(sandbox.log(), remark("alow-uid", "allow-uid"));
    sandbox.configure(&allowing_us("alow-gid = 3\n"));
    kill(sandbox.daemon_pid(), Signal::SIGHUP).unwrap();
    let both = remark("alow-uid", "allow-uid") + &remark("alow-gid", "allow-gid");
    wait_until("the new remark is shown, too", || sandbox.log() == both);
}

#[test]
fn what_keeps_the_daemon_from_starting_is_told_once() {
    let sandbox = Sandbox::new("");
    fs::write(sandbox.socket(), "").unwrap();
    for log in [&[][..], &["-l", "stderr"], &["-l", "stderr", "-L", "DEBUG"]] {
        let output = run(sandbox.command().args(log).arg("-df"));
        let expected = format!(
            "procmgr: cannot create socket {}: a file that is no socket is there\n",
            sandbox.socket().display()
        );
        assert_eq!((output.code, output.stderr), (1, expected), "{log:?}");
    }
}

#[test]
fn the_level_says_how_much_is_logged() {
    let cases: [(&[&str], &[&str]); 7] = [
        (&["-L", "FATAL"], &[]),
        (&["-L", "CRITICAL"], &[]),
        (&["-L", "ERROR"], &[]),
        (&["-L", "WARN"], &["WARN"]),
        (&["-L", "note"], &["NOTE", "WARN"]),
        (&[], &["NOTE", "WARN"]),
        (&["-L", "Info"], &["INFO", "NOTE", "WARN"]),
    ];
    for (options, expected) in cases {
        let sandbox = daemon(PROGRAMS, &[&["-l", "stderr"], options].concat());
        play(&sandbox);
        let mut levels: Vec<String> = sandbox.log().lines().map(|line| Line::parse(line).level).collect();
        levels.sort();
        levels.dedup();
        assert_eq!(levels, expected, "{options:?}");
    }
}

#[test]
fn an_error_is_logged_as_one() {
    let options = ["-l", "stderr", "-L", "ERROR"];
    let sandbox = daemon("[prog-p]\nautostart = yes\n", &options);
    wait_until("the error is logged", || sandbox.log().contains('\n'));
    let log = sandbox.log();
    let lines: Vec<Line> = log.lines().map(Line::parse).filter(|line| line.level == "ERROR").collect();
    assert_eq!(lines[0].text, "p: cannot be started: there is no script for start", "{log}");
}

#[test]
fn every_line_tells_when_and_by_which_daemon() {
    let sandbox = daemon(PROGRAMS, &["-l", "stderr", "-L", "DEBUG"]);
    play(&sandbox);
    let log = sandbox.log();
    assert!(!log.is_empty());
    for line in log.lines() {
        let Line { time, pid, .. } = Line::parse(line);
        let shape: String = time.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000Z");
        assert_eq!(pid, sandbox.daemon_pid().to_string());
    }
}

#[test]
fn a_request_has_one_line_that_tells_who_asked_for_what_and_what_became_of_it() {
    let sandbox = daemon(PROGRAMS, &["-l", "stderr", "-L", "INFO"]);
    let cases: [(&[&str], &str, &str); 8] = [
        (&["p", "start", "secret", "arguments"], "program p action start arguments 2", "done"),
        (&["p", "start"], "program p action start arguments 0", "refused, BUSY p is running"),
        (&["p", "signal", "secret"], "program p action signal arguments 1", "exit status 3"),
        (&["p", "status"], "program p action status arguments 0", "running"),
        (&["p", "stop"], "program p action stop arguments 0", "signal 15"),
        (
            &["nope", "stop"],
            "program nope action stop arguments 0",
            "refused, NOPROG there is no program nope",
        ),
        (&["-a"], "list", "done"),
        (&["-r"], "reload of the daemon", "done"),
    ];
    for (arguments, what, outcome) in cases {
        let mut command = sandbox.command();
        let mut client = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for(&mut client);
        let who = format!("pid {} uid {} gid {}", client.id(), geteuid(), getegid());
        let log = sandbox.log();
        let lines: Vec<Line> =
            log.lines().map(Line::parse).filter(|line| line.text.starts_with(&who)).collect();
        assert_eq!(lines.len(), 1, "{arguments:?}: {log}");
        let duration = lines[0].text.strip_prefix(&format!("{who}: {what}: {outcome} after "));
        let seconds = duration.and_then(|text| text.strip_suffix(" s"));
        assert!(seconds.is_some_and(|seconds| seconds.parse::<f64>().is_ok()), "{log}");
    }
    assert!(!sandbox.log().contains("secret"), "{}", sandbox.log());
}

#[test]
fn the_duration_is_that_of_the_action() {
    let sandbox = daemon("[prog-p]\ncmd-signal = exec sleep 0.2\n", &["-l", "stderr"]);
    sandbox.succeed(&["p", "signal"]);
    let log = sandbox.log();
    let seconds = log.trim_end().rsplit(' ').nth(1).unwrap();
    let seconds: f64 = seconds.parse().unwrap();
    assert!((0.2..DEADLINE.as_secs_f64()).contains(&seconds), "{log}");
}

#[test]
fn what_nobody_has_asked_for_is_logged_too() {
    let config = "[prog-p]\ncmd-start = exec sleep 1000\nautostart = yes\nrestart-delay = 1000\n";
    let sandbox = daemon(config, &["-l", "stderr"]);
    let has = |text: String| sandbox.log().lines().any(|line| Line::parse(line).text == text);
    wait_until("the program runs", || !children(sandbox.daemon_pid()).is_empty());
    let program = children(sandbox.daemon_pid())[0];
    wait_until("the start is logged", || has(format!("p: started as pid {program}")));
    kill(program, Signal::SIGKILL).unwrap();
    wait_until("the death is logged", || {
        has(format!(
            "p: pid {program} has ended with signal 9; it is started again in 1000 s, restart 1 in a row"
        ))
    });
}

#[test]
fn the_end_of_the_daemon_is_logged() {
    let mut sandbox = daemon("", &["-l", "stderr"]);
    sandbox.terminate_daemon();
    let log = sandbox.log();
    assert_eq!(Line::parse(log.lines().last().unwrap()).text, "the daemon ends");
}

#[test]
fn nobody_can_forge_a_line_or_command_a_terminal() {
    let sandbox = daemon("[prog-e\x1b[2Jvil]\n", &["-l", "stderr", "-L", "DEBUG"]);
    let evil =
        ["p\n2026-01-01T00:00:00.000Z procmgr[1] FATAL: forged", "e\x1b[2Jvil", "e\x1b[2Jvil\r\x7f\u{9b}2J"];
    for program in evil {
        for action in ["start", "sta\nrt", "\x1b[2J"] {
            assert_eq!(sandbox.client(&[program, action]).code, 125);
        }
    }
    let mut command = sandbox.command();
    assert_eq!(run(command.arg(raw(b"\xff\xfe\n")).arg(raw(b"\x9b"))).code, 125);
    let log = fs::read(sandbox.path("log")).unwrap();
    assert!(log.iter().all(|byte| *byte == b'\n' || (b' '..=b'~').contains(byte)), "{}", log.escape_ascii());
    for line in String::from_utf8(log).unwrap().lines() {
        assert_eq!(Line::parse(line).pid, sandbox.daemon_pid().to_string());
    }
    assert!(sandbox.log().contains("program e\\x1b[2Jvil action start"), "{}", sandbox.log());
}

#[test]
fn what_is_no_request_is_logged_with_its_sender() {
    let sandbox = daemon("", &["-l", "stderr", "-L", "INFO"]);
    let mut stream = UnixStream::connect(sandbox.socket()).unwrap();
    stream.write_all(b"\x1b]0;this is no frame\x07\n").unwrap();
    let who = format!("pid {} uid {} gid {}", getpid(), geteuid(), getegid());
    let expected = format!("{who}: refused, BADMSG a frame begins with \\\"PMGR\\\", not with ");
    wait_until("it is logged", || {
        sandbox.log().lines().any(|line| Line::parse(line).text.starts_with(&expected))
    });
    assert!(!sandbox.log().contains('\x1b'), "{}", sandbox.log());
}

#[test]
fn the_journal_of_the_system_gets_priorities_and_no_times() {
    let mut sandbox = Sandbox::new(&allowing_us(PROGRAMS));
    let log = File::create(sandbox.path("log")).unwrap().metadata().unwrap();
    let mut command = sandbox.command();
    command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
    sandbox.run_daemon(with_journal(command, &format!("{}:{}", log.dev(), log.ino())));
    play(&sandbox);
    let log = sandbox.log();
    let begins: Vec<&str> = log.lines().map(|line| line.split_once('>').unwrap().0).collect();
    assert!(begins.iter().all(|begin| ["<4", "<5", "<6", "<7"].contains(begin)), "{log}");
    assert!(log.contains("<4>pid ") && log.contains("<5>pid ") && log.contains("<6>pid "), "{log}");
}

#[test]
fn a_journal_that_is_somebody_elses_changes_nothing() {
    for stream in ["1:1", "", "nonsense", "1", ":"] {
        let mut sandbox = Sandbox::new("");
        let mut command = sandbox.command();
        command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
        sandbox.run_daemon(with_journal(command, stream));
        Line::parse(sandbox.log().lines().next().unwrap());
    }
}

#[test]
fn a_facility_that_is_unknown_and_two_of_them_are_usage_errors() {
    let sandbox = Sandbox::new("");
    for logs in [&["-l", "nonsense"][..], &["-l", "daemon", "-l", "local0"], &["-L", "LOUD"]] {
        let output = run(sandbox.command().args(logs).arg("-df"));
        assert_eq!((output.code, output.stderr.lines().count()), (2, 2), "{}", output.stderr);
        assert!(output.stderr.contains("USAGE: procmgr "), "{}", output.stderr);
        assert_eq!(sandbox.files(), ["procmgr.cfg"]);
    }
}

#[test]
fn syslog_gets_the_lines() {
    syslog(&["-l", "local3"], |sandbox| assert_eq!(sandbox.log(), ""));
}

#[test]
fn a_syslog_that_is_stuck_keeps_nobody_waiting() {
    // From here on nobody reads; the system lets some ten lines wait, and then whoever sends the next one.
    syslog(&["-l", "local3"], |sandbox| {
        for _ in 0..40 {
            assert_eq!(sandbox.client(&["p", "start"]).code, 125);
        }
    });
}

#[test]
fn syslog_and_standard_error_may_both_get_the_lines() {
    syslog(&["-l", "stderr", "-l", "local3"], |sandbox| {
        assert!(sandbox.log().contains("program p action start"), "{}", sandbox.log());
    });
}

/// Asserts that syslog gets the lines of a daemon with these options, and something about its standard error.
///
/// The daemon has a `/dev` of its own, in which the test is syslog; that takes rights.
fn syslog(options: &[&str], check: impl FnOnce(&Sandbox)) {
    if !is_root("syslog") || run(Command::new("unshare").args(["--mount", "true"])).code != 0 {
        return eprintln!("skipped: no mount namespace can be made here");
    }
    let mut sandbox = Sandbox::new(&allowing_us(PROGRAMS));
    let device = sandbox.path("dev");
    fs::create_dir(&device).unwrap();
    File::create(device.join("null")).unwrap();
    let syslog = UnixDatagram::bind(device.join("log")).unwrap();
    syslog.set_read_timeout(Some(DEADLINE)).unwrap();

    let mut command = sandbox.command();
    command.args(options).args(["-d", "-f"]);
    let mount = format!("mount --bind /dev/null {0}/null && mount --rbind {0} /dev", device.display());
    let inner = through_shell(&mount, &command);
    let mut outer = Command::new("unshare");
    outer.arg("--mount").arg(inner.get_program()).args(inner.get_args());
    sandbox.run_daemon(outer);
    sandbox.succeed(&["p", "start"]);
    assert_eq!(sandbox.client(&["p", "start"]).code, 125);

    let tag = format!("procmgr[{}]: pid ", sandbox.daemon_pid());
    let next_about_a_client = || {
        loop {
            let mut buffer = [0; 4096];
            let length = syslog.recv(&mut buffer).unwrap();
            let line = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if line.contains(&tag) {
                return line;
            }
        }
    };
    // The priority is 8 times the facility, which is 19, and the severity.
    let (start, refusal) = (next_about_a_client(), next_about_a_client());
    assert!(start.starts_with("<157>") && start.contains(": done after "), "{start}");
    assert!(refusal.starts_with("<156>") && refusal.contains(": refused, BUSY "), "{refusal}");
    check(&sandbox);
}

/// A line of the log on standard error.
#[derive(Debug)]
struct Line {
    time: String,
    pid: String,
    level: String,
    text: String,
}

impl Line {
    #[track_caller]
    fn parse(line: &str) -> Self {
        let parts = || {
            let (time, rest) = line.split_once(" procmgr[")?;
            let (pid, rest) = rest.split_once("] ")?;
            let (level, text) = rest.split_once(": ")?;
            Some(Self { time: time.into(), pid: pid.into(), level: level.into(), text: text.into() })
        };
        parts().unwrap_or_else(|| panic!("not a line of the log: {line:?}"))
    }
}

/// Starts a daemon in the foreground with these options and no others.
fn daemon(config: &str, options: &[&str]) -> Sandbox {
    let mut sandbox = Sandbox::new(&allowing_us(config));
    let mut command = sandbox.command();
    command.args(["-d", "-f"]).args(options);
    sandbox.run_daemon(command);
    sandbox
}

/// Does what is logged with different weights: it is refused, it is worth a note, it is information.
fn play(sandbox: &Sandbox) {
    sandbox.succeed(&["p", "start"]);
    assert_eq!(sandbox.client(&["p", "start"]).code, 125);
    sandbox.succeed(&["p", "status"]);
    assert_eq!(sandbox.client(&["p", "signal"]).code, 3);
    assert_eq!(sandbox.client(&["p", "stop"]).code, 143);
}

fn with_journal(mut command: Command, stream: &str) -> Command {
    command.env("JOURNAL_STREAM", stream);
    command
}
