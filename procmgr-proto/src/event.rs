//! What a subscriber is told: what the programs are, and each change of one.
//!
//! How it is asked for stands in `message`; how it becomes bytes, in `codec`.

use serde::{Deserialize, Serialize};

use crate::message::ExitStatus;
use crate::names::travels_as_name;

/// Something that has happened, told to each client that has subscribed.
///
/// Variants are only ever appended. A client passes over those that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// A program has changed.
    Changed(Change),
}

impl Event {
    /// How many variants there are; a greater variant number on the wire is an event of a later version.
    pub(crate) const VARIANTS: u32 = 1;
}

/// A change of one program: what it is now, and what has led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When it happened: milliseconds since the beginning of 1970 (UTC), by the clock of the daemon's machine.
    pub time: u64,
    /// What the program is now.
    pub program: ProgramStatus,
    /// How its main process has ended, if it has; in the same moment another may have become the main process.
    pub ended: Option<ExitStatus>,
    /// Why it could not be started, if that was tried.
    pub failure: Option<Vec<u8>>,
    /// Whose request has led to it; `None` if nobody's did: the program ended by itself, or was due to be started.
    pub by: Option<Requester>,
}

/// What a program is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramStatus {
    /// The name of the program.
    pub name: Vec<u8>,
    /// Where it is in its life.
    pub state: State,
    /// The PID of its main process, if it has one, in the PID namespace of the daemon.
    pub pid: Option<u32>,
    /// What else is to be said about it, in words: `lingering`, `adopted`, `outdated`, `failed` and those of later
    /// versions. They mean what they mean in [`ProgramEntry::tokens`](crate::message::ProgramEntry::tokens).
    pub marks: Vec<Vec<u8>>,
}

/// Where a program is in its life. On the wire it is its name, so that a client can show a state that it does not know.
/// Whether a program runs is told by [`ProgramStatus::pid`], in states of later versions as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
#[non_exhaustive]
pub enum State {
    /// It does not run, and is not going to.
    Down,
    /// Its start script is about to be run.
    Starting,
    /// It runs.
    Running,
    /// It runs, and is to end.
    Stopping,
    /// It runs, and is to end and be started again.
    Restarting,
    /// It does not run, and is to be started again at a known time.
    BackOff,
    /// It is gone from the configuration and does not run. It is not told of again, unless it is defined anew.
    Removed,
    /// A state of a later version.
    Other(Vec<u8>),
}

impl State {
    /// Every state that this version knows, with its name.
    const NAMES: [(Self, &'static str); 7] = [
        (Self::Down, "down"),
        (Self::Starting, "starting"),
        (Self::Running, "running"),
        (Self::Stopping, "stopping"),
        (Self::Restarting, "restarting"),
        (Self::BackOff, "back-off"),
        (Self::Removed, "removed"),
    ];
}

travels_as_name!(State, such as "back-off");

/// Who has asked for something, as the kernel told the daemon when they connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// The process; 0 if it is of a PID namespace that the daemon cannot see.
    pub pid: u32,
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn every_state_has_a_vector_and_a_line_in_the_document() {
        let vectors = include_str!("../vectors/frames.txt");
        let document = include_str!("../PROTOCOL.md");
        for (_, name) in State::NAMES {
            assert!(vectors.contains(&format!(", state {name}")), "{name}");
            assert!(document.contains(&format!("\n| `{name}` | ")), "{name}");
        }
    }
}
