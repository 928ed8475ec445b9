//! The line by which a process puts itself on record before it is executed as a script.
//!
//! What the line says of the program is prepared before. Nothing here allocates, so that a child may sign between its
//! birth and exec.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::unistd::{close, getpid, write};

use crate::stat::Stat;
use crate::state::line;
use crate::supervisor::event::{Pid, Process, Ticks};

/// A line that lacks a process, and the file that it goes to.
#[derive(Debug)]
pub(crate) struct Signature<'a> {
    /// Open for appending.
    log: BorrowedFd<'a>,
    /// Any other descriptor. The child closes it to have one free: where there is none, its start could not be asked
    /// for.
    spare: BorrowedFd<'a>,
    line: Vec<u8>,
}

impl<'a> Signature<'a> {
    /// Takes a text about the program.
    pub(crate) fn new(log: BorrowedFd<'a>, spare: BorrowedFd<'a>, text: &[u8]) -> Self {
        Self { log, spare, line: line::compose(None, text) }
    }

    /// Returns how many bytes it adds to the file.
    pub(crate) fn length(&self) -> usize {
        self.line.len()
    }

    /// Puts the calling process on record, which must be a child that has not executed anything yet, and returns what
    /// it is on record as. Whether the line has been written whole, the parent sees by the length of the file.
    pub(crate) fn sign(&mut self) -> Process {
        let _ = close(self.spare.as_raw_fd());
        // Without a start it is no process that anybody would take over, for none has ever started at 0.
        let started = Stat::of_self().map_or(Ticks(0), |stat| stat.started);
        let process = Process { pid: Pid(getpid().as_raw()), started };
        line::complete(&mut self.line, Some(process));
        let _ = write(self.log, &self.line);
        process
    }
}
