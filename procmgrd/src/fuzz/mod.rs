//! What the fuzzer is let in to: bytes become what the daemon may meet, and it is held to its promises.
//!
//! No build that serves anybody has it; the unit tests have, so that a plain `cargo test` tries every seed. How bytes
//! are made up is none of its business.

mod frame;
mod input;
mod steps;

#[cfg(test)]
mod tests;

use crate::fuzz::input::Input;
use crate::supervisor::model;

/// Reads frames that arrive in such pieces, with such descriptors, as the bytes say.
///
/// # Panics
/// If what comes out depends on anything but what was sent, or costs more than that.
pub fn frame(bytes: &[u8]) {
    frame::check(Input::new(bytes));
}

/// Tells the supervisor what the bytes say.
///
/// # Panics
/// If it breaks a promise.
pub fn supervisor(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let is_asked_to_end = input.flag();
    let first = steps::configuration(&mut input);
    model::play(first, steps::steps(input), is_asked_to_end);
}
