//! What is on record about all connections: who is due to be cut off, who is idle, who has subscribed.
//!
//! Follows what becomes of them, one by one; what is done about it is `server`'s business.

use std::collections::BTreeSet;
use std::time::Instant;

use procmgr_config::Uid;

use crate::connection::Connection;
use crate::idle::Idle;
use crate::poll::Interest;
use crate::quota::{Crowding, Exceeded, Quotas};
use crate::waiting::Waiting;

/// A connection, by the number that it alone has ever had, and its user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) uid: Uid,
}

/// What the records of the server and of the poller know of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footprint {
    pub(crate) interest: Option<Interest>,
    pub(crate) buffered: usize,
    deadline: Option<Instant>,
    idle_since: Option<Instant>,
    is_subscribed: bool,
    held_for: Option<Exceeded>,
}

impl Footprint {
    /// Returns what is to be on record.
    pub(crate) fn of(connection: &Connection) -> Self {
        Self {
            interest: connection.interest(),
            buffered: connection.buffered(),
            deadline: connection.deadline().map(|(deadline, _)| deadline),
            idle_since: connection.idle_since(),
            is_subscribed: connection.is_subscribed(),
            held_for: connection.held_for(),
        }
    }
}

/// The indexes over all connections, and what each user uses.
#[derive(Debug)]
pub(crate) struct Register {
    pub(crate) quotas: Quotas,
    deadlines: BTreeSet<(Instant, u64)>,
    idle: Idle,
    subscribers: BTreeSet<u64>,
    waiting: Waiting,
}

impl Register {
    /// Begins with no connection, and the descriptors that the daemon may have.
    pub(crate) fn new(descriptors: usize) -> Self {
        Self {
            quotas: Quotas::new(descriptors),
            deadlines: BTreeSet::new(),
            idle: Idle::default(),
            subscribers: BTreeSet::new(),
            waiting: Waiting::default(),
        }
    }

    /// Takes note of a connection that has been admitted.
    pub(crate) fn enter(&mut self, entry: Entry, now: Footprint) {
        self.update(entry, None, Some(now));
    }

    /// Takes note of a connection that another image of the daemon has admitted, whatever it keeps.
    pub(crate) fn reenter(&mut self, entry: Entry, now: Footprint) {
        self.quotas.reconnect(entry.uid, now.buffered);
        self.enter(entry, now);
    }

    /// Takes note of what a connection has become.
    ///
    /// # Errors
    /// If its user keeps too much by it. It is on record nevertheless.
    pub(crate) fn change(&mut self, entry: Entry, before: Footprint, now: Footprint) -> Result<(), Exceeded> {
        self.update(entry, Some(before), Some(now));
        self.quotas.buffer(entry.uid, before.buffered, now.buffered)
    }

    /// Forgets a connection.
    pub(crate) fn leave(&mut self, entry: Entry, before: Footprint) {
        self.update(entry, Some(before), None);
        self.quotas.disconnect(entry.uid, before.buffered);
    }

    /// Returns a connection whose time is over, if there is one.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, number)| *number)
    }

    /// Returns when the time of a connection will be over, if ever.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Returns the connection that is to make room for one of this user, if that is fair to any. It never is for the
    /// sake of one that would not be read from.
    pub(crate) fn making_room(&self, newcomer: Uid) -> Option<u64> {
        self.quotas.check_descriptors(newcomer).ok()?;
        self.idle.making_room(newcomer, |uid| self.quotas.connections(uid))
    }

    /// Returns the connections that are told of events.
    pub(crate) fn subscribers(&self) -> &BTreeSet<u64> {
        &self.subscribers
    }

    /// Returns why nothing is to be read from a user now, if that is so: there is too much of it already, or it is the
    /// turn of others.
    pub(crate) fn crowding(&self, uid: Uid, now: Instant) -> Option<Crowding> {
        let is_behind = uid != Uid::ROOT && self.waiting.is_queue();
        let of_user = self.quotas.check_descriptors(uid).err();
        of_user.or(is_behind.then(|| Crowding::behind_others(now)))
    }

    /// Returns whether there are connections from which nothing is read for now.
    pub(crate) fn is_anybody_held(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns those of them whose turn it is to be read from.
    pub(crate) fn turns(&self) -> Vec<u64> {
        self.waiting.turns(self.quotas.receivable(), |uid| self.quotas.check_descriptors(uid).is_ok())
    }

    fn update(&mut self, entry: Entry, before: Option<Footprint>, now: Option<Footprint>) {
        let Entry { number, uid } = entry;
        let deadlines = [before, now].map(|footprint| footprint.and_then(|it| it.deadline));
        if let [Some(before), _] = deadlines {
            self.deadlines.remove(&(before, number));
        }
        if let [_, Some(now)] = deadlines {
            self.deadlines.insert((now, number));
        }
        let [idle_before, idle_now] = [before, now].map(|footprint| footprint.and_then(|it| it.idle_since));
        self.idle.change(uid, number, idle_before, idle_now);
        match [before, now].map(|footprint| footprint.is_some_and(|it| it.is_subscribed)) {
            [false, true] => {
                self.subscribers.insert(number);
                self.quotas.subscribe(uid);
            }
            [true, false] => {
                self.subscribers.remove(&number);
                self.quotas.unsubscribe(uid);
            }
            [true, true] | [false, false] => {}
        }
        let [held_before, held_now] = [before, now].map(|footprint| footprint.and_then(|it| it.held_for));
        self.waiting.change(uid, number, held_before, held_now);
    }
}
