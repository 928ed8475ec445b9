//! What people and scripts ask beside actions: what a program has gone through, what a reload would change, and what
//! the asker may do.
//!
//! How it is asked for stands in `message`; how it becomes bytes, in `codec`.

use serde::{Deserialize, Serialize};

use crate::event::ProgramStatus;
use crate::message::ExitStatus;
use crate::names::travels_as_name;

/// A program in [`Response::Inspected`](crate::message::Response::Inspected). Times are milliseconds since the
/// beginning of 1970 (UTC), by the clock of the daemon's machine, which somebody may have set meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramDetails {
    /// What the program is.
    pub program: ProgramStatus,
    /// When its main process was started, if it has one.
    pub since: Option<u64>,
    /// How many times the daemon has started it again by itself since somebody has asked for a start; one that is due
    /// counts.
    pub restarts: u32,
    /// How its main process has ended the last time, if a daemon has learned of it.
    pub last_exit: Option<PastExit>,
    /// When it is to be started again, if it is in back-off.
    pub next_start: Option<u64>,
}

/// How a main process has ended, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastExit {
    /// How it has ended.
    pub status: ExitStatus,
    /// When the daemon learned of it, counted like the times of [`ProgramDetails`]. If the process ended while there
    /// was no daemon, that is when the next one began.
    pub time: u64,
}

/// A program in [`Response::Previewed`](crate::message::Response::Previewed).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramPreview {
    /// The name of the program.
    pub name: Vec<u8>,
    /// What the reload would do to its definition.
    pub effect: ReloadEffect,
    /// The names of the keys whose meaning would change, and never their values.
    pub keys: Vec<Vec<u8>>,
    /// The PID of its main process, if it has one.
    pub pid: Option<u32>,
    /// Whether its main process would run under an older definition than the configuration has. Of one that is removed
    /// this is not said.
    pub is_outdated: bool,
}

/// What a reload does to the definition of a program. On the wire it is its name, so that a client can show one that it
/// does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
#[non_exhaustive]
pub enum ReloadEffect {
    /// The program is new.
    Added,
    /// The program is gone from the file.
    Removed,
    /// The program is defined in another way.
    Changed,
    /// The definition stays as it is.
    Unchanged,
    /// An effect of a later version.
    Other(Vec<u8>),
}

impl ReloadEffect {
    /// Every effect that this version knows, with its name.
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Added, "added"),
        (Self::Removed, "removed"),
        (Self::Changed, "changed"),
        (Self::Unchanged, "unchanged"),
    ];
}

travels_as_name!(ReloadEffect, such as "added");

/// A program in [`Response::Permissions`](crate::message::Response::Permissions), and what the asker may do to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// The name of the program.
    pub program: Vec<u8>,
    /// The names of the actions, at least one.
    pub actions: Vec<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::ReloadEffect;

    #[test]
    fn every_effect_has_a_vector_and_a_line_in_the_document() {
        let vectors = include_str!("../vectors/frames.txt");
        let document = include_str!("../PROTOCOL.md");
        for (_, name) in ReloadEffect::NAMES {
            assert!(vectors.contains(&format!(" effect {name}")), "{name}");
            assert!(document.contains(&format!("\n| `{name}` | ")), "{name}");
        }
    }
}
