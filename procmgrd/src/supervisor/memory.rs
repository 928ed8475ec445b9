//! What of a program outlives the daemon: what is put on record about it, and what a later daemon makes of that.
//!
//! When it changes, `program` says; where it is kept, the core does not know.

use std::sync::Arc;

use procmgr_config::{Definition, ProgramName};
use procmgr_proto::details::PastExit;

use crate::supervisor::event::{Process, Timestamp};

/// What is on record about a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Nothing: it is down, and nobody has asked for that.
    Nothing,
    /// It was stopped on request, and stays so until somebody asks for more.
    Stopped(Past),
    /// It has died too often, and stays down until somebody asks for more.
    Failed(Past),
    /// It is to be started, for nobody, at this time.
    Due {
        /// When. It may be long over.
        at: Timestamp,
        past: Past,
    },
    /// It has a main process.
    Running(Running),
}

/// What is on record about a program that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// Its main process; `None` in a record that this process itself is to sign before it is executed.
    pub(crate) main: Option<Process>,
    /// The process that is the main process until `main` has been executed.
    pub(crate) former: Option<Process>,
    /// When it was decided to start `main`; `None` if an earlier version has not put that on record.
    pub(crate) since: Option<Timestamp>,
    /// What it was started by.
    pub(crate) definition: Arc<Definition>,
    pub(crate) aim: Aim,
    pub(crate) past: Past,
}

/// What a program has gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// How many times it has been started again for nobody, or is to be, since somebody has asked for a start.
    pub(crate) restarts: u32,
    /// How many of those are in a row, without a stable run in between.
    pub(crate) row: u32,
    /// How a main process of it has ended the last time.
    pub(crate) last_exit: Option<PastExit>,
}

/// What is to become of a program that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// It is to run.
    Run,
    /// It is to end, and to stay down.
    Stop,
    /// It is to end with the daemon, and may come back with the next one.
    End,
    /// It is to end, and to be started again.
    Restart,
}

/// What an earlier daemon has left on record about a program, held against what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recollection {
    pub(crate) program: ProgramName,
    pub(crate) memory: Memory,
    /// The process of the record that is the main process and lives; `None` if there is none, or not any more.
    pub(crate) living: Option<Process>,
}
