//! Lists beyond the lines of `-a`: the table, JSON, what a reload would change, and what may be done.
//!
//! Every shape is tested beside the code; here is what of it comes out of the executable, be it at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use nix::pty::{Winsize, openpty};
use procmgr_proto::codec::{encode_request, encode_response};
use procmgr_proto::details::{PastExit, Permission, ProgramDetails, ProgramPreview, ReloadEffect};
use procmgr_proto::event::{ProgramStatus, State};
use procmgr_proto::message::{Code, ExitStatus, Refusal, Request, Response};

use crate::harness::{Output, Sandbox, code, run, wait_for};

/// 2026-11-23T20:05:01.123Z, in milliseconds.
const NOW: u64 = 1_795_464_301_123;

fn output(code: i32, stdout: &str, stderr: &str) -> Output {
    Output { code, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

/// Makes a daemon that gives this answer, to this request only.
fn daemon(sandbox: &Sandbox, request: Request, response: Response) -> JoinHandle<()> {
    let listener = UnixListener::bind(sandbox.socket()).unwrap();
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let expected = encode_request(1, &request).unwrap();
        let mut asked = vec![0; expected.len()];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(asked, expected);
        stream.write_all(&encode_response(1, &response).unwrap()).unwrap();
    })
}

/// Runs a client of such a daemon.
fn told(arguments: &[&str], request: Request, response: Response) -> Output {
    let sandbox = Sandbox::new("");
    let daemon = daemon(&sandbox, request, response);
    let output = sandbox.client(arguments);
    daemon.join().unwrap();
    output
}

fn details() -> Response {
    let program = |name: &str, state, pid| ProgramStatus { name: name.into(), state, pid, marks: vec![] };
    let web = ProgramDetails {
        program: program("web", State::Running, Some(4711)),
        since: Some(NOW),
        restarts: 2,
        last_exit: Some(PastExit { status: ExitStatus::Signal(11), time: NOW - 5000 }),
        next_start: None,
    };
    let program = program("a rather long\u{1b} name", State::Down, None);
    let idle = ProgramDetails { program, since: None, restarts: 0, last_exit: None, next_start: None };
    Response::Inspected(vec![web, idle])
}

// The table.

#[test]
fn a_table_has_a_line_for_each_program_below_a_header() {
    let expected = "\
NAME                 STATE     PID  SINCE                 RESTARTS  LAST EXIT                       NEXT START
web                  running  4711  2026-11-23T20:05:01Z         2  signal 11 2026-11-23T20:04:56Z  -
a rather long\u{1b} name  down        -  -                            0  -                               -
";
    assert_eq!(told(&["-a", "--long"], Request::Inspect, details()), output(0, expected, ""));
    assert_eq!(told(&["--long", "--all"], Request::Inspect, details()), output(0, expected, ""));
    assert_eq!(told(&["-qa", "--long"], Request::Inspect, details()), output(0, "", ""));
}

/// Runs a command at a terminal of that width, and returns what it shows there.
fn shown_at_terminal(columns: u16, command: &mut Command) -> String {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).unwrap();
    let mut client = command.stdin(Stdio::null()).stdout(terminal.slave).spawn().unwrap();
    assert_eq!(code(wait_for(&mut client)), 0);
    // The command holds the other end, and with it what was shown.
    command.stdout(Stdio::null());
    let mut shown = Vec::new();
    // Linux reports the end of a terminal that nobody holds any more as an error.
    let _ = File::from(terminal.master).read_to_end(&mut shown);
    String::from_utf8(shown).unwrap().replace("\r\n", "\n")
}

fn table_at_terminal(columns: u16, variables: &[(&str, &str)]) -> String {
    let sandbox = Sandbox::new("");
    let daemon = daemon(&sandbox, Request::Inspect, details());
    let mut command = sandbox.command();
    command.args(["-a", "--long"]).env_remove("NO_COLOR").env("TERM", "xterm");
    let shown = shown_at_terminal(columns, command.envs(variables.iter().copied()));
    daemon.join().unwrap();
    shown
}

#[test]
fn a_table_fits_into_the_terminal() {
    let narrow = "NAME         STATE\nweb          running\na rather l~  down\n";
    assert_eq!(table_at_terminal(20, &[("NO_COLOR", "1")]), narrow);
    let wide = "\
NAME                      STATE     PID  SINCE                 LAST EXIT
web                       running  4711  2026-11-23T20:05:01Z  signal 11
a rather long\\u{1b} name  down        -  -                     -
";
    assert_eq!(table_at_terminal(80, &[("NO_COLOR", "1")]), wide);
    // Nobody knows how wide a terminal of no width is.
    assert_eq!(table_at_terminal(0, &[("NO_COLOR", "1")]).lines().next().map(str::len), Some(115));
    assert_eq!(table_at_terminal(1, &[("NO_COLOR", "1")]).lines().map(str::len).max(), Some(1));
}

#[test]
fn a_table_has_colours_on_a_terminal_that_has_them_and_only_if_they_are_wanted() {
    assert!(
        table_at_terminal(80, &[]).contains("\nweb                       \u{1b}[32mrunning\u{1b}[0m  4711 ")
    );
    assert!(table_at_terminal(80, &[("NO_COLOR", "")]).contains('\u{1b}'));
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", "")] {
        assert!(!table_at_terminal(80, &[variable]).contains('\u{1b}'), "{variable:?}");
    }
}

// JSON.

#[test]
fn a_list_for_scripts_is_an_object_in_each_line() {
    let expected = concat!(
        r#"{"schema":1,"program":"web","state":"running","pid":4711,"marks":[],"since":"2026-11-23T20:05:01.123Z","#,
        r#""restarts":2,"last_exit":{"how":"killed","signal":11,"time":"2026-11-23T20:04:56.123Z"},"#,
        r#""next_start":null}"#,
        "\n",
        r#"{"schema":1,"program":"a rather long\u001b name","state":"down","pid":null,"marks":[],"since":null,"#,
        r#""restarts":0,"last_exit":null,"next_start":null}"#,
        "\n"
    );
    assert_eq!(told(&["-a", "--json"], Request::Inspect, details()), output(0, expected, ""));
}

#[test]
fn whether_the_daemon_runs_is_told_to_scripts_by_an_object_and_the_same_exit_status() {
    let mut sandbox = Sandbox::new("");
    assert_eq!(sandbox.client(&["-t", "--json"]), output(1, "{\"schema\":1,\"running\":false}\n", ""));
    sandbox.start_daemon(&[]);
    assert_eq!(sandbox.client(&["-t", "--json"]), output(0, "{\"schema\":1,\"running\":true}\n", ""));
}

// What a reload would change.

fn preview(remarks: &[&str]) -> Response {
    let program = |name: &str, effect, keys: &[&str], pid: Option<u32>| ProgramPreview {
        name: name.into(),
        effect,
        keys: keys.iter().map(|key| key.as_bytes().to_vec()).collect(),
        pid,
        is_outdated: pid.is_some(),
    };
    let programs = vec![
        program("web", ReloadEffect::Changed, &["cmd-start", "uid-stop"], Some(123)),
        program("db", ReloadEffect::Added, &[], None),
        program("old", ReloadEffect::Removed, &[], Some(7)),
    ];
    Response::Previewed {
        programs,
        remarks: remarks.iter().map(|remark| remark.as_bytes().to_vec()).collect(),
    }
}

#[test]
fn a_preview_has_a_line_for_each_program_that_a_reload_concerns() {
    let expected = "\
web: changed cmd-start, uid-stop; runs under an older definition (pid 123)
db: added
old: removed; goes on until it ends (pid 7)
";
    let remark = "f:1:1: warning: so\u{1b}";
    let shown = output(0, expected, "f:1:1: warning: so\\u{1b}\n");
    for arguments in [&["-rn"][..], &["-r", "-n"], &["--dry-run", "--reload"]] {
        assert_eq!(told(arguments, Request::Preview, preview(&[remark])), shown);
    }
    assert_eq!(told(&["-qrn"], Request::Preview, preview(&[remark])), output(0, "", ""));
    let nothing = Response::Previewed { programs: vec![], remarks: vec![] };
    assert_eq!(told(&["-rn"], Request::Preview, nothing), output(0, "nothing would change\n", ""));
}

#[test]
fn a_preview_for_scripts_is_an_object_in_each_line() {
    let expected = concat!(
        r#"{"schema":1,"program":"web","effect":"changed","keys":["cmd-start","uid-stop"],"pid":123,"outdated":true}"#,
        "\n",
        r#"{"schema":1,"program":"db","effect":"added","keys":[],"pid":null,"outdated":false}"#,
        "\n",
        r#"{"schema":1,"program":"old","effect":"removed","keys":[],"pid":7,"outdated":true}"#,
        "\n"
    );
    assert_eq!(told(&["-rn", "--json"], Request::Preview, preview(&[])), output(0, expected, ""));
    let nothing = Response::Previewed { programs: vec![], remarks: vec![] };
    assert_eq!(told(&["-rn", "--json"], Request::Preview, nothing), output(0, "", ""));
}

#[test]
fn a_preview_of_a_bad_file_fails_and_tells_why() {
    let refusal = Refusal::new(Code::BadConf, "1 error in f\nf:1:1: error: so");
    let expected = output(1, "", "ERROR: (BADCONF) 1 error in f\nf:1:1: error: so\n");
    assert_eq!(told(&["-rn"], Request::Preview, Response::Refused(refusal)), expected);
}

// What may be done.

fn permissions() -> Response {
    let permission = |program: &str, actions: &[&str]| Permission {
        program: program.into(),
        actions: actions.iter().map(|action| action.as_bytes().to_vec()).collect(),
    };
    Response::Permissions(vec![permission("web", &["reload", "rotate"]), permission("longer", &["stop"])])
}

#[test]
fn what_may_be_done_is_a_line_for_each_program() {
    let expected = "web   : reload rotate\nlonger: stop\n";
    assert_eq!(told(&["--allowed"], Request::Permissions, permissions()), output(0, expected, ""));
    assert_eq!(told(&["--allowed"], Request::Permissions, Response::Permissions(vec![])), output(0, "", ""));
}

#[test]
fn what_may_be_done_is_told_to_scripts_by_names_that_end_with_nul() {
    let expected = "web\0reload\0web\0rotate\0longer\0stop\0";
    for arguments in [&["--allowed", "-0"][..], &["-0", "--allowed"], &["--allowed", "--null"]] {
        assert_eq!(told(arguments, Request::Permissions, permissions()), output(0, expected, ""));
    }
}

#[test]
fn what_may_be_done_is_told_to_scripts_by_an_object_in_each_line() {
    let expected = concat!(
        r#"{"schema":1,"program":"web","actions":["reload","rotate"]}"#,
        "\n",
        r#"{"schema":1,"program":"longer","actions":["stop"]}"#,
        "\n"
    );
    assert_eq!(told(&["--allowed", "--json"], Request::Permissions, permissions()), output(0, expected, ""));
}

// Without an answer.

#[test]
fn every_list_fails_without_a_daemon() {
    let sandbox = Sandbox::new("");
    let stderr = format!(
        "ERROR: cannot connect to {}: there is no such socket; does a daemon run?\n",
        sandbox.socket().display()
    );
    for arguments in
        [&["-a", "--long"][..], &["-a", "--json"], &["-rn"], &["--allowed"], &["--allowed", "--json"]]
    {
        assert_eq!(run(sandbox.command().args(arguments)), output(1, "", &stderr), "{arguments:?}");
    }
}

#[test]
fn a_daemon_that_does_not_know_a_list_is_an_error() {
    let refusal = || Response::Refused(Refusal::new(Code::BadCmd, "there is no request 7"));
    let expected = output(1, "", "ERROR: (BADCMD) there is no request 7\n");
    assert_eq!(told(&["-a", "--long"], Request::Inspect, refusal()), expected);
    assert_eq!(told(&["-rn"], Request::Preview, refusal()), expected);
    assert_eq!(told(&["--allowed"], Request::Permissions, refusal()), expected);
}
