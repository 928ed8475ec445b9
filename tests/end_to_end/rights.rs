//! Who may do what, and as whom scripts run.
//!
//! Most of it can be shown by root only, who can be anybody else.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{getegid, geteuid};

use crate::harness::{Output, Sandbox, allowing_us, ask, installed, is_root, procmgr, run, wait_until};
use crate::scripts::{SHOW_SIGNALS, signals};

/// A user and a group without accounts.
const ID: u32 = 12345;

/// A user of whom nothing else runs.
const SERVICE: u32 = 54_321;

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
fn assert_refused(output: &Output, code: &str) {
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
fn a_script_runs_as_the_user_and_group_that_are_named() {
    if is_root("a_script_runs_as_the_user_and_group_that_are_named") {
        let sandbox = Sandbox::with_daemon(
            "[prog-p]\nsuid-signal = nobody\ncmd-signal = id -un\nsgid-status = daemon\ncmd-status = id -gn\n",
        );
        assert_eq!(sandbox.succeed(&["p", "signal"]), "nobody\n");
        assert_eq!(sandbox.succeed(&["p", "status"]), "daemon\n");
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
fn with_daemon_of_another_user(config: &str) -> Sandbox {
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

// As whom scripts run.

/// A script that tells its user, group and supplementary groups: real, effective, saved and of the file system.
const SHOW_IDS: &str = "sed -n 's/^\\(Uid\\|Gid\\|Groups\\):[[:space:]]*//p' /proc/$$/status; :";

/// Returns the user, the group and the supplementary groups with which this section has `signal` run.
///
/// The first two are four numbers each that must be equal.
fn ids(globals: &str, section: &str) -> (String, String, Vec<String>) {
    let sandbox = Sandbox::with_daemon(&format!("{globals}[prog-p]\ncmd-signal = {SHOW_IDS}\n{section}"));
    let output = sandbox.succeed(&["p", "signal"]);
    let lines: Vec<Vec<String>> =
        output.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    let [uids, gids, groups] = lines.as_slice() else { panic!("{output}") };
    for ids in [uids, gids] {
        assert!(ids.len() == 4 && ids.iter().all(|id| *id == ids[0]), "{output}");
    }
    (uids[0].clone(), gids[0].clone(), groups.clone())
}

/// Returns the supplementary groups of the tests, and so of the daemon.
fn own_groups() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn without_suid_and_sgid_the_ids_stay_as_they_are() {
    let own = (geteuid().to_string(), getegid().to_string(), own_groups());
    let allowed = allowing_us("");

    assert_eq!(ids(&allowed, ""), own);
    assert_eq!(ids(&allowed, "suid-signal = none\nsgid-signal = -1\n"), own);
}

#[test]
fn a_script_takes_on_the_user_without_a_name_and_has_no_supplementary_groups() {
    if !is_root("a_script_takes_on_the_user_without_a_name_and_has_no_supplementary_groups") {
        return;
    }
    let gid = getegid().to_string();

    assert_eq!(ids("", "suid-signal = 12345\n"), ("12345".to_owned(), gid, vec![]));
}

#[test]
fn sgid_alone_changes_the_group_alone() {
    if !is_root("sgid_alone_changes_the_group_alone") {
        return;
    }

    assert_eq!(ids("", "sgid-signal = 23456\n"), ("0".to_owned(), "23456".to_owned(), own_groups()));
}

#[test]
fn the_more_particular_level_says_as_whom_a_script_runs() {
    if !is_root("the_more_particular_level_says_as_whom_a_script_runs") {
        return;
    }
    let as_user = |user: &str, group: &str| (user.to_owned(), group.to_owned(), Vec::new());
    let globals = "default-suid = 10001\ndefault-sgid = 10002\n";

    assert_eq!(ids(globals, ""), as_user("10001", "10002"));
    assert_eq!(ids(globals, "default-suid = 12345\ndefault-sgid = 23456\n"), as_user("12345", "23456"));
    assert_eq!(
        ids(
            globals,
            "default-suid = 10003\ndefault-sgid = 10004\nsuid-signal = 12345\nsgid-signal = 23456\n"
        ),
        as_user("12345", "23456")
    );
    assert_eq!(ids(globals, "suid-start = 12345\ncmd-start = :\n"), as_user("10001", "10002"));
}

/// Returns a user of the system: one that has supplementary groups if there is one, else `nobody`.
fn some_user() -> String {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let members =
        groups.lines().filter_map(|line| line.rsplit(':').next()).flat_map(|names| names.split(','));
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let is_user = |name: &&str| {
        users.lines().any(|line| line.split(':').next() == Some(name) && line.split(':').nth(2) != Some("0"))
    };
    members.filter(|name| !name.is_empty()).find(is_user).unwrap_or("nobody").to_owned()
}

/// Returns what `id` says of a user.
fn id(option: &str, user: &str) -> Vec<String> {
    let output = run(Command::new("id").args([option, user]));
    assert_eq!(output.code, 0, "{output:?}");
    output.stdout.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_user_with_an_account_brings_its_groups_along() {
    if !is_root("a_user_with_an_account_brings_its_groups_along") {
        return;
    }
    let user = some_user();
    let uid = id("-u", &user).remove(0);
    let sorted = |mut groups: Vec<String>| {
        groups.sort();
        groups
    };

    let (own_uid, primary, groups) = ids("", &format!("suid-signal = {uid}\n"));
    let (_, other, same_groups) = ids("", &format!("suid-signal = {uid}\nsgid-signal = 23456\n"));

    assert_eq!((own_uid, primary), (uid, id("-g", &user).remove(0)));
    assert_eq!(sorted(groups), sorted(id("-G", &user)));
    assert_eq!(other, "23456");
    assert_eq!(sorted(same_groups), sorted(id("-G", &user)));
}

#[test]
fn each_script_of_a_program_may_have_a_user_of_its_own() {
    if !is_root("each_script_of_a_program_may_have_a_user_of_its_own") {
        return;
    }
    let sandbox = Sandbox::with_daemon(
        "[prog-p]\nsuid-start = 12345\nsuid-signal = 23456\n\
         cmd-start = id -u; exec sleep 1000 >/dev/null 2>&1\ncmd-signal = id -u\ncmd-status = id -u\n",
    );

    for (action, user) in [("start", "12345\n"), ("signal", "23456\n"), ("status", "0\n")] {
        assert_eq!(sandbox.succeed(&["p", action]), user);
    }

    // The default action is the daemon's own: it may signal whomever it has started.
    assert_eq!(sandbox.client(&["p", "stop"]).code, 128 + 15);
}

#[test]
fn cwd_is_entered_as_the_user_of_the_script() {
    if !is_root("cwd_is_entered_as_the_user_of_the_script") {
        return;
    }
    let sandbox = Sandbox::with_daemon(
        "[prog-p]\ncwd = @/closed\nsuid-signal = 12345\ncmd-signal = pwd\n\
         [prog-q]\ncwd = @/closed\nsuid-signal = 23456\ncmd-signal = pwd\n",
    );
    let folder = sandbox.path("closed");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(ID), Some(ID)).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();

    let inhabitant = sandbox.client(&["p", "signal"]);
    let stranger = sandbox.client(&["q", "signal"]);

    assert_eq!((inhabitant.code, Path::new(inhabitant.stdout.trim_end())), (0, folder.as_path()));
    assert_refused(&stranger, "SPAWN");
    let reason = format!("cannot enter {}: Permission denied (os error 13)\n", folder.display());
    assert!(stranger.stderr.ends_with(&reason), "{stranger:?}");
}

#[test]
fn scripts_as_another_user_have_the_signals_and_descriptors_of_any_script() {
    if !is_root("scripts_as_another_user_have_the_signals_and_descriptors_of_any_script") {
        return;
    }
    let sandbox = Sandbox::with_daemon(&format!(
        "[prog-p]\nsuid-signal = 12345\ncmd-signal = {SHOW_SIGNALS}\n\
         cmd-status = ulimit -S -n; ls /proc/$$/fd; :\nsuid-status = 12345\n\
         [prog-q]\ncmd-status = ulimit -S -n; ls /proc/$$/fd; :\n",
    ));

    let status = sandbox.succeed(&["p", "signal"]);

    assert_eq!(signals(&status, "SigBlk"), 0, "{status}");
    assert_eq!(signals(&status, "SigIgn"), 0, "{status}");
    assert_eq!(sandbox.succeed(&["p", "status"]), sandbox.succeed(&["q", "status"]));
}

#[test]
fn ids_that_cannot_be_taken_keep_the_script_from_running_and_are_told() {
    let program = "[prog-p]\nsuid-signal = 4\ncmd-signal = echo > @/ran\n\
                   [prog-q]\nsgid-signal = 4\ncmd-signal = echo > @/ran\n";
    let (sandbox, user) = if geteuid().is_root() {
        (with_daemon_of_another_user(&format!("allow-uid = {ID}\n{program}")), ID)
    } else {
        (Sandbox::with_daemon(&allowing_us(program)), geteuid().as_raw())
    };

    for name in ["p", "q"] {
        let output = if geteuid().is_root() {
            client_as(&sandbox, (user, user), &[name, "signal"])
        } else {
            sandbox.client(&[name, "signal"])
        };

        assert_refused(&output, "SPAWN");
        let reason = "cannot take on its user and groups: Operation not permitted (os error 1)\n";
        assert!(output.stderr.ends_with(reason), "{output:?}");
        assert!(!sandbox.path("ran").exists());
    }
}

#[test]
fn a_user_who_stops_its_script_before_it_runs_does_not_stop_the_daemon() {
    if !is_root("a_user_who_stops_its_script_before_it_runs_does_not_stop_the_daemon") {
        return;
    }
    let sandbox = Sandbox::with_daemon(&format!(
        "[prog-p]\nsuid-signal = {SERVICE}\nsgid-signal = {SERVICE}\ncmd-signal = exec > /dev/null 2>&1; exit 0\n"
    ));
    let mut stopper = Command::new("sh");
    stopper.args(["-c", "while :; do kill -STOP -1; done"]).stderr(Stdio::null()).uid(SERVICE).gid(SERVICE);
    let mut stopper = stopper.spawn().unwrap();
    let mut clients: Vec<_> = (0..5).map(|_| ask(&sandbox, &["p", "signal"])).collect();
    let answer = sandbox.client(&["-t"]);
    stopper.kill().unwrap();
    stopper.wait().unwrap();
    for client in &mut clients {
        client.kill().unwrap();
        client.wait().unwrap();
    }
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "running\n"));
}
