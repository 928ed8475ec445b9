//! What outlives the daemon: the records in its folder of state, by which the next one takes over its programs.
//!
//! What is to be on record, and what follows from it, is the supervisor's to say.
//!
//! The records are the lines of one file, `programs`. Each change of a program appends a line, and of each program
//! the last one counts; from time to time, and at each start, the file is written anew. A process that is to become a
//! main process appends its line by itself, before it executes anything. So there is no moment at which a program
//! runs and is not on record. Nothing is forced to the disk: what a power failure takes is of another boot
//! afterwards, and counts no more.

pub(crate) mod adoption;
pub(crate) mod folder;
pub(crate) mod header;
pub(crate) mod line;
pub(crate) mod reading;
pub(crate) mod signature;
pub(crate) mod store;
pub(crate) mod stored;
