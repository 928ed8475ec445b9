//! What more than one room packs, in words that can be written: paths, and who has asked.
//!
//! What they are for, and where they are written, is not known here; the core's own words know nothing of these.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use procmgr_config::{Gid, Uid};
use serde::{Deserialize, Serialize};

use crate::latin::Bytes;
use crate::supervisor::event::{Caller, Peer, Pid};

/// A [`Caller`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackedCaller {
    connection: u64,
    request: u64,
    peer: PackedPeer,
}

impl From<Caller> for PackedCaller {
    fn from(Caller { connection, request, peer }: Caller) -> Self {
        Self { connection, request, peer: peer.into() }
    }
}

impl From<PackedCaller> for Caller {
    fn from(PackedCaller { connection, request, peer }: PackedCaller) -> Self {
        Self { connection, request, peer: peer.into() }
    }
}

/// A [`Peer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackedPeer {
    pid: i32,
    uid: u32,
    gid: u32,
}

impl From<Peer> for PackedPeer {
    fn from(Peer { pid: Pid(pid), uid: Uid(uid), gid: Gid(gid) }: Peer) -> Self {
        Self { pid, uid, gid }
    }
}

impl From<PackedPeer> for Peer {
    fn from(PackedPeer { pid, uid, gid }: PackedPeer) -> Self {
        Self { pid: Pid(pid), uid: Uid(uid), gid: Gid(gid) }
    }
}

/// A path, whatever bytes it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PackedPath(Bytes);

impl From<&Path> for PackedPath {
    fn from(path: &Path) -> Self {
        Self(Bytes(path.as_os_str().as_bytes().to_vec()))
    }
}

impl From<PackedPath> for PathBuf {
    fn from(PackedPath(Bytes(bytes)): PackedPath) -> Self {
        OsString::from_vec(bytes).into()
    }
}

/// Returns the next number of a counter, which is none of those that are in use.
///
/// # Errors
/// If nobody can have counted so far.
pub(crate) fn counter(next: u64, in_use: impl Iterator<Item = u64>) -> io::Result<u64> {
    let next = in_use.map(|number| number.saturating_add(1)).fold(next, u64::max);
    if next < MOST_COUNTED { Ok(next) } else { Err(senseless("a number that is too great")) }
}

/// A million in each second, for a hundred years, is less.
const MOST_COUNTED: u64 = 1 << 52;

/// Returns the error of what cannot be unpacked because it makes no sense.
pub(crate) fn senseless(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_asked_is_the_same_after_the_way_through_text() {
        let peer = Peer { pid: Pid(i32::MAX), uid: Uid(u32::MAX), gid: Gid(7) };
        let caller = Caller { connection: u64::MAX, request: 1, peer };
        let text = serde_json::to_string(&PackedCaller::from(caller)).unwrap();
        assert_eq!(Caller::from(serde_json::from_str::<PackedCaller>(&text).unwrap()), caller);
    }

    #[test]
    fn a_counter_goes_on_behind_all_that_is_in_use_and_never_overflows() {
        assert_eq!(counter(7, [3, 6].into_iter()).unwrap(), 7);
        assert_eq!(counter(7, [3, 9].into_iter()).unwrap(), 10);
        counter(u64::MAX, [].into_iter()).unwrap_err();
        counter(0, [u64::MAX].into_iter()).unwrap_err();
    }

    #[test]
    fn a_path_may_have_any_bytes() {
        let path = PathBuf::from(OsString::from_vec(b"/a b/\xff\n\xc3\xa4".to_vec()));
        let text = serde_json::to_string(&PackedPath::from(path.as_path())).unwrap();
        assert_eq!(PathBuf::from(serde_json::from_str::<PackedPath>(&text).unwrap()), path);
    }
}
