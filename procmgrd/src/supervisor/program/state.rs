//! The states of a program, and what can be told of one that is in them.
//!
//! How one follows from another is told next door, in `program`.

use std::sync::Arc;
use std::time::Instant;

use procmgr_config::Definition;
use procmgr_proto::details::ProgramDetails;
use procmgr_proto::event;

use crate::supervisor::call::Call;
use crate::supervisor::condition::Condition;
use crate::supervisor::event::{Caller, Effect, Process, Signal, Timestamp};
use crate::supervisor::memory::Memory;
use crate::supervisor::program::Program;

/// Each program has one, so what is rare and large is kept elsewhere.
#[derive(Clone, Debug)]
pub(crate) enum State<S> {
    Down(Rest),
    /// Until its process has put itself on record, what is there is from before; should the start fail, it is so again.
    Starting {
        definition: Arc<Definition>,
        before: Box<Memory>,
    },
    Up(Run),
    /// Restarting, if a start comes `next`.
    Stopping {
        run: Run,
        waiting: Vec<Caller>,
        next: Option<Box<Call<S>>>,
        rest: Rest,
        patience: Patience,
    },
    Backoff {
        until: Timestamp,
    },
}

/// How long a program that is to end is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Without end.
    Endless,
    /// Until then. If it runs still, it is killed.
    Until(Instant),
    /// It was not in time, and has been killed.
    Exhausted,
}

/// Why a program is down, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nobody has asked for that: a daemon that starts may start it.
    Idle,
    /// It was stopped on request, and stays so until somebody asks for more.
    Stopped,
    /// It has died too often, and stays so until somebody asks for more.
    Failed,
}

impl<S> State<S> {
    /// Returns the word for it, for people.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Down(_) => "down",
            Self::Starting { .. } => "starting",
            Self::Up(_) => "running",
            Self::Stopping { next: None, .. } => "stopping",
            Self::Stopping { next: Some(_), .. } => "restarting",
            Self::Backoff { .. } => "waiting to be started again",
        }
    }
}

/// A main process, and the definition that it was started by.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) main: Process,
    /// When it was decided to start it; `None` if that is not on record.
    pub(crate) since: Option<Timestamp>,
    pub(crate) definition: Arc<Definition>,
    pub(crate) origin: Origin,
}

impl Run {
    /// Sends a signal to the main process, or to its group if the definition says so.
    pub(super) fn signal<S>(&self, signal: Signal) -> Effect<S> {
        Effect::Signal { process: self.main, signal, scope: self.definition.kill_mode }
    }
}

/// Who has started a main process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This daemon.
    Own,
    /// An earlier one, from which it was taken over.
    TakenOver,
}

impl<S: Clone> Program<S> {
    /// Returns what can be told of the program.
    pub(crate) fn condition(&self) -> Condition {
        let state = match self.state {
            State::Down(_) => event::State::Down,
            State::Starting { .. } => event::State::Starting,
            State::Up(_) => event::State::Running,
            State::Stopping { next: None, .. } => event::State::Stopping,
            State::Stopping { next: Some(_), .. } => event::State::Restarting,
            State::Backoff { .. } => event::State::BackOff,
        };
        let run = self.run();
        let is_outdated = self.definition.as_ref().is_some_and(|it| self.runs_under_another_than(it));
        Condition {
            state,
            main: run.map(|run| run.main.pid),
            is_adopted: run.is_some_and(|run| run.origin == Origin::TakenOver),
            is_lingering: self.definition.is_none(),
            is_outdated,
            is_failed: matches!(self.state, State::Down(Rest::Failed)),
        }
    }

    /// Returns what the program is, and what it has gone through.
    pub(crate) fn details(&self) -> ProgramDetails {
        let next_start = match self.state {
            State::Backoff { until } => Some(until.time),
            State::Down(_) | State::Starting { .. } | State::Up(_) | State::Stopping { .. } => None,
        };
        ProgramDetails {
            program: self.condition().of(&self.name),
            since: self.run().and_then(|run| run.since).map(|since| since.time),
            restarts: self.past.restarts,
            last_exit: self.past.last_exit,
            next_start,
        }
    }

    /// Returns the main process with what it was started by, if there is one.
    pub(super) fn run(&self) -> Option<&Run> {
        match &self.state {
            State::Up(run) | State::Stopping { run, .. } => Some(run),
            State::Down(_) | State::Starting { .. } | State::Backoff { .. } => None,
        }
    }
}
