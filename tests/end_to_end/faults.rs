//! A daemon that is killed at any moment: what it was about to do is done, or not, but never half, and nothing is lost.
//!
//! A moment is a stop of its main thread before or after a system call, by ptrace; the code under test has no part in
//! it.

mod beginnings;
mod births;
mod census;
mod numbers;
mod requests;
mod stage;
mod sweep;
mod tracer;
