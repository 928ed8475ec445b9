//! A frame that has arrived in part, on its way to the next image of the daemon.
//!
//! How it goes on is told in `reader`, whose descriptors they are by `server`.

use std::io;

use procmgr_proto::frame::{HEADER_LENGTH, VERSION};
use serde::{Deserialize, Serialize};

use crate::custody::Account;
use crate::disposal::Foreign;
use crate::latin::Bytes;
use crate::packed::senseless;
use crate::parcel::{Packer, Slot, Unpacker};
use crate::reader::{FrameReader, PartialBody, begin_body};

/// A [`FrameReader`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PackedReader {
    header: Bytes,
    body: Option<PackedBody>,
    descriptors: Vec<Slot>,
    arrived: usize,
    has_lost_descriptors: bool,
}

/// A [`PartialBody`], but for its header.
#[derive(Debug, Serialize, Deserialize)]
struct PackedBody {
    bytes: Bytes,
    missing: usize,
}

impl FrameReader {
    /// Goes on with a frame where it stopped.
    pub(crate) fn unpack(
        packed: PackedReader,
        unpacker: &mut Unpacker,
        account: Account,
    ) -> io::Result<Self> {
        let PackedReader { header: Bytes(header), body, descriptors, arrived, has_lost_descriptors } = packed;
        let descriptors = Foreign::unpack(descriptors, unpacker, &account)?;
        let body = match (<&[u8; HEADER_LENGTH]>::try_from(header.as_slice()), body) {
            (Ok(header), Some(body)) => Some(unpack_body(header, body)?),
            (Err(_), None) if header.len() < HEADER_LENGTH => None,
            _ => return Err(senseless("a body without its header, or a header without its body")),
        };
        Ok(Self { account, header, body, descriptors, arrived, has_lost_descriptors })
    }

    /// Packs what has arrived.
    pub(crate) fn pack<'a>(&'a self, packer: &mut Packer<'a>) -> PackedReader {
        let Self { account: _, header, body, descriptors, arrived, has_lost_descriptors } = self;
        PackedReader {
            header: Bytes(header.clone()),
            body: body.as_ref().map(|PartialBody { header: _, bytes, missing }| PackedBody {
                bytes: Bytes(bytes.clone()),
                missing: *missing,
            }),
            descriptors: descriptors.pack(packer),
            arrived: *arrived,
            has_lost_descriptors: *has_lost_descriptors,
        }
    }
}

fn unpack_body(header: &[u8; HEADER_LENGTH], packed: PackedBody) -> io::Result<PartialBody> {
    let PackedBody { bytes: Bytes(bytes), missing } = packed;
    let PartialBody { header, missing: length, .. } =
        begin_body(header).map_err(|_| senseless("a body whose header is none"))?;
    // The body of another version is passed over.
    let kept = if header.version == VERSION { length.checked_sub(missing) } else { Some(0) };
    if missing == 0 || missing > length || kept != Some(bytes.len()) {
        return Err(senseless("a body that is shorter or longer than its header says"));
    }
    Ok(PartialBody { header, bytes, missing })
}
