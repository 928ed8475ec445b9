//! Counts the descriptors of clients that are in our table, by user, from their receipt until they are closed; and
//! knows since when there are too many.
//!
//! How many are too many, and what comes of it, is `quota`'s business, closing them `disposal`'s.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use procmgr_config::Uid;

use crate::maps::Map;

/// The counts. Shared, because descriptors are closed by other threads than that which receives them.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(Arc<Mutex<Counts>>);

#[derive(Debug)]
struct Counts {
    /// Users who have none are not in here: there are four billion.
    users: Map<Uid, Count>,
    /// The sum of all but root, to which nobody adds more than `share`.
    others: Count,
    share: usize,
    most: usize,
}

/// How many there are, and since when they are too many, if they are.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    number: usize,
    exceeded_since: Option<Instant>,
}

/// That there are too many, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// The user has.
    OfUser(Instant),
    /// All users but root have together.
    OfAll(Instant),
}

impl Ledger {
    /// Begins with nothing. More than `share` of one user are too many, and more than `most` of all but root; what one
    /// user has beyond its share is its own affair, and does not count as everybody's.
    pub(crate) fn new(share: usize, most: usize) -> Self {
        let (users, others) = (Map::default(), Count::default());
        Self(Arc::new(Mutex::new(Counts { users, others, share, most })))
    }

    /// Returns what the descriptors of a user are to be charged to.
    pub(crate) fn account(&self, uid: Uid) -> Account {
        Account { ledger: self.clone(), uid }
    }

    /// Returns whether there are too many for a user to send more.
    pub(crate) fn excess(&self, uid: Uid) -> Option<Excess> {
        let counts = self.counts();
        let of_user = counts.users.get(&uid).and_then(|count| count.exceeded_since);
        let of_all = counts.others.exceeded_since.filter(|_| uid != Uid::ROOT);
        of_user.map(Excess::OfUser).or(of_all.map(Excess::OfAll))
    }

    /// Returns how many descriptors of a user there are.
    #[cfg(test)]
    pub(crate) fn of(&self, uid: Uid) -> usize {
        self.counts().users.get(&uid).copied().unwrap_or_default().number
    }

    /// Returns how many more all users but root may have together.
    pub(crate) fn room_of_others(&self) -> usize {
        let counts = self.counts();
        counts.most.saturating_sub(counts.others.number)
    }

    /// Returns how many there are of all users but root.
    #[cfg(test)]
    pub(crate) fn of_others(&self) -> usize {
        self.counts().others.number
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn change(&mut self, uid: Uid, change: impl FnOnce(usize) -> usize) {
        let count = self.users.remove(&uid).unwrap_or_default();
        let (before, after) = (count.number, change(count.number));
        if after > 0 {
            self.users.insert(uid, count.turned(after, self.share));
        }
        if uid != Uid::ROOT {
            let others = self.others.number - before.min(self.share) + after.min(self.share);
            self.others = self.others.turned(others, self.most);
        }
    }
}

impl Count {
    fn turned(self, number: usize, most: usize) -> Self {
        let is_exceeded = number > most;
        Self { number, exceeded_since: is_exceeded.then(|| self.exceeded_since.unwrap_or_else(Instant::now)) }
    }
}

/// A user, in the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    ledger: Ledger,
    uid: Uid,
}

impl Account {
    /// Counts so many descriptors until the charge is dropped.
    pub(crate) fn charge(&self, count: usize) -> Charge {
        if count > 0 {
            self.ledger.counts().change(self.uid, |before| before + count);
        }
        Charge { account: self.clone(), count }
    }

    /// Returns whose it is.
    pub(crate) fn owner(&self) -> Uid {
        self.uid
    }
}

/// Descriptors that count. To be dropped when they are closed, and not before.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Account,
    count: usize,
}

impl Charge {
    /// Moves it out, and leaves one of nothing behind.
    pub(crate) fn take(&mut self) -> Self {
        Self { account: self.account.clone(), count: std::mem::take(&mut self.count) }
    }

    /// Returns what it is charged to.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Returns whose descriptors they are.
    pub(crate) fn owner(&self) -> Uid {
        self.account.owner()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.count > 0 {
            self.account.ledger.counts().change(self.account.uid, |before| before - self.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: Uid = Uid(1);
    const BERT: Uid = Uid(2);

    #[test]
    fn what_is_charged_counts_until_the_charge_is_dropped() {
        let ledger = Ledger::new(100, 1000);
        let mut three = ledger.account(ANNA).charge(3);
        let four = ledger.account(ANNA).charge(4);
        let five = ledger.account(BERT).charge(5);
        assert_eq!((ledger.of(ANNA), ledger.of(BERT), ledger.of_others()), (7, 5, 12));
        let moved = three.take();
        drop(three);
        assert_eq!(ledger.of(ANNA), 7);
        drop((moved, four));
        assert_eq!((ledger.of(ANNA), ledger.of(BERT), ledger.of_others()), (0, 5, 5));
        drop(five);
        assert_eq!(ledger.of_others(), 0);
        assert!(ledger.counts().users.is_empty());
    }

    #[test]
    fn of_the_sum_nobody_has_more_than_a_share_and_root_has_none() {
        let ledger = Ledger::new(100, 1000);
        let much = ledger.account(ANNA).charge(250);
        let some = ledger.account(BERT).charge(60);
        let roots = ledger.account(Uid::ROOT).charge(70);
        assert_eq!((ledger.of(ANNA), ledger.of(Uid::ROOT), ledger.of_others()), (250, 70, 160));
        drop(much);
        assert_eq!(ledger.of_others(), 60);
        drop((some, roots));
        assert_eq!(ledger.of_others(), 0);
        assert!(ledger.counts().users.is_empty());
    }

    #[test]
    fn what_is_too_much_is_so_since_it_became_too_much() {
        let ledger = Ledger::new(100, 150);
        let begin = Instant::now();
        let hundred = ledger.account(ANNA).charge(100);
        assert_eq!(ledger.excess(ANNA), None);
        let one = ledger.account(ANNA).charge(1);
        let Some(Excess::OfUser(since)) = ledger.excess(ANNA) else { panic!("101 are too many") };
        assert!(since >= begin);
        let fifty = ledger.account(BERT).charge(50);
        assert_eq!((ledger.excess(ANNA), ledger.excess(BERT)), (Some(Excess::OfUser(since)), None));
        let more = ledger.account(BERT).charge(1);
        assert!(matches!(ledger.excess(BERT), Some(Excess::OfAll(_))));
        assert_eq!((ledger.excess(ANNA), ledger.excess(Uid::ROOT)), (Some(Excess::OfUser(since)), None));
        drop((one, fifty, more));
        assert_eq!((ledger.excess(ANNA), ledger.excess(BERT)), (None, None));
        drop(hundred);
    }
}
