//! The wire protocol of procmgr: what a client and the daemon say to each other over a UNIX stream socket.
//!
//! Depends on no other crate of procmgr, so that a program in Rust which wants to command the daemon needs this one
//! only. It decides nothing: who may do what, and when an answer is due, is the daemon's.
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
//! match client.invoke(&invocation, StdioRef::of_process())? {
//!     Outcome::Done => println!("started"),
//!     Outcome::Exited(status) => println!("ended: {status}"),
//!     Outcome::Status { running } => println!("running: {running}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Frames
//!
//! Each message is a frame: a header of 16 bytes, then a body of `length` bytes. All integers are little-endian.
//!
//! ```text
//!    0       1       2       3       4       5       6       7
//! ┌───────┬───────┬───────┬───────┬───────┬───────┬───────┬───────┐
//! │  'P'     'M'     'G'     'R'  │    version    │ kind  │descri-│
//! │             magic             │               │       │ptors  │
//! ├───────┼───────┼───────┼───────┼───────┼───────┼───────┼───────┤
//! │              id               │            length             │
//! │                               │       at most 4,194,304       │
//! └───────┴───────┴───────┴───────┴───────┴───────┴───────┴───────┘
//!    8       9      10      11      12      13      14      15
//! ```
//!
//! - `kind`: 1 is a request, 2 a response, 3 an event.
//! - `descriptors`: how many descriptors ride on the first byte of the frame.
//! - `id`: chosen by the client, not 0, and echoed in the response. Many requests may be under way on one connection;
//!   answers come as they complete. A refusal with id 0 concerns the connection as a whole.
//! - The body is bincode 1: integers of fixed width, a `u32` for which variant it is, a `u64` before each list for how
//!   many, and nothing after the end.
//!
//! # Rooms
//!
//! - [`message`], [`event`]: what can be said;
//! - [`frame`]: the header and the limits;
//! - [`codec`]: messages to bytes and back;
//! - [`stdio`]: descriptors, and how they travel with a frame;
//! - [`client`]: a client that does all this and waits for the answer;
//! - [`subscription`]: the changes of programs, as they happen;
//! - [`connection`]: many requests at once, for whoever wants to match answers himself;
//! - [`error`]: what can go wrong on the way.
//!
//! # Versions
//!
//! The header is the same in every version, and so is the first response, the refusal. Requests and responses are only
//! ever appended. The requests *ping*, *list*, *stop* and *reload* and their answers are frozen. A frame of a version
//! that the daemon does not know is refused in the highest version that it does.
//!
//! - **1**: the requests ping, list, stop, reload, invoke, subscribe; the responses refused, done, exited, status,
//!   programs, reloaded, subscribed; the event changed.

pub mod client;
pub mod codec;
pub mod connection;
pub mod error;
pub mod event;
pub mod frame;
pub mod message;
pub mod stdio;
pub mod subscription;
