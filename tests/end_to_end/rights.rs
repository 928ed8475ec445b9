//! Who may do what.
//!
//! Most of it can be shown by root only, who can be anybody else.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::geteuid;

use crate::harness::{Output, Sandbox, installed, is_root, procmgr, run, wait_until};

/// A user and a group without accounts.
pub(crate) const ID: u32 = 12345;

/// Others.
const OTHER: u32 = 23456;

/// Runs a client as this user with this group and no others.
pub(crate) fn client_as(sandbox: &Sandbox, (uid, gid): (u32, u32), arguments: &[&str]) -> Output {
    let executable = Executable::open();
    let mut command = executable.command(sandbox);
    run(command.args(arguments).uid(uid).gid(gid))
}

/// The executable, which others may be unable to find: the folder that it was built in may be closed to them.
struct Executable(File);

impl Executable {
    fn open() -> Self {
        Self(File::open(procmgr().get_program()).unwrap())
    }

    /// Names it by its descriptor, which leads past all folders.
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    fn command(&self, sandbox: &Sandbox) -> Command {
        let command = sandbox.command();
        let mut anonymous = Command::new(self.path());
        anonymous.args(command.get_args());
        for (name, _) in command.get_envs() {
            anonymous.env_remove(name);
        }
        anonymous
    }
}

#[track_caller]
pub(crate) fn assert_refused(output: &Output, code: &str) {
    assert_eq!((output.code, output.stdout.as_str()), (125, ""), "{output:?}");
    assert!(output.stderr.starts_with(&format!("ERROR: ({code}) ")), "{output:?}");
}

/// Asserts that these users with these groups, and no others of those tried, may signal `p`.
#[track_caller]
fn assert_allowed(config: &str, allowed: &[(u32, u32)]) {
    let sandbox = Sandbox::with_daemon(config);
    for peer in [(0, 0), (0, OTHER), (ID, ID), (ID, OTHER), (OTHER, ID), (OTHER, OTHER), (OTHER, 0)] {
        let output = client_as(&sandbox, peer, &["p", "signal"]);

        if allowed.contains(&peer) || peer.0 == 0 {
            assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{peer:?} with {config}");
        } else {
            assert_refused(&output, "BADAUTH");
        }
    }
}

// Actions.

#[test]
fn without_any_rule_root_alone_is_allowed() {
    if is_root("without_any_rule_root_alone_is_allowed") {
        assert_allowed("[prog-p]\n", &[]);
    }
}

#[test]
fn an_allowed_user_or_an_allowed_group_is_enough() {
    if is_root("an_allowed_user_or_an_allowed_group_is_enough") {
        assert_allowed("allow-uid = 12345\n[prog-p]\n", &[(ID, ID), (ID, OTHER)]);
        assert_allowed("allow-gid = 12345\n[prog-p]\n", &[(ID, ID), (OTHER, ID)]);
        assert_allowed(
            "allow-uid = 12345\nallow-gid = 12345\n[prog-p]\n",
            &[(ID, ID), (ID, OTHER), (OTHER, ID)],
        );
    }
}

#[test]
fn the_section_beats_what_is_global() {
    if is_root("the_section_beats_what_is_global") {
        assert_allowed("allow-uid = 23456\n[prog-p]\nallow-uid = 12345\n", &[(ID, ID), (ID, OTHER)]);
        assert_allowed("allow-gid = 23456\n[prog-p]\nallow-gid = 12345\n", &[(ID, ID), (OTHER, ID)]);
        // A rule for the user says nothing about the group.
        assert_allowed(
            "allow-gid = 12345\n[prog-p]\nallow-uid = 12345\n",
            &[(ID, ID), (ID, OTHER), (OTHER, ID)],
        );
    }
}

#[test]
fn the_action_beats_the_section() {
    if is_root("the_action_beats_the_section") {
        assert_allowed(
            "allow-uid = 23456\n[prog-p]\nallow-uid = 23456\nuid-signal = 12345\n",
            &[(ID, ID), (ID, OTHER)],
        );
        assert_allowed(
            "allow-gid = 23456\n[prog-p]\nallow-gid = 23456\ngid-signal = 12345\n",
            &[(ID, ID), (OTHER, ID)],
        );
        // What is said of another action does not matter.
        assert_allowed("[prog-p]\nallow-uid = 12345\nuid-start = 23456\n", &[(ID, ID), (ID, OTHER)]);
    }
}

#[test]
fn none_allows_nobody_whatever_is_said_above() {
    if is_root("none_allows_nobody_whatever_is_said_above") {
        assert_allowed("allow-uid = none\nallow-gid = -1\n[prog-p]\n", &[]);
        assert_allowed("allow-uid = 12345\n[prog-p]\nallow-uid = none\n", &[]);
        assert_allowed("[prog-p]\nallow-uid = 12345\nuid-signal = none\n", &[]);
        assert_allowed("[prog-p]\nallow-gid = 12345\ngid-signal = -1\n", &[]);
    }
}

#[test]
fn each_action_has_a_rule_of_its_own() {
    if !is_root("each_action_has_a_rule_of_its_own") {
        return;
    }
    let actions = ["start", "restart", "reload", "signal", "status", "stop"];
    for allowed in actions {
        let sandbox = Sandbox::with_daemon(&format!("[prog-p]\nuid-{allowed} = {ID}\n"));
        for action in actions {
            let output = client_as(&sandbox, (ID, ID), &["p", action]);

            let is_refused = output.stderr.starts_with("ERROR: (BADAUTH) ");
            assert_eq!(is_refused, action != allowed, "{action}: {output:?}");
        }
    }
}

#[test]
fn only_the_rule_of_the_action_that_is_asked_for_counts() {
    if !is_root("only_the_rule_of_the_action_that_is_asked_for_counts") {
        return;
    }
    let sandbox = Sandbox::with_daemon(
        "[prog-p]\ncmd-start = echo $$ >> @/starts; exec sleep 1000 >/dev/null 2>&1\n\
         uid-restart = 12345\nuid-reload = 23456\n",
    );
    sandbox.succeed(&["p", "start"]);

    assert_refused(&client_as(&sandbox, (ID, ID), &["p", "stop"]), "BADAUTH");
    assert_refused(&client_as(&sandbox, (ID, ID), &["p", "start"]), "BADAUTH");
    assert_eq!(client_as(&sandbox, (ID, ID), &["p", "restart"]).code, 0);
    assert_refused(&client_as(&sandbox, (OTHER, OTHER), &["p", "restart"]), "BADAUTH");
    assert_eq!(client_as(&sandbox, (OTHER, OTHER), &["p", "reload"]).code, 0);

    wait_until("there were three starts", || sandbox.read("starts").lines().count() == 3);
}

#[test]
fn a_refused_action_changes_nothing_and_leaves_nothing_behind() {
    if !is_root("a_refused_action_changes_nothing_and_leaves_nothing_behind") {
        return;
    }
    let sandbox = Sandbox::with_daemon(
        "[prog-p]\ncmd-start = exec sleep 1000 >/dev/null 2>&1\ncmd-status = echo $PID\n\
         cmd-signal = echo > @/ran\n",
    );
    sandbox.succeed(&["p", "start"]);
    let pid = sandbox.succeed(&["p", "status"]);
    let descriptors = sandbox.daemon_descriptors();

    for action in ["start", "restart", "reload", "signal", "status", "stop"] {
        assert_refused(&client_as(&sandbox, (ID, ID), &["p", action]), "BADAUTH");
    }

    assert_eq!(sandbox.succeed(&["p", "status"]), pid);
    assert!(!sandbox.path("ran").exists());
    wait_until("all is closed", || sandbox.daemon_descriptors() <= descriptors);
    assert!(
        sandbox.log().contains("uid 12345 gid 12345: program p action stop arguments 0: refused, BADAUTH")
    );
}

/// Runs a client that `setpriv` gives other ids; `None` if that is not installed.
fn client_by_setpriv(sandbox: &Sandbox, options: &[&str], arguments: &[&str]) -> Option<Output> {
    let Some(setpriv) = installed("setpriv") else {
        eprintln!("skipped: setpriv is not installed");
        return None;
    };
    let executable = Executable::open();
    // Our descriptor is closed when the shell is executed, so it opens the file itself and hands that on.
    let path = executable.path().replace("self", &std::process::id().to_string());
    let command = executable.command(sandbox);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec 9<{path}; exec \"$@\"")).arg("sh");
    shell.arg(setpriv).args(options).arg("/proc/self/fd/9").args(command.get_args()).args(arguments);
    for (name, _) in command.get_envs() {
        shell.env_remove(name);
    }
    Some(run(&mut shell))
}

#[test]
fn the_effective_ids_of_the_client_count_and_not_the_real_ones() {
    if !is_root("the_effective_ids_of_the_client_count_and_not_the_real_ones") {
        return;
    }
    let sandbox = Sandbox::with_daemon("[prog-p]\nallow-uid = 12345\n[prog-q]\nallow-gid = 12345\n");
    let effective = ["--ruid=23456", "--euid=12345", "--rgid=23456", "--egid=12345", "--clear-groups"];
    let real = ["--ruid=12345", "--euid=23456", "--rgid=12345", "--egid=23456", "--clear-groups"];

    for program in ["p", "q"] {
        if let Some(output) = client_by_setpriv(&sandbox, &effective, &[program, "signal"]) {
            assert_eq!((output.code, output.stderr.as_str()), (0, ""));
        }
        if let Some(output) = client_by_setpriv(&sandbox, &real, &[program, "signal"]) {
            assert_refused(&output, "BADAUTH");
        }
    }
}

#[test]
fn supplementary_groups_of_the_client_do_not_count() {
    if !is_root("supplementary_groups_of_the_client_do_not_count") {
        return;
    }
    let sandbox = Sandbox::with_daemon("[prog-p]\nallow-gid = 12345\n");
    let options = ["--reuid=23456", "--regid=23456", "--groups=12345"];

    if let Some(output) = client_by_setpriv(&sandbox, &options, &["p", "signal"]) {
        assert_refused(&output, "BADAUTH");
    }
}

#[test]
fn supplementary_groups_of_the_client_count_where_the_file_says_so() {
    if !is_root("supplementary_groups_of_the_client_count_where_the_file_says_so") {
        return;
    }
    let sandbox = Sandbox::with_daemon(
        "supplementary-groups = yes\nallow-gid = 12345\n[prog-p]\n[prog-q]\nsupplementary-groups = no\n",
    );
    let many: Vec<String> = (1..=300).chain([12345]).map(|gid| gid.to_string()).collect();
    for groups in ["12345", &many.join(",")] {
        let options = ["--reuid=23456", "--regid=23456", &format!("--groups={groups}")];
        if let Some(output) = client_by_setpriv(&sandbox, &options, &["p", "signal"]) {
            assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{groups}");
        }
        if let Some(output) = client_by_setpriv(&sandbox, &options, &["q", "signal"]) {
            assert_refused(&output, "BADAUTH");
        }
    }
    let others = ["--reuid=23456", "--regid=23456", "--groups=12344,12346"];
    if let Some(output) = client_by_setpriv(&sandbox, &others, &["p", "signal"]) {
        assert_refused(&output, "BADAUTH");
    }
}

#[test]
fn users_and_groups_may_be_listed_and_named() {
    if is_root("users_and_groups_may_be_listed_and_named") {
        assert_allowed(
            "allow-uid = 23456 root 12345\n[prog-p]\n",
            &[(ID, ID), (ID, OTHER), (OTHER, ID), (OTHER, OTHER), (OTHER, 0)],
        );
        assert_allowed("allow-gid = root\n[prog-p]\n", &[(OTHER, 0)]);
        assert_allowed("[prog-p]\ngid-signal = 12345\t root\n", &[(ID, ID), (OTHER, ID), (OTHER, 0)]);
    }
}

#[test]
fn whoever_is_not_root_needs_a_right_even_as_the_owner_of_the_daemon() {
    if geteuid().is_root() {
        let sandbox = with_daemon_of_another_user("[prog-p]\n[prog-q]\nallow-uid = 12345\n");
        assert_refused(&client_as(&sandbox, (ID, ID), &["p", "signal"]), "BADAUTH");
        assert_eq!(client_as(&sandbox, (ID, ID), &["q", "signal"]).code, 0);
        assert_eq!(client_as(&sandbox, (0, 0), &["p", "signal"]).code, 0);
    } else {
        let sandbox = Sandbox::with_daemon(&format!("[prog-p]\n[prog-q]\nallow-uid = {}\n", geteuid()));
        assert_refused(&sandbox.client(&["p", "signal"]), "BADAUTH");
        assert_eq!(sandbox.client(&["q", "signal"]).code, 0);
    }
}

// The daemon.

/// Starts a daemon as the user 12345.
pub(crate) fn with_daemon_of_another_user(config: &str) -> Sandbox {
    let mut sandbox = Sandbox::new(config);
    chown(sandbox.path(""), Some(ID), Some(ID)).unwrap();
    let executable = Executable::open();
    let mut command = executable.command(&sandbox);
    command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]).uid(ID).gid(ID);
    sandbox.run_daemon(command);
    sandbox
}

#[test]
fn stop_and_reload_of_the_daemon_are_for_root() {
    if !is_root("stop_and_reload_of_the_daemon_are_for_root") {
        return;
    }
    let mut sandbox = Sandbox::with_daemon("allow-uid = 12345\nallow-gid = 12345\n[prog-p]\n");
    for mode in ["-s", "-r"] {
        let output = client_as(&sandbox, (ID, ID), &[mode]);

        assert_eq!((output.code, output.stdout.as_str()), (1, ""));
        assert!(output.stderr.starts_with("ERROR: (EPERM) "), "{output:?}");
    }

    assert_eq!(client_as(&sandbox, (0, OTHER), &["-r"]).code, 0);
    assert_eq!(client_as(&sandbox, (0, OTHER), &["-s"]).code, 0);
    assert!(sandbox.wait_for_daemon().success());
}

#[test]
fn stop_and_reload_of_the_daemon_are_for_its_owner_too() {
    if !is_root("stop_and_reload_of_the_daemon_are_for_its_owner_too") {
        return;
    }
    let mut sandbox = with_daemon_of_another_user("[prog-p]\n");
    assert!(client_as(&sandbox, (OTHER, ID), &["-r"]).stderr.starts_with("ERROR: (EPERM) "));
    assert!(client_as(&sandbox, (OTHER, ID), &["-s"]).stderr.starts_with("ERROR: (EPERM) "));

    assert_eq!(client_as(&sandbox, (ID, OTHER), &["-r"]).code, 0);
    assert_eq!(client_as(&sandbox, (ID, OTHER), &["-s"]).code, 0);

    assert!(sandbox.wait_for_daemon().success());
}

#[test]
fn everybody_may_test_the_daemon_and_list_the_programs() {
    if !is_root("everybody_may_test_the_daemon_and_list_the_programs") {
        return;
    }
    let sandbox = Sandbox::with_daemon("[prog-p]\ncmd-start = secret\n");

    let test = client_as(&sandbox, (ID, ID), &["-t"]);
    let list = client_as(&sandbox, (ID, ID), &["-a"]);

    assert_eq!((test.code, test.stdout.as_str()), (0, "running\n"));
    assert_eq!((list.code, list.stdout.as_str()), (0, "p: dead\n"));
}

#[test]
fn who_may_not_enter_the_folder_of_the_socket_is_told_so() {
    if !is_root("who_may_not_enter_the_folder_of_the_socket_is_told_so") {
        return;
    }
    let sandbox = Sandbox::with_daemon("allow-uid = 12345\n[prog-p]\n");
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o700)).unwrap();
    let socket = sandbox.socket();
    let executable = Executable::open();
    let client = |arguments: &[&str]| {
        let mut command = Command::new(executable.path());
        command.env_remove("PROCMGR_CONFFILE").env("PROCMGR_SOCKET", &socket).uid(ID).gid(ID);
        run(command.args(arguments))
    };
    let stderr = format!("ERROR: cannot connect to {}: not permitted\n", socket.display());

    assert_eq!(client(&["p", "signal"]), Output { code: 125, stdout: String::new(), stderr: stderr.clone() });
    assert_eq!(client(&["-t"]), Output { code: 1, stdout: String::new(), stderr });
}

#[test]
fn who_may_not_read_the_configuration_that_is_named_is_told_so() {
    if !is_root("who_may_not_read_the_configuration_that_is_named_is_told_so") {
        return;
    }
    let sandbox = Sandbox::with_daemon("allow-uid = 12345\n[prog-p]\n");
    fs::set_permissions(sandbox.config(), fs::Permissions::from_mode(0o600)).unwrap();

    let output = client_as(&sandbox, (ID, ID), &["p", "signal"]);

    let path = sandbox.config();
    let stderr =
        format!("ERROR: cannot read configuration {}: Permission denied (os error 13)\n", path.display());
    assert_eq!(output, Output { code: 125, stdout: String::new(), stderr });
}
