//! The records that outlive a daemon: who is believed, what damage does, and what happens when they cannot be written.
//!
//! What is made of good ones is in `adoption`.

mod damage;
mod folder;
mod full;
mod lines;
mod origins;
mod unwritable;
mod versions;
