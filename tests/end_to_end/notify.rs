//! Whom the daemon tells how it fares: a system manager, by datagrams.
//!
//! What an upgrade in place changes about that, which is nothing, is in `upgrade`.

use std::fs::File;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use nix::sys::signal::{Signal, kill};

use crate::daemon::Background;
use crate::harness::{
    DEADLINE, Sandbox, allowing_us, ask, run, wait_for, wait_until, wait_until_daemon_sleeps,
};
use crate::succession::LASTING;

/// A system manager that listens.
struct Manager {
    socket: UnixDatagram,
    /// What it puts into the environment of daemons.
    name: String,
}

impl Manager {
    /// Listens at a file in the folder.
    fn at_path(sandbox: &Sandbox) -> Self {
        let name = sandbox.path("notify").display().to_string();
        Self::over(UnixDatagram::bind(&name).unwrap(), name)
    }

    /// Listens at an address that is in no folder, and as unique as the folder.
    fn at_abstract_address(sandbox: &Sandbox) -> Self {
        let name = sandbox.path("notify").display().to_string();
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Self::over(socket, format!("@{name}"))
    }

    fn over(socket: UnixDatagram, name: String) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, name }
    }

    /// Starts a daemon in the foreground that tells this manager.
    fn start(&self, sandbox: &mut Sandbox) {
        let mut command = self.command(sandbox);
        command.args(["-l", "stderr", "-d", "-f"]);
        sandbox.run_daemon(command);
    }

    fn command(&self, sandbox: &Sandbox) -> Command {
        let mut command = sandbox.command();
        command.env("NOTIFY_SOCKET", &self.name);
        command
    }

    /// Waits for a message, and returns its lines.
    fn told(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for messages until this one comes.
    fn wait_for(&self, status: &str) {
        wait_until(status, || self.told().last().is_some_and(|last| last == &format!("STATUS={status}")));
    }

    fn has_nothing_to_read(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let result = self.socket.recv(&mut [0; 4096]);
        self.socket.set_nonblocking(false).unwrap();
        result.is_err()
    }
}

#[test]
fn a_system_manager_is_told_of_every_change() {
    let mut sandbox = Sandbox::new("");
    let manager = Manager::at_path(&sandbox);
    observe(&mut sandbox, &manager);
}

#[test]
fn a_system_manager_may_have_an_abstract_address() {
    let mut sandbox = Sandbox::new("");
    let manager = Manager::at_abstract_address(&sandbox);
    observe(&mut sandbox, &manager);
}

fn observe(sandbox: &mut Sandbox, manager: &Manager) {
    manager.start(sandbox);
    let serving = ["READY=1", "STATUS=0 of 0 programs run"];
    assert_eq!(manager.told(), serving);
    sandbox.succeed(&["-r"]);
    let reloading = manager.told();
    assert_eq!(reloading[0], "RELOADING=1");
    let time: u64 = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(time > 0);
    assert_eq!(manager.told(), serving);
    kill(sandbox.daemon_pid(), Signal::SIGHUP).unwrap();
    assert_eq!(manager.told()[0], "RELOADING=1");
    assert_eq!(manager.told(), serving);
    sandbox.terminate_daemon();
    assert_eq!(manager.told(), ["STOPPING=1", "STATUS=ending"]);
    assert!(manager.has_nothing_to_read());
}

#[test]
fn a_system_manager_that_does_not_listen_is_no_obstacle() {
    let mut sandbox = Sandbox::new("");
    for name in ["/nowhere/notify", "nonsense", "@", ""] {
        let mut command = sandbox.command();
        command.args(["-d", "-f"]).env("NOTIFY_SOCKET", name);
        sandbox.run_daemon(command);
        assert_eq!(sandbox.terminate_daemon().code(), Some(0), "{name:?}");
    }
}

#[test]
fn the_status_says_how_many_programs_run() {
    let mut sandbox = Sandbox::new(&allowing_us(&format!(
        "[prog-p]\nautostart = yes\n{LASTING}[prog-q]\n{LASTING}[prog-r]\n{LASTING}"
    )));
    let manager = Manager::at_path(&sandbox);
    manager.start(&mut sandbox);
    manager.wait_for("1 of 3 programs run");
    sandbox.succeed(&["q", "start"]);
    manager.wait_for("2 of 3 programs run");
    kill(sandbox.main_process("p"), Signal::SIGKILL).unwrap();
    manager.wait_for("1 of 3 programs run");
    sandbox.configure(&allowing_us(&format!("[prog-p]\n{LASTING}")));
    sandbox.succeed(&["-r"]);
    // One lingers.
    manager.wait_for("1 of 2 programs run");
    sandbox.client(&["q", "stop"]);
    manager.wait_for("0 of 1 programs run");
}

#[test]
fn the_status_says_that_a_file_was_rejected_until_one_is_not() {
    let mut sandbox = Sandbox::new(&allowing_us(&format!("[prog-p]\n{LASTING}")));
    let manager = Manager::at_path(&sandbox);
    manager.start(&mut sandbox);
    manager.wait_for("0 of 1 programs run");
    sandbox.configure("[prog-p]\nnonsense\n");
    assert_eq!(sandbox.client(&["-r"]).code, 1);
    assert_eq!(manager.told()[0], "RELOADING=1");
    let rejected = "STATUS=0 of 1 programs run; the last reload was rejected";
    assert_eq!(manager.told(), ["READY=1", rejected]);
    sandbox.succeed(&["p", "start"]);
    manager.wait_for("1 of 1 programs run; the last reload was rejected");
    sandbox.configure("");
    sandbox.succeed(&["-r"]);
    manager.wait_for("1 of 1 programs run");
}

#[test]
fn nothing_is_told_while_nothing_changes() {
    let mut sandbox = Sandbox::new(&allowing_us("[prog-p]\ncmd-signal = :\n"));
    let manager = Manager::at_path(&sandbox);
    manager.start(&mut sandbox);
    manager.wait_for("0 of 1 programs run");
    sandbox.succeed(&["p", "signal"]);
    sandbox.succeed(&["-t"]);
    wait_until_daemon_sleeps(&sandbox);
    assert!(manager.has_nothing_to_read());
}

#[test]
fn the_end_is_told_when_it_begins() {
    let mut sandbox = Sandbox::new(&allowing_us(&format!(
        "on-exit = stop\n[prog-p]\n{LASTING}cmd-stop = until test -e @/leave; do sleep 0.1; done; kill $PID\n"
    )));
    let manager = Manager::at_path(&sandbox);
    manager.start(&mut sandbox);
    sandbox.succeed(&["p", "start"]);
    manager.wait_for("1 of 1 programs run");
    let mut ending = ask(&sandbox, &["-s"]);
    assert_eq!(manager.told(), ["STOPPING=1", "STATUS=ending; 1 of 1 programs run"]);
    File::create(sandbox.path("leave")).unwrap();
    assert!(sandbox.wait_for_daemon().success());
    assert!(wait_for(&mut ending).success());
    // With the last program goes the daemon.
    assert!(manager.has_nothing_to_read());
}

#[test]
fn a_daemon_in_the_background_tells_its_pid_before_its_starter_goes() {
    let sandbox = Sandbox::new("");
    let manager = Manager::at_path(&sandbox);
    let output = run(manager.command(&sandbox).arg("-d"));
    let daemon = Background::of(&sandbox);
    manager.socket.set_nonblocking(true).unwrap();
    let pid = format!("MAINPID={}", daemon.pid);
    assert_eq!(manager.told(), ["READY=1", &pid, "STATUS=0 of 0 programs run"]);
    assert_eq!(output.code, 0);
}
