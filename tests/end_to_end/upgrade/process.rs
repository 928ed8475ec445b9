//! The daemon as a process, over upgrades: what it is, what it has open, and how it ends.
//!
//! What clients notice is in `clients`; how scripts run afterwards, in `scripts`.

use std::fs::{self, File};
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};
use procmgr_proto::client::Client;

use crate::harness::{DEADLINE, Sandbox, code, is_alive, run, through_shell, wait_until};
use crate::succession::{LASTING, is_code_or_unknown};

/// Returns what a process executes, as the kernel names it.
fn executed(pid: Pid) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/exe")).unwrap()
}

// What it executes.

#[test]
fn the_daemon_and_its_programs_stay_the_same_processes() {
    let sandbox = Sandbox::with_installed_daemon(&format!("[prog-p]\n{LASTING}[prog-q]\n"));
    let main = sandbox.start("p");

    sandbox.upgrade();

    assert_eq!(sandbox.list(), "p: running\nq: dead\n");
    assert_eq!(sandbox.main_process("p"), main);
    assert!(is_alive(main));
    // It is its child still, so that it is told how it ends.
    assert_eq!(sandbox.client(&["p", "stop"]).code, 128 + 15);
    assert_eq!(sandbox.logged(&format!("p: pid {main} has ended with signal 15\n")), 1);
    sandbox.start("p");
}

#[test]
fn the_executable_that_has_replaced_the_former_is_executed() {
    let sandbox = Sandbox::with_installed_daemon("");
    let daemon = sandbox.daemon_pid();
    sandbox.install("procmgr");
    assert!(executed(daemon).to_string_lossy().ends_with("/procmgr (deleted)"));

    sandbox.upgrade();

    assert_eq!(executed(daemon), sandbox.executable());
    let inode = |path: PathBuf| fs::metadata(path).unwrap().st_ino();
    assert_eq!(inode(format!("/proc/{daemon}/exe").into()), inode(sandbox.executable()));
}

#[test]
fn what_a_link_leads_to_by_then_is_executed() {
    let mut sandbox = Sandbox::installed("");
    sandbox.install("version-1");
    sandbox.install("version-2");
    fs::remove_file(sandbox.executable()).unwrap();
    symlink("version-1", sandbox.executable()).unwrap();
    sandbox.start_installed_daemon();
    assert_eq!(executed(sandbox.daemon_pid()), sandbox.path("version-1"));

    fs::remove_file(sandbox.executable()).unwrap();
    symlink("version-2", sandbox.executable()).unwrap();
    sandbox.upgrade();

    assert_eq!(executed(sandbox.daemon_pid()), sandbox.path("version-2"));
}

#[test]
fn it_does_not_matter_how_the_executable_was_found() {
    for (found_by, path) in [("./procmgr", "/nowhere"), ("procmgr", "@")] {
        let mut sandbox = Sandbox::installed("");
        let path = path.replace('@', sandbox.path("").to_str().unwrap());
        // A shell looks for it where its own PATH says.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec \"$0\" \"$@\"", found_by, "-c", "procmgr.cfg", "-df"]);
        command.args(["-l", "stderr"]).env("PATH", path).current_dir(sandbox.path(""));
        sandbox.run_daemon(command);
        sandbox.install("procmgr");

        sandbox.upgrade();

        assert_eq!(executed(sandbox.daemon_pid()), sandbox.executable(), "{found_by}");
        // The configuration is found as well.
        sandbox.succeed(&["-r"]);
        sandbox.upgrade();
    }
}

#[test]
fn a_configuration_that_has_mistakes_by_then_does_not_matter() {
    let sandbox = Sandbox::with_installed_daemon(&format!("[prog-p]\n{LASTING}"));
    sandbox.start("p");
    sandbox.configure("[prog-p]\nnonsense\n");

    sandbox.upgrade();

    assert_eq!(sandbox.list(), "p: running\n");
    assert_eq!(sandbox.client(&["-r"]).code, 1);
}

// What it has open, and what stays in place.

#[test]
fn no_descriptor_is_gained_however_often() {
    let mut sandbox = Sandbox::with_installed_daemon(&format!("[prog-p]\n{LASTING}[prog-q]\n{LASTING}"));
    sandbox.start("p");
    sandbox.kill_daemon();
    sandbox.start_installed_daemon();
    sandbox.start("q");
    let mut client = Client::connect(&sandbox.socket()).unwrap();
    client.ping().unwrap();
    let first = sandbox.descriptors_of_idle_daemon();

    for _ in 0..10 {
        sandbox.upgrade();
        client.ping().unwrap();
        wait_until("as many are open as before", || sandbox.descriptors_of_idle_daemon() <= first);
    }
    assert_eq!(sandbox.list(), "p: running adopted\nq: running\n");
}

#[test]
fn a_descriptor_that_the_daemon_was_started_with_stays_open() {
    let mut sandbox = Sandbox::installed("");
    let mut command = sandbox.installed_command(sandbox.executable());
    command.args(["-l", "stderr", "-d", "-f"]);
    let mut command = through_shell("exec 9> held", &command);
    command.current_dir(sandbox.path(""));
    sandbox.run_daemon(command);
    let held = || fs::read_link(format!("/proc/{}/fd/9", sandbox.daemon_pid())).unwrap();
    assert_eq!(held(), sandbox.path("held"));

    for _ in 0..2 {
        sandbox.upgrade();
        assert_eq!(held(), sandbox.path("held"));
    }
}

#[test]
fn the_files_of_the_daemon_stay_in_place_and_stay_its_own() {
    let mut sandbox = Sandbox::with_installed_daemon(&format!("[prog-p]\n{LASTING}"));
    let main = sandbox.start("p");
    let files = sandbox.files();
    let inode = |name| fs::symlink_metadata(sandbox.path(name)).unwrap().st_ino();
    let before = ["socket", "socket.lock", "socket.state"].map(inode);

    sandbox.upgrade();

    assert_eq!(sandbox.files(), files);
    assert_eq!(["socket", "socket.lock", "socket.state"].map(inode), before);
    let second = sandbox.client(&["-df"]);
    assert!(second.stderr.starts_with("procmgr: a daemon is running already at "), "{second:?}");
    fs::remove_file(sandbox.socket()).unwrap();
    wait_until("the socket is there again", || sandbox.client(&["-t"]).code == 0);
    sandbox.remove_state();
    wait_until("the state is there again", || sandbox.path("socket.state/programs").exists());

    // Another daemon finds it as well.
    sandbox.kill_daemon();
    sandbox.start_installed_daemon();
    assert_eq!(sandbox.list(), "p: running adopted\n");
    assert_eq!(sandbox.main_process("p"), main);
}

#[test]
fn nothing_is_left_behind_at_the_end() {
    for ending in ["-s", "SIGTERM"] {
        let mut sandbox = Sandbox::with_installed_daemon("");
        sandbox.upgrade();
        sandbox.upgrade();

        if ending == "-s" {
            sandbox.succeed(&["-s"]);
            assert!(sandbox.wait_for_daemon().success());
        } else {
            assert!(sandbox.terminate_daemon().success());
        }

        assert_eq!(sandbox.files(), ["log", "procmgr", "procmgr.cfg"], "{ending}");
    }
}

#[test]
fn an_adopted_program_stays_adopted_and_its_end_is_noticed() {
    let mut sandbox = Sandbox::with_installed_daemon(&format!(
        "[prog-p]\n{LASTING}[prog-q]\nrestart-delay = 1000\n{LASTING}"
    ));
    sandbox.start("p");
    let killed = sandbox.start("q");
    sandbox.kill_daemon();
    sandbox.start_installed_daemon();

    sandbox.upgrade();
    sandbox.upgrade();

    assert_eq!(sandbox.list(), "p: running adopted\nq: running adopted\n");
    kill(killed, Signal::SIGKILL).unwrap();
    wait_until("its death is noticed", || sandbox.list() == "p: running adopted\nq: dead restarting\n");
    assert!(is_code_or_unknown(sandbox.client(&["p", "stop"]).code, 128 + 15));
}

// Whom it tells.

#[test]
fn in_the_background_the_daemon_is_upgraded_as_well() {
    let sandbox = Sandbox::installed(&format!("[prog-p]\ncwd = @\n{LASTING}"));
    let mut command = sandbox.installed_command(sandbox.executable());
    assert_eq!(run(command.args(["-P", "pid", "-d"])).code, 0);
    let daemon = Pid::from_raw(sandbox.read("pid").trim().parse().unwrap());
    let main = sandbox.start("p");
    sandbox.install("procmgr");

    assert_eq!(sandbox.succeed(&["-u"]), "");

    assert_eq!(executed(daemon), sandbox.executable());
    assert_eq!(sandbox.read("pid"), format!("{daemon}\n"));
    assert_eq!(getsid(Some(daemon)), Ok(daemon));
    let streams = [0, 1, 2].map(|number| fs::read_link(format!("/proc/{daemon}/fd/{number}")).unwrap());
    assert!(streams.iter().all(|stream| stream.as_os_str() == "/dev/null"), "{streams:?}");
    assert_eq!(sandbox.main_process("p"), main);
    assert_eq!(sandbox.client(&["p", "stop"]).code, 128 + 15);
    // Its folder was that of the starter.
    sandbox.succeed(&["-r"]);
    kill(daemon, Signal::SIGTERM).unwrap();
    wait_until("the daemon has ended", || !is_alive(daemon));
    assert!(!sandbox.path("pid").exists());
}

#[test]
fn the_pid_file_stays_and_is_removed_at_the_end() {
    let mut sandbox = Sandbox::installed("");
    let mut command = sandbox.installed_command(sandbox.executable());
    command.args(["-l", "stderr", "-P", "pid", "-d", "-f"]);
    sandbox.run_daemon(command);
    sandbox.upgrade();
    assert_eq!(sandbox.read("pid"), format!("{}\n", sandbox.daemon_pid()));

    sandbox.terminate_daemon();

    assert!(!sandbox.path("pid").exists());
}

#[test]
fn a_system_manager_is_told_nothing_of_it_and_everything_after_it() {
    let mut sandbox = Sandbox::installed("");
    let manager = UnixDatagram::bind(sandbox.path("notify")).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let told = || {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).unwrap();
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    let mut command = sandbox.installed_command(sandbox.executable());
    command.args(["-l", "stderr", "-d", "-f"]).env("NOTIFY_SOCKET", sandbox.path("notify"));
    sandbox.run_daemon(command);
    assert_eq!(told(), "READY=1");

    sandbox.upgrade();
    sandbox.replace_executable("#!/bin/sh\nexit 3\n", "755");
    assert_eq!(sandbox.client(&["-u"]).code, 1);
    sandbox.succeed(&["-r"]);

    assert_eq!([told(), told()], ["RELOADING=1", "READY=1"]);
    sandbox.terminate_daemon();
    assert_eq!(told(), "STOPPING=1");
}

#[test]
fn the_log_goes_on_in_the_same_way() {
    let sandbox = Sandbox::with_installed_daemon("");
    sandbox.upgrade();
    sandbox.succeed(&["-a"]);

    let log = sandbox.log();
    let end = format!("procmgr[{}] INFO: pid ", sandbox.daemon_pid());
    assert!(log.lines().last().unwrap().contains(&end), "{log}");
    // Whoever has asked is remembered.
    let asked = log.lines().find(|line| line.contains(": upgrade of the daemon: done after ")).unwrap();
    assert!(asked.contains("NOTE: pid "), "{asked}");
}

#[test]
fn whoever_asks_while_the_daemon_is_about_to_end_does_not_keep_it_from_that() {
    let mut sandbox = Sandbox::with_installed_daemon(&format!(
        "on-exit = stop\n[prog-p]\n{LASTING}cmd-stop = test -e @/leave && kill $PID\n"
    ));
    sandbox.start("p");
    let mut ending = sandbox.command().arg("-s").spawn().unwrap();
    wait_until("the daemon is about to end", || sandbox.list() == "p: running stopping\n");

    sandbox.upgrade();

    assert_eq!(sandbox.list(), "p: running stopping\n");
    File::create(sandbox.path("leave")).unwrap();
    assert_eq!(sandbox.client(&["p", "stop"]).code, 128 + 15);
    assert!(sandbox.wait_for_daemon().success());
    assert_eq!(code(ending.wait().unwrap()), 0);
}
