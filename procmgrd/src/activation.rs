//! A socket that a system manager already listens at, and hands over to the daemon that it starts: `sd_listen_fds`.
//!
//! What the socket is for is not known here.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process;

use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use crate::descriptors::adopt;
use crate::error::Error;
use crate::places::FileId;

/// A socket that somebody else has made, and keeps as well.
#[derive(Debug)]
pub(crate) struct Lent(pub(crate) UnixListener);

impl Lent {
    /// Returns the file of the socket, if clients find it by this path.
    ///
    /// The kernel does not tell which file it is, only what its path was when it was made. One that leads to the same
    /// place is as good: `/var/run` is a link to `/run`.
    ///
    /// # Errors
    /// If clients would find another one, or none.
    pub(crate) fn file_at(&self, path: &Path) -> Result<FileId, Error> {
        let Self(socket) = self;
        let address =
            socket.local_addr().map_err(|error| useless(format!("its address is unknown: {error}")))?;
        let made_at = address.as_pathname().ok_or_else(|| useless("the socket is at no path"))?;
        let file = FileId::at(path);
        if made_at != path && !file.as_ref().is_ok_and(|file| file.is_at(made_at)) {
            return Err(useless(format!(
                "the socket is at {}, and by the configuration clients look for it at {}",
                made_at.display(),
                path.display()
            )));
        }
        file.map_err(|error| useless(format!("cannot look at {}: {error}", path.display())))
    }
}

/// Takes the socket that was handed over to this process, if one was. Nobody else inherits it from then on.
///
/// To be called before anything else sees to the descriptors that this process was started with.
///
/// # Errors
/// If something was handed over that is of no use to the daemon.
pub(crate) fn take(is_in_foreground: bool) -> Result<Option<Lent>, Error> {
    let announced = announced(|name| env::var_os(name), process::id()).map_err(useless)?;
    match announced {
        0 => Ok(None),
        _ if !is_in_foreground => Err(useless("a daemon takes one in the foreground only, by -f")),
        1 => {
            let descriptor = adopt(FIRST).map_err(|error| useless(format!("descriptor {FIRST}: {error}")))?;
            let socket =
                check(descriptor).map_err(|reason| useless(format!("descriptor {FIRST} {reason}")))?;
            Ok(Some(Lent(socket)))
        }
        count => Err(useless(format!("{count} descriptors were handed over, and one is wanted"))),
    }
}

/// Returns the environment for whoever is not this process: nothing was handed over to that one.
pub(crate) fn environment_of_others() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| !VARIABLES.iter().any(|known| name == known))
}

/// Returns how many descriptors were handed over to this process, as the environment says.
fn announced(variable: impl Fn(&str) -> Option<OsString>, own: u32) -> Result<u32, String> {
    let number = |text: &OsStr| text.to_str().and_then(|text| text.parse::<u32>().ok());
    // Otherwise they were meant for a process that has not cared to take the variables out.
    if variable(PID).and_then(|text| number(&text)) != Some(own) {
        return Ok(0);
    }
    let Some(text) = variable(COUNT) else { return Ok(0) };
    let count = number(&text).filter(|count| *count > 0);
    let shown = text.as_bytes().escape_ascii();
    count.ok_or_else(|| format!("{COUNT} is \"{shown}\", which is no number of descriptors"))
}

fn useless(reason: impl Into<String>) -> Error {
    Error::Useless { reason: reason.into() }
}

/// Makes a socket of a descriptor, if it is a stream socket of this system at which somebody listens.
fn check(descriptor: OwnedFd) -> Result<UnixListener, &'static str> {
    match (socket_domain(&descriptor), socket_type(&descriptor)) {
        (Ok(AddressFamily::UNIX), Ok(SocketType::STREAM)) => {}
        (Ok(AddressFamily::UNIX), Ok(_)) => return Err("is no stream socket"),
        (Ok(_), Ok(_)) => return Err("is no UNIX socket"),
        (Err(_), _) | (_, Err(_)) => return Err("is no socket"),
    }
    if !socket_acceptconn(&descriptor).unwrap_or(false) {
        return Err("is a socket that does not listen");
    }
    Ok(descriptor.into())
}

const PID: &str = "LISTEN_PID";
const COUNT: &str = "LISTEN_FDS";

/// All that a system manager says of what it hands over. Who it is for may be said twice, and each descriptor has a
/// name.
const VARIABLES: [&str; 4] = [PID, COUNT, "LISTEN_FDNAMES", "LISTEN_PIDFDID"];

/// The number of the first descriptor that is handed over.
const FIRST: RawFd = 3;

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::net::TcpListener;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn only_what_is_meant_for_this_process_counts() {
        let says = |pid: Option<&str>, count: Option<&str>| {
            let [pid, count] = [pid, count].map(|text| text.map(OsString::from));
            announced(|name| if name == PID { pid.clone() } else { count.clone() }, 17)
        };
        assert_eq!(says(None, None), Ok(0));
        assert_eq!(says(None, Some("1")), Ok(0));
        for pid in ["", "0", "16", "017x", "-17", "17 ", "99999999999999999999"] {
            assert_eq!(says(Some(pid), Some("1")), Ok(0), "{pid}");
        }
        assert_eq!(says(Some("17"), None), Ok(0));
        assert_eq!(says(Some("17"), Some("1")), Ok(1));
        assert_eq!(says(Some("17"), Some("3")), Ok(3));
    }

    #[test]
    fn garbage_instead_of_a_number_of_descriptors_is_told() {
        for text in [&b""[..], b"0", b"-1", b"one", b"1 ", b"4294967296", b"\xff", b"1\n2"] {
            let variable = |name: &str| Some(if name == PID { "17".into() } else { text.to_vec() });
            let reason = announced(|name| variable(name).map(OsString::from_vec), 17).unwrap_err();
            assert!(reason.starts_with("LISTEN_FDS is \"") && !reason.contains('\n'), "{reason}");
        }
    }

    #[test]
    fn only_a_stream_socket_of_this_system_that_listens_is_of_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let reason = |descriptor: OwnedFd| check(descriptor).unwrap_err();
        assert_eq!(reason(File::open("/dev/null").unwrap().into()), "is no socket");
        assert_eq!(reason(TcpListener::bind("127.0.0.1:0").unwrap().into()), "is no UNIX socket");
        assert_eq!(reason(UnixDatagram::bind(path("datagram")).unwrap().into()), "is no stream socket");
        assert_eq!(reason(UnixStream::pair().unwrap().0.into()), "is a socket that does not listen");
        check(UnixListener::bind(path("listener")).unwrap().into()).unwrap();
    }

    #[test]
    fn a_socket_is_of_use_where_clients_find_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let lent = |path: &Path| Lent(UnixListener::bind(path).unwrap());
        fs::create_dir(path("run")).unwrap();
        symlink("run", path("link")).unwrap();
        let socket = lent(&path("run/socket"));
        let file = socket.file_at(&path("run/socket")).unwrap();
        assert_eq!(socket.file_at(&path("link/socket")).unwrap(), file);

        let other = lent(&path("run/other"));
        let reason = |result: Result<FileId, Error>| result.unwrap_err().to_string();
        let expected = format!(
            "cannot use what the system manager has handed over: the socket is at {}, and by the configuration \
             clients look for it at {}",
            path("run/other").display(),
            path("run/socket").display()
        );
        assert_eq!(reason(other.file_at(&path("run/socket"))), expected);
        assert!(reason(other.file_at(&path("missing"))).contains("clients look for it at"));
        fs::remove_file(path("run/other")).unwrap();
        assert!(reason(other.file_at(&path("run/other"))).contains(": cannot look at "));

        let nameless = UnixListener::bind_addr(
            &SocketAddr::from_abstract_name(path("x").as_os_str().as_bytes()).unwrap(),
        );
        assert!(reason(Lent(nameless.unwrap()).file_at(&path("x"))).ends_with("the socket is at no path"));
    }
}
