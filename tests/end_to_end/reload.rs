//! Reloading: what a new configuration changes, what it leaves alone, and what becomes of one that cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::geteuid;

use crate::harness::{Output, Sandbox, allowing_us, children, is_alive, is_root, run, wait_for, wait_until};

/// A start script that lasts and lets go of the terminal of whoever starts it.
const LAST: &str = "exec sleep 1000 > /dev/null 2>&1";

#[test]
fn r_puts_a_new_file_in_force() {
    let sandbox = daemon("[prog-a]\n");
    configure(&sandbox, "[prog-a]\n[prog-b]\n");
    assert_eq!(sandbox.succeed(&["-a"]), "a: dead\n");
    assert_eq!(sandbox.succeed(&["-r"]), "");
    assert_eq!(sandbox.succeed(&["-a"]), "a: dead\nb: dead\n");
}

#[test]
fn sighup_puts_a_new_file_in_force() {
    let sandbox = daemon("[prog-a]\n");
    configure(&sandbox, "[prog-b]\n");
    kill(sandbox.daemon_pid(), Signal::SIGHUP).unwrap();
    wait_until("the new file is in force", || sandbox.succeed(&["-a"]) == "b: dead\n");
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_all_of_them_are_shown_to_the_caller() {
    let sandbox = daemon("[prog-a]\ncmd-signal = echo old\n");
    configure(
        &sandbox,
        "[prog-a]\ncmd-signal = echo new\nnonsense\n[prog-b]\nallow-uid = 1x\nalow-gid = 3\n",
    );
    let Output { code, stdout, stderr } = sandbox.client(&["-r"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    let config = sandbox.config().display().to_string();
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines[0], format!("ERROR: (BADCONF) 2 errors in {config}"));
    assert!(lines[1].starts_with(&format!("{config}:5:1: error: ")), "{stderr}");
    assert!(lines[2].starts_with(&format!("{config}:7:13: error: ")), "{stderr}");
    assert!(lines[3].starts_with(&format!("{config}:8:1: warning: ")), "{stderr}");
    assert_eq!(lines.len(), 4, "{stderr}");

    assert_eq!(sandbox.succeed(&["-a"]), "a: dead\n");
    assert_eq!(sandbox.succeed(&["a", "signal"]), "old\n");
}

#[test]
fn a_file_with_mistakes_that_sighup_finds_changes_nothing_and_is_told_in_the_log() {
    let mut sandbox = daemon("[prog-a]\n");
    configure(&sandbox, "[prog-b]\nnonsense\n");
    kill(sandbox.daemon_pid(), Signal::SIGHUP).unwrap();
    let finding = format!("{}:4:1: error: ", sandbox.config().display());
    wait_until("the mistake is told", || sandbox.log().contains(&finding));
    assert_eq!(sandbox.succeed(&["-a"]), "a: dead\n");
    assert_eq!(sandbox.terminate_daemon().code(), Some(0));
}

#[test]
fn a_file_that_is_mended_is_taken() {
    let sandbox = daemon("[prog-a]\n");
    configure(&sandbox, "nonsense\n");
    assert_eq!(sandbox.client(&["-r"]).code, 1);
    configure(&sandbox, "[prog-b]\n");
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.succeed(&["-a"]), "b: dead\n");
}

#[test]
fn a_reload_starts_nothing() {
    let sandbox = daemon("[prog-a]\n");
    configure(
        &sandbox,
        &format!("[prog-a]\ncmd-start = {LAST}\nautostart = yes\n[prog-b]\nautostart = yes\n"),
    );
    assert_eq!(sandbox.client(&["-r"]).code, 0);
    assert_eq!(sandbox.succeed(&["-a"]), "a: dead\nb: dead\n");
    assert!(children(sandbox.daemon_pid()).is_empty());
}

#[test]
fn reloads_take_no_memory_whether_they_change_a_key_or_nothing() {
    let section = |number, delay| {
        format!("[prog-{number}]\ncmd-start = exec sleep 1000\ncwd = /\nrestart-delay = {delay}\n")
    };
    let others: String = (1..2_000).map(|number| section(number, 5)).collect();
    let sandbox = daemon(&(section(0, 5) + &others));
    let reload = |delay| {
        configure(&sandbox, &(section(0, delay) + &others));
        sandbox.succeed(&["-r"]);
    };
    (5..10).for_each(reload);
    let memory = sandbox.daemon_statistic("VmRSS");
    (10..20).for_each(reload);
    (0..10).for_each(|_| reload(20));
    // What is not needed any more is given back when there is nothing else to do. All definitions take as much.
    wait_until("the memory is given back", || sandbox.daemon_statistic("VmRSS") < memory + 512);
}

#[test]
fn a_reload_stops_nothing() {
    let start = format!("cmd-start = {LAST}\n");
    let sandbox = daemon(&format!("[prog-same]\n{start}[prog-other]\n{start}[prog-gone]\n{start}"));
    for program in ["same", "other", "gone"] {
        sandbox.succeed(&[program, "start"]);
    }
    let before = children(sandbox.daemon_pid());
    configure(&sandbox, &format!("[prog-same]\n{start}[prog-other]\ncmd-start = false\n"));
    sandbox.succeed(&["-r"]);
    assert_eq!(children(sandbox.daemon_pid()), before);
    assert!(before.into_iter().all(is_alive));
}

#[test]
fn the_log_tells_what_a_reload_has_changed() {
    let sandbox = daemon("[prog-same]\n[prog-other]\n[prog-gone]\n");
    configure(&sandbox, "[prog-same]\n[prog-other]\ncmd-signal = :\n[prog-new]\n");
    sandbox.succeed(&["-r"]);
    let told = "the configuration is in force: added new; removed gone; changed other\n";
    assert!(sandbox.log().contains(told), "{}", sandbox.log());
}

#[test]
fn a_program_that_is_removed_while_it_is_down_is_gone_at_once() {
    let sandbox = daemon("[prog-a]\n[prog-b]\n");
    configure(&sandbox, "[prog-b]\n");
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.succeed(&["-a"]), "b: dead\n");
    let output = sandbox.client(&["a", "status"]);
    assert_eq!((output.code, output.stderr.as_str()), (125, "ERROR: (NOPROG) there is no program a\n"));
}

#[test]
fn a_program_that_is_removed_before_its_restart_is_not_started_again() {
    let sandbox = daemon("[prog-a]\ncmd-start = :\nrestart-delay = 1000\n");
    sandbox.succeed(&["a", "start"]);
    wait_until("the program has ended", || sandbox.succeed(&["-a"]) == "a: dead restarting\n");
    configure(&sandbox, "");
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.succeed(&["-a"]), "");
}

#[test]
fn a_running_program_that_is_removed_lingers() {
    let sandbox = lingering("");
    assert_eq!(sandbox.succeed(&["-a"]), "p: running lingering\n");
    assert_eq!(sandbox.succeed(&["p", "status"]), "running\n");
}

#[test]
fn lingering_programs_come_last_in_the_list() {
    let sandbox = lingering("");
    configure(&sandbox, "[prog-z]\n[prog-a]\n");
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.succeed(&["-a"]), "z: dead\na: dead\np: running lingering\n");
}

#[test]
fn a_lingering_program_is_stopped_by_its_old_definition_and_then_gone() {
    let sandbox = lingering("cmd-stop = echo stopped by the old one; kill -9 $PID\n");
    let output = sandbox.client(&["p", "stop"]);
    assert_eq!((output.code, output.stdout.as_str()), (137, "stopped by the old one\n"));
    assert_eq!(sandbox.succeed(&["-a"]), "");
    assert_eq!(sandbox.client(&["p", "status"]).code, 125);
}

#[test]
fn a_lingering_program_is_never_started_again() {
    let sandbox = lingering("restart-delay = 1\n");
    for action in ["start", "restart"] {
        assert_eq!(sandbox.client(&["p", action]).code, 125, "{action}");
        assert_eq!(sandbox.succeed(&["-a"]), "p: running lingering\n");
    }
    kill(children(sandbox.daemon_pid())[0], Signal::SIGKILL).unwrap();
    // No restart is due: the program is forgotten as soon as it has ended.
    wait_until("the program has ended", || sandbox.succeed(&["-a"]).is_empty());
    assert!(sandbox.log().contains("has ended with signal 9\n"), "{}", sandbox.log());
}

#[test]
fn a_lingering_program_that_is_added_again_is_the_same_one() {
    let sandbox = lingering("restart-delay = 1000\n");
    let before = children(sandbox.daemon_pid());
    configure(&sandbox, &format!("[prog-p]\ncmd-start = {LAST}\nrestart-delay = 1000\n"));
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.succeed(&["-a"]), "p: running\n");
    assert_eq!(children(sandbox.daemon_pid()), before);
    kill(before[0], Signal::SIGKILL).unwrap();
    wait_until("its restart is due", || sandbox.succeed(&["-a"]) == "p: dead restarting\n");
}

#[test]
fn a_changed_program_runs_under_its_old_definition_until_it_is_started_again() {
    let config = |age: &str| {
        format!(
            "[prog-p]\ncmd-start = {LAST}\ncmd-signal = echo {age}\ncmd-stop = echo {age}; kill -9 $PID\n"
        )
    };
    let sandbox = daemon(&config("old"));
    sandbox.succeed(&["p", "start"]);
    configure(&sandbox, &config("new"));
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.succeed(&["-a"]), "p: running outdated\n");
    assert_eq!(sandbox.succeed(&["p", "signal"]), "old\n");
    // A restart stops by the old definition and starts by the new one.
    assert_eq!(sandbox.succeed(&["p", "restart"]), "old\n");
    assert_eq!(sandbox.succeed(&["-a"]), "p: running\n");
    assert_eq!(sandbox.succeed(&["p", "signal"]), "new\n");
    assert_eq!(sandbox.client(&["p", "stop"]).stdout, "new\n");
}

#[test]
fn a_changed_program_that_is_down_has_its_new_definition_at_once() {
    let sandbox = daemon("[prog-p]\ncmd-signal = echo old\n");
    configure(&sandbox, "[prog-p]\ncmd-signal = echo new\n");
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.succeed(&["p", "signal"]), "new\n");
}

#[test]
fn a_script_under_way_outlives_a_reload_that_removes_its_program() {
    let sandbox = daemon("[prog-p]\ncmd-signal = echo > @/begun; read line; exit 7\n");
    let mut command = sandbox.command();
    let mut client = command.args(["p", "signal"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    wait_until("the script runs", || sandbox.path("begun").exists());
    configure(&sandbox, "");
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.succeed(&["-a"]), "");
    drop(client.stdin.take());
    assert_eq!(wait_for(&mut client).code(), Some(7));
}

#[test]
fn the_order_of_the_file_is_that_of_the_list_after_a_reload_too() {
    let sandbox = daemon("[prog-a]\n[prog-b]\n[prog-c]\n");
    configure(&sandbox, "[prog-c]\n[prog-new]\n[prog-a]\n[prog-b]\n");
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.succeed(&["-a"]), "c  : dead\nnew: dead\na  : dead\nb  : dead\n");
}

#[test]
fn warnings_are_shown_to_the_caller_and_are_no_failure() {
    let sandbox = daemon("");
    configure(&sandbox, "[prog-p]\ncmd-strat = :\n");
    let config = sandbox.config();
    let expected = format!(
        "{}:4:1: warning: cmd-strat defines an action of its own: did you mean \"cmd-start\"?\n",
        config.display()
    );
    assert_eq!(sandbox.client(&["-r"]), Output { code: 0, stdout: String::new(), stderr: expected });
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

#[test]
fn another_socket_path_is_told_as_needing_a_restart() {
    let sandbox = daemon("");
    sandbox.configure_exactly("socket-path = @/elsewhere\n[prog-p]\n");
    let mut command = sandbox.command();
    let output = run(command.env("PROCMGR_SOCKET", sandbox.socket()).arg("-r"));
    let expected =
        format!("the socket stays {} until the daemon is started anew\n", sandbox.socket().display());
    assert_eq!(output, Output { code: 0, stdout: String::new(), stderr: expected });
    assert!(!sandbox.path("elsewhere").exists());
    let listed = run(command.env("PROCMGR_SOCKET", sandbox.socket()));
    assert_eq!(listed.code, 0, "the daemon still has its old socket");
}

#[test]
fn a_file_that_was_replaced_by_another_one_is_found_by_its_name() {
    let sandbox = daemon("[prog-old]\n");
    configure(&sandbox, "[prog-new]\n");
    // As editors do: a new file is written and renamed over the old one.
    fs::copy(sandbox.config(), sandbox.path("draft")).unwrap();
    fs::remove_file(sandbox.config()).unwrap();
    fs::rename(sandbox.path("draft"), sandbox.config()).unwrap();
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.succeed(&["-a"]), "new: dead\n");
}

#[test]
fn a_file_that_is_gone_changes_nothing() {
    is_refused("No such file or directory", |sandbox| fs::remove_file(sandbox.config()).unwrap());
}

#[test]
fn a_folder_in_place_of_the_file_changes_nothing() {
    is_refused("it is a directory", |sandbox| {
        fs::remove_file(sandbox.config()).unwrap();
        fs::create_dir(sandbox.config()).unwrap();
    });
}

#[test]
fn a_fifo_in_place_of_the_file_changes_nothing_and_keeps_nobody_waiting() {
    is_refused("it is a FIFO", |sandbox| {
        fs::remove_file(sandbox.config()).unwrap();
        nix::unistd::mkfifo(&sandbox.config(), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    });
}

#[test]
fn a_file_that_may_not_be_read_changes_nothing() {
    if geteuid().is_root() {
        return eprintln!("skipped: root may read every file");
    }
    is_refused("Permission denied", |sandbox| {
        fs::set_permissions(sandbox.config(), fs::Permissions::from_mode(0o000)).unwrap();
    });
}

#[test]
fn a_file_that_others_than_root_may_write_changes_nothing_in_roots_daemon() {
    if !is_root("a_file_that_others_than_root_may_write_changes_nothing_in_roots_daemon") {
        return;
    }
    for mode in [0o664, 0o646] {
        is_refused("others than root may write it", |sandbox| {
            fs::set_permissions(sandbox.config(), fs::Permissions::from_mode(mode)).unwrap();
        });
    }
    is_refused("others than root may write it", |sandbox| {
        nix::unistd::chown(&sandbox.config(), Some(1.into()), None).unwrap();
    });
}

/// Asserts that after this a reload is refused as BADCONF for this reason, and that the daemon goes on as before.
fn is_refused(reason: &str, spoil: impl FnOnce(&Sandbox)) {
    let mut sandbox = daemon("[prog-p]\ncmd-signal = echo old\n");
    configure(&sandbox, "[prog-p]\ncmd-signal = echo new\n");
    spoil(&sandbox);
    let by_socket = |arguments: &[&str]| {
        let mut command = sandbox.command();
        run(command.env("PROCMGR_SOCKET", sandbox.socket()).args(arguments))
    };
    let Output { code, stdout, stderr } = by_socket(&["-r"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.starts_with("ERROR: (BADCONF) ") && stderr.contains(reason), "{stderr}");
    assert!(stderr.contains(sandbox.config().to_str().unwrap()), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");

    kill(sandbox.daemon_pid(), Signal::SIGHUP).unwrap();
    wait_until("the signal is taken", || sandbox.log().matches(reason).count() > 2);
    assert_eq!(by_socket(&["p", "signal"]).stdout, "old\n");
    assert_eq!(sandbox.terminate_daemon().code(), Some(0));
}

/// Returns a daemon with a program `p` of that definition, which runs and is gone from the configuration.
fn lingering(definition: &str) -> Sandbox {
    let sandbox = daemon(&format!("[prog-p]\ncmd-start = {LAST}\n{definition}"));
    sandbox.succeed(&["p", "start"]);
    configure(&sandbox, "");
    sandbox.succeed(&["-r"]);
    sandbox
}

/// Starts a daemon in which whoever runs the tests may do everything.
fn daemon(config: &str) -> Sandbox {
    Sandbox::with_daemon(&allowing_us(config))
}

/// Replaces the configuration by another one in which whoever runs the tests may do everything.
fn configure(sandbox: &Sandbox, config: &str) {
    sandbox.configure(&allowing_us(config));
}
