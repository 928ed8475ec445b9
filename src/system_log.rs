//! Lines for the system's log, handed over by a thread that may wait for it.
//!
//! Which lines are wanted, and how weighty they are, is not decided here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use nix::syslog::{Facility, LogFlags, Priority, Severity, openlog, syslog};
use procmgrd::threads;

/// How many lines may wait. More are lost: a system log that is stuck must not stop the daemon, nor fill its memory.
const MOST_WAITING: usize = 1024;

/// How long the end of the daemon waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(1);

/// The system's log.
#[derive(Debug)]
pub(crate) struct SystemLog {
    facility: Facility,
    /// There once a line has been written: until the daemon is in the background there must be no thread.
    entries: OnceLock<SyncSender<Entry>>,
    lost: AtomicU64,
}

#[derive(Debug)]
enum Entry {
    Line(Priority, String),
    /// To be told when all lines before it are written.
    Mark(Sender<()>),
}

impl SystemLog {
    /// Names the part of the system for which lines are written.
    pub(crate) fn new(facility: Facility) -> Self {
        // Fails only for a name with a NUL byte.
        let _ = openlog(Some(c"procmgr"), LogFlags::LOG_PID, facility);
        Self { facility, entries: OnceLock::new(), lost: AtomicU64::new(0) }
    }

    /// Writes a line, soon, unless too many are waiting.
    pub(crate) fn write(&self, severity: Severity, line: String) {
        let priority = |severity| Priority::new(severity, self.facility);
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let note = format!("{lost} log lines are lost: the system's log did not take them in time");
            if !self.hand_over(Entry::Line(priority(Severity::LOG_WARNING), note)) {
                self.lost.fetch_add(lost, Ordering::Relaxed);
            }
        }
        if !self.hand_over(Entry::Line(priority(severity), line)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits a moment for what has been written to arrive.
    pub(crate) fn flush(&self) {
        let (sender, arrived) = channel();
        if self.entries.get().is_some() && self.hand_over(Entry::Mark(sender)) {
            let _ = arrived.recv_timeout(PATIENCE);
        }
    }

    fn hand_over(&self, entry: Entry) -> bool {
        self.entries.get_or_init(start).try_send(entry).is_ok()
    }
}

/// Starts the thread. If the system has none, lines are lost.
fn start() -> SyncSender<Entry> {
    let (sender, entries) = sync_channel(MOST_WAITING);
    let _ = threads::start("system log", None, move || work(&entries));
    sender
}

fn work(entries: &Receiver<Entry>) {
    for entry in entries {
        match entry {
            // Where nobody takes the line there is nobody to tell.
            Entry::Line(priority, line) => drop(syslog(priority, line.as_str())),
            Entry::Mark(sender) => drop(sender.send(())),
        }
    }
}
