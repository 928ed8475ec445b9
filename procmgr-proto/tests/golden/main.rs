//! The protocol, byte for byte: what the files in `vectors/` and the dumps in `PROTOCOL.md` promise to every client.
//!
//! These bytes are the protocol: a change that breaks a test here breaks clients in other languages. New messages and
//! new cases add vectors; those that are there stay.

mod details;
mod document;
mod hostile;
mod messages;
mod vectors;
