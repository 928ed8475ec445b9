//! Holds what an earlier daemon has left on record against the processes that there are.
//!
//! What becomes of each program is the supervisor's to say.

use std::time::Instant;

use crate::poll::Poller;
use crate::state::reading::Reading;
use crate::supervisor::memory::{Memory, Recollection, Running};
use crate::wards::{Wards, has_ended};

/// Takes the main processes that live into care, and returns what is on record together with them.
pub(crate) fn recall(
    reading: Reading,
    wards: &mut Wards,
    poller: &Poller,
    now: Instant,
) -> Vec<Recollection> {
    let memories = reading.memories.into_iter().map(|(program, memory)| {
        let candidates = match &memory {
            // Until the one has been executed, it is the other; so it is if that one is dead by now, though its
            // parent may not know yet.
            Memory::Running(Running { main, former: Some(former), .. }) => {
                [main.filter(|main| !has_ended(*main)), Some(*former)]
            }
            Memory::Running(Running { main, former: None, .. }) => [*main, None],
            Memory::Nothing | Memory::Stopped(_) | Memory::Failed(_) | Memory::Due { .. } => [None, None],
        };
        let living = candidates.into_iter().flatten().find(|process| wards.take_in(*process, poller, now));
        Recollection { program, memory, living }
    });
    memories.collect()
}
