//! What clients ask for, but for `stop`: a start, another main process, or a script beside the one that there is.
//!
//! What has come of a script is told in `program`, and how a program is brought to its end in `ending`.

use std::sync::Arc;

use procmgr_config::Action;
use procmgr_proto::message::Response;

use crate::supervisor::call::{Call, reply};
use crate::supervisor::event::{Effect, Timestamp};
use crate::supervisor::program::Program;
use crate::supervisor::program::state::{Rest, State};

impl<S: Clone> Program<S> {
    pub(super) fn start(&mut self, now: Timestamp, call: Call<S>, effects: &mut Vec<Effect<S>>) {
        match self.state {
            State::Down(_) | State::Backoff { .. } => self.begin(now, call, self.memory(), effects),
            State::Starting { .. } | State::Up(_) | State::Stopping { .. } => {
                self.refuse_busy(&call, effects);
            }
        }
    }

    pub(super) fn restart(&mut self, now: Timestamp, call: Call<S>, effects: &mut Vec<Effect<S>>) {
        let Some(definition) = self.definition.clone() else {
            return self.refuse_lingering(&call, effects);
        };
        match (&mut self.state, &definition.rule(&Action::Restart).script) {
            (State::Down(_), _) => self.refuse_down(&call, effects),
            (State::Starting { .. } | State::Stopping { next: Some(_), .. }, _) => {
                self.refuse_busy(&call, effects);
            }
            (State::Backoff { .. }, _) => self.begin(now, call, self.memory(), effects),
            (State::Up(run) | State::Stopping { run, next: None, .. }, Some(_)) => {
                let main = run.main.pid;
                effects.push(self.spawn(now, definition, Action::Restart, Some(main), call));
            }
            // Without a start script the program would be stopped and stay so: better not begin.
            (State::Up(_) | State::Stopping { next: None, .. }, None)
                if definition.rule(&Action::Start).script.is_none() =>
            {
                self.refuse_scriptless(&call, effects);
            }
            (State::Up(run), None) => {
                let run = run.clone();
                let Call { caller, stdio, .. } = &call;
                let stop = Call { caller: *caller, arguments: Vec::new(), stdio: stdio.clone() };
                effects.push(self.stop_effect(now, &run, stop));
                let (next, patience) = (Some(call.into()), run.patience(now));
                self.state = State::Stopping { run, waiting: Vec::new(), next, rest: Rest::Idle, patience };
            }
            (State::Stopping { next: next @ None, .. }, None) => *next = Some(call.into()),
        }
    }

    pub(super) fn reload(&mut self, now: Timestamp, call: Call<S>, effects: &mut Vec<Effect<S>>) {
        match &self.state {
            State::Down(_) | State::Starting { .. } | State::Backoff { .. } => {
                let scripted = self
                    .definition_for(&Action::Reload)
                    .and_then(|it| it.rule(&Action::Reload).script.as_ref());
                match (&self.state, scripted) {
                    (State::Starting { .. }, _) => self.refuse_busy(&call, effects),
                    (_, Some(_)) => self.refuse_down(&call, effects),
                    (_, None) => self.restart(now, call, effects),
                }
            }
            State::Up(run) | State::Stopping { run, .. } => {
                match run.definition.rule(&Action::Reload).script {
                    Some(_) => effects.push(self.spawn(
                        now,
                        Arc::clone(&run.definition),
                        Action::Reload,
                        Some(run.main.pid),
                        call,
                    )),
                    None => self.restart(now, call, effects),
                }
            }
        }
    }

    /// Runs the script of an action that can be performed in any state, or answers what it does by default.
    pub(super) fn run_beside_or(
        &mut self,
        now: Timestamp,
        action: Action,
        call: Call<S>,
        effects: &mut Vec<Effect<S>>,
        default: impl FnOnce(&Self) -> Response,
    ) {
        match self.definition_for(&action).filter(|definition| definition.rule(&action).script.is_some()) {
            Some(definition) => {
                effects.push(self.spawn(now, Arc::clone(definition), action, self.main(), call));
            }
            None => effects.extend(call.caller.map(|caller| reply(caller, default(self)))),
        }
    }
}
