//! A daemon at a socket that a system manager has made, and hands over to it: `sd_listen_fds`.
//!
//! The test is the system manager; at the end, the one that systemd has for such tests is.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};

use crate::daemon::pid_of_daemon;
use crate::harness::{Output, Sandbox, allowing_us, answer, ask, code, installed, through_shell, wait_until};

/// What the environment of the daemon says if one descriptor is handed over.
const ONE: &str = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=procmgr.socket";

/// A system manager, which listens.
struct Manager {
    socket: UnixListener,
}

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixListener::bind(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
        Self { socket }
    }

    /// Starts a daemon to which the socket is handed over.
    fn start(&self, sandbox: &mut Sandbox) {
        let daemon = activated(ONE, &in_foreground(sandbox));
        sandbox.run_daemon_on(self.handed_over(), daemon);
    }

    fn handed_over(&self) -> Stdio {
        Stdio::from(OwnedFd::from(self.socket.try_clone().unwrap()))
    }
}

fn in_foreground(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.command();
    command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
    command
}

/// Returns a command that has its standard input as the first of the descriptors that are handed over, and is told
/// this.
fn activated(variables: &str, command: &Command) -> Command {
    through_shell(&format!("export {variables}; exec 3<&0 < /dev/null"), command)
}

/// Runs a daemon that must fail to start, and returns the reason.
#[track_caller]
fn rejected(sandbox: &Sandbox, variables: &str, mode: &str, descriptor: impl Into<Stdio>) -> String {
    let mut command = activated(variables, sandbox.command().arg(mode));
    command.stdin(descriptor).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = answer(command.spawn().unwrap());
    assert_eq!(output.code, 1, "{}", output.stderr);
    let reason = output.stderr.strip_prefix("procmgr: cannot use what the system manager has handed over: ");
    reason.unwrap_or_else(|| panic!("{}", output.stderr)).trim_end().to_owned()
}

fn inode(path: &Path) -> (u64, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.ino(), metadata.mode())
}

#[test]
fn whoever_has_connected_before_the_start_is_served() {
    let mut sandbox = Sandbox::new("[prog-p]\n");
    let manager = Manager::at(&sandbox.socket());
    let before = sandbox.connections();
    let early = [ask(&sandbox, &["-t"]), ask(&sandbox, &["-a"])];
    wait_until("both have connected", || sandbox.connections() == before + 2);

    manager.start(&mut sandbox);

    let [tested, listed] = early.map(answer);
    assert_eq!((tested.code, tested.stdout.as_str()), (0, "running\n"));
    assert_eq!((listed.code, listed.stdout.as_str()), (0, "p: dead\n"));
    assert_eq!(sandbox.logged("the daemon serves at "), 1);
}

#[test]
fn the_socket_is_there_before_during_and_after_the_daemon_and_stays_as_it_is() {
    let mut sandbox = Sandbox::new("");
    let manager = Manager::at(&sandbox.socket());
    let before = inode(&sandbox.socket());
    for ending in ["-s", "SIGTERM", "SIGKILL"] {
        manager.start(&mut sandbox);
        assert_eq!(inode(&sandbox.socket()), before);
        match ending {
            "SIGKILL" => sandbox.kill_daemon(),
            ending => sandbox.end_daemon_by(ending),
        }
        assert_eq!(inode(&sandbox.socket()), before, "{ending}");
        // Whoever comes now waits for the next one.
        UnixStream::connect(sandbox.socket()).unwrap();
        assert_eq!(sandbox.path("socket.lock").exists(), ending == "SIGKILL");
    }
}

#[test]
fn clients_are_told_which_process_it_is_that_serves() {
    let mut sandbox = Sandbox::new("");
    let manager = Manager::at(&sandbox.socket());
    manager.start(&mut sandbox);
    assert_eq!(pid_of_daemon(&sandbox), sandbox.daemon_pid());
}

#[test]
fn whoever_has_the_daemon_started_by_asking_for_its_end_is_not_kept_for_ever() {
    let sandbox = Sandbox::new("");
    let manager = Manager::at(&sandbox.socket());
    let before = sandbox.connections();
    let mut early = ask(&sandbox, &["-s"]);
    wait_until("it has connected", || sandbox.connections() == before + 1);
    let mut command = activated(ONE, &in_foreground(&sandbox));
    let mut daemon = command.stdin(manager.handed_over()).stderr(Stdio::null()).spawn().unwrap();

    // The system manager goes on, and the client has connected to that.
    assert_eq!(code(early.wait().unwrap()), 0);
    assert_eq!(code(daemon.wait().unwrap()), 0);
}

#[test]
fn scripts_have_nothing_of_it() {
    let mut sandbox = Sandbox::new(&allowing_us("[prog-p]\ncmd-status = env; ls -l /proc/$$/fd\n"));
    let manager = Manager::at(&sandbox.socket());
    manager.start(&mut sandbox);
    let output = sandbox.succeed(&["p", "status"]);
    assert!(
        output.contains(" 0 -> /dev/null\n") && !output.contains("LISTEN") && !output.contains("socket:"),
        "{output}"
    );
}

#[test]
fn an_upgrade_keeps_it() {
    let mut sandbox = Sandbox::installed("");
    let manager = Manager::at(&sandbox.socket());
    let before = inode(&sandbox.socket());
    let mut daemon = sandbox.installed_command(sandbox.executable());
    daemon.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
    sandbox.run_daemon_on(manager.handed_over(), activated(ONE, &daemon));
    let descriptors = sandbox.descriptors_of_idle_daemon();
    for _ in 0..2 {
        sandbox.upgrade();
        let environment = fs::read(format!("/proc/{}/environ", sandbox.daemon_pid())).unwrap();
        assert!(!String::from_utf8_lossy(&environment).contains("LISTEN_"));
        wait_until("all descriptors are closed", || sandbox.descriptors_of_idle_daemon() == descriptors);
    }
    sandbox.terminate_daemon();
    assert_eq!(inode(&sandbox.socket()), before);
    UnixStream::connect(sandbox.socket()).unwrap();
}

#[test]
fn a_socket_file_that_is_removed_is_the_system_managers_to_make_again() {
    let mut sandbox = Sandbox::new("");
    let manager = Manager::at(&sandbox.socket());
    manager.start(&mut sandbox);
    fs::remove_file(sandbox.socket()).unwrap();
    let warning = format!(
        "WARN: the socket {} was removed; the system manager has to make it again\n",
        sandbox.socket().display()
    );
    wait_until("the removal is noticed", || sandbox.logged(&warning) == 1);
    kill(sandbox.daemon_pid(), Signal::SIGHUP).unwrap();
    wait_until("it is told again by a reload", || sandbox.logged(&warning) == 2);
    assert!(!sandbox.socket().exists());
    assert_eq!(sandbox.terminate_daemon().code(), Some(0));
}

#[test]
fn one_daemon_has_it() {
    let mut sandbox = Sandbox::new("");
    let manager = Manager::at(&sandbox.socket());
    manager.start(&mut sandbox);
    let expected = format!("procmgr: a daemon is running already at {}\n", sandbox.socket().display());
    let mut second = activated(ONE, sandbox.command().arg("-df"));
    second.stdin(manager.handed_over()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = answer(second.spawn().unwrap());
    assert_eq!((output.code, output.stderr), (1, expected.clone()));
    let output = sandbox.client(&["-df"]);
    assert_eq!(output, Output { code: 1, stdout: String::new(), stderr: expected });
    sandbox.succeed(&["-t"]);
}

#[test]
fn it_may_be_found_by_another_path_than_it_was_made_at() {
    let mut sandbox = Sandbox::new("");
    fs::create_dir(sandbox.path("run")).unwrap();
    symlink("run", sandbox.path("var")).unwrap();
    sandbox.configure_exactly("socket-path = @/var/socket\n");
    let manager = Manager::at(&sandbox.path("run/socket"));
    manager.start(&mut sandbox);
}

#[test]
fn a_socket_at_another_path_keeps_the_daemon_from_starting() {
    let sandbox = Sandbox::new("");
    let manager = Manager::at(&sandbox.path("other"));
    let expected = format!(
        "the socket is at {}, and by the configuration clients look for it at {}",
        sandbox.path("other").display(),
        sandbox.socket().display()
    );
    assert_eq!(rejected(&sandbox, ONE, "-df", manager.handed_over()), expected);
    assert_eq!(sandbox.files(), ["other", "procmgr.cfg"]);
}

#[test]
fn what_is_no_listening_socket_keeps_the_daemon_from_starting() {
    let sandbox = Sandbox::new("");
    let path = sandbox.socket();
    let file = File::open("/dev/null").unwrap();
    assert_eq!(rejected(&sandbox, ONE, "-df", file), "descriptor 3 is no socket");
    let socket = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    assert_eq!(rejected(&sandbox, ONE, "-df", socket), "descriptor 3 is no UNIX socket");
    let socket = OwnedFd::from(UnixStream::pair().unwrap().0);
    assert_eq!(rejected(&sandbox, ONE, "-df", socket), "descriptor 3 is a socket that does not listen");
    let socket = OwnedFd::from(UnixDatagram::bind(&path).unwrap());
    assert_eq!(rejected(&sandbox, ONE, "-df", socket), "descriptor 3 is no stream socket");
    let mut command = through_shell(&format!("export {ONE}; exec 3<&-"), sandbox.command().arg("-df"));
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let output = answer(command.spawn().unwrap());
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("handed over: descriptor 3: "), "{}", output.stderr);
    assert_eq!(sandbox.files(), ["procmgr.cfg", "socket"]);
}

#[test]
fn more_than_one_descriptor_or_a_number_that_is_none_keeps_the_daemon_from_starting() {
    let sandbox = Sandbox::new("");
    let manager = Manager::at(&sandbox.socket());
    for (count, expected) in [
        ("2", "2 descriptors were handed over, and one is wanted"),
        ("4294967295", "4294967295 descriptors were handed over, and one is wanted"),
        ("0", "LISTEN_FDS is \"0\", which is no number of descriptors"),
        ("one", "LISTEN_FDS is \"one\", which is no number of descriptors"),
        ("\"$(printf '1\\033[1m')\"", "LISTEN_FDS is \"1\\x1b[1m\", which is no number of descriptors"),
    ] {
        let variables = format!("LISTEN_PID=$$ LISTEN_FDS={count}");
        assert_eq!(rejected(&sandbox, &variables, "-df", manager.handed_over()), expected);
    }
    assert_eq!(
        rejected(&sandbox, ONE, "-d", manager.handed_over()),
        "a daemon takes one in the foreground only, by -f"
    );
    assert_eq!(sandbox.files(), ["procmgr.cfg", "socket"]);
}

#[test]
fn what_is_meant_for_another_process_is_ignored() {
    for variables in
        ["LISTEN_PID=1 LISTEN_FDS=1", "LISTEN_PID=x LISTEN_FDS=x", "LISTEN_FDS=1", "LISTEN_PID=$$"]
    {
        let mut sandbox = Sandbox::new("");
        let other = Manager::at(&sandbox.path("other"));
        let daemon = activated(variables, &in_foreground(&sandbox));
        sandbox.run_daemon_on(other.handed_over(), daemon);
        assert_eq!(inode(&sandbox.socket()).1 & 0o777, 0o777, "{variables}");
        sandbox.terminate_daemon();
        assert_eq!(sandbox.files(), ["log", "other", "procmgr.cfg"], "{variables}");
    }
}

#[test]
fn systemd_hands_it_over_in_this_way() {
    let Some(activate) = installed("systemd-socket-activate") else {
        return eprintln!("skipped: systemd_hands_it_over_in_this_way needs systemd-socket-activate");
    };
    let mut sandbox = Sandbox::new("[prog-p]\n");
    let daemon = in_foreground(&sandbox);
    let mut command = Command::new(activate);
    command.arg("--listen").arg(sandbox.socket()).arg(daemon.get_program()).args(daemon.get_args());
    // The first client has it started.
    sandbox.run_daemon(command);
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
    assert_eq!(pid_of_daemon(&sandbox), sandbox.daemon_pid());
    sandbox.succeed(&["-s"]);
    assert!(sandbox.wait_for_daemon().success());
    assert!(sandbox.socket().exists());
}
