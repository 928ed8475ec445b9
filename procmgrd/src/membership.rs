//! The supplementary groups of whoever is at the other end of a connection, as they were when it was made.
//!
//! Whether they count is not known here.
#![expect(unsafe_code, reason = "no safe wrapper of this option of a socket is at hand")]

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use nix::libc;
use procmgr_config::Gid;

/// Returns the supplementary groups of a peer. Where the kernel does not tell, it is taken to have none.
pub(crate) fn supplementary_groups(stream: &UnixStream) -> Vec<Gid> {
    let mut groups: Vec<libc::gid_t> = vec![0; USUAL];
    while groups.len() <= MOST {
        let mut length = libc::socklen_t::try_from(size_of_val(groups.as_slice())).unwrap_or(0);
        // SAFETY: the kernel writes at most `length` bytes into the buffer, which has as many, and the length itself.
        let result = unsafe {
            let buffer = groups.as_mut_ptr().cast();
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                buffer,
                &raw mut length,
            )
        };
        let told = length as usize / size_of::<libc::gid_t>();
        if result == 0 {
            groups.truncate(told);
            return groups.into_iter().map(Gid).collect();
        }
        // Where the room does not do, the kernel tells how much does.
        if told <= groups.len() {
            break;
        }
        groups.resize(told, 0);
    }
    Vec::new()
}

/// How many groups there is room for at first: hardly anybody has more.
const USUAL: usize = 32;

/// How many groups the kernel lets a process have (`NGROUPS_MAX`).
const MOST: usize = 65_536;

#[cfg(test)]
mod tests {
    use nix::unistd::getgroups;

    use super::*;

    #[test]
    fn a_peer_has_the_groups_of_its_process() {
        let (stream, _peer) = UnixStream::pair().unwrap();
        let mut groups: Vec<u32> = supplementary_groups(&stream).into_iter().map(|Gid(gid)| gid).collect();
        let mut expected: Vec<u32> = getgroups().unwrap().into_iter().map(nix::unistd::Gid::as_raw).collect();
        groups.sort_unstable();
        expected.sort_unstable();
        assert_eq!(groups, expected);
    }
}
