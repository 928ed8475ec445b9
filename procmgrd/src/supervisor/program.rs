//! The life of one program: its states, and what each request, answer, death and deadline does in each of them.
//!
//! Who may ask is not judged here (see `access`), and nothing is done here: a transition says what is to be done.
//!
//! The table (`→` next state, effects in brackets; *refuse X* leaves the state as it is):
//!
//! | state | start | stop | restart without script | restart with script |
//! |---|---|---|---|---|
//! | Down | → Starting [Spawn] | refuse NOTRUNNING | refuse NOTRUNNING | refuse NOTRUNNING |
//! | Starting | refuse BUSY | refuse BUSY | refuse BUSY | refuse BUSY |
//! | Up | refuse BUSY | → Stopping [stop action] | → Restarting [stop action] | [Spawn beside] |
//! | Stopping | refuse BUSY | waits too [stop action] | → Restarting | [Spawn beside] |
//! | Restarting | refuse BUSY | → Stopping [Refuse the restarter CANCELLED, stop action] | refuse BUSY | refuse BUSY |
//! | Backoff | → Starting [Spawn] | → Down [Done] | → Starting [Spawn] | → Starting [Spawn] |
//!
//! | state | start script spawned / failed | restart script spawned | stop script failed |
//! |---|---|---|---|
//! | Starting | → Up [Done] / → Backoff if it was due before, else → Down [Refuse SPAWN]; for nobody: as after a death | | |
//! | Up | | → Up under the new main process [Done] | |
//! | Stopping | | → Up under the new main process [Done, Refuse the waiting CANCELLED] | → Up, unless others wait [Refuse SPAWN] |
//! | Restarting | | the same, the restarter among the waiting | → Up, unless others wait [Refuse SPAWN] |
//!
//! | state | main process exited | deadline | gone from the configuration |
//! |---|---|---|---|
//! | Down | | | forgotten |
//! | Starting | | | lingers |
//! | Up | → Backoff with a delay, or → Down, failed, at the limit; else → Down; lingering: forgotten | | lingers |
//! | Stopping | → Down [Exited to each waiting]; lingering: forgotten | [kill, once] | lingers |
//! | Restarting | → Starting [Exited to each waiting, Spawn for the restarter]; lingering: forgotten [Refuse NOPROG] | [kill, once] | lingers |
//! | Backoff | | → Starting [Spawn for nobody] | forgotten |
//!
//! | state | the daemon is to end, and programs with it | what an earlier daemon has left: it lives | … it is dead |
//! |---|---|---|---|
//! | Down | | was running: → Up; stopping: → Stopping [stop action]; restarting: → Restarting [stop action] | was running: as after a death; stopping: → Down; restarting: → Backoff, due now; in Backoff: → Backoff, due as before; failed: → Down, failed |
//! | Up | → Stopping [stop action] | | |
//! | Stopping | with a deadline, if it had none | | |
//! | Restarting | → Stopping, as above [Refuse the restarter SHUTDOWN] | | |
//! | Backoff | → Down | | |
//!
//! The *stop action* is the stop script, or else SIGTERM; with the first one of a run its stop-timeout begins, at the
//! end of which is the deadline. When the daemon is to end, a stop script that failed changes nothing; what was
//! killed is never Up again. A start that lacks its script is refused NOCMD, for nobody
//! it is reported and → Down; a restart without a script needs one for the start. Any other script that could not be
//! executed is refused SPAWN. Restarting is Stopping with a start that comes next. An exit concerns a program only if
//! it is of its main process *now*: after a restart script the old process is nobody's. What has failed is Down, and
//! stays so until somebody asks for a start.
//!
//! A reload with a script is refused NOTRUNNING in Down and Backoff and BUSY in Starting, and spawned beside in
//! the others; without one it is a restart. Signal and status are spawned, or answered, in every state. Of what
//! lingers, everything that concerns its run is possible; to start it again, by whatever way, is refused NOPROG.

mod deaths;
mod ending;
mod requests;
pub(crate) mod state;
mod succession;

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use procmgr_config::{Action, Allowed, Definition, ProgramName, Rule};
use procmgr_proto::message::{Code, Response};

use crate::supervisor::call::{Call, refuse, reply};
use crate::supervisor::event::{Caller, Effect, Job, Pid, Process, Report, Spawn, Timestamp};
use crate::supervisor::memory::{Memory, Past};
use crate::supervisor::program::state::{Origin, Patience, Rest, Run, State};

/// One program.
#[derive(Clone, Debug)]
pub(crate) struct Program<S> {
    pub(crate) name: ProgramName,
    /// What the configuration says today; `None` if the program is gone from it and lingers.
    pub(crate) definition: Option<Arc<Definition>>,
    pub(crate) past: Past,
    pub(crate) state: State<S>,
}

impl<S: Clone> Program<S> {
    /// Creates a program that is down.
    pub(crate) fn new(definition: Arc<Definition>) -> Self {
        Self {
            name: definition.name.clone(),
            definition: Some(definition),
            past: Past::default(),
            state: State::Down(Rest::Idle),
        }
    }

    /// Creates a program that the configuration does not name, and of which nothing is left unless it is recalled.
    pub(crate) fn unnamed(name: ProgramName) -> Self {
        Self { name, definition: None, past: Past::default(), state: State::Down(Rest::Idle) }
    }

    /// Performs an action that a client asks for and may ask for.
    pub(crate) fn invoke(
        &mut self,
        now: Timestamp,
        action: Action,
        call: Call<S>,
        effects: &mut Vec<Effect<S>>,
    ) {
        match action {
            Action::Start => self.start(now, call, effects),
            Action::Stop => self.stop(now, call, effects),
            Action::Restart => self.restart(now, call, effects),
            Action::Reload => self.reload(now, call, effects),
            Action::Signal | Action::Custom(_) => {
                self.run_beside_or(now, action, call, effects, |_| Response::Done);
            }
            Action::Status => self.run_beside_or(now, action, call, effects, |program| Response::Status {
                running: program.main().is_some(),
            }),
        }
    }

    /// Takes note that the script of a start or restart has been executed: it is the main process from now on.
    pub(crate) fn main_spawned(&mut self, job: &Job, process: Process, effects: &mut Vec<Effect<S>>) {
        self.past = self.past_by(job);
        let definition = Arc::clone(&job.definition);
        let run = Run { main: process, since: Some(job.at), definition, origin: Origin::Own };
        let superseded = mem::replace(&mut self.state, State::Up(run));
        effects.push(match job.caller {
            Some(caller) => reply(caller, Response::Done),
            None => Effect::Report(Report::Started { program: self.name.clone(), pid: process.pid }),
        });
        if let State::Stopping { waiting, next, .. } = superseded {
            let callers = waiting.into_iter().chain(next.and_then(|call| call.caller));
            effects.extend(callers.map(|caller| self.cancelled(caller, "restarted")));
        }
    }

    /// Takes note that the script of a job could not be executed.
    pub(crate) fn spawn_failed(
        &mut self,
        now: Timestamp,
        job: &Job,
        reason: &str,
        effects: &mut Vec<Effect<S>>,
    ) {
        match job.action {
            Action::Start => self.start_failed(now, job, reason, effects),
            Action::Stop => self.stop_failed(job, reason, effects),
            Action::Restart | Action::Reload | Action::Signal | Action::Status | Action::Custom(_) => {}
        }
        if let Some(caller) = job.caller {
            let text = format!("cannot run {} of {}: {reason}", job.action, job.program);
            effects.push(refuse(caller, Code::Spawn, text));
        }
    }

    /// Does what is due: starts the program, for nobody, or kills it.
    pub(crate) fn deadline(&mut self, now: Timestamp, effects: &mut Vec<Effect<S>>) {
        match self.state {
            State::Backoff { .. } => self.begin(now, Call::of_nobody(), self.memory(), effects),
            State::Stopping { patience: Patience::Until(_), .. } => self.kill(effects),
            State::Down(_) | State::Starting { .. } | State::Up(_) | State::Stopping { .. } => {}
        }
    }

    /// Has the program started, for nobody, as soon as its turn comes, if it is down or about to be and nobody has
    /// asked for that.
    pub(crate) fn autostart(&mut self, now: Timestamp) {
        match &mut self.state {
            State::Down(Rest::Idle) => self.state = State::Backoff { until: now },
            State::Stopping { next: next @ None, rest: Rest::Idle, .. } => {
                *next = Some(Call::of_nobody().into());
            }
            State::Down(Rest::Stopped | Rest::Failed)
            | State::Starting { .. }
            | State::Up(_)
            | State::Stopping { .. }
            | State::Backoff { .. } => {}
        }
    }

    /// Takes note of what the configuration says now; `None` if it does not name the program any more.
    ///
    /// A run goes on under the definition that it was started by.
    pub(crate) fn configure(&mut self, definition: Option<Arc<Definition>>) {
        self.definition = definition;
    }

    /// Returns the callers that wait for this program, which nobody will answer after this. What they wait for goes on.
    pub(crate) fn abandon(&mut self) -> Vec<Caller> {
        match &mut self.state {
            State::Stopping { waiting, next, .. } => {
                let restarter =
                    next.as_mut().and_then(|call| mem::replace(&mut **call, Call::of_nobody()).caller);
                mem::take(waiting).into_iter().chain(restarter).collect()
            }
            State::Down(_) | State::Starting { .. } | State::Up(_) | State::Backoff { .. } => Vec::new(),
        }
    }

    /// Returns whether nothing keeps the program any more: it is gone from the configuration and does not run.
    pub(crate) fn is_forgotten(&self) -> bool {
        match self.state {
            State::Down(_) | State::Backoff { .. } => self.definition.is_none(),
            State::Starting { .. } | State::Up(_) | State::Stopping { .. } => false,
        }
    }

    /// Returns what the configuration says today; `None` if the program lingers.
    pub(crate) fn definition(&self) -> Option<&Arc<Definition>> {
        self.definition.as_ref()
    }

    /// Returns the main process, if there is one.
    pub(crate) fn main(&self) -> Option<Pid> {
        self.run().map(|run| run.main.pid)
    }

    /// Returns when something is due: that it is started, or killed.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Backoff { until } => Some(until.instant),
            State::Stopping { patience, .. } => patience.end(),
            State::Down(_) | State::Starting { .. } | State::Up(_) => None,
        }
    }

    /// Returns the rights that a peer needs for an action, all of them.
    ///
    /// The present definition must allow it, so that a right that was taken away is gone at once. If the script is not
    /// the present one, the definition that it is from must allow it as well: a right to a new script is none to the
    /// old one.
    pub(crate) fn rights(&self, action: &Action) -> impl Iterator<Item = &Allowed> {
        let present = self.definition.as_deref().map(|definition| definition.rule(action));
        let effective = self.definition_for(action).map(|definition| definition.rule(action));
        let is_same = |rule: &&Rule| {
            present.is_some_and(|it| it.script == rule.script && it.terms.identity == rule.terms.identity)
        };
        let older = effective.filter(|rule| !is_same(rule));
        present.into_iter().chain(older).map(|rule| &rule.terms.allowed)
    }

    /// Returns all actions that the program knows.
    pub(crate) fn actions(&self) -> BTreeSet<&Action> {
        let definitions = self.definition.iter().chain(self.run().map(|run| &run.definition));
        definitions.flat_map(|definition| definition.actions()).collect()
    }

    /// Returns all that its definitions say of who may ask for anything.
    pub(crate) fn allowances(&self) -> impl Iterator<Item = &Allowed> {
        let definitions = self.definition.iter().chain(self.run().map(|run| &run.definition));
        definitions.flat_map(|definition| {
            let of_actions = definition.rules().iter().map(|(_, rule)| rule);
            std::iter::once(definition.default_rule()).chain(of_actions).map(|rule| &rule.terms.allowed)
        })
    }

    /// Returns whether an action does something, in some state at least.
    pub(crate) fn offers(&self, action: &Action) -> bool {
        let has_script = |action| {
            let definition = self.definition_for(action);
            definition.is_some_and(|definition| definition.rule(action).script.is_some())
        };
        let can_start = self.definition.is_some() && has_script(&Action::Start);
        match action {
            Action::Start => can_start,
            Action::Restart => can_start || self.definition.is_some() && has_script(action),
            Action::Reload => can_start || has_script(action),
            Action::Stop | Action::Status => true,
            Action::Signal | Action::Custom(_) => has_script(action),
        }
    }

    /// Returns whether there is a main process that was started by another definition.
    pub(crate) fn runs_under_another_than(&self, definition: &Arc<Definition>) -> bool {
        self.run().is_some_and(|run| run.definition != *definition)
    }

    /// Returns whether the program has such an action. One that is not built in it has by a script.
    pub(crate) fn knows(&self, action: &Action) -> bool {
        let has_script = |definition: &Arc<Definition>| definition.rule(action).script.is_some();
        action.is_built_in() || self.definition_for(action).is_some_and(has_script)
    }

    /// Returns whose request is going to end the main process, if one is.
    pub(crate) fn stopper(&self) -> Option<Caller> {
        match &self.state {
            State::Stopping { waiting, next, .. } => {
                waiting.first().copied().or_else(|| next.as_ref().and_then(|call| call.caller))
            }
            State::Down(_) | State::Starting { .. } | State::Up(_) | State::Backoff { .. } => None,
        }
    }

    /// Begins a start from a state without a main process, of which this is on record.
    pub(super) fn begin(
        &mut self,
        now: Timestamp,
        call: Call<S>,
        before: Memory,
        effects: &mut Vec<Effect<S>>,
    ) {
        let Some(definition) = self.definition.clone() else {
            return self.refuse_lingering(&call, effects);
        };
        if definition.rule(&Action::Start).script.is_some() {
            self.state = State::Starting { definition: Arc::clone(&definition), before: before.into() };
            effects.push(self.spawn(now, definition, Action::Start, None, call));
        } else if call.caller.is_some() {
            self.refuse_scriptless(&call, effects);
        } else {
            self.state = State::Down(Rest::Idle);
            let (program, reason) = (self.name.clone(), "there is no script for start".to_owned());
            effects.push(Effect::Report(Report::StartFailed { program, reason, retry: None }));
        }
    }

    fn spawn(
        &self,
        now: Timestamp,
        definition: Arc<Definition>,
        action: Action,
        main: Option<Pid>,
        call: Call<S>,
    ) -> Effect<S> {
        let job = Job { program: self.name.clone(), definition, action, caller: call.caller, at: now };
        let memory = match job.action {
            Action::Start | Action::Restart => Some(self.signed(&job, None)),
            Action::Stop | Action::Reload | Action::Signal | Action::Status | Action::Custom(_) => None,
        };
        Effect::Spawn(Spawn { job, arguments: call.arguments, main, stdio: call.stdio, memory })
    }

    /// Returns the definition whose script an action runs: a start is by the present one; what concerns a run, by
    /// that of the run. One that is not built in may be new since, and is by the one that has it.
    fn definition_for(&self, action: &Action) -> Option<&Arc<Definition>> {
        let of_run = match &self.state {
            State::Starting { definition, .. } => Some(definition),
            State::Up(run) | State::Stopping { run, .. } => Some(&run.definition),
            State::Down(_) | State::Backoff { .. } => None,
        };
        match action {
            Action::Start | Action::Restart => self.definition.as_ref().or(of_run),
            Action::Stop | Action::Reload | Action::Signal | Action::Status => {
                of_run.or(self.definition.as_ref())
            }
            Action::Custom(_) => {
                let has_script = |it: &&Arc<Definition>| it.rule(action).script.is_some();
                of_run.filter(has_script).or(self.definition.as_ref())
            }
        }
    }

    fn refuse_busy(&self, call: &Call<S>, effects: &mut Vec<Effect<S>>) {
        call.refuse(Code::Busy, format!("{} is {}", self.name, self.state.describe()), effects);
    }

    fn refuse_down(&self, call: &Call<S>, effects: &mut Vec<Effect<S>>) {
        call.refuse(Code::NotRunning, format!("{} is not running", self.name), effects);
    }

    fn refuse_scriptless(&self, call: &Call<S>, effects: &mut Vec<Effect<S>>) {
        call.refuse(Code::NoCmd, format!("{} has no script for start", self.name), effects);
    }

    fn refuse_lingering(&self, call: &Call<S>, effects: &mut Vec<Effect<S>>) {
        let text = format!("{} is no longer in the configuration and cannot be started again", self.name);
        call.refuse(Code::NoProg, text, effects);
    }

    fn cancelled(&self, caller: Caller, by: &str) -> Effect<S> {
        refuse(caller, Code::Cancelled, format!("{} was {by} meanwhile", self.name))
    }
}

/// What whoever waits is told when the daemon ends.
pub(crate) const ENDS_BEFORE: &str = "the daemon ends before this is done";
