//! What a daemon that was killed has left lying about, and as whom its programs run.
//!
//! What becomes of the programs otherwise is in the rooms beside.

use std::fs;

use nix::unistd::User;

use crate::harness::{Sandbox, allowing_us, is_root};
use crate::succession::{LASTING, is_code_or_unknown};

#[test]
fn the_files_of_a_killed_daemon_are_replaced_and_removed_in_the_end() {
    let mut sandbox = Sandbox::new(&allowing_us(&format!("[prog-p]\n{LASTING}")));
    let pidfile = sandbox.path("pid").display().to_string();
    sandbox.start_next_daemon(&["-P", &pidfile]);
    sandbox.start("p");
    let files = sandbox.files();
    assert_eq!(files, ["log", "pid", "procmgr.cfg", "socket", "socket.lock", "socket.state"]);
    sandbox.kill_daemon();
    assert_eq!(sandbox.files(), files);

    sandbox.start_next_daemon(&["-P", &pidfile]);

    assert_eq!(sandbox.files(), files);
    assert_eq!(sandbox.read("pid"), format!("{}\n", sandbox.daemon_pid()));
    let second = sandbox.client(&["-df"]);
    assert!(second.stderr.starts_with("procmgr: a daemon is running already at "), "{second:?}");
    assert!(is_code_or_unknown(sandbox.client(&["p", "stop"]).code, 128 + 15));
    sandbox.succeed(&["p", "start"]);
    sandbox.terminate_daemon();
    assert_eq!(sandbox.files(), ["log", "procmgr.cfg", "socket.state"]);
}

#[test]
fn a_folder_of_state_that_somebody_else_has_made_is_not_removed() {
    let mut sandbox = Sandbox::new("");
    fs::create_dir(sandbox.path("socket.state")).unwrap();

    sandbox.start_next_daemon(&[]);
    sandbox.terminate_daemon();

    assert_eq!(sandbox.files(), ["log", "procmgr.cfg", "socket.state"]);
    assert_eq!(fs::read_dir(sandbox.path("socket.state")).unwrap().count(), 0);
}

#[test]
fn state_path_is_taken_from_the_folder_of_the_starter() {
    let mut sandbox = Sandbox::new(&allowing_us(&format!("state-path = state\n[prog-p]\n{LASTING}")));
    sandbox.start_next_daemon(&[]);
    let main = sandbox.start("p");
    assert!(sandbox.path("state/programs").exists());
    assert!(!sandbox.path("socket.state").exists());

    sandbox.replace_daemon();

    assert_eq!(sandbox.list(), "p: running adopted\n");
    assert_eq!(sandbox.main_process("p"), main);
}

/// Returns the numbers of a line of a process' `status` file.
fn ids(sandbox: &Sandbox, name: &str) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", sandbox.main_process("p"))).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

#[test]
fn a_program_of_another_user_is_adopted_with_all_that_its_scripts_are_to_be() {
    if !is_root("a_program_of_another_user_is_adopted_with_all_that_its_scripts_are_to_be") {
        return;
    }
    // One that has groups, if there is one.
    let groups = fs::read_to_string("/etc/group").unwrap();
    let member = groups.lines().find_map(|line| line.rsplit(':').next().filter(|it| !it.is_empty()));
    let user = member.and_then(|members| User::from_name(members.split(',').next()?).unwrap());
    let (uid, gid) = user.map_or((12345, 12345), |user| (user.uid.as_raw(), user.gid.as_raw()));
    let config = format!(
        "[prog-p]\ndefault-suid = {uid}\ndefault-sgid = {gid}\n{LASTING}\
         cmd-stop = id -u; id -g; id -G; kill $PID\ncmd-signal = id -u; id -g; id -G\n"
    );
    let mut sandbox = Sandbox::with_first_daemon(&config);
    let main = sandbox.start("p");
    let as_whom = sandbox.succeed(&["p", "signal"]);
    assert_eq!(ids(&sandbox, "Uid:"), [uid; 4]);
    let all_groups = ids(&sandbox, "Groups:");

    sandbox.replace_daemon();

    // By the groups as well it is the same definition.
    assert_eq!(sandbox.list(), "p: running adopted\n");
    assert_eq!(sandbox.main_process("p"), main);
    assert_eq!(sandbox.succeed(&["p", "signal"]), as_whom);
    sandbox.succeed(&["p", "restart"]);
    assert_eq!((ids(&sandbox, "Uid:"), ids(&sandbox, "Groups:")), (vec![uid; 4], all_groups));

    // Nobody but the records knows any more as whom it runs.
    sandbox.kill_daemon();
    sandbox.configure("");
    sandbox.start_next_daemon(&[]);
    let stopped = sandbox.client(&["p", "stop"]);
    assert!(is_code_or_unknown(stopped.code, 128 + 15), "{stopped:?}");
    assert_eq!(stopped.stdout, as_whom);
}
