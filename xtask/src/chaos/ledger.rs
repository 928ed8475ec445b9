//! The ledger: what is known of each program, what has been found wrong, and who may act at the moment.
//!
//! It is shared by all who play. Whoever acts writes down here what came of it; what follows is told in `model`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use crate::chaos::cast::Program;
use crate::chaos::diary::Diary;
use crate::chaos::identity::Identity;
use crate::chaos::model::Belief;

/// All of it.
pub(super) struct Ledger {
    pub(super) programs: Vec<Program>,
    pub(super) diary: Diary,
    entries: Vec<Mutex<Entry>>,
    /// Whoever acts has a share of it; who looks whether all is right has it alone.
    gate: RwLock<()>,
    /// Odd from the moment at which a daemon is killed, even again when the next one serves.
    reign: AtomicU64,
    is_over: AtomicBool,
    faults: Mutex<Vec<Fault>>,
    pub(super) requests: AtomicU64,
    begin: Instant,
}

/// What is known of a program.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) belief: Belief,
    /// How many of its deaths that nobody had asked for were known before it was believed to run.
    pub(super) deaths: usize,
    /// Whether somebody has acted upon it since it was looked at.
    pub(super) is_touched: bool,
    /// Whether nobody is to act upon it until it is looked at: its script must have the time to do its work.
    pub(super) is_resting: bool,
    pub(super) seen: Seen,
    /// What was asked of it last, and what came of it.
    history: VecDeque<String>,
}

/// What of a program was seen when it was looked at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It has never been looked at.
    Never,
    Dead,
    Alive(Identity),
}

/// Something that is not as promised.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) program: Option<String>,
    /// When, as [`Ledger::time`] tells it.
    pub(super) at: Duration,
    pub(super) text: String,
}

/// Which promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// A process of a program lives, and the daemon does not know; or it was to live, and does not.
    Lost,
    /// A program has two processes.
    Duplicate,
    /// A process was signalled that is none of the daemon's business.
    Stranger,
    /// A program was started or ended, and nobody had asked for that.
    Meddling,
    /// A request was not answered as it has to be.
    Request,
    /// A subscriber was not told.
    Event,
}

impl FaultKind {
    pub(super) const ALL: [Self; 6] =
        [Self::Lost, Self::Duplicate, Self::Stranger, Self::Meddling, Self::Request, Self::Event];
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Lost => "lost",
            Self::Duplicate => "duplicates",
            Self::Stranger => "strangers signalled",
            Self::Meddling => "started or ended for no reason",
            Self::Request => "failed requests",
            Self::Event => "events lost",
        })
    }
}

impl Ledger {
    /// Begins a ledger on these programs, of which nothing is known.
    pub(super) fn new(programs: Vec<Program>, diary: Diary) -> Self {
        let entry = |_| Entry {
            belief: Belief::Unknown,
            deaths: 0,
            is_touched: false,
            is_resting: false,
            seen: Seen::Never,
            history: VecDeque::new(),
        };
        let entries = programs.iter().map(|program| Mutex::new(entry(program))).collect();
        Self {
            programs,
            diary,
            entries,
            gate: RwLock::new(()),
            reign: AtomicU64::new(1),
            is_over: AtomicBool::new(false),
            faults: Mutex::new(Vec::new()),
            requests: AtomicU64::new(0),
            begin: Instant::now(),
        }
    }

    /// Returns what is known of the program of a number.
    pub(super) fn entry(&self, number: usize) -> MutexGuard<'_, Entry> {
        self.entries[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one may act, and keeps those who look from it.
    pub(super) fn act(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody acts, and keeps them from it.
    pub(super) fn halt(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the present reign, to be held against a later one by [`Ledger::is_unbroken`].
    pub(super) fn reign(&self) -> u64 {
        self.reign.load(Ordering::SeqCst)
    }

    /// Returns whether the same daemon has served all the time since a reign.
    pub(super) fn is_unbroken(&self, since: u64) -> bool {
        since.is_multiple_of(2) && self.reign() == since
    }

    /// Notes that the daemon is about to be killed, or that it serves.
    pub(super) fn set_serving(&self, is_serving: bool) {
        let reign = self.reign();
        if reign.is_multiple_of(2) != is_serving {
            self.reign.store(reign + 1, Ordering::SeqCst);
        }
    }

    /// Returns something by which all comes to an end when it is dropped, be it for a panic.
    pub(super) fn ending(&self) -> Ending<'_> {
        Ending(&self.is_over)
    }

    /// Returns whether nobody is to begin anything any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Notes that something is wrong.
    pub(super) fn blame(&self, kind: FaultKind, program: Option<&str>, text: String) {
        let fault = Fault { kind, program: program.map(str::to_owned), at: self.time(), text };
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Returns all that has been found wrong.
    pub(super) fn faults(&self) -> Vec<Fault> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how long all this has lasted.
    pub(super) fn time(&self) -> Duration {
        self.begin.elapsed()
    }
}

/// See [`Ledger::ending`].
pub(super) struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Entry {
    /// Notes what was asked and what came of it.
    pub(super) fn note(&mut self, line: String) {
        if self.history.len() == LONGEST_HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(line);
    }

    /// Returns what was asked last and what came of it.
    pub(super) fn history(&self) -> impl Iterator<Item = &str> {
        self.history.iter().map(String::as_str)
    }
}

const LONGEST_HISTORY: usize = 20;
