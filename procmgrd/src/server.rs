//! All clients: accepting them, bounding what they use, and routing requests in and answers out.
//!
//! What one client says is `connection`'s business, what its requests lead to the supervisor's.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use procmgr_config::{Gid, Uid};
use procmgr_proto::message::{Request, Response};
use procmgr_proto::stdio::Stdio;

use crate::connection::{Arrival, Connection, turn_away};
use crate::listener::{Listener, drain};
use crate::poll::{Interest, Poller, Ready, Source};
use crate::supervisor::event::{Caller, Peer, Pid};

/// How many clients are accepted in one turn, so that a crowd at the door does not keep those inside waiting.
const ACCEPTS_PER_TURN: usize = 64;

/// How many connections one user may have, whatever the limit on descriptors allows.
const MOST_CONNECTIONS_PER_USER: usize = 1024;

/// How many bytes may be kept for all connections of one user: four of the longest requests.
const BUFFERED_PER_USER: usize = 16 << 20;

/// A request, who asks, and where the answer goes.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) caller: Caller,
    pub(crate) peer: Peer,
    pub(crate) request: Request,
    pub(crate) stdio: Option<Stdio>,
}

/// The listening socket and everyone who has connected to it.
#[derive(Debug)]
pub(crate) struct Server {
    listener: Listener,
    /// Whether the listener is waited for: not while there is no descriptor left to accept with.
    is_accepting: bool,
    connections: HashMap<u64, Connection>,
    next_number: u64,
    /// When connections are to be cut off.
    deadlines: BTreeSet<(Instant, u64)>,
    users: HashMap<Uid, Usage>,
    /// How many connections a user may have, and how many all users but root.
    per_user: usize,
    of_all_users: usize,
}

/// What the connections of one user use.
#[derive(Debug, Default)]
struct Usage {
    connections: usize,
    buffered: usize,
}

impl Server {
    /// Serves the clients of a listener, with the descriptors that the daemon may have.
    ///
    /// A connection holds one descriptor, and three more while a request arrives. Half of all descriptors is for the
    /// connections of users other than root, so that root and the daemon itself always have some.
    pub(crate) fn new(listener: Listener, poller: &Poller, descriptors: usize) -> io::Result<Self> {
        poller.add(listener.socket(), Source::Listener, Interest::READABLE)?;
        if let Some(watch) = listener.watch() {
            poller.add(watch, Source::SocketFile, Interest::READABLE)?;
        }
        Ok(Self {
            listener,
            is_accepting: true,
            connections: HashMap::new(),
            next_number: 0,
            deadlines: BTreeSet::new(),
            users: HashMap::new(),
            per_user: (descriptors / 16).clamp(8, MOST_CONNECTIONS_PER_USER),
            of_all_users: descriptors / 8,
        })
    }

    /// Returns where clients connect.
    pub(crate) fn socket_path(&self) -> &Path {
        self.listener.path()
    }

    /// Accepts who has connected, as far as there is room.
    pub(crate) fn accept(&mut self, poller: &Poller) {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.listener.socket().accept() {
                Ok((stream, _)) => self.admit(stream, poller),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Those who hung up before they were accepted, and signals.
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    log::warn!("cannot accept clients: {error}; the next ones wait until others have left");
                    return self.pause(poller);
                }
            }
        }
    }

    /// Lets a connection read and write what it can. Returns a request, if one is complete.
    pub(crate) fn serve(
        &mut self,
        ready: Ready,
        number: u64,
        poller: &Poller,
        now: Instant,
    ) -> Option<Incoming> {
        let connection = self.connections.get_mut(&number)?;
        let before = Footprint::of(connection);
        connection.flush();
        let arrival = if ready.readable || ready.hung_up { connection.read(now) } else { None };
        let peer = connection.peer();
        // Whoever has hung up fetches no answers, so that nothing but its requests matters; and those that are not
        // read now, for too many are under way, never would be.
        if ready.hung_up && arrival.is_none() {
            self.close(number, poller);
        } else {
            self.settle(number, before, poller, now);
        }
        arrival.map(|Arrival { number: request, request: what, stdio }| Incoming {
            caller: Caller { connection: number, request },
            peer,
            request: what,
            stdio,
        })
    }

    /// Answers a request; if its client has gone, nobody is told.
    pub(crate) fn answer(&mut self, caller: Caller, response: &Response, poller: &Poller, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&caller.connection) {
            let before = Footprint::of(connection);
            connection.answer(caller.request, response, now);
            self.settle(caller.connection, before, poller, now);
        }
    }

    /// Cuts off those whose time is over.
    pub(crate) fn expire(&mut self, poller: &Poller, now: Instant) {
        while let Some((_, number)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now)
        {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            let before = Footprint::of(connection);
            if let Some((_, reason)) = connection.deadline() {
                log::info!("{} is cut off: {reason}", connection.peer());
                connection.cut_off(reason, now);
            }
            self.settle(number, before, poller, now);
        }
    }

    /// Returns when [`Server::expire`] is wanted, if ever.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Makes the socket file anew if it is gone.
    pub(crate) fn restore_socket(&mut self, poller: &Poller) {
        match self.listener.restore() {
            Ok(None) => {}
            Ok(Some(former)) => {
                log::warn!("the socket {} was removed and is there again", self.listener.path().display());
                for stream in drain(&former) {
                    self.admit(stream, poller);
                }
                let _ = poller.remove(&former);
                self.is_accepting = false;
                self.resume(poller);
            }
            Err(error) => log::error!("{error}; reload when its place is free"),
        }
    }

    /// Stops serving: removes the socket file, frees its place for the next daemon, and then gives the last answer.
    ///
    /// Returns the connection that it went to. Its client waits until it is closed, which the end of the process does.
    pub(crate) fn end(self, last: Option<Caller>, now: Instant) -> Option<Connection> {
        let Self { listener, mut connections, .. } = self;
        drop(listener);
        let caller = last?;
        let mut connection = connections.remove(&caller.connection)?;
        connection.answer(caller.request, &Response::Done, now);
        Some(connection)
    }

    fn admit(&mut self, stream: UnixStream, poller: &Poller) {
        let Ok(peer) = peer_of(&stream) else { return };
        let usage = self.users.entry(peer.uid).or_default();
        let reason = if usage.connections >= self.per_user {
            Some("you have too many connections")
        } else if peer.uid != ROOT && self.connections.len() >= self.of_all_users {
            Some("there are too many connections")
        } else {
            None
        };
        if let Some(reason) = reason {
            log::info!("{peer} is turned away: {reason}");
            // Whoever does not fetch it finds the connection closed.
            let _ = turn_away(&stream, reason);
            return self.forget_idle_user(peer.uid);
        }
        let number = self.next_number;
        let is_ready = stream.set_nonblocking(true).is_ok()
            && poller.add(&stream, Source::Connection(number), Interest::READABLE).is_ok();
        if is_ready {
            usage.connections += 1;
            self.next_number += 1;
            self.connections.insert(number, Connection::new(stream, peer));
        }
    }

    /// Keeps the records true after a connection has changed, and closes it if it is finished.
    fn settle(&mut self, number: u64, before: Footprint, poller: &Poller, now: Instant) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let usage = self.users.entry(connection.peer().uid).or_default();
        let buffered = usage.buffered - before.buffered + connection.buffered();
        if buffered > BUFFERED_PER_USER {
            log::info!("{} is cut off: it keeps too much memory", connection.peer());
            connection.cut_off("your connections keep too much memory", now);
        }
        usage.buffered = usage.buffered - before.buffered + connection.buffered();
        let after = Footprint::of(connection);
        if before.deadline != after.deadline {
            before.deadline.map(|deadline| self.deadlines.remove(&(deadline, number)));
            after.deadline.map(|deadline| self.deadlines.insert((deadline, number)));
        }
        if connection.is_finished() {
            self.close(number, poller);
        } else if before.interest != after.interest {
            let _ = poller.change(connection.as_fd(), Source::Connection(number), after.interest);
        }
    }

    fn close(&mut self, number: u64, poller: &Poller) {
        let Some(connection) = self.connections.remove(&number) else { return };
        let _ = poller.remove(&connection);
        let footprint = Footprint::of(&connection);
        footprint.deadline.map(|deadline| self.deadlines.remove(&(deadline, number)));
        let uid = connection.peer().uid;
        if let Some(usage) = self.users.get_mut(&uid) {
            usage.connections -= 1;
            usage.buffered -= footprint.buffered;
        }
        self.forget_idle_user(uid);
        drop(connection);
        self.resume(poller);
    }

    /// Keeps the record of users as short as that of connections.
    fn forget_idle_user(&mut self, uid: Uid) {
        if self.users.get(&uid).is_some_and(|usage| usage.connections == 0) {
            self.users.remove(&uid);
        }
    }

    fn pause(&mut self, poller: &Poller) {
        if self.is_accepting && poller.remove(self.listener.socket()).is_ok() {
            self.is_accepting = false;
        }
    }

    fn resume(&mut self, poller: &Poller) {
        if !self.is_accepting {
            self.is_accepting =
                poller.add(self.listener.socket(), Source::Listener, Interest::READABLE).is_ok();
        }
    }
}

const ROOT: Uid = Uid(0);

/// What the records know of a connection.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    interest: Interest,
    deadline: Option<Instant>,
    buffered: usize,
}

impl Footprint {
    fn of(connection: &Connection) -> Self {
        Self {
            interest: connection.interest(),
            deadline: connection.deadline().map(|(deadline, _)| deadline),
            buffered: connection.buffered(),
        }
    }
}

/// Returns whether accepting may succeed the next time although nobody has left.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted)
}

fn peer_of(stream: &UnixStream) -> nix::Result<Peer> {
    let credentials = getsockopt(stream, PeerCredentials)?;
    Ok(Peer { pid: Pid(credentials.pid()), uid: Uid(credentials.uid()), gid: Gid(credentials.gid()) })
}
