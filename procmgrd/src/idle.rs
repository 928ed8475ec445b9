//! Which connections are idle, by user and since when: those that can make room for others.
//!
//! When there is need of room is `server`'s business.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Instant;

use procmgr_config::Uid;

use crate::maps::Map;

/// The idle connections of each user who has some.
#[derive(Debug, Default)]
pub(crate) struct Idle(Map<Uid, BTreeSet<(Instant, u64)>>);

impl Idle {
    /// Takes note of since when a connection of a user is idle, if it is, and was, if it was.
    pub(crate) fn change(&mut self, uid: Uid, number: u64, before: Option<Instant>, after: Option<Instant>) {
        if before == after {
            return;
        }
        let connections = self.0.entry(uid).or_default();
        before.map(|since| connections.remove(&(since, number)));
        after.map(|since| connections.insert((since, number)));
        if connections.is_empty() {
            self.0.remove(&uid);
        }
    }

    /// Returns which connection is to make room for one of the newcomer, given how many each user has.
    ///
    /// It is one of the user who has the most, and of these the one that has been idle for longest. Nobody loses one to
    /// somebody who has as many, so that a crowd of one user never takes the only connection of another; but who has
    /// the most may have the new one in place of an old one. Root loses none.
    ///
    /// Looks at each user, not at each connection.
    pub(crate) fn making_room(&self, newcomer: Uid, count: impl Fn(Uid) -> usize) -> Option<u64> {
        let own = count(newcomer);
        let users = self.0.iter().filter(|(uid, _)| **uid != Uid::ROOT);
        let oldest = users.filter_map(|(uid, connections)| {
            let (since, number) = connections.first()?;
            let count = count(*uid);
            (count > own || *uid == newcomer).then_some((count, Reverse((*since, *number))))
        });
        oldest.max().map(|(_, Reverse((_, number)))| number)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ANNA: Uid = Uid(1);
    const BERT: Uid = Uid(2);
    const CARL: Uid = Uid(3);

    /// Who has how many connections, and those that are idle, with their user and the second since when.
    fn making_room(newcomer: Uid, counts: &[(Uid, usize)], idle: &[(Uid, u64, u64)]) -> Option<u64> {
        let begin = Instant::now();
        let mut connections = Idle::default();
        for (uid, number, second) in idle {
            connections.change(*uid, *number, None, Some(begin + Duration::from_secs(*second)));
        }
        let count = |uid| counts.iter().find(|(other, _)| *other == uid).map_or(0, |(_, count)| *count);
        connections.making_room(newcomer, count)
    }

    #[test]
    fn the_user_with_the_most_connections_loses_the_one_that_is_idle_for_longest() {
        let idle = [(ANNA, 1, 1), (BERT, 2, 9), (BERT, 3, 8), (CARL, 4, 2)];
        assert_eq!(making_room(CARL, &[(ANNA, 1), (BERT, 5), (CARL, 3)], &idle), Some(3));
        assert_eq!(making_room(Uid(4), &[(ANNA, 1), (BERT, 1), (CARL, 1)], &idle), Some(1));
    }

    #[test]
    fn a_crowd_takes_no_connection_of_whoever_has_fewer() {
        let idle = [(ANNA, 1, 1), (BERT, 2, 9)];
        // Not even if all of its own are busy.
        assert_eq!(making_room(CARL, &[(ANNA, 1), (BERT, 2), (CARL, 9)], &idle), None);
        assert_eq!(making_room(BERT, &[(ANNA, 1), (BERT, 9)], &idle), Some(2));
        assert_eq!(making_room(BERT, &[(ANNA, 1), (BERT, 1)], &idle[..1]), None);
    }

    #[test]
    fn root_loses_none() {
        assert_eq!(making_room(ANNA, &[(Uid::ROOT, 9)], &[(Uid::ROOT, 1, 1)]), None);
    }

    #[test]
    fn what_is_not_idle_any_more_is_forgotten() {
        let now = Instant::now();
        let mut idle = Idle::default();
        idle.change(ANNA, 1, None, Some(now));
        idle.change(ANNA, 1, Some(now), Some(now + Duration::from_secs(1)));
        assert_eq!(idle.making_room(ANNA, |_| 1), Some(1));
        idle.change(ANNA, 1, Some(now + Duration::from_secs(1)), None);
        assert!(idle.0.is_empty());
    }
}
