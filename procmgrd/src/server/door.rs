//! The door: the listener, who comes in by it, and when it is shut for a while.
//!
//! Whether somebody may stay is `server`'s business.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::disposal;
use crate::journal;
use crate::listener::{Listener, drain};
use crate::poll::{Interest, Poller, Source};

/// How many clients are accepted in one turn at the most, so that a crowd at the door does not keep those inside
/// waiting.
const ACCEPTS_PER_TURN: usize = 64;

/// How long nobody is accepted after the system has refused to, unless a client leaves before: the system as a whole
/// may be short of what it takes, and nobody tells when it is not any more.
const PAUSE: Duration = Duration::from_secs(1);

/// Where clients come in.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: Listener,
    /// Fewer than there may be connections: whoever is accepted is to be read from before another one takes the place.
    pub(super) accepts_per_turn: usize,
    /// Until when the listener is not waited for, if it is not.
    pub(super) shut_until: Option<Instant>,
}

impl Door {
    /// Opens it, for a daemon that may have so many descriptors.
    pub(super) fn new(listener: Listener, poller: &Poller, descriptors: usize) -> io::Result<Self> {
        poller.add(listener.socket(), Source::Listener, Interest::READABLE)?;
        if let Some(watch) = listener.watch() {
            poller.add(watch, Source::SocketFile, Interest::READABLE)?;
        }
        let accepts_per_turn = (descriptors / 16).clamp(1, ACCEPTS_PER_TURN);
        Ok(Self { listener, accepts_per_turn, shut_until: None })
    }

    /// Accepts one who has connected, if there is one. If the system refuses, the door is shut for a while.
    pub(super) fn accept(&mut self, poller: &Poller, now: Instant) -> Option<UnixStream> {
        loop {
            match self.listener.socket().accept() {
                Ok((stream, _)) => return Some(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                // Those who hung up before they were accepted, and signals.
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    journal::not_accepting(&error);
                    if self.shut_until.is_none() {
                        let _ = self.shut(now + PAUSE, poller);
                    }
                    return None;
                }
            }
        }
    }

    /// Makes the socket file anew if it is gone. Returns who has connected to the former one.
    pub(super) fn restore(&mut self, poller: &Poller, now: Instant) -> Vec<UnixStream> {
        let former = self.listener.restore().unwrap_or_else(|error| {
            journal::socket_lost(&error);
            None
        });
        let waiting = former.map(|former| {
            journal::socket_restored(self.listener.path());
            let waiting = drain(&former);
            let _ = poller.remove(&former);
            // Who has connected since is closed with it, and what was sent over that.
            disposal::later(former, None);
            // Of the new one the poller does not know yet.
            self.shut_until = Some(now);
            waiting
        });
        self.open(poller);
        waiting.unwrap_or_default()
    }

    /// Accepts nobody until then, unless it is opened before.
    pub(super) fn shut(&mut self, until: Instant, poller: &Poller) -> io::Result<()> {
        poller.remove(self.listener.socket())?;
        self.shut_until = Some(until);
        Ok(())
    }

    /// Opens it if it is shut.
    pub(super) fn open(&mut self, poller: &Poller) {
        let listener = self.listener.socket();
        if self.shut_until.is_some() && poller.add(listener, Source::Listener, Interest::READABLE).is_ok() {
            self.shut_until = None;
        }
    }
}

/// Returns whether accepting may succeed the next time although nobody has left.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted)
}
