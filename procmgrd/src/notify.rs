//! Tells a system manager how the daemon fares: the `sd_notify` datagram.
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is told. Nothing is ever waited for, and a system manager that
//! does not listen is no reason to stop.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::time::{ClockId, clock_gettime};

/// The way to the system manager.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// Finds the way that the environment names, if it names one.
    pub(crate) fn from_environment() -> Self {
        let name = env::var_os("NOTIFY_SOCKET");
        Self { socket: name.and_then(|name| open(name.as_bytes())) }
    }

    /// Tells that the daemon serves.
    pub(crate) fn ready(&self) {
        self.send("READY=1\nSTATUS=serving");
    }

    /// Tells that the configuration is being read again; [`Notifier::ready`] ends it.
    pub(crate) fn reloading(&self) {
        // The system manager orders this against other messages by the monotonic clock.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_or(0, |now| now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reading the configuration"));
    }

    /// Tells that the daemon ends.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=ending");
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

fn open(name: &[u8]) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name).ok()?,
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)).ok()?,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    Some((socket, address))
}
