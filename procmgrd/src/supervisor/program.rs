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
//! | Up | → Backoff with a delay, else → Down; lingering: forgotten | | lingers |
//! | Stopping | → Down [Exited to each waiting]; lingering: forgotten | | lingers |
//! | Restarting | → Starting [Exited to each waiting, Spawn for the restarter]; lingering: forgotten [Refuse NOPROG] | | lingers |
//! | Backoff | | → Starting [Spawn for nobody] | forgotten |
//!
//! | state | the daemon is to end, and programs with it | what an earlier daemon has left: it lives | … it is dead |
//! |---|---|---|---|
//! | Down | | was running: → Up; stopping: → Stopping [stop action]; restarting: → Restarting [stop action] | was running: as after a death; stopping: → Down; restarting: → Backoff, due now; in Backoff: → Backoff, due as before |
//! | Up | → Stopping [stop action] | | |
//! | Stopping | | | |
//! | Restarting | → Stopping [Refuse the restarter SHUTDOWN] | | |
//! | Backoff | → Down | | |
//!
//! The *stop action* is the stop script, or else SIGTERM. A start that lacks its script is refused NOCMD, for nobody
//! it is reported and → Down; a restart without a script needs one for the start. Any other script that could not be
//! executed is refused SPAWN. Restarting is Stopping with a start that comes next. An exit concerns a program only if
//! it is of its main process *now*: after a restart script the old process is nobody's.
//!
//! A reload with a script is refused NOTRUNNING in Down and Backoff and BUSY in Starting, and spawned beside in
//! the others; without one it is a restart. Signal and status are spawned, or answered, in every state. Of what
//! lingers, everything that concerns its run is possible; to start it again, by whatever way, is refused NOPROG.

pub(crate) mod state;
mod succession;

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use procmgr_config::{Action, Allowed, Definition, ProgramName, Rule};
use procmgr_proto::message::{Code, ExitStatus, Response};

use crate::supervisor::call::{Call, refuse, reply};
use crate::supervisor::event::{Caller, Effect, Job, Pid, Process, Report, Restart, Spawn};
use crate::supervisor::memory::Memory;
use crate::supervisor::program::state::{Origin, Rest, Run, State};

/// One program.
#[derive(Clone, Debug)]
pub(crate) struct Program<S> {
    pub(crate) name: ProgramName,
    /// What the configuration says today; `None` if the program is gone from it and lingers.
    pub(crate) definition: Option<Arc<Definition>>,
    /// How many times in a row it has been started, or is to be, for nobody.
    pub(crate) restarts: u32,
    pub(crate) state: State<S>,
}

impl<S: Clone> Program<S> {
    /// Creates a program that is down.
    pub(crate) fn new(definition: Arc<Definition>) -> Self {
        Self {
            name: definition.name.clone(),
            definition: Some(definition),
            restarts: 0,
            state: State::Down(Rest::Idle),
        }
    }

    /// Creates a program that the configuration does not name, and of which nothing is left unless it is recalled.
    pub(crate) fn unnamed(name: ProgramName) -> Self {
        Self { name, definition: None, restarts: 0, state: State::Down(Rest::Idle) }
    }

    /// Performs an action that a client asks for and may ask for.
    pub(crate) fn invoke(&mut self, action: Action, call: Call<S>, effects: &mut Vec<Effect<S>>) {
        match action {
            Action::Start => self.start(call, effects),
            Action::Stop => self.stop(call, effects),
            Action::Restart => self.restart(call, effects),
            Action::Reload => self.reload(call, effects),
            Action::Signal | Action::Custom(_) => {
                self.run_beside_or(action, call, effects, |_| Response::Done);
            }
            Action::Status => self.run_beside_or(action, call, effects, |program| Response::Status {
                running: program.main().is_some(),
            }),
        }
    }

    /// Takes note that the script of a start or restart has been executed: it is the main process from now on.
    pub(crate) fn main_spawned(&mut self, job: &Job, process: Process, effects: &mut Vec<Effect<S>>) {
        self.restarts = self.restarts_by(job);
        let definition = Arc::clone(&job.definition);
        let run = Run { main: process, definition, origin: Origin::Own };
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
        now: Instant,
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

    /// Takes note that the main process has come to its end.
    pub(crate) fn main_exited(&mut self, now: Instant, status: ExitStatus, effects: &mut Vec<Effect<S>>) {
        let before = self.memory();
        match mem::replace(&mut self.state, State::Down(Rest::Idle)) {
            State::Up(run) => self.die(
                now,
                |program, restart| Report::Ended { program, pid: run.main.pid, status, restart },
                effects,
            ),
            State::Stopping { run, waiting, next, rest } => {
                let (program, pid) = (self.name.clone(), run.main.pid);
                effects.push(Effect::Report(Report::Ended { program, pid, status, restart: None }));
                effects.extend(waiting.into_iter().map(|caller| reply(caller, Response::Exited(status))));
                match next {
                    Some(call) => self.begin(call, before, effects),
                    None => self.state = State::Down(rest),
                }
            }
            other @ (State::Down(_) | State::Starting { .. } | State::Backoff { .. }) => {
                debug_assert!(false, "{} has no main process", self.name);
                self.state = other;
            }
        }
    }

    /// Starts the program, for nobody, now that the time for it has come.
    pub(crate) fn deadline(&mut self, effects: &mut Vec<Effect<S>>) {
        if self.start_due().is_some() {
            self.begin(Call::of_nobody(), self.memory(), effects);
        }
    }

    /// Has the program started, for nobody, as soon as its turn comes, if it is down or about to be and nobody has asked for
    /// that.
    pub(crate) fn autostart(&mut self, now: Instant) {
        match &mut self.state {
            State::Down(Rest::Idle) => self.state = State::Backoff { until: now },
            State::Stopping { next: next @ None, rest: Rest::Idle, .. } => *next = Some(Call::of_nobody()),
            State::Down(Rest::Stopped)
            | State::Starting { .. }
            | State::Up(_)
            | State::Stopping { .. }
            | State::Backoff { .. } => {}
        }
    }

    /// Takes note of what the configuration says now; `None` if it does not name the program any more.
    ///
    /// A run goes on under the definition that it was started by. Returns what the configuration said before.
    pub(crate) fn configure(&mut self, definition: Option<Arc<Definition>>) -> Option<Arc<Definition>> {
        mem::replace(&mut self.definition, definition)
    }

    /// Returns the callers that wait for this program, which nobody will answer after this. What they wait for goes on.
    pub(crate) fn abandon(&mut self) -> Vec<Caller> {
        match &mut self.state {
            State::Stopping { waiting, next, .. } => {
                let restarter = next.as_mut().and_then(|call| mem::replace(call, Call::of_nobody()).caller);
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
    fn main(&self) -> Option<Pid> {
        self.run().map(|run| run.main.pid)
    }

    /// Returns when the program is to be started, if it is.
    pub(crate) fn start_due(&self) -> Option<Instant> {
        match self.state {
            State::Backoff { until } => Some(until),
            State::Down(_) | State::Starting { .. } | State::Up(_) | State::Stopping { .. } => None,
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
        let is_same =
            |rule: &&Rule| present.is_some_and(|it| it.script == rule.script && it.identity == rule.identity);
        let older = effective.filter(|rule| !is_same(rule));
        present.into_iter().chain(older).map(|rule| &rule.allowed)
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

    fn start(&mut self, call: Call<S>, effects: &mut Vec<Effect<S>>) {
        match self.state {
            State::Down(_) | State::Backoff { .. } => self.begin(call, self.memory(), effects),
            State::Starting { .. } | State::Up(_) | State::Stopping { .. } => {
                self.refuse_busy(&call, effects);
            }
        }
    }

    fn stop(&mut self, call: Call<S>, effects: &mut Vec<Effect<S>>) {
        match mem::replace(&mut self.state, State::Down(Rest::Stopped)) {
            State::Down(rest) => {
                self.state = State::Down(rest);
                self.refuse_down(&call, effects);
            }
            starting @ State::Starting { .. } => {
                self.state = starting;
                self.refuse_busy(&call, effects);
            }
            State::Up(run) => self.stop_run(run, Vec::new(), Rest::Stopped, call, effects),
            State::Stopping { run, waiting, next, rest: _ } => {
                let restarter = next.and_then(|call| call.caller);
                effects.extend(restarter.map(|caller| self.cancelled(caller, "stopped")));
                self.stop_run(run, waiting, Rest::Stopped, call, effects);
            }
            State::Backoff { .. } => effects.extend(call.caller.map(|caller| reply(caller, Response::Done))),
        }
    }

    fn stop_run(
        &mut self,
        run: Run,
        mut waiting: Vec<Caller>,
        rest: Rest,
        call: Call<S>,
        effects: &mut Vec<Effect<S>>,
    ) {
        waiting.extend(call.caller);
        effects.push(self.stop_effect(&run, call));
        self.state = State::Stopping { run, waiting, next: None, rest };
    }

    fn restart(&mut self, call: Call<S>, effects: &mut Vec<Effect<S>>) {
        let Some(definition) = self.definition.clone() else {
            return self.refuse_lingering(&call, effects);
        };
        match (&mut self.state, &definition.rule(&Action::Restart).script) {
            (State::Down(_), _) => self.refuse_down(&call, effects),
            (State::Starting { .. } | State::Stopping { next: Some(_), .. }, _) => {
                self.refuse_busy(&call, effects);
            }
            (State::Backoff { .. }, _) => self.begin(call, self.memory(), effects),
            (State::Up(run) | State::Stopping { run, next: None, .. }, Some(_)) => {
                let main = run.main.pid;
                effects.push(self.spawn(definition, Action::Restart, Some(main), call));
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
                effects.push(self.stop_effect(&run, stop));
                let next = Some(call);
                self.state = State::Stopping { run, waiting: Vec::new(), next, rest: Rest::Idle };
            }
            (State::Stopping { next: next @ None, .. }, None) => *next = Some(call),
        }
    }

    fn reload(&mut self, call: Call<S>, effects: &mut Vec<Effect<S>>) {
        match &self.state {
            State::Down(_) | State::Starting { .. } | State::Backoff { .. } => {
                let scripted = self
                    .definition_for(&Action::Reload)
                    .and_then(|it| it.rule(&Action::Reload).script.as_ref());
                match (&self.state, scripted) {
                    (State::Starting { .. }, _) => self.refuse_busy(&call, effects),
                    (_, Some(_)) => self.refuse_down(&call, effects),
                    (_, None) => self.restart(call, effects),
                }
            }
            State::Up(run) | State::Stopping { run, .. } => {
                match run.definition.rule(&Action::Reload).script {
                    Some(_) => effects.push(self.spawn(
                        Arc::clone(&run.definition),
                        Action::Reload,
                        Some(run.main.pid),
                        call,
                    )),
                    None => self.restart(call, effects),
                }
            }
        }
    }

    /// Runs the script of an action that can be performed in any state, or answers what it does by default.
    fn run_beside_or(
        &mut self,
        action: Action,
        call: Call<S>,
        effects: &mut Vec<Effect<S>>,
        default: impl FnOnce(&Self) -> Response,
    ) {
        match self.definition_for(&action).filter(|definition| definition.rule(&action).script.is_some()) {
            Some(definition) => effects.push(self.spawn(Arc::clone(definition), action, self.main(), call)),
            None => effects.extend(call.caller.map(|caller| reply(caller, default(self)))),
        }
    }

    /// Begins a start from a state without a main process, of which this is on record.
    fn begin(&mut self, call: Call<S>, before: Memory, effects: &mut Vec<Effect<S>>) {
        let Some(definition) = self.definition.clone() else {
            return self.refuse_lingering(&call, effects);
        };
        if definition.rule(&Action::Start).script.is_some() {
            self.state = State::Starting { definition: Arc::clone(&definition), before };
            effects.push(self.spawn(definition, Action::Start, None, call));
        } else if call.caller.is_some() {
            self.refuse_scriptless(&call, effects);
        } else {
            self.state = State::Down(Rest::Idle);
            let (program, reason) = (self.name.clone(), "there is no script for start".to_owned());
            effects.push(Effect::Report(Report::StartFailed { program, reason, retry: None }));
        }
    }

    /// Decides what follows a death that nobody has asked for.
    fn die(
        &mut self,
        now: Instant,
        report: impl FnOnce(ProgramName, Option<Restart>) -> Report,
        effects: &mut Vec<Effect<S>>,
    ) {
        let delay = self.definition.as_ref().and_then(|definition| definition.restart_delay);
        self.restarts = self.restarts.saturating_add(u32::from(delay.is_some()));
        self.state = delay.map_or(State::Down(Rest::Idle), |delay| State::Backoff { until: now + delay });
        let restart = delay.map(|delay| Restart { delay, number: self.restarts });
        effects.push(Effect::Report(report(self.name.clone(), restart)));
    }

    /// Takes back a start that a client has asked for; one that nobody has asked for counts as a death.
    fn start_failed(&mut self, now: Instant, job: &Job, reason: &str, effects: &mut Vec<Effect<S>>) {
        if job.caller.is_none() {
            let report = |program, retry| Report::StartFailed { program, reason: reason.to_owned(), retry };
            self.die(now, report, effects);
        } else if let State::Starting { before, .. } = &self.state {
            self.state = match before {
                Memory::Due { at, .. } => State::Backoff { until: *at },
                Memory::Stopped => State::Down(Rest::Stopped),
                Memory::Nothing | Memory::Running(_) => State::Down(Rest::Idle),
            };
        }
    }

    /// Takes back a stop, or the restart that began with it, whose script could not be executed. A daemon that ends does
    /// without the script.
    fn stop_failed(&mut self, job: &Job, reason: &str, effects: &mut Vec<Effect<S>>) {
        if job.caller.is_none() {
            let (program, reason) = (self.name.clone(), reason.to_owned());
            effects.push(Effect::Report(Report::StopFailed { program, reason }));
        }
        if let State::Stopping { run, waiting, next, rest } = &mut self.state {
            waiting.retain(|caller| Some(*caller) != job.caller);
            if job.caller.is_none() && next.is_none() && *rest == Rest::Idle {
                return effects.push(Effect::Terminate { process: run.main });
            }
            next.take_if(|call| call.caller == job.caller);
            if waiting.is_empty() && next.is_none() {
                self.state = State::Up(run.clone());
            }
        }
    }

    fn stop_effect(&self, run: &Run, call: Call<S>) -> Effect<S> {
        match run.definition.rule(&Action::Stop).script {
            Some(_) => self.spawn(Arc::clone(&run.definition), Action::Stop, Some(run.main.pid), call),
            None => Effect::Terminate { process: run.main },
        }
    }

    fn spawn(
        &self,
        definition: Arc<Definition>,
        action: Action,
        main: Option<Pid>,
        call: Call<S>,
    ) -> Effect<S> {
        let job = Job { program: self.name.clone(), definition, action, caller: call.caller };
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
