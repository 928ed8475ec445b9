//! Programs whose daemon is gone, and what the next one does for them.
//!
//! What is done when the records of them are damaged, or cannot be written, is in `records`; a daemon that becomes
//! another one without going is in `upgrade`.

mod absence;
mod deaths;
mod moments;
mod requests;
mod traces;
mod under_way;
