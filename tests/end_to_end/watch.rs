//! Watching: what `--watch` shows, for people and for scripts, and how it ends.
//!
//! What subscriptions promise beyond what the command shows is in `hostile::subscriptions`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getegid, geteuid};

use crate::harness::{Sandbox, allowing_us, ask, code, is_root, procmgr, wait_for, wait_until_daemon_sleeps};

const NAP: &str = "[prog-nap]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\n";

/// A client that watches.
struct Watch {
    process: Child,
    /// `None` if nobody reads.
    lines: Option<BufReader<ChildStdout>>,
    complaints: ChildStderr,
}

impl Watch {
    fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = process.stdout.take().map(BufReader::new);
        let complaints = process.stderr.take().unwrap();
        Self { process, lines, complaints }
    }

    fn of(sandbox: &Sandbox, options: &[&str]) -> Self {
        Self::start(sandbox.command().arg("--watch").args(options))
    }

    /// Returns the next line, without its line feed.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.as_mut().unwrap().read_line(&mut line).unwrap();
        assert_eq!(line.pop(), Some('\n'), "the watch has ended");
        line
    }

    /// Returns the next line without its time, which has to be one.
    fn text(&mut self) -> String {
        let line = self.line();
        let (time, text) = line.split_once(' ').unwrap();
        assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
        text.to_owned()
    }

    /// Returns the exit status and what was said, when the watch has ended.
    fn end(mut self) -> (i32, String) {
        let mut complaints = String::new();
        self.complaints.read_to_string(&mut complaints).unwrap();
        (code(wait_for(&mut self.process)), complaints)
    }
}

/// Has a client ask for an action, and returns how the watch tells of it: the pid of the client, its user and group.
fn ask_and_name(sandbox: &Sandbox, arguments: &[&str]) -> (Child, String) {
    let client = ask(sandbox, arguments);
    let by = format!("by pid {} uid {} gid {}", client.id(), geteuid(), getegid());
    (client, by)
}

#[test]
fn a_watch_shows_what_there_is_and_then_each_change() {
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!("{NAP}[prog-idle]\n")));
    let mut watch = Watch::of(&sandbox, &[]);
    assert_eq!([watch.text(), watch.text()], ["nap: down", "idle: down"]);

    let (mut client, by) = ask_and_name(&sandbox, &["nap", "start"]);
    assert_eq!(watch.text(), format!("nap: starting, {by}"));
    let running = watch.text();
    let pid: i32 = running.split([' ', ',']).nth(4).unwrap().parse().unwrap();
    assert_eq!(running, format!("nap: running, pid {pid}, {by}"));
    wait_for(&mut client);

    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert_eq!(watch.text(), "nap: down, ended with signal 9");
}

#[test]
fn a_watch_tells_what_a_reload_of_the_daemon_has_changed() {
    let sandbox = Sandbox::with_daemon(&allowing_us(NAP));
    sandbox.succeed(&["nap", "start"]);
    let mut watch = Watch::of(&sandbox, &[]);
    let nap = watch.text();
    sandbox.configure(&allowing_us("[prog-other]\n"));
    let (mut client, by) = ask_and_name(&sandbox, &["-r"]);
    assert_eq!(watch.text(), nap.replace("running", "running, lingering") + &format!(", {by}"));
    assert_eq!(watch.text(), format!("other: down, {by}"));
    wait_for(&mut client);
    let (mut client, by) = ask_and_name(&sandbox, &["nap", "stop"]);
    assert_eq!(watch.text(), nap.replace("running", "stopping, lingering") + &format!(", {by}"));
    assert_eq!(watch.text(), format!("nap: removed, ended with signal 15, {by}"));
    wait_for(&mut client);
}

#[test]
fn a_start_that_fails_is_shown_with_its_reason() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-start = exit\ncwd = @/nowhere\n"));
    let mut watch = Watch::of(&sandbox, &[]);
    watch.text();
    let (mut client, by) = ask_and_name(&sandbox, &["p", "start"]);
    assert_eq!(watch.text(), format!("p: starting, {by}"));
    let failed = watch.text();
    assert!(failed.starts_with(&format!("p: down, {by}, not started: ")), "{failed}");
    assert!(failed.contains("/nowhere"), "{failed}");
    wait_for(&mut client);
}

#[test]
fn scripts_get_an_object_in_each_line() {
    let sandbox = Sandbox::with_daemon(&allowing_us(NAP));
    let mut watch = Watch::of(&sandbox, &["--json"]);
    // The time is tested beside the code; what follows it is the same each time.
    let object = |line: String| {
        let (head, rest) = line.split_once(r#""time":""#).unwrap();
        let (_, rest) = rest.split_once(r#"","#).unwrap();
        format!("{head}{rest}")
    };
    assert_eq!(
        object(watch.line()),
        concat!(
            r#"{"schema":1,"event":"present","program":"nap","state":"down","pid":null,"marks":[],"#,
            r#""ended":null,"failure":null,"by":null}"#
        )
    );
    let mut client = ask(&sandbox, &["nap", "start"]);
    let by = format!(r#"{{"pid":{},"uid":{},"gid":{}}}"#, client.id(), geteuid(), getegid());
    assert_eq!(
        object(watch.line()),
        format!(
            r#"{{"schema":1,"event":"changed","program":"nap","state":"starting","pid":null,"marks":[],{}{by}}}"#,
            r#""ended":null,"failure":null,"by":"#
        )
    );
    wait_for(&mut client);
}

#[test]
fn a_watch_ends_with_the_daemon() {
    let mut sandbox = Sandbox::with_daemon(NAP);
    let mut watch = Watch::of(&sandbox, &[]);
    watch.text();
    sandbox.terminate_daemon();
    assert_eq!(watch.end(), (1, "ERROR: (SHUTDOWN) the daemon ends\n".to_owned()));
}

#[test]
fn a_watch_ends_when_the_daemon_is_killed() {
    let mut sandbox = Sandbox::with_daemon(NAP);
    let mut watch = Watch::of(&sandbox, &[]);
    watch.text();
    kill(sandbox.daemon_pid(), Signal::SIGKILL).unwrap();
    assert_eq!(watch.end(), (1, "ERROR: the daemon went away before it answered\n".to_owned()));
    sandbox.wait_for_daemon();
}

#[test]
fn a_watch_that_nobody_reads_any_more_ends_by_sigpipe_and_without_an_event() {
    let sandbox = Sandbox::with_daemon(NAP);
    let mut watch = Watch::of(&sandbox, &[]);
    watch.text();
    watch.lines = None;
    assert_eq!(watch.end(), (128 + 13, String::new()));
}

#[test]
fn a_watch_without_a_daemon_says_so() {
    let sandbox = Sandbox::new("");
    let output = sandbox.client(&["--watch"]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""));
    assert!(output.stderr.ends_with("there is no such socket; does a daemon run?\n"), "{}", output.stderr);
}

#[test]
fn watching_costs_the_daemon_nothing_while_nothing_happens() {
    let sandbox = Sandbox::with_daemon(NAP);
    let mut watches: Vec<Watch> = (0..10).map(|_| Watch::of(&sandbox, &[])).collect();
    for watch in &mut watches {
        assert_eq!(watch.text(), "nap: down");
    }
    wait_until_daemon_sleeps(&sandbox);
}

#[test]
fn anybody_may_watch() {
    if !is_root("anybody_may_watch") {
        return;
    }
    let sandbox = Sandbox::with_daemon(NAP);
    // The folder of the executable may be closed to others; its descriptor leads past all folders.
    let executable = File::open(procmgr().get_program()).unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&executable));
    let mut command = Command::new(path);
    let mut watch =
        Watch::start(command.args(sandbox.command().get_args()).arg("--watch").uid(12345).gid(12345));
    assert_eq!(watch.text(), "nap: down");
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
