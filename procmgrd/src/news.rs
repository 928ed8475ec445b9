//! Puts changes into the words of the protocol, for whoever has subscribed.
//!
//! Who has subscribed is `server`'s business; what counts as a change, the supervisor's.

use std::time::SystemTime;

use procmgr_proto::codec::{EncodeError, encode_event};
use procmgr_proto::event::{self, Requester};
use procmgr_proto::frame::{CONNECTION_ID, HEADER_LENGTH, Header};

use crate::clock::milliseconds;
use crate::supervisor::event::{Caller, Cause, Change, Peer};

/// An event, encoded once for all subscribers: each is sent the header with its own id, and the body as it is.
#[derive(Debug)]
pub(crate) struct EventFrame {
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
}

impl EventFrame {
    /// Puts a change into words that has happened at this time.
    ///
    /// # Errors
    /// If there are too many of them: nothing keeps the configuration from names that are longer than a frame.
    pub(crate) fn new(change: Change, time: SystemTime) -> Result<Self, EncodeError> {
        let mut header = encode_event(CONNECTION_ID, &event(change, time))?;
        let body = header.split_off(HEADER_LENGTH);
        let header =
            <&[u8; HEADER_LENGTH]>::try_from(header.as_slice()).expect("a frame begins with its header");
        Ok(Self { header: Header::parse(header).expect("what was encoded is a header"), body })
    }
}

fn event(change: Change, time: SystemTime) -> event::Event {
    let Change { program, cause: Cause { by, ended, failure } } = change;
    event::Event::Changed(event::Change {
        time: milliseconds(time),
        program,
        ended,
        failure: failure.map(String::into_bytes),
        by: by.map(|Caller { peer, .. }| requester(peer)),
    })
}

fn requester(Peer { pid, uid, gid }: Peer) -> Requester {
    Requester { pid: pid.0.cast_unsigned(), uid: uid.0, gid: gid.0 }
}
