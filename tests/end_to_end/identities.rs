//! As whom scripts run.
//!
//! Most of it can be shown by root only, who can be anybody else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{getegid, geteuid};

use crate::harness::{Sandbox, allowing_us, ask, is_root, run};
use crate::rights::{ID, assert_refused, client_as, with_daemon_of_another_user};
use crate::scripts::{SHOW_SIGNALS, signals};

/// A user of whom nothing else runs.
const SERVICE: u32 = 54_321;

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
