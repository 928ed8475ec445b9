//! Clients of all kinds against a daemon that is a few lines in a thread.
//!
//! What the real daemon answers is tested elsewhere; here it is whatever brings a client into trouble.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test, as is meant")]

mod client;
mod connecting;
mod connection;
mod daemon;
mod deadline;
mod subscription;
