//! Records of other versions: those of an older one are understood, those of a later one are told and ignored.
//!
//! What a whole daemon hands to the next image of it is in `upgrade`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::geteuid;

use crate::harness::{Sandbox, allowing_us, is_alive, wait_until};
use crate::records::lines::{header, record};
use crate::succession::{LASTING, Stranger, started};

/// Records as version 1 has written them, but for checksums and columns: a pid, a start and a text each.
const VERSION_1: &str = include_str!("../fixtures/records-1");

/// Returns these records as they stand in a file of today: of this boot and user, and about this process.
fn of_today(records: &str, stranger: &Stranger) -> String {
    let pid = stranger.pid();
    let records = records
        .replace("PID STARTED", &format!("{pid} {}", started(pid)))
        .replace("UID", &geteuid().to_string());
    let (first, others) = records.split_once('\n').unwrap();
    let version = first.split(' ').nth(1).unwrap();
    let lines = others.lines().map(|line| {
        let [pid, started, text] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        record(pid, started.parse().unwrap(), text)
    });
    lines.fold(header(version), |file, line| file + &line)
}

/// Starts a daemon that finds these records.
fn with_records(records: &str) -> Sandbox {
    let section = |name| format!("[prog-{name}]\nautostart = yes\nrestart-delay = 1\n{LASTING}");
    let config = format!(
        "[prog-p]\nrestart-delay = 1\ncmd-signal = echo of version 1\n{LASTING}{}{}",
        section("due"),
        section("stopped")
    );
    let mut sandbox = Sandbox::new(&allowing_us(&config));
    fs::create_dir(sandbox.path("socket.state")).unwrap();
    fs::set_permissions(sandbox.path("socket.state"), Permissions::from_mode(0o700)).unwrap();
    sandbox.write_records(records.as_bytes());
    sandbox.start_next_daemon(&[]);
    sandbox
}

#[test]
fn records_of_version_1_are_understood() {
    let mut stranger = Stranger::new();
    let sandbox = with_records(&of_today(VERSION_1, &stranger));

    assert_eq!(sandbox.list(), "p      : running adopted\ndue    : running\nstopped: dead\n");
    assert_eq!(sandbox.main_process("p"), stranger.pid());
    assert_eq!(sandbox.succeed(&["p", "signal"]), "of version 1\n");
    assert_eq!(sandbox.logged("WARN"), 0, "{}", sandbox.log());

    // Restarts were not counted yet.
    kill(stranger.pid(), Signal::SIGKILL).unwrap();
    stranger.0.wait().unwrap();
    kill(sandbox.main_process("due"), Signal::SIGKILL).unwrap();
    let counted = "; it is started again in 1 s, restart 1 in a row\n";
    wait_until("both deaths are noticed", || sandbox.logged(counted) == 2);
    // They are written anew in the form of today.
    assert!(sandbox.read("socket.state/programs").starts_with("procmgr-state 3 boot "));
}

#[test]
fn records_of_a_later_version_are_told_and_ignored() {
    let stranger = Stranger::new();
    let records = of_today(&VERSION_1.replace("procmgr-state 1", "procmgr-state 4"), &stranger);

    let sandbox = with_records(&records);

    assert_eq!(sandbox.list(), "p      : dead\ndue    : running\nstopped: running\n");
    let path = sandbox.records();
    let told = format!("WARN: the records in {} are ignored: they are of another version\n", path.display());
    assert_eq!(sandbox.logged(&told), 1, "{}", sandbox.log());
    assert!(is_alive(stranger.pid()));
}
