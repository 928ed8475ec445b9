//! The daemon as a process: how it starts, in the background or the foreground, and how it ends.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::{Pid, getsid};
use procmgr_proto::client::Client;

use crate::harness::{
    Output, Sandbox, allowing_us, children, is_alive, procmgr, run, through_shell, wait_for, wait_until,
};

/// A program that lasts, lets go of the terminal of whoever starts it, and tells its pid in a file.
const LASTING: &str = "[prog-p]\ncmd-start = echo $$ > @/main; exec sleep 1000 > /dev/null 2>&1\n";

#[test]
fn a_client_finds_the_daemon_right_after_it_has_started() {
    let sandbox = Sandbox::new("");
    let _daemon = Background::start(&sandbox, &[]);
    assert_eq!(sandbox.succeed(&["-t"]), "running\n");
}

#[test]
fn the_configuration_is_applied_when_the_starter_returns() {
    let sandbox = Sandbox::new("[prog-p]\ncmd-start = exec sleep 1000\n");
    let _daemon = Background::start(&sandbox, &[]);
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

#[test]
fn warnings_are_shown_to_whoever_starts_the_daemon() {
    let sandbox = Sandbox::new("alow-uid = 3\n");
    let output = sandbox.client(&["-d"]);
    let _daemon = Background::of(&sandbox);
    let config = sandbox.config();
    let expected =
        format!("{}:2:1: warning: unknown key \"alow-uid\": did you mean \"allow-uid\"?\n", config.display());
    assert_eq!(output, Output { code: 0, stdout: String::new(), stderr: expected });
}

#[test]
fn errors_in_the_configuration_keep_the_daemon_from_starting() {
    let sandbox = Sandbox::new("nonsense\nallow-uid = -5\n");
    let config = sandbox.config().display().to_string();
    for mode in ["-d", "-df"] {
        let output = failure(&sandbox, &[mode]);
        let lines: Vec<&str> = output.lines().collect();
        assert!(lines[0].starts_with(&format!("{config}:2:1: error: ")), "{output}");
        assert!(lines[1].starts_with(&format!("{config}:3:13: error: ")), "{output}");
        assert_eq!(lines[2..], [format!("procmgr: 2 errors in {config}")]);
    }
}

#[test]
fn a_daemon_that_cannot_start_has_said_why_when_the_starter_returns() {
    let sandbox = Sandbox::new("nonsense\n");
    for _ in 0..30 {
        let stderr = File::create(sandbox.path("stderr")).unwrap();
        let status = sandbox.command().arg("-d").stderr(stderr).status().unwrap();

        let told = sandbox.read("stderr");
        assert_eq!(status.code(), Some(1));
        assert!(told.ends_with(&format!("procmgr: 1 error in {}\n", sandbox.config().display())), "{told}");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_keeps_the_daemon_from_starting() {
    let sandbox = Sandbox::new("");
    fs::remove_file(sandbox.config()).unwrap();
    let config = sandbox.config().display().to_string();
    for mode in ["-d", "-df"] {
        let output = failure(&sandbox, &[mode]);
        assert!(output.starts_with(&format!("procmgr: cannot read configuration {config}: ")), "{output}");
        assert_eq!(output.lines().count(), 1, "{output}");
    }
}

#[test]
fn a_socket_in_a_folder_that_is_missing_keeps_the_daemon_from_starting() {
    let sandbox = Sandbox::new("");
    sandbox.configure_exactly("socket-path = @/missing/socket\n");
    let socket = sandbox.path("missing/socket").display().to_string();
    for mode in ["-d", "-df"] {
        let output = failure(&sandbox, &[mode]);
        assert!(output.contains(&socket) && output.contains("No such file or directory"), "{output}");
        assert_eq!(output.lines().count(), 1, "{output}");
    }
    assert!(!sandbox.path("missing").exists());
}

#[test]
fn a_socket_path_that_the_kernel_would_cut_keeps_the_daemon_from_starting() {
    let sandbox = Sandbox::new("");
    let folder = sandbox.path("").display().to_string();
    let name = "s".repeat(108 - folder.len());
    sandbox.configure_exactly(&format!("socket-path = @/{name}\n"));
    for mode in ["-d", "-df"] {
        assert_eq!(
            failure(&sandbox, &[mode]),
            format!(
                "procmgr: cannot create socket {folder}{name}: \
                 the path has 108 bytes, and at most 107 are possible\n"
            )
        );
    }
    assert_eq!(sandbox.files(), ["procmgr.cfg"]);
}

#[test]
fn a_socket_path_may_have_107_bytes() {
    let mut sandbox = Sandbox::new("");
    let name = "s".repeat(107 - sandbox.path("").as_os_str().len());
    sandbox.configure_exactly(&format!("socket-path = @/{name}\n"));
    sandbox.start_daemon(&[]);
    assert!(sandbox.path(name).exists());
}

#[test]
fn a_pid_file_that_cannot_be_written_keeps_the_daemon_from_starting() {
    let sandbox = Sandbox::new("");
    let pidfile = sandbox.path("missing/pid").display().to_string();
    for mode in ["-d", "-df"] {
        let output = failure(&sandbox, &["-P", &pidfile, mode]);
        assert!(output.starts_with(&format!("procmgr: cannot write PID file {pidfile}: ")), "{output}");
        assert_eq!(output.lines().count(), 1, "{output}");
        assert_eq!(sandbox.files(), ["procmgr.cfg"], "{mode} has left something behind");
    }
}

#[test]
fn in_the_background_the_daemon_leads_a_session_of_its_own() {
    let sandbox = Sandbox::new("");
    let daemon = Background::start(&sandbox, &[]);
    assert_eq!(getsid(Some(daemon.pid)), Ok(daemon.pid));
    assert_eq!(stat(daemon.pid, 5), daemon.pid.to_string(), "the process group");
    assert_eq!(stat(daemon.pid, 7), "0", "the controlling terminal");
}

#[test]
fn in_the_background_the_daemon_keeps_no_folder_busy() {
    let sandbox = Sandbox::new("");
    let daemon = Background::start(&sandbox, &[]);
    assert_eq!(link(daemon.pid, "cwd"), Path::new("/"));
}

#[test]
fn in_the_background_the_standard_streams_are_the_null_device() {
    let sandbox = Sandbox::new("");
    let daemon = Background::start(&sandbox, &["-l", "stderr", "-L", "DEBUG"]);
    for descriptor in 0..=2 {
        assert_eq!(link(daemon.pid, &format!("fd/{descriptor}")), Path::new("/dev/null"));
    }
}

#[test]
fn in_the_background_inherited_descriptors_are_let_go() {
    let sandbox = Sandbox::new("");
    let (pipe, inherited) = std::io::pipe().unwrap();
    let pipe_name = fs::read_link(format!("/proc/self/fd/{}", pipe.as_raw_fd()));
    let mut command = through_shell("exec 9>&1 >/dev/null", &sandbox.command());
    let mut starter = command.arg("-d").stdin(Stdio::null()).stdout(inherited).spawn().unwrap();
    assert!(wait_for(&mut starter).success());
    let daemon = Background::of(&sandbox);
    let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.pid)).unwrap();
    // One that is gone by now, such as that of our question, is not held.
    let names: Vec<PathBuf> =
        descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect();
    assert!(!names.contains(&pipe_name.unwrap()), "{names:?}");
}

#[test]
fn relative_paths_are_taken_from_the_folder_of_the_starter() {
    let sandbox = Sandbox::new("");
    sandbox.configure_exactly("socket-path = socket\n");
    let here = |arguments: &[&str]| {
        run(procmgr().args(["-c", "procmgr.cfg"]).args(arguments).current_dir(sandbox.path("")))
    };
    assert_eq!(here(&["-P", "pid", "-d"]), success());
    let daemon = Background::of(&sandbox);
    assert_eq!(sandbox.files(), ["pid", "procmgr.cfg", "socket", "socket.lock", "socket.state"]);

    // The daemon has left that folder, and still finds the file there.
    sandbox.configure_exactly("socket-path = socket\n[prog-p]\n");
    assert_eq!(here(&["-r"]), success());
    assert_eq!(here(&["-a"]).stdout, "p: dead\n");
    assert_eq!(here(&["-s"]), success());
    wait_until("the daemon has ended", || !is_alive(daemon.pid));
    assert_eq!(sandbox.files(), ["procmgr.cfg"]);
}

#[test]
fn in_the_foreground_the_daemon_neither_forks_nor_detaches() {
    let sandbox = Sandbox::with_daemon("");
    let pid = sandbox.daemon_pid();
    assert_eq!(pid_of_daemon(&sandbox), pid);
    assert_eq!(getsid(Some(pid)), getsid(None));
    assert_eq!(link(pid, "cwd"), std::env::current_dir().unwrap());
    assert_eq!(link(pid, "fd/2"), sandbox.path("log"));
}

#[test]
fn the_pid_file_tells_the_pid_as_long_as_the_daemon_serves() {
    let mut sandbox = Sandbox::new("");
    let pidfile = sandbox.path("pid").display().to_string();
    sandbox.start_daemon(&["-P", &pidfile]);
    assert_eq!(sandbox.read("pid"), format!("{}\n", sandbox.daemon_pid()));
    sandbox.terminate_daemon();
    assert!(!sandbox.path("pid").exists());
}

#[test]
fn the_pid_file_of_a_daemon_in_the_background_is_there_when_the_starter_returns() {
    let sandbox = Sandbox::new("");
    let pidfile = sandbox.path("pid").display().to_string();
    let daemon = Background::start(&sandbox, &["-P", &pidfile]);
    assert_eq!(sandbox.read("pid"), format!("{}\n", daemon.pid));
}

#[test]
fn a_pid_file_that_another_daemon_has_written_since_is_left_alone() {
    let mut sandbox = Sandbox::new("");
    let pidfile = sandbox.path("pid").display().to_string();
    sandbox.start_daemon(&["-P", &pidfile]);
    fs::write(&pidfile, "1\n").unwrap();
    sandbox.terminate_daemon();
    assert_eq!(sandbox.read("pid"), "1\n");
}

#[test]
fn a_signal_ends_the_daemon_and_nothing_is_left_behind() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut sandbox = Sandbox::new("");
        let pidfile = sandbox.path("pid").display().to_string();
        sandbox.start_daemon(&["-P", &pidfile]);
        kill(sandbox.daemon_pid(), signal).unwrap();
        assert_eq!(sandbox.wait_for_daemon().code(), Some(0), "{signal}");
        assert_eq!(sandbox.files(), ["log", "procmgr.cfg"], "{signal}");
    }
}

#[test]
fn s_ends_the_daemon_and_nothing_is_left_behind_when_it_returns() {
    let mut sandbox = Sandbox::new("");
    let pidfile = sandbox.path("pid").display().to_string();
    sandbox.start_daemon(&["-P", &pidfile]);
    assert_eq!(sandbox.succeed(&["-s"]), "");
    assert_eq!(sandbox.files(), ["log", "procmgr.cfg"]);
    assert_eq!(sandbox.wait_for_daemon().code(), Some(0));
}

#[test]
fn a_daemon_can_be_started_as_soon_as_s_has_returned() {
    let sandbox = Sandbox::new("");
    let pidfile = sandbox.path("pid").display().to_string();
    for _ in 0..20 {
        let _daemon = Background::start(&sandbox, &["-P", &pidfile]);
        sandbox.succeed(&["-t"]);
        sandbox.succeed(&["-s"]);
    }
}

#[test]
fn two_clients_may_stop_the_daemon_at_once() {
    let mut sandbox = Sandbox::with_daemon("");
    // Both requests are there before the daemon can see either of them.
    kill(sandbox.daemon_pid(), Signal::SIGSTOP).unwrap();
    let before = sandbox.connections();
    let clients: Vec<Child> =
        (0..2).map(|_| sandbox.command().arg("-s").stderr(Stdio::piped()).spawn().unwrap()).collect();
    wait_until("both clients have connected", || sandbox.connections() == before + 2);
    kill(sandbox.daemon_pid(), Signal::SIGCONT).unwrap();
    assert_eq!(sandbox.wait_for_daemon().code(), Some(0));
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
    }
}

#[test]
fn a_client_whose_daemon_was_stopped_by_another_has_what_it_wanted() {
    let mut sandbox = Sandbox::with_daemon("");
    let mut late = Client::connect(&sandbox.socket()).unwrap();
    late.ping().unwrap();
    sandbox.succeed(&["-s"]);
    sandbox.wait_for_daemon();
    late.stop().unwrap();
}

#[test]
fn programs_go_on_when_the_daemon_ends() {
    let mut sandbox = Sandbox::with_daemon(&allowing_us(LASTING));
    sandbox.succeed(&["p", "start"]);
    wait_until("the program has begun", || sandbox.read("main").ends_with('\n'));
    let program = Pid::from_raw(sandbox.read("main").trim().parse().unwrap());
    sandbox.terminate_daemon();
    let goes_on = is_alive(program);
    kill(program, Signal::SIGKILL).unwrap();
    assert!(goes_on);
}

#[test]
fn whoever_waits_is_told_that_the_daemon_ends() {
    let mut sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = trap '' TERM; exec > @/up 2>&1; while :; do sleep 1000; done\n\
         cmd-signal = echo > @/signalled; exec sleep 1000\n",
    ));
    sandbox.succeed(&["p", "start"]);
    wait_until("the program ignores SIGTERM", || sandbox.path("up").exists());
    let waiting = |action| sandbox.command().args(["p", action]).stderr(Stdio::piped()).spawn().unwrap();
    let clients = [waiting("signal"), waiting("stop")];
    wait_until("both actions are under way", || {
        sandbox.path("signalled").exists() && sandbox.succeed(&["-a"]) == "p: running stopping\n"
    });
    let orphans = children(sandbox.daemon_pid());
    sandbox.terminate_daemon();
    for orphan in orphans {
        killpg(orphan, Signal::SIGKILL).unwrap();
    }
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "ERROR: (SHUTDOWN) the daemon ends before this is done\n"
        );
    }
}

#[test]
fn a_daemon_that_is_killed_ends_every_waiting_client_with_an_error() {
    let mut sandbox =
        Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-signal = echo > @/signalled; exec sleep 1000\n"));
    let client = sandbox.command().args(["p", "signal"]).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the script runs", || sandbox.path("signalled").exists());
    let orphans = children(sandbox.daemon_pid());
    kill(sandbox.daemon_pid(), Signal::SIGKILL).unwrap();
    sandbox.wait_for_daemon();
    for orphan in orphans {
        killpg(orphan, Signal::SIGKILL).unwrap();
    }
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "ERROR: the daemon went away before it answered\n");
}

/// A daemon in the background. When this is dropped, it and whatever it runs are ended.
pub(crate) struct Background {
    pub(crate) pid: Pid,
}

impl Background {
    /// Starts a daemon, which must succeed in silence.
    fn start(sandbox: &Sandbox, options: &[&str]) -> Self {
        assert_eq!(run(sandbox.command().args(options).arg("-d")), success());
        Self::of(sandbox)
    }

    /// Takes care of the daemon that serves in this sandbox.
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        Self { pid: pid_of_daemon(sandbox) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Another process may have the pid by now.
        let line = fs::read_to_string(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        if !line.contains("procmgr.cfg") {
            return;
        }
        let scripts = children(self.pid);
        let _ = kill(self.pid, Signal::SIGKILL);
        for script in scripts {
            let _ = killpg(script, Signal::SIGKILL);
        }
    }
}

/// Returns the pid of whoever listens on the socket.
pub(crate) fn pid_of_daemon(sandbox: &Sandbox) -> Pid {
    let stream = UnixStream::connect(sandbox.socket()).unwrap();
    Pid::from_raw(getsockopt(&stream, PeerCredentials).unwrap().pid())
}

fn success() -> Output {
    Output { code: 0, stdout: String::new(), stderr: String::new() }
}

/// Runs a daemon that must fail to start. Returns what it says on standard error.
fn failure(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let Output { code, stdout, stderr } = sandbox.client(arguments);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    stderr
}

fn link(pid: Pid, name: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/{name}")).unwrap()
}

/// Returns a field of the `stat` file of a process, counted from 1 as its manual does.
fn stat(pid: Pid, field: usize) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    after_name.split(' ').nth(field - 3).unwrap().to_owned()
}
