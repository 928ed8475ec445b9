//! Maps and sets that are quick, not proof against keys that were made to collide.
//!
//! For keys that the daemon or the kernel has chosen, or whoever has written the configuration; what strangers choose
//! must not be put in here.

use std::collections::{HashMap, HashSet};

use rustc_hash::FxBuildHasher;

/// A map by such keys.
pub(crate) type Map<K, V> = HashMap<K, V, FxBuildHasher>;

/// A set of such keys.
pub(crate) type Set<K> = HashSet<K, FxBuildHasher>;

/// Creates a map with room for so many.
pub(crate) fn with_capacity<K, V>(count: usize) -> Map<K, V> {
    Map::with_capacity_and_hasher(count, FxBuildHasher)
}
