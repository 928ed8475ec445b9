//! The order in which those are served who all want something at once: users take turns.
//!
//! What they want, and what it costs, is not known here.

use std::collections::HashMap;
use std::hash::Hash;

/// Puts items into an order in which each user's first one comes ahead of anybody's second one, and so on. Of one user the
/// item of that number, counted around, is the first.
pub(crate) fn take_turns<T, U: Eq + Hash>(
    mut items: Vec<T>,
    number: usize,
    user: impl Fn(&T) -> U,
) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let first = number % items.len();
    items.rotate_left(first);
    let mut rounds: HashMap<U, usize> = HashMap::new();
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

    fn order(items: &[&'static str], number: usize) -> Vec<&'static str> {
        take_turns(items.to_vec(), number, |item| item.as_bytes()[0])
    }

    #[test]
    fn nobody_waits_for_all_of_another_user() {
        assert_eq!(order(&["a1", "a2", "a3", "b1", "c1", "b2"], 0), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!(order(&[], 7), [] as [&str; 0]);
        assert_eq!(order(&["a1"], 7), ["a1"]);
    }

    #[test]
    fn over_some_turns_each_of_a_user_comes_first() {
        let firsts: Vec<_> = (0..4).map(|number| order(&["a1", "a2", "a3"], number)[0]).collect();
        assert_eq!(firsts, ["a1", "a2", "a3", "a1"]);
    }
}
