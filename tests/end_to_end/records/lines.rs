//! Records by hand, and programs that a daemon has left on record.
//!
//! The form of a record is that of `procmgrd`, written a second time: what one version has written is read by others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::unistd::Pid;

use crate::harness::{Sandbox, is_alive};
use crate::succession::LASTING;

/// Two programs that run, `p` and `q`, and no daemon.
pub(super) struct Left {
    pub(super) sandbox: Sandbox,
    pub(super) mains: [Pid; 2],
    /// What the daemon has left on record: a first line, then a line for each of the programs.
    pub(super) records: Vec<u8>,
}

impl Left {
    pub(super) fn new() -> Self {
        let mut sandbox = Sandbox::with_first_daemon(&format!("[prog-p]\n{LASTING}[prog-q]\n{LASTING}"));
        let mains = [sandbox.start("p"), sandbox.start("q")];
        sandbox.kill_daemon();
        let records = fs::read(sandbox.records()).unwrap();
        assert_eq!(records.split_inclusive(|byte| *byte == b'\n').count(), 3);
        Self { sandbox, mains, records }
    }

    /// Returns the lines, each with its newline.
    pub(super) fn lines(&self) -> [&[u8]; 3] {
        let mut lines = self.records.split_inclusive(|byte| *byte == b'\n');
        [(); 3].map(|()| lines.next().unwrap())
    }

    /// Has a daemon find these records, and returns what it makes of the programs. It is gone afterwards.
    #[track_caller]
    pub(super) fn list_after(&mut self, records: &[u8]) -> String {
        self.sandbox.write_records(records);
        self.list()
    }

    /// Has a daemon find what there is, and returns what it makes of the programs. It is gone afterwards, and has
    /// done the processes no harm.
    #[track_caller]
    pub(super) fn list(&mut self) -> String {
        self.sandbox.start_next_daemon(&[]);
        let list = self.sandbox.list();
        self.sandbox.kill_daemon();
        assert!(self.mains.into_iter().all(is_alive));
        list
    }
}

impl Sandbox {
    /// Returns the file of records.
    pub(super) fn records(&self) -> PathBuf {
        self.path("socket.state/programs")
    }

    /// Replaces the records, whatever there is.
    pub(super) fn write_records(&self, records: &[u8]) {
        fs::write(self.path("draft"), records).unwrap();
        fs::set_permissions(self.path("draft"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(self.path("draft"), self.records()).unwrap();
    }
}

/// Returns the first line of records of this version that are of the present boot.
pub(super) fn header(version: &str) -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
    format!("procmgr-state {version} boot {} in {}\n", boot.trim(), namespace.display())
}

/// Returns a record, with a checksum that is right.
pub(super) fn record(pid: &str, started: u64, text: &str) -> String {
    let rest = format!("{pid:0>10} {started:020} {text}\n");
    format!("{:08x} {rest}", checksum(rest.as_bytes()))
}

/// CRC-32, as everybody computes it.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}
