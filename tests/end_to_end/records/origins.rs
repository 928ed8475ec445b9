//! Whole records that must not be believed: of others, of another life, or of processes that are somebody else by now.
//!
//! Damage is in `damage`; whose the folder is otherwise, in `folder`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::{is_root, wait_until};
use crate::records::lines::{Left, header, record};
use crate::succession::{Stranger, started};

const BOTH: &str = "p: running adopted\nq: running adopted\n";
const NONE: &str = "p: dead\nq: dead\n";

impl Left {
    /// Asserts that of what there is nothing is believed, and that this is told.
    #[track_caller]
    fn assert_ignored(&mut self, reason: &str) {
        let told =
            format!("WARN: the records in {} are ignored: {reason}\n", self.sandbox.records().display());
        let before = self.sandbox.logged(&told);
        assert_eq!(self.list(), NONE, "{reason}");
        assert_eq!(self.sandbox.logged(&told), before + 1, "{}", self.sandbox.log());
    }
}

// Another life.

#[test]
fn records_of_another_boot_or_pid_namespace_are_ignored() {
    let mut left = Left::new();
    let records = String::from_utf8(left.records.clone()).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for (ours, other) in [(boot.trim(), "01234567-89ab-cdef-0123-456789abcdef"), ("pid:[", "pid:[1")] {
        left.sandbox.write_records(records.replace(ours, other).as_bytes());
        left.assert_ignored("they are of another boot or PID namespace");
    }
}

#[test]
fn records_of_a_version_that_is_not_known_are_ignored() {
    let mut left = Left::new();
    let programs = String::from_utf8(left.lines()[1..].concat()).unwrap();
    for version in ["0", "4", "4294967295", "99999999999999999999", "-1", "two"] {
        left.sandbox.write_records((header(version) + &programs).as_bytes());
        let is_number = version.parse::<u32>().is_ok();
        left.assert_ignored(if is_number {
            "they are of another version"
        } else {
            "they do not begin as records do"
        });
    }
}

// Somebody else.

#[test]
fn a_process_that_has_the_pid_by_now_is_neither_adopted_nor_signalled() {
    let mut left = Left::new();
    let mut stranger = Stranger::new();
    let [header, first, second] = left.lines().map(|line| String::from_utf8(line.to_vec()).unwrap());
    for pid in [stranger.pid(), nix::unistd::getpid()] {
        for aim in ["run", "stop", "end"] {
            let text = first[41..].trim_end().replace("\"aim\":\"run\"", &format!("\"aim\":\"{aim}\""));
            let forged = record(&pid.to_string(), started(pid) + 1, &text);
            let list = left.list_after(format!("{header}{forged}{second}").as_bytes());
            assert_eq!(list, "p: dead\nq: running adopted\n", "{pid} {aim}");
        }
    }
    assert!(stranger.0.try_wait().unwrap().is_none());
}

#[test]
fn a_former_main_process_counts_as_long_as_the_new_one_has_not_come_to_life() {
    let mut left = Left::new();
    let [header, first, second] = left.lines().map(|line| String::from_utf8(line.to_vec()).unwrap());
    let (pid, start) = (left.mains[0], started(left.mains[0]));
    let text = first[41..].trim_end();
    for (former, expected) in [
        (format!("{{\"pid\":{pid},\"started\":{start}}}"), BOTH),
        (format!("{{\"pid\":{pid},\"started\":{}}}", start + 1), "p: dead\nq: running adopted\n"),
        ("{\"pid\":-1,\"started\":0}".to_owned(), "p: dead\nq: running adopted\n"),
    ] {
        let text = text.replace("\"former\":null", &format!("\"former\":{former}"));
        let restarted = record("2147483647", 7, &text);
        let list = left.list_after(format!("{header}{restarted}{second}").as_bytes());
        assert_eq!(list, expected, "{former}");
    }
}

// Others' files.

#[test]
fn a_file_that_others_may_write_is_ignored() {
    let mut left = Left::new();
    let records = left.records.clone();
    for mode in [0o606, 0o660, 0o602] {
        left.sandbox.write_records(&records);
        fs::set_permissions(left.sandbox.records(), Permissions::from_mode(mode)).unwrap();
        left.assert_ignored("the file of records is not this user's alone");
    }
    // That others may read it is no harm.
    left.sandbox.write_records(&records);
    fs::set_permissions(left.sandbox.records(), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(left.list(), BOTH);
}

#[test]
fn a_file_of_somebody_else_is_ignored() {
    if !is_root("a_file_of_somebody_else_is_ignored") {
        return;
    }
    let mut left = Left::new();
    chown(left.sandbox.records(), Some(12345), None).unwrap();
    left.assert_ignored("the file of records is not this user's alone");
}

#[test]
fn a_folder_that_others_may_write_in_is_not_used_until_that_is_mended() {
    let mut left = Left::new();
    let records = left.records.clone();
    let folder = left.sandbox.path("socket.state");
    for mode in [0o777, 0o770, 0o1702] {
        left.sandbox.write_records(&records);
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        assert_eq!(left.list(), NONE);
        assert_eq!(fs::read(left.sandbox.records()).unwrap(), records, "nothing is written there");
    }
    let told =
        format!("WARN: cannot keep the state in {}: the folder is not this user's alone;", folder.display());
    assert_eq!(left.sandbox.logged(&told), 3, "{}", left.sandbox.log());

    left.sandbox.start_next_daemon(&[]);
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    wait_until("the state is kept", || left.sandbox.logged("NOTE: the state is kept in ") == 1);
    assert_ne!(fs::read(left.sandbox.records()).unwrap(), records);
}

#[test]
fn a_folder_of_somebody_else_is_not_used() {
    if !is_root("a_folder_of_somebody_else_is_not_used") {
        return;
    }
    let mut left = Left::new();
    let folder = left.sandbox.path("socket.state");
    chown(&folder, Some(12345), None).unwrap();

    assert_eq!(left.list(), NONE);

    let told =
        format!("WARN: cannot keep the state in {}: the folder is not this user's alone;", folder.display());
    assert_eq!(left.sandbox.logged(&told), 1, "{}", left.sandbox.log());
    assert_eq!(fs::read(left.sandbox.records()).unwrap(), left.records);
}

// What is no file.

#[test]
fn whatever_is_no_file_is_ignored_and_waited_for_by_nobody() {
    let mut left = Left::new();
    let (records, path) = (left.records.clone(), left.sandbox.records());
    fs::remove_file(&path).unwrap();
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    left.assert_ignored("the file of records is none");

    // A link leads to what is whole, and yet not ours to follow; or to what has no end.
    fs::write(left.sandbox.path("elsewhere"), &records).unwrap();
    for target in ["../elsewhere", "/dev/zero", "nowhere", "programs"] {
        fs::remove_file(&path).unwrap();
        symlink(target, &path).unwrap();
        left.assert_ignored("Too many levels of symbolic links (os error 40)");
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "it is replaced");
    }
    assert_eq!(fs::read(left.sandbox.path("elsewhere")).unwrap(), records);

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    left.assert_ignored("the file of records is none");
    assert!(path.is_dir());
    assert_eq!(left.sandbox.logged("WARN: cannot keep the state in "), 1, "{}", left.sandbox.log());
}
