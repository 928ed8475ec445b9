//! Daemons that execute their executable anew, which may be another one by then, and go on.
//!
//! What a new daemon makes of what a dead one has left is in `adoption`.

mod clients;
mod failures;
mod handover;
mod installation;
mod process;
mod scripts;
mod signals;
