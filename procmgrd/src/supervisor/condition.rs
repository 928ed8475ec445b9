//! What a program is, as far as others are told: the words of lists and of subscriptions.
//!
//! How it comes to be so is `program`'s business.

use procmgr_config::ProgramName;
use procmgr_proto::event::{ProgramStatus, State};
use procmgr_proto::message::ProgramEntry;

use crate::supervisor::event::Pid;

/// What can be told of a program, but for its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word that is said or not, whatever the others are"
)]
pub(crate) struct Condition {
    pub(crate) state: State,
    pub(crate) main: Option<Pid>,
    /// Its main process was taken over from an earlier daemon.
    pub(crate) is_adopted: bool,
    /// It is gone from the configuration.
    pub(crate) is_lingering: bool,
    /// It runs under an older definition.
    pub(crate) is_outdated: bool,
    /// It has died too often, and is not started again.
    pub(crate) is_failed: bool,
}

impl Condition {
    /// What a program is that is there no more.
    pub(crate) const REMOVED: Self = Self {
        state: State::Removed,
        main: None,
        is_adopted: false,
        is_lingering: false,
        is_outdated: false,
        is_failed: false,
    };

    /// Returns what subscribers are told.
    pub(crate) fn of(&self, name: &ProgramName) -> ProgramStatus {
        let marks = [self.lingering(), self.adopted(), self.outdated(), self.failed()];
        ProgramStatus {
            name: name.as_bytes().to_vec(),
            state: self.state.clone(),
            pid: self.main.map(|pid| pid.0.cast_unsigned()),
            marks: marks.into_iter().flatten().map(Vec::from).collect(),
        }
    }

    /// Returns what lists say.
    pub(crate) fn entry(&self, name: &ProgramName) -> ProgramEntry {
        let is_alive = if self.main.is_some() { "running" } else { "dead" };
        let expected = match self.state {
            State::Stopping => Some("stopping"),
            State::Restarting | State::BackOff => Some("restarting"),
            _ => None,
        };
        let marks = [self.adopted(), self.outdated(), self.failed()];
        let tokens = [Some(is_alive), self.lingering(), expected].into_iter().chain(marks);
        ProgramEntry { name: name.as_bytes().to_vec(), tokens: tokens.flatten().map(Vec::from).collect() }
    }

    fn lingering(&self) -> Option<&'static str> {
        self.is_lingering.then_some("lingering")
    }

    fn adopted(&self) -> Option<&'static str> {
        self.is_adopted.then_some("adopted")
    }

    fn outdated(&self) -> Option<&'static str> {
        self.is_outdated.then_some("outdated")
    }

    fn failed(&self) -> Option<&'static str> {
        self.is_failed.then_some("failed")
    }
}
