//! The socket file: making it, keeping it there, handing it on, and that only one daemon has it.
//!
//! Who connects, and what they say, is `server`'s business.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::socket::sockopt::AcceptConn;
use nix::sys::socket::{self, Backlog, getsockopt};
use nix::sys::stat::{Mode, umask};
use procmgr_proto::connection::MAX_PATH;
use serde::{Deserialize, Serialize};

use crate::activation::Lent;
use crate::error::Error;
use crate::journal;
use crate::lock::{Lock, PackedLock};
use crate::packed::{PackedPath, senseless};
use crate::parcel::{Packer, Slot, Unpacker};
use crate::places::{FileId, beside};
use crate::probe::{Probe, is_listened_to};

/// The socket that clients connect to. The file is removed when it is dropped, if it is ours.
#[derive(Debug)]
pub(crate) struct Listener {
    path: PathBuf,
    socket: UnixListener,
    /// Which file is ours, whatever may be at the path meanwhile.
    file: FileId,
    /// Whether socket and file are a system manager's, which has them before the daemon is there and when it is gone.
    is_lent: bool,
    /// Tells when something happens to the file. Without it, a removed socket is noticed at the next reload.
    watch: Option<Inotify>,
    /// Dropped last, when the file is gone: whoever waits for it finds the place free. The lock, not the socket,
    /// makes the daemon single: it outlives the removal of the socket file.
    lock: Lock,
}

/// A [`Listener`] on its way to the next image of the daemon.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PackedListener {
    path: PackedPath,
    socket: Slot,
    file: FileId,
    #[serde(default)]
    is_lent: bool,
    lock: PackedLock,
}

impl Listener {
    /// Takes the path for this daemon and listens.
    ///
    /// # Errors
    /// If another daemon has it, something else is there, or the system refuses; nothing is changed then.
    pub(crate) fn bind(path: &Path) -> Result<Self, Error> {
        let lock = lock(path)?;
        await_silence(path);
        remove_stale(path)?;
        let failed = || Error::system(format!("create socket {}", path.display()));
        let (socket, file) = listen(path).map_err(failed())?;
        Ok(Self { path: path.to_path_buf(), socket, file, is_lent: false, watch: watch(path), lock })
    }

    /// Listens at a socket that a system manager has made, where clients look for it.
    ///
    /// # Errors
    /// If it is somewhere else, another daemon has the path, or the system refuses.
    pub(crate) fn borrow(lent: Lent, path: &Path) -> Result<Self, Error> {
        let file = lent.file_at(path)?;
        let Lent(socket) = lent;
        let lock = lock(path)?;
        // A system manager expects this of whoever serves many clients.
        let prepared = socket.set_nonblocking(true);
        // From now on, the kernel tells clients that it is this process that listens.
        let prepared = prepared.and_then(|()| shorten_queue(&socket));
        prepared.map_err(Error::system(format!("listen at {}", path.display())))?;
        Ok(Self { path: path.to_path_buf(), socket, file, is_lent: true, watch: watch(path), lock })
    }

    /// Takes a listener that was handed on. It is this process's after [`claim`](Self::claim) only, and until then
    /// dropping it does it no harm.
    pub(crate) fn unpack(packed: PackedListener, unpacker: &mut Unpacker) -> io::Result<Self> {
        let PackedListener { path, socket, file, is_lent, lock } = packed;
        let path = PathBuf::from(path);
        let socket = UnixListener::from(unpacker.take(socket)?);
        if !getsockopt(&socket, AcceptConn)? {
            return Err(senseless("nobody can connect to the socket that was handed on"));
        }
        // It has been so before; but a daemon that waits for one client serves no other.
        socket.set_nonblocking(true)?;
        let lock = Lock::unpack(lock, unpacker)?;
        let watch = watch(&path);
        Ok(Self { path, socket, file, is_lent, watch, lock })
    }

    /// Makes a listener that was handed on one of this process, when there is no other one any more that it is to be
    /// for.
    ///
    /// The file may have gone while nobody watched it, so [`restore`](Self::restore) is to be called after this.
    pub(crate) fn claim(&mut self) -> io::Result<()> {
        self.lock.claim()
    }

    /// Makes the socket file anew if it is gone. A system manager has to do that itself: it would not listen at ours.
    ///
    /// Returns the socket that was listened to until now, if another has taken its place: clients may have connected to
    /// it that have not been accepted yet.
    ///
    /// # Errors
    /// If it is gone and cannot be made, or something else than a stale socket has taken its place.
    pub(crate) fn restore(&mut self) -> Result<Option<UnixListener>, Error> {
        if let Some(watch) = &self.watch {
            // What has happened is seen below; the events only have to be taken out.
            let _ = watch.read_events();
        }
        if self.is_in_place() {
            return Ok(None);
        }
        if self.is_lent {
            journal::lent_socket_gone(&self.path);
            return Ok(None);
        }
        remove_stale(&self.path)?;
        let failed = || Error::system(format!("create socket {} again", self.path.display()));
        let (socket, file) = listen(&self.path).map_err(failed())?;
        if let Some(inotify) = &self.watch {
            let _ = add_watch(inotify, &self.path)
                .inspect_err(|error| journal::socket_unwatched(&self.path, error));
        }
        self.file = file;
        Ok(Some(std::mem::replace(&mut self.socket, socket)))
    }

    /// Returns the socket, which does not block.
    pub(crate) fn socket(&self) -> &UnixListener {
        &self.socket
    }

    /// Returns what becomes readable when something has happened to the file.
    pub(crate) fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// Returns where the socket is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Packs the listener; what watches the file is made anew.
    pub(crate) fn pack<'a>(&'a self, packer: &mut Packer<'a>) -> PackedListener {
        let Self { path, socket, file, is_lent, watch: _, lock } = self;
        PackedListener {
            path: path.as_path().into(),
            socket: packer.descriptor(socket.as_fd()),
            file: *file,
            is_lent: *is_lent,
            lock: lock.pack(packer),
        }
    }

    fn is_in_place(&self) -> bool {
        self.file.is_at(&self.path)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.lock.is_ours() && !self.is_lent && self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Takes the right to be the only daemon at this path.
fn lock(path: &Path) -> Result<Lock, Error> {
    if path.as_os_str().len() > MAX_PATH {
        return Err(Error::SocketPathTooLong { socket: path.to_path_buf() });
    }
    let mut probe = Probe::default();
    let lock = Lock::take(&beside(path, ".lock"), || probe.is_answered(path))?;
    lock.ok_or_else(|| Error::AlreadyRunning { socket: path.to_path_buf() })
}

/// Waits until the one who had the lock has closed its socket, too: a process that ends, or executes something,
/// closes one descriptor after the other. Whoever else may listen does so still after that.
fn await_silence(path: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && is_listened_to(path).unwrap_or(false) {
        sleep(INTERVAL);
    }
}

const PATIENCE: Duration = Duration::from_millis(100);

/// How often it is looked whether somebody listens.
const INTERVAL: Duration = Duration::from_millis(5);

/// Removes the socket of a daemon that is gone; leaves everything else alone.
fn remove_stale(path: &Path) -> Result<(), Error> {
    let failed = || Error::system(format!("look at {}", path.display()));
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.map_err(failed())?.file_type(),
    };
    let occupied = |by| Err(Error::Occupied { socket: path.to_path_buf(), by });
    if kind.is_dir() {
        return occupied("a directory");
    }
    if !kind.is_socket() {
        return occupied("a file that is no socket");
    }
    if is_listened_to(path).map_err(Error::system(format!("see who serves {}", path.display())))? {
        return occupied("a socket that somebody serves");
    }
    fs::remove_file(path).map_err(Error::system(format!("remove the stale socket {}", path.display())))
}

/// Makes the socket file, for everyone to connect to: the actions carry the rights.
fn listen(path: &Path) -> io::Result<(UnixListener, FileId)> {
    // A mode that is set later could hit a file that somebody has put there in between.
    let before = umask(Mode::empty());
    let socket = UnixListener::bind(path);
    umask(before);
    let socket = socket?;
    socket.set_nonblocking(true)?;
    shorten_queue(&socket)?;
    Ok((socket, FileId::at(path)?))
}

/// Whoever has made the socket has asked for as long a queue as the system allows.
fn shorten_queue(socket: &UnixListener) -> io::Result<()> {
    Ok(socket::listen(socket, Backlog::new(QUEUE)?)?)
}

/// How many clients queue to be accepted; further ones wait in `connect`, first come, first served.
///
/// Whoever storms the socket keeps this queue full, and an honest client waits behind all of it. In `connect` there are
/// only as many ahead of it as there are processes and threads that wait there: far fewer than the 4096 connections
/// that the system would let one process queue. As many as the server accepts in a turn are enough to keep it busy.
const QUEUE: i32 = 64;

/// Watches the socket file itself, if it is there. Its folder may be a busy one, and would wake the daemon for nothing.
fn watch(path: &Path) -> Option<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
    let inotify = inotify.inspect_err(|error| journal::socket_unwatched(path, error)).ok()?;
    let _ = add_watch(&inotify, path).inspect_err(|error| journal::socket_unwatched(path, error));
    Some(inotify)
}

fn add_watch(inotify: &Inotify, path: &Path) -> nix::Result<()> {
    // As long as the socket is open, its file is not deleted but loses its last link: a change of attributes.
    let flags = AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_DONT_FOLLOW;
    inotify.add_watch(path, flags).map(drop)
}

/// Accepts everyone who has connected to a socket that is about to be closed.
pub(crate) fn drain(socket: &UnixListener) -> Vec<UnixStream> {
    std::iter::from_fn(|| socket.accept().ok()).map(|(stream, _)| stream).collect()
}

#[cfg(test)]
mod tests;
