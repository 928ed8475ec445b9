//! What the clients of each user use, and how much of it they may.
//!
//! Only counts: what becomes of a client that wants more is `server`'s business.

use std::time::{Duration, Instant};

use procmgr_config::Uid;
use procmgr_proto::frame::MAX_DESCRIPTORS;

use crate::custody::{Account, Excess, Ledger};
use crate::maps::{Map, Set};
use crate::packed::PackedCaller;
use crate::supervisor::event::Caller;

/// How many connections one user may have, whatever the limit on descriptors allows.
const MOST_CONNECTIONS_PER_USER: usize = 1024;

/// The standard input, output and error of a script.
const DESCRIPTORS_PER_CONNECTION: usize = 3;

/// How long too many descriptors are waited for, before those who have sent them are cut off. To be closed takes the
/// daemon a moment, on a busy machine some milliseconds more; what is there after that is there because its sender
/// wants it to be.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many bytes may be kept for all connections of one user: four of the longest requests.
const BUFFERED_PER_USER: usize = 16 << 20;

/// How many requests of one user may be under way, those of clients that have gone included: each may be a script that
/// runs, or a place in a queue. Enough for 128 connections that each have as many under way as one may.
const UNDER_WAY_PER_USER: usize = 8192;

/// How many subscriptions one user may have. Each costs a copy of every event: one for each of many scripts is fine,
/// one for each connection would let a few users slow down everything that happens.
const SUBSCRIPTIONS_PER_USER: usize = 64;

/// What is used, and how much of it may be.
#[derive(Debug)]
pub(crate) struct Quotas {
    users: Map<Uid, Usage>,
    /// The requests under way.
    under_way: Set<Caller>,
    /// How many connections one user may have.
    connections_per_user: usize,
    /// How many connections there may be before users other than root get no more.
    connections: usize,
    /// The descriptors that clients have brought.
    ledger: Ledger,
}

#[derive(Debug, Default)]
struct Usage {
    connections: usize,
    buffered: usize,
    under_way: usize,
    subscriptions: usize,
}

/// Why there is no more for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// The user has too many connections.
    Connections,
    /// All users together have too many connections.
    AllConnections,
    /// Too many descriptors that the user has sent are open.
    Descriptors,
    /// Too many descriptors that users have sent are open.
    AllDescriptors,
    /// The connections of the user keep too many bytes.
    Buffered,
    /// The user has too many requests under way.
    UnderWay,
    /// The user has too many subscriptions.
    Subscriptions,
}

/// That nothing is to be received from a user, and how long that may go on before its connections are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowding {
    pub(crate) exceeded: Exceeded,
    pub(crate) until: Instant,
}

impl Crowding {
    /// That others are to be received from first.
    pub(crate) fn behind_others(now: Instant) -> Self {
        Self { exceeded: Exceeded::AllDescriptors, until: now + PATIENCE }
    }
}

impl Exceeded {
    /// Returns the reason, for the client and for the log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Connections => "you have too many connections",
            Self::AllConnections => "there are too many connections",
            Self::Descriptors => "too many descriptors that you have sent are not closed yet",
            Self::AllDescriptors => "too many descriptors that users have sent are not closed yet",
            Self::Buffered => "your connections keep too much memory",
            Self::UnderWay => "too many of your requests are under way",
            Self::Subscriptions => "you have too many subscriptions",
        }
    }
}

impl Quotas {
    /// Divides the descriptors that the daemon may have.
    ///
    /// A connection holds one descriptor, and has a claim to those of one request that arrives, or waits, or whose
    /// descriptors are being closed. So half of all descriptors is for users other than root, and root and the daemon
    /// itself always have some.
    pub(crate) fn new(descriptors: usize) -> Self {
        let connections_per_user = (descriptors / 16).clamp(8, MOST_CONNECTIONS_PER_USER);
        let connections = descriptors / 8;
        let descriptors = connections * DESCRIPTORS_PER_CONNECTION;
        Self {
            users: Map::default(),
            under_way: Set::default(),
            connections_per_user,
            connections,
            ledger: Ledger::new(connections_per_user * DESCRIPTORS_PER_CONNECTION, descriptors),
        }
    }

    /// Counts a new connection of a user, beside `others` of all users.
    pub(crate) fn connect(&mut self, uid: Uid, others: usize) -> Result<(), Exceeded> {
        if self.usage(uid).connections >= self.connections_per_user {
            return Err(Exceeded::Connections);
        }
        if uid != Uid::ROOT && others >= self.connections {
            return Err(Exceeded::AllConnections);
        }
        self.change(uid, |usage| usage.connections += 1);
        Ok(())
    }

    /// Counts a connection that is there already, and the bytes that are kept for it, whatever the limits are now.
    pub(crate) fn reconnect(&mut self, uid: Uid, buffered: usize) {
        self.change(uid, |usage| {
            usage.connections += 1;
            usage.buffered += buffered;
        });
    }

    /// Counts a connection no more, nor the bytes that are kept for it.
    pub(crate) fn disconnect(&mut self, uid: Uid, buffered: usize) {
        self.change(uid, |usage| {
            usage.connections -= 1;
            usage.buffered -= buffered;
        });
    }

    /// Counts that a connection keeps other bytes than before.
    pub(crate) fn buffer(&mut self, uid: Uid, before: usize, after: usize) -> Result<(), Exceeded> {
        self.change(uid, |usage| usage.buffered = usage.buffered - before + after);
        // A connection that keeps less than before is not to blame.
        if after > before && self.usage(uid).buffered > BUFFERED_PER_USER {
            return Err(Exceeded::Buffered);
        }
        Ok(())
    }

    /// Counts a request until it is answered, whether or not its client waits so long.
    pub(crate) fn begin(&mut self, caller: Caller) -> Result<(), Exceeded> {
        let uid = caller.peer.uid;
        if self.usage(uid).under_way >= UNDER_WAY_PER_USER {
            return Err(Exceeded::UnderWay);
        }
        self.count(caller);
        Ok(())
    }

    /// Counts a request no more.
    pub(crate) fn end(&mut self, caller: Caller) {
        if self.under_way.remove(&caller) {
            self.change(caller.peer.uid, |usage| usage.under_way -= 1);
        }
    }

    /// Returns whether a user may subscribe once more.
    pub(crate) fn may_subscribe(&self, uid: Uid) -> Result<(), Exceeded> {
        if self.usage(uid).subscriptions >= SUBSCRIPTIONS_PER_USER {
            return Err(Exceeded::Subscriptions);
        }
        Ok(())
    }

    /// Counts the requests that another image of the daemon has counted, whatever the limits are now.
    pub(crate) fn unpack(&mut self, under_way: Vec<PackedCaller>) {
        for caller in under_way {
            self.count(caller.into());
        }
    }

    /// Packs the requests under way. All else is counted anew.
    pub(crate) fn pack(&self) -> Vec<PackedCaller> {
        self.under_way.iter().copied().map(PackedCaller::from).collect()
    }

    /// Counts a new subscription.
    pub(crate) fn subscribe(&mut self, uid: Uid) {
        self.change(uid, |usage| usage.subscriptions += 1);
    }

    /// Counts a subscription no more.
    pub(crate) fn unsubscribe(&mut self, uid: Uid) {
        self.change(uid, |usage| usage.subscriptions -= 1);
    }

    /// Returns what the descriptors that a user sends are charged to.
    pub(crate) fn account(&self, uid: Uid) -> Account {
        self.ledger.account(uid)
    }

    /// Returns how many connections a user has.
    pub(crate) fn connections(&self, uid: Uid) -> usize {
        self.usage(uid).connections
    }

    /// Returns whether more may be received from a user.
    ///
    /// How many descriptors come is known when they are here, and it may be 253 at once. A user can exceed this by what
    /// one read brings, not more, if this is asked before each read and after it.
    pub(crate) fn check_descriptors(&self, uid: Uid) -> Result<(), Crowding> {
        let (exceeded, since) = match self.ledger.excess(uid) {
            None => return Ok(()),
            Some(Excess::OfUser(since)) => (Exceeded::Descriptors, since),
            Some(Excess::OfAll(since)) => (Exceeded::AllDescriptors, since),
        };
        Err(Crowding { exceeded, until: since + PATIENCE })
    }

    /// Returns how many users may be received from at once, each of whom may send as many descriptors as one read
    /// brings. It is one at least.
    pub(crate) fn receivable(&self) -> usize {
        (self.ledger.room_of_others() / MAX_DESCRIPTORS).max(1)
    }

    fn count(&mut self, caller: Caller) {
        if self.under_way.insert(caller) {
            self.change(caller.peer.uid, |usage| usage.under_way += 1);
        }
    }

    fn usage(&self, uid: Uid) -> &Usage {
        self.users.get(&uid).unwrap_or(&Usage { connections: 0, buffered: 0, under_way: 0, subscriptions: 0 })
    }

    /// Changes what a user uses, and forgets users who use nothing: there are four billion.
    fn change(&mut self, uid: Uid, change: impl FnOnce(&mut Usage)) {
        let usage = self.users.entry(uid).or_default();
        change(usage);
        if let Usage { connections: 0, buffered: 0, under_way: 0, subscriptions: 0 } = usage {
            self.users.remove(&uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use procmgr_config::Gid;

    use super::*;
    use crate::supervisor::event::{Peer, Pid};

    const ANNA: Uid = Uid(1);
    const BERT: Uid = Uid(2);

    fn caller(uid: Uid, request: u64) -> Caller {
        let peer = Peer { pid: Pid(1), uid, gid: Gid(1) };
        Caller { connection: 1, request, peer }
    }

    #[test]
    fn one_user_leaves_connections_for_others_and_all_leave_some_for_root() {
        let mut quotas = Quotas::new(256);
        for others in 0..16 {
            assert_eq!(quotas.connect(ANNA, others), Ok(()));
        }
        assert_eq!(quotas.connect(ANNA, 16), Err(Exceeded::Connections));
        assert_eq!(quotas.connect(BERT, 16), Ok(()));
        assert_eq!(quotas.connect(BERT, 32), Err(Exceeded::AllConnections));
        assert_eq!(quotas.connect(Uid::ROOT, 32), Ok(()));
        quotas.disconnect(ANNA, 0);
        assert_eq!(quotas.connect(ANNA, 16), Ok(()));
    }

    #[test]
    fn whoever_has_sent_too_many_descriptors_may_send_no_more_until_they_are_closed() {
        let quotas = Quotas::new(256);
        let most = quotas.account(ANNA).charge(48);
        assert_eq!(quotas.check_descriptors(ANNA), Ok(()));
        let more = quotas.account(ANNA).charge(253);
        let begin = Instant::now();
        let crowding = quotas.check_descriptors(ANNA).unwrap_err();
        assert_eq!(crowding.exceeded, Exceeded::Descriptors);
        assert!(crowding.until <= begin + PATIENCE && begin < crowding.until);
        assert_eq!(quotas.check_descriptors(BERT), Ok(()));
        drop(more);
        assert_eq!(quotas.check_descriptors(ANNA), Ok(()));
        drop(most);
    }

    #[test]
    fn descriptors_of_all_leave_some_for_root_who_has_a_bound_too() {
        let quotas = Quotas::new(256);
        let annas = quotas.account(ANNA).charge(300);
        let berts = quotas.account(BERT).charge(48);
        assert_eq!(quotas.check_descriptors(BERT), Ok(()));
        let carls = quotas.account(Uid(3)).charge(1);
        assert_eq!(quotas.check_descriptors(BERT).map_err(|it| it.exceeded), Err(Exceeded::AllDescriptors));
        assert_eq!(quotas.check_descriptors(Uid::ROOT), Ok(()));
        let roots = quotas.account(Uid::ROOT).charge(49);
        assert_eq!(quotas.check_descriptors(Uid::ROOT).map_err(|it| it.exceeded), Err(Exceeded::Descriptors));
        drop((annas, carls, roots));
        assert_eq!(quotas.check_descriptors(BERT), Ok(()));
        drop(berts);
    }

    #[test]
    fn whoever_makes_a_user_keep_too_much_is_told_and_whoever_keeps_less_is_not() {
        let mut quotas = Quotas::new(256);
        quotas.connect(ANNA, 0).unwrap();
        quotas.connect(ANNA, 1).unwrap();
        assert_eq!(quotas.buffer(ANNA, 0, BUFFERED_PER_USER), Ok(()));
        assert_eq!(quotas.buffer(ANNA, 0, 2), Err(Exceeded::Buffered));
        assert_eq!(quotas.buffer(ANNA, 2, 1), Ok(()));
        assert_eq!(quotas.buffer(BERT, 0, 1), Ok(()));
    }

    #[test]
    fn requests_are_counted_until_they_are_answered() {
        let mut quotas = Quotas::new(256);
        for request in 0..UNDER_WAY_PER_USER as u64 {
            assert_eq!(quotas.begin(caller(ANNA, request)), Ok(()));
        }
        assert_eq!(quotas.begin(caller(ANNA, 9999)), Err(Exceeded::UnderWay));
        assert_eq!(quotas.begin(caller(BERT, 9999)), Ok(()));
        quotas.end(caller(ANNA, 5));
        quotas.end(caller(ANNA, 5));
        assert_eq!(quotas.begin(caller(ANNA, 5)), Ok(()));
        assert_eq!(quotas.begin(caller(ANNA, 6)), Err(Exceeded::UnderWay));
    }

    #[test]
    fn requests_that_another_image_has_counted_count_as_before() {
        let mut former = Quotas::new(256);
        for request in 0..UNDER_WAY_PER_USER as u64 {
            former.begin(caller(ANNA, request)).unwrap();
        }
        former.begin(caller(BERT, 0)).unwrap();
        let text = serde_json::to_string(&former.pack()).unwrap();
        let packed: Vec<PackedCaller> = serde_json::from_str(&text).unwrap();
        let mut quotas = Quotas::new(256);
        // Whatever is told twice counts once.
        quotas.unpack(packed.clone());
        quotas.unpack(packed);
        assert_eq!(quotas.begin(caller(ANNA, 9999)), Err(Exceeded::UnderWay));
        quotas.end(caller(ANNA, 5));
        assert_eq!(quotas.begin(caller(ANNA, 9999)), Ok(()));
        quotas.end(caller(BERT, 0));
        assert!(!quotas.users.contains_key(&BERT));
    }

    #[test]
    fn connections_that_are_there_already_count_whatever_the_limits_are_now() {
        let mut quotas = Quotas::new(16);
        for _ in 0..10 {
            quotas.reconnect(ANNA, BUFFERED_PER_USER);
        }
        assert_eq!(quotas.connect(ANNA, 10), Err(Exceeded::Connections));
        assert_eq!(quotas.buffer(ANNA, 1, 2), Err(Exceeded::Buffered));
        assert_eq!(quotas.buffer(ANNA, 2, 1), Ok(()));
        for _ in 0..10 {
            quotas.disconnect(ANNA, BUFFERED_PER_USER);
        }
        assert!(quotas.users.is_empty());
    }

    #[test]
    fn one_user_has_a_number_of_subscriptions_and_leaves_others_theirs() {
        let mut quotas = Quotas::new(256);
        for _ in 0..SUBSCRIPTIONS_PER_USER {
            assert_eq!(quotas.may_subscribe(ANNA), Ok(()));
            quotas.subscribe(ANNA);
        }
        assert_eq!(quotas.may_subscribe(ANNA), Err(Exceeded::Subscriptions));
        assert_eq!(quotas.may_subscribe(BERT), Ok(()));
        quotas.unsubscribe(ANNA);
        assert_eq!(quotas.may_subscribe(ANNA), Ok(()));
    }

    #[test]
    fn users_who_use_nothing_are_forgotten() {
        let mut quotas = Quotas::new(256);
        quotas.connect(ANNA, 0).unwrap();
        quotas.buffer(ANNA, 0, 7).unwrap();
        quotas.begin(caller(ANNA, 1)).unwrap();
        quotas.subscribe(ANNA);
        quotas.unsubscribe(ANNA);
        quotas.disconnect(ANNA, 7);
        assert_eq!(quotas.users.len(), 1);
        quotas.end(caller(ANNA, 1));
        assert_eq!((quotas.users.len(), quotas.under_way.len()), (0, 0));
    }
}
