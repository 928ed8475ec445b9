//! What of a program outlives the daemon: what is put on record about it, and what a later daemon makes of that.
//!
//! When it changes, `program` says; where it is kept, the core does not know.

use std::sync::Arc;
use std::time::Instant;

use procmgr_config::{Definition, ProgramName};

use crate::supervisor::event::Process;

/// What is on record about a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Nothing: it is down, and nobody has asked for that.
    Nothing,
    /// It was stopped on request, and stays so until somebody asks for more.
    Stopped,
    /// It is to be started, for nobody, at this time.
    Due {
        /// When. It may be long over.
        at: Instant,
        /// How many times in a row it has been started for nobody.
        restarts: u32,
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
    /// What it was started by.
    pub(crate) definition: Arc<Definition>,
    pub(crate) aim: Aim,
    /// How many times in a row it has been started for nobody.
    pub(crate) restarts: u32,
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
