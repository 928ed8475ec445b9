//! How a program is brought to its end: it is told to, and killed if that takes too long.
//!
//! What follows its end is told in `deaths`.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procmgr_config::Action;
use procmgr_proto::message::{Code, Response};

use crate::supervisor::call::{Call, reply};
use crate::supervisor::event::{Effect, Job, Report, Signal, Timestamp};
use crate::supervisor::program::state::{Patience, Rest, Run, State};
use crate::supervisor::program::{ENDS_BEFORE, Program};

impl<S: Clone> Program<S> {
    pub(super) fn stop(&mut self, now: Timestamp, call: Call<S>, effects: &mut Vec<Effect<S>>) {
        match mem::replace(&mut self.state, State::Down(Rest::Stopped)) {
            State::Down(rest) => {
                self.state = State::Down(rest);
                self.refuse_down(&call, effects);
            }
            starting @ State::Starting { .. } => {
                self.state = starting;
                self.refuse_busy(&call, effects);
            }
            State::Up(run) => self.stop_run(now, run, Rest::Stopped, call, effects),
            State::Stopping { run, mut waiting, next, rest: _, patience } => {
                let restarter = next.and_then(|call| call.caller);
                effects.extend(restarter.map(|caller| self.cancelled(caller, "stopped")));
                waiting.extend(call.caller);
                effects.push(self.stop_effect(now, &run, call));
                self.state = State::Stopping { run, waiting, next: None, rest: Rest::Stopped, patience };
            }
            State::Backoff { .. } => effects.extend(call.caller.map(|caller| reply(caller, Response::Done))),
        }
    }

    /// Has a run that nobody has told to end yet do so.
    pub(super) fn stop_run(
        &mut self,
        now: Timestamp,
        run: Run,
        rest: Rest,
        call: Call<S>,
        effects: &mut Vec<Effect<S>>,
    ) {
        let waiting = call.caller.into_iter().collect();
        effects.push(self.stop_effect(now, &run, call));
        let patience = run.patience(now);
        self.state = State::Stopping { run, waiting, next: None, rest, patience };
    }

    pub(super) fn stop_effect(&self, now: Timestamp, run: &Run, call: Call<S>) -> Effect<S> {
        match run.definition.rule(&Action::Stop).script {
            Some(_) => self.spawn(now, Arc::clone(&run.definition), Action::Stop, Some(run.main.pid), call),
            None => run.signal(Signal::Term),
        }
    }

    /// Takes back a stop, or the restart that began with it, whose script could not be executed. A daemon that ends
    /// does without the script, and what has been killed is not taken back.
    pub(super) fn stop_failed(&mut self, job: &Job, reason: &str, effects: &mut Vec<Effect<S>>) {
        if job.caller.is_none() {
            let (program, reason) = (self.name.clone(), reason.to_owned());
            effects.push(Effect::Report(Report::StopFailed { program, reason }));
        }
        if let State::Stopping { run, waiting, next, rest, patience } = &mut self.state {
            waiting.retain(|caller| Some(*caller) != job.caller);
            if job.caller.is_none() && next.is_none() && *rest == Rest::Idle {
                return effects.push(run.signal(Signal::Term));
            }
            next.take_if(|call| call.caller == job.caller);
            if waiting.is_empty() && next.is_none() && *patience != Patience::Exhausted {
                self.state = State::Up(run.clone());
            }
        }
    }

    /// Kills the main process, which has been given time enough to end.
    pub(super) fn kill(&mut self, effects: &mut Vec<Effect<S>>) {
        if let State::Stopping { run, patience, .. } = &mut self.state {
            *patience = Patience::Exhausted;
            effects.push(Effect::Report(Report::Killed { program: self.name.clone(), pid: run.main.pid }));
            effects.push(run.signal(Signal::Kill));
        }
    }

    /// Has the program end because the daemon does. Whoever waits for its restart waits in vain.
    ///
    /// If its definition does not say how long it may take, the daemon has so much patience.
    pub(crate) fn end(&mut self, now: Timestamp, most: Option<Duration>, effects: &mut Vec<Effect<S>>) {
        if let State::Up(run) = &self.state {
            let run = run.clone();
            self.stop_run(now, run, Rest::Idle, Call::of_nobody(), effects);
        }
        match &mut self.state {
            State::Stopping { next, rest, patience, .. } => {
                if let Some(call) = next.take() {
                    *rest = Rest::Idle;
                    call.refuse(Code::Shutdown, ENDS_BEFORE.to_owned(), effects);
                }
                if *patience == Patience::Endless {
                    *patience = Patience::of(now, most);
                }
            }
            State::Backoff { .. } => self.state = State::Down(Rest::Idle),
            State::Down(_) | State::Starting { .. } | State::Up(_) => {}
        }
    }
}

impl Run {
    /// Returns how long it is waited for, if it is told to end now.
    pub(super) fn patience(&self, now: Timestamp) -> Patience {
        Patience::of(now, self.definition.stop_timeout)
    }
}

impl Patience {
    fn of(now: Timestamp, most: Option<Duration>) -> Self {
        most.map_or(Self::Endless, |most| Self::Until((now + most).instant))
    }

    /// Returns when it comes to its end, if ever.
    pub(super) fn end(self) -> Option<Instant> {
        match self {
            Self::Until(end) => Some(end),
            Self::Endless | Self::Exhausted => None,
        }
    }
}
