//! The wire protocol of procmgr, a process manager: what a client and the daemon say to each other over a UNIX stream
//! socket.
//!
//! The daemon watches over programs and runs their scripts; a client asks it to, and lends it a standard input, output
//! and error. A program in Rust that wants to command a daemon needs this crate only. It decides nothing: who may do
//! what, and when an answer is due, is the daemon's.
//!
//! # Example
//!
//! ```no_run
//! use std::path::Path;
//!
//! use procmgr_proto::client::{Client, Outcome};
//! use procmgr_proto::message::Invocation;
//! use procmgr_proto::stdio::StdioRef;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut client = Client::connect(Path::new("/var/run/procmgr"))?;
//! let invocation = Invocation {
//!     program: b"game".to_vec(),
//!     action: b"start".to_vec(),
//!     arguments: vec![b"level-1".to_vec()],
//! };
//! match client.invoke(invocation, StdioRef::of_process())? {
//!     Outcome::Done => println!("started"),
//!     Outcome::Exited(status) => println!("ended: {status}"),
//!     Outcome::Status { running } => println!("running: {running}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The folder `examples` of this crate has whole programs: `list`, `capture` (the output of a script), `watch` (what
//! happens, as it happens) and `frames` (the protocol without any input or output).
//!
//! # Which room
//!
//! | you want to | go to |
//! |---|---|
//! | ask one thing at a time, and wait for the answer | [`client`] |
//! | be told of the changes of programs | [`subscription`], by way of [`client::Client::subscribe`] |
//! | have many requests under way, or poll | [`connection`] |
//! | do input and output in another way, such as an asynchronous one | [`codec`] and [`frame`], and [`stdio`] for the descriptors |
//! | know what can be said | [`message`], [`details`] and [`event`] |
//! | know what can go wrong | [`error`], and [`message::Code`] for what the daemon refuses |
//! | write a client in another language, or know every byte | [`protocol`] |
//!
//! Everything here blocks, or does no input and output at all. There are no threads, no global state, and no
//! configuration; finding the path of the socket is up to the caller ([`protocol`] tells how).
//!
//! # Texts
//!
//! Names, arguments and reasons are bytes (`Vec<u8>`): on UNIX they need not be UTF-8, and they may hold control
//! characters. Escape them before they go to a terminal, by [`<[u8]>::escape_ascii`](slice::escape_ascii) for one.
//!
//! # What may grow
//!
//! Enumerations that later versions add to are `#[non_exhaustive]`. Others are not, on purpose: the fields of messages
//! are fixed by the wire, as are the kinds of frames, the faults of a header or body and the answers to an invocation,
//! and so are structures and enumerations that mirror them. What is received by [`stdio::receive`] is all that the
//! kernel tells. Actions are no enumeration at all: they travel by their names, of which the configuration may give
//! more.

pub mod client;
pub mod codec;
pub mod connection;
mod deadline;
pub mod details;
pub mod error;
pub mod event;
pub mod frame;
pub mod message;
mod names;
pub mod stdio;
pub mod subscription;

#[doc = include_str!("../PROTOCOL.md")]
pub mod protocol {}

/// Has the examples of the README tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
