//! A connection on its way to the next image of the daemon, with all that its client has not sent or fetched yet.
//!
//! How it goes on is told in `connection`, under which number by `server`.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::connection::Connection;
use crate::custody::Account;
use crate::latin::Bytes;
use crate::packed::{PackedPeer, counter};
use crate::parcel::{Packer, Slot, Unpacker};
use crate::reader::FrameReader;
use crate::reader::packed::PackedReader;
use crate::stream::prepare;
use crate::supervisor::event::Peer;

/// A [`Connection`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PackedConnection {
    stream: Slot,
    peer: PackedPeer,
    reader: Option<PackedReader>,
    under_way: Vec<(u64, u32)>,
    arrivals: u64,
    subscription: Option<u32>,
    unsent: Bytes,
    answers_end: usize,
    is_deaf: bool,
    half_request_since: Option<Moment>,
    stuck_since: Option<Moment>,
    active_at: Moment,
}

impl Connection {
    /// Goes on with a connection where it stopped. `account` tells what a client's descriptors are charged to.
    pub(crate) fn unpack(
        packed: PackedConnection,
        unpacker: &mut Unpacker,
        account: impl FnOnce(Peer) -> Account,
    ) -> io::Result<Self> {
        let PackedConnection {
            stream,
            peer,
            reader,
            under_way,
            arrivals,
            subscription,
            unsent: Bytes(unsent),
            answers_end,
            is_deaf,
            half_request_since,
            stuck_since,
            active_at,
        } = packed;
        let stream = UnixStream::from(unpacker.take(stream)?);
        // It is ready already, unless it is no stream at all.
        prepare(&stream)?;
        let peer = Peer::from(peer);
        let unpack = |reader| FrameReader::unpack(reader, unpacker, account(peer));
        let reader = reader.map(unpack).transpose()?;
        Ok(Self {
            stream,
            peer,
            reader,
            arrivals: counter(arrivals, under_way.iter().map(|(number, _)| *number))?,
            under_way: under_way.into_iter().collect(),
            subscription,
            answers_end: answers_end.min(unsent.len()),
            unsent,
            // If it is, the next attempt will tell.
            is_full: false,
            is_deaf,
            half_request_since: half_request_since.map(|since| unpacker.instant(since)),
            stuck_since: stuck_since.map(|since| unpacker.instant(since)),
            active_at: unpacker.instant(active_at),
        })
    }

    /// Packs the connection.
    pub(crate) fn pack<'a>(&'a self, packer: &mut Packer<'a>) -> PackedConnection {
        let Self {
            stream,
            peer,
            reader,
            under_way,
            arrivals,
            subscription,
            unsent,
            answers_end,
            is_full: _,
            is_deaf,
            half_request_since,
            stuck_since,
            active_at,
        } = self;
        PackedConnection {
            stream: packer.descriptor(stream.as_fd()),
            peer: (*peer).into(),
            reader: reader.as_ref().map(|reader| reader.pack(packer)),
            under_way: under_way.iter().map(|(number, id)| (*number, *id)).collect(),
            arrivals: *arrivals,
            subscription: *subscription,
            unsent: Bytes(unsent.clone()),
            answers_end: *answers_end,
            is_deaf: *is_deaf,
            half_request_since: half_request_since.map(|since| packer.moment(since)),
            stuck_since: stuck_since.map(|since| packer.moment(since)),
            active_at: packer.moment(*active_at),
        }
    }
}
