//! The order in which those are served who all want something at once: users take turns.
//!
//! What they want, and what it costs, is not known here.

use std::hash::Hash;

use crate::maps::Map;

/// Puts items into an order in which each user's first one comes ahead of anybody's second one, and so on. Those of
/// one user keep their order.
pub(crate) fn take_turns<T, U: Eq + Hash>(items: Vec<T>, user: impl Fn(&T) -> U) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let mut rounds: Map<U, usize> = Map::default();
    let mut numbered: Vec<(usize, T)> = items
        .into_iter()
        .map(|item| {
            let round = rounds.entry(user(&item)).or_default();
            *round += 1;
            (*round, item)
        })
        .collect();
    numbered.sort_by_key(|(round, _)| *round);
    numbered.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(items: &[&'static str]) -> Vec<&'static str> {
        take_turns(items.to_vec(), |item| item.as_bytes()[0])
    }

    #[test]
    fn nobody_waits_for_all_of_another_user() {
        assert_eq!(order(&["a1", "a2", "a3", "b1", "c1", "b2"]), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!(order(&[]), [] as [&str; 0]);
        assert_eq!(order(&["a1"]), ["a1"]);
    }

    #[test]
    fn of_one_user_whoever_comes_first_is_served_first() {
        assert_eq!(order(&["a1", "a2", "a3"]), ["a1", "a2", "a3"]);
    }
}
