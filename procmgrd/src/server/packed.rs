//! The listener and all clients on their way to the next image of the daemon.
//!
//! What becomes of each is told in `listener` and `connection`; what can be counted or looked up is made anew.

use std::io;
use std::time::Instant;

use procmgr_config::Uid;
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::connection::Connection;
use crate::connection::packed::PackedConnection;
use crate::custody::Account;
use crate::listener::{Listener, PackedListener};
use crate::packed::{PackedCaller, counter, senseless};
use crate::parcel::{Packer, Unpacker};
use crate::poll::{Poller, Source};
use crate::register::{Entry, Footprint};
use crate::server::{Row, Server};
use crate::supervisor::event::Peer;

/// A [`Server`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PackedServer {
    listener: PackedListener,
    paused_until: Option<Moment>,
    connections: Vec<(u64, PackedConnection)>,
    next_number: u64,
    under_way: Vec<PackedCaller>,
}

impl Server {
    /// Goes on with the clients of another image of the daemon, with the descriptors that this one may have.
    ///
    /// Serving begins with [`claim`](Self::claim); until then, dropping this does no harm to the other one.
    pub(crate) fn unpack(
        packed: PackedServer,
        unpacker: &mut Unpacker,
        poller: &Poller,
        descriptors: usize,
    ) -> io::Result<Self> {
        let PackedServer { listener, paused_until, connections, next_number, under_way } = packed;
        let listener = Listener::unpack(listener, unpacker)?;
        let next_number = counter(next_number, connections.iter().map(|(number, _)| *number))?;
        let mut server = Self { next_number, ..Self::new(listener, poller, descriptors)? };
        if let Some(until) = paused_until {
            poller.remove(server.listener.socket())?;
            server.paused_until = Some(unpacker.instant(until));
        }
        server.register.quotas.unpack(under_way);
        for (number, connection) in connections {
            let account = |peer: Peer| server.account(peer.uid);
            let connection = Connection::unpack(connection, unpacker, account)?;
            server.readmit(number, connection, poller)?;
        }
        // Whatever subscribers have been told, it is tried to send it.
        server.has_news = true;
        Ok(server)
    }

    /// Makes what was handed on this process's own, when there is no other one any more that it is to be for.
    pub(crate) fn claim(&mut self, poller: &Poller, now: Instant) -> io::Result<()> {
        self.listener.claim()?;
        // The file may have gone while nobody watched it.
        self.restore_socket(poller, now);
        Ok(())
    }

    /// Returns what the descriptors that a user has sent are charged to, wherever they are.
    pub(crate) fn account(&self, uid: Uid) -> Account {
        self.register.quotas.account(uid)
    }

    /// Packs all there is.
    pub(crate) fn pack<'a>(&'a self, packer: &mut Packer<'a>) -> PackedServer {
        let Self { listener, accepts_per_turn: _, paused_until, rows, next_number, register, has_news: _ } =
            self;
        let connections = rows.iter().map(|(number, row)| (*number, row.connection.pack(packer)));
        PackedServer {
            connections: connections.collect(),
            listener: listener.pack(packer),
            paused_until: paused_until.map(|until| packer.moment(until)),
            next_number: *next_number,
            under_way: register.quotas.pack(),
        }
    }

    fn readmit(&mut self, number: u64, connection: Connection, poller: &Poller) -> io::Result<()> {
        let uid = connection.peer().uid;
        poller.add(&connection, Source::Connection(number), connection.interest())?;
        let recorded = Footprint::of(&connection);
        self.register.reenter(Entry { number, uid }, recorded);
        match self.rows.insert(number, Row { connection, recorded }) {
            None => Ok(()),
            Some(_) => Err(senseless("two connections of one number")),
        }
    }
}
