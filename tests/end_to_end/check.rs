//! `--check` of the real executable: no daemon, no waiting, and an exit status.
//!
//! What is found, and how it is worded, is shown beside the code, in `src/check`.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::{Output, Sandbox, answer, is_root, procmgr, raw, run};

const FINE: &str = "[prog-nap]\ncmd-start = exec sleep 1000\n";
const FAULTY: &str = "[prog-nap]\nrestart-dealy = 5\ncmd-start = exec sleep 1000\nautostart = soon\n";

/// Returns a report of the configuration in a folder, with `FILE` for its path.
fn check(sandbox: &Sandbox, options: &[&str]) -> Output {
    let output = sandbox.client(&[&["--check"], options].concat());
    let file = sandbox.config().display().to_string();
    Output { stdout: output.stdout.replace(&file, "FILE"), ..output }
}

fn said(code: i32, stdout: &str) -> Output {
    Output { code, stdout: stdout.to_owned(), stderr: String::new() }
}

#[test]
fn a_fine_file_is_checked_without_a_daemon_and_with_success() {
    let sandbox = Sandbox::new(FINE);
    assert_eq!(check(&sandbox, &[]), said(0, "FILE: no findings\n"));
    let summary = r#"{"schema":1,"type":"summary","file":"FILE","errors":0,"warnings":0,"privileged":0}"#;
    assert_eq!(check(&sandbox, &["--json"]), said(0, &format!("{summary}\n")));
    assert_eq!(check(&sandbox, &["-q"]), said(0, ""));
    assert_eq!(sandbox.files(), ["procmgr.cfg"]);
}

#[test]
fn an_error_is_told_with_its_line_and_by_the_exit_status() {
    let sandbox = Sandbox::new(FAULTY);
    let warning = "FILE:3:1: warning: unknown key \"restart-dealy\": did you mean \"restart-delay\"?\n    \
                   restart-dealy = 5\n    ^\n";
    let error = "FILE:5:13: error: invalid autostart \"soon\": expected yes, no, or a number from 0 to 4294967295\n    \
                 autostart = soon\n                ^\n";
    assert_eq!(check(&sandbox, &[]), said(1, &format!("{warning}{error}1 error, 1 warning in FILE\n")));
    assert_eq!(check(&sandbox, &["--quiet"]), said(1, error));
    let error = r#"{"schema":1,"type":"finding","file":"FILE","line":5,"column":13,"severity":"error","kind":"invalid-value","text":"invalid autostart \"soon\": expected yes, no, or a number from 0 to 4294967295"}"#;
    assert_eq!(check(&sandbox, &["-q", "--json"]), said(1, &format!("{error}\n")));
}

#[test]
fn warnings_are_no_failure() {
    let sandbox = Sandbox::new("[nonsense]\n");
    let output = check(&sandbox, &[]);
    assert_eq!((output.code, output.stdout.lines().last()), (0, Some("1 warning in FILE")));
}

#[test]
fn the_file_is_the_one_that_the_daemon_would_take() {
    let sandbox = Sandbox::new(FINE);
    let by_variable = run(procmgr().arg("--check").env("PROCMGR_CONFFILE", sandbox.config()));
    assert_eq!(by_variable, sandbox.client(&["--check"]));
    let relative = run(procmgr().args(["--check", "-c", "procmgr.cfg"]).current_dir(sandbox.path(".")));
    assert_eq!(relative, said(0, "procmgr.cfg: no findings\n"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_on_standard_error() {
    let sandbox = Sandbox::new("");
    mkfifo(&sandbox.path("fifo"), Mode::S_IRWXU).unwrap();
    for (name, reason) in [
        ("gone", "No such file or directory (os error 2)"),
        (".", "it is a directory"),
        ("fifo", "it is a FIFO"),
    ] {
        let path = sandbox.path(name);
        for options in [&[][..], &["-q"], &["--json"]] {
            let output = run(procmgr().arg("--check").args(options).arg("-c").arg(&path));
            let expected = format!("procmgr: cannot read configuration {}: {reason}\n", path.display());
            assert_eq!(output, Output { code: 1, stdout: String::new(), stderr: expected });
        }
    }
}

#[test]
fn scripts_are_neither_opened_nor_run() {
    let sandbox =
        Sandbox::new("[prog-a]\ncwd = @\ncmd-start = exec @/fifo\ncmd-status = @/script; touch @/ran\n");
    mkfifo(&sandbox.path("fifo"), Mode::S_IRWXU).unwrap();
    fs::write(sandbox.path("script"), "#!/bin/sh\ntouch \"$0.ran\"\n").unwrap();
    fs::set_permissions(sandbox.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
    let output = check(&sandbox, &[]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(sandbox.files(), ["fifo", "procmgr.cfg", "script"]);
}

#[test]
fn what_others_may_write_is_seen() {
    let sandbox = Sandbox::new("[prog-a]\ncwd = @/open\ncmd-status = @/open/run; @/gone\n");
    fs::create_dir(sandbox.path("open")).unwrap();
    fs::write(sandbox.path("open/run"), "").unwrap();
    fs::set_permissions(sandbox.path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let output = check(&sandbox, &["--json"]);
    for (line, kind) in [(3, "writable"), (4, "writable"), (4, "missing")] {
        let is_it = |it: &&str| {
            it.contains(&format!("\"line\":{line},")) && it.contains(&format!("\"kind\":\"{kind}\""))
        };
        assert!(output.stdout.lines().any(|it| is_it(&it)), "{line} {kind}: {}", output.stdout);
    }
}

#[test]
fn a_file_that_others_may_write_is_an_error_for_root() {
    if !is_root("a_file_that_others_may_write_is_an_error_for_root") {
        return;
    }
    let sandbox = Sandbox::new(FINE);
    fs::set_permissions(sandbox.config(), fs::Permissions::from_mode(0o664)).unwrap();
    let expected = "FILE: error: others may write it (owner 0, mode 0664), and its scripts run as root\n";
    assert_eq!(check(&sandbox, &["-q"]), said(1, expected));
    fs::set_permissions(sandbox.config(), fs::Permissions::from_mode(0o644)).unwrap();
    chown(sandbox.config(), Some(65534), None).unwrap();
    let object = r#"{"schema":1,"type":"finding","file":"FILE","line":null,"column":null,"severity":"error","kind":"untrusted","text":"others may write it (owner 65534, mode 0644), and its scripts run as root"}"#;
    assert_eq!(check(&sandbox, &["-q", "--json"]), said(1, &format!("{object}\n")));
}

#[test]
fn root_is_told_which_scripts_others_may_have_run_as_root() {
    if !is_root("root_is_told_which_scripts_others_may_have_run_as_root") {
        return;
    }
    let sandbox = Sandbox::new("[prog-a]\nuid-status = 4294967294\ncmd-status = :\n");
    let output = check(&sandbox, &[]);
    let list = "Scripts that run as root, and who else may have them run:\n    \
                FILE:4:1: a status: user 4294967294\n1 warning in FILE\n";
    assert!(output.code == 0 && output.stdout.ends_with(list), "{output:?}");
}

#[test]
fn a_path_of_any_bytes_is_shown_harmlessly_and_told_exactly() {
    let sandbox = Sandbox::new("");
    fs::write(sandbox.path(raw(b"\x1b\xff")), "x\n").unwrap();
    let in_folder = |options: &[&str]| {
        let mut command = procmgr();
        command.args(["--check", "-q", "-c"]).arg(raw(b"\x1b\xff")).args(options);
        run(command.current_dir(sandbox.path(".")))
    };
    let lines = in_folder(&[]).stdout;
    assert!(lines.starts_with("\\u{1b}\u{fffd}:1:1: error: "), "{lines}");
    let json = in_folder(&["--json"]).stdout;
    assert!(
        json.starts_with(
            "{\"schema\":1,\"type\":\"finding\",\"file\":\"\\u001b\u{fffd}\",\"file_bytes\":[27,255],"
        ),
        "{json}"
    );
    let gone = run(procmgr().args(["--check", "-c"]).arg(raw(b"/\x1bgone")));
    assert!(
        gone.code == 1 && gone.stderr.contains("\\u{1b}gone") && !gone.stderr.contains('\u{1b}'),
        "{gone:?}"
    );
}

#[test]
fn a_check_takes_no_words_and_no_other_mode() {
    let sandbox = Sandbox::new(FINE);
    for (options, reason) in [
        (&["nap", "start"][..], "--check takes no words, such as 'nap'"),
        (&["-a"], "-a and --check exclude each other"),
        (&["-d"], "-d and --check exclude each other"),
        (&["--allowed"], "--check and --allowed exclude each other"),
        (&["--timeout", "5"], "--check and --timeout exclude each other"),
        (&["-n"], "-n makes sense with -r only"),
    ] {
        let output = check(&sandbox, options);
        assert!(output.code == 2 && output.stderr.starts_with(&format!("procmgr: {reason}\n")), "{output:?}");
    }
}

#[test]
fn when_nobody_reads_the_report_the_check_ends_by_sigpipe() {
    let sandbox = Sandbox::new(FAULTY);
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = sandbox.command();
    command.arg("--check").stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let output = answer(command.spawn().unwrap());
    assert_eq!((output.code, output.stderr.as_str()), (128 + 13, ""));
}

#[test]
fn ten_thousand_programs_are_checked_soon() {
    let mut config = String::new();
    for number in 0..10_000 {
        let _ = write!(
            config,
            "[prog-{number}]\nuid-status = {number}\nuid-start = none\ncwd = /\nrestart-delay = 5\n\
             cmd-start = cd /tmp && exec /bin/sh -c \"sleep {number}\"\ncmd-status = test -n \"$PID\"\n"
        );
    }
    let sandbox = Sandbox::new(&config);
    let begin = Instant::now();
    let output = sandbox.client(&["--check"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
}
