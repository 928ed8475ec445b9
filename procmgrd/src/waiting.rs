//! Connections that are not read from for now, and in which order their users have their turns again.
//!
//! Why they wait, and for how long they may, is `quota`'s business.

use std::collections::{BTreeSet, VecDeque};

use procmgr_config::Uid;

use crate::maps::Map;
use crate::quota::Exceeded;

/// Those who wait. Each user has one place, whose connections have their turn together, so that nobody gains by having
/// many.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    users: VecDeque<Uid>,
    connections: Map<Uid, BTreeSet<u64>>,
    /// How many connections wait only because all users together have too much.
    for_others: usize,
}

impl Waiting {
    /// Takes note of what a connection of a user waits for, if it does, and waited for until now, if it did.
    pub(crate) fn change(
        &mut self,
        uid: Uid,
        number: u64,
        before: Option<Exceeded>,
        after: Option<Exceeded>,
    ) {
        if before == after {
            return;
        }
        let is_for_others = |exceeded| usize::from(exceeded == Some(Exceeded::AllDescriptors));
        self.for_others = self.for_others - is_for_others(before) + is_for_others(after);
        let connections = self.connections.entry(uid).or_default();
        let is_first = connections.is_empty();
        if after.is_some() {
            connections.insert(number);
        } else {
            connections.remove(&number);
        }
        if connections.is_empty() {
            self.connections.remove(&uid);
            self.users.retain(|user| *user != uid);
        } else if is_first {
            self.users.push_back(uid);
        }
    }

    /// Returns whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Returns whether others wait only because all users together have too much. Whoever comes now comes behind them.
    pub(crate) fn is_queue(&self) -> bool {
        self.for_others > 0
    }

    /// Returns the connections whose turn it is, of so many users at the most but root, who is not counted.
    pub(crate) fn turns(&self, most: usize, may: impl Fn(Uid) -> bool) -> Vec<u64> {
        let (root, others): (Vec<Uid>, Vec<Uid>) =
            self.users.iter().filter(|uid| may(**uid)).partition(|uid| **uid == Uid::ROOT);
        let users = root.into_iter().chain(others.into_iter().take(most));
        users.filter_map(|uid| self.connections.get(&uid)).flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: Uid = Uid(1);
    const BERT: Uid = Uid(2);
    const CARL: Uid = Uid(3);
    const ALL: Option<Exceeded> = Some(Exceeded::AllDescriptors);
    const OWN: Option<Exceeded> = Some(Exceeded::Descriptors);

    fn waiting(connections: &[(Uid, u64, Option<Exceeded>)]) -> Waiting {
        let mut waiting = Waiting::default();
        for (uid, number, exceeded) in connections {
            waiting.change(*uid, *number, None, *exceeded);
        }
        waiting
    }

    #[test]
    fn users_have_their_turns_in_the_order_in_which_they_came_however_many_connections_they_have() {
        let mut waiting = waiting(&[(BERT, 5, ALL), (ANNA, 1, ALL), (BERT, 2, ALL), (CARL, 3, ALL)]);
        assert_eq!(waiting.turns(1, |_| true), [2, 5]);
        assert_eq!(waiting.turns(2, |_| true), [2, 5, 1]);
        // Whoever comes back is behind all others.
        for number in [2, 5] {
            waiting.change(BERT, number, ALL, None);
        }
        waiting.change(BERT, 5, None, ALL);
        assert_eq!(waiting.turns(2, |_| true), [1, 3]);
        assert_eq!(waiting.turns(3, |_| true), [1, 3, 5]);
    }

    #[test]
    fn who_may_not_have_a_turn_keeps_the_place_and_root_takes_none() {
        let mut waiting = waiting(&[(BERT, 5, OWN), (ANNA, 1, ALL), (Uid::ROOT, 7, OWN)]);
        assert_eq!(waiting.turns(1, |uid| uid != BERT), [7, 1]);
        assert_eq!(waiting.turns(1, |_| true), [7, 5]);
        assert!(waiting.is_queue());
        waiting.change(ANNA, 1, ALL, OWN);
        assert!(!waiting.is_queue(), "nobody waits for others");
        assert_eq!(waiting.turns(2, |_| true), [7, 5, 1], "it waits where it did");
        for (uid, number) in [(BERT, 5), (ANNA, 1), (Uid::ROOT, 7)] {
            waiting.change(uid, number, OWN, None);
        }
        assert!(waiting.is_empty() && waiting.connections.is_empty());
    }
}
