//! Decides everything about programs: what a request, a death or a deadline leads to.
//!
//! Below this folder there is no clock, file, socket, process, thread or environment; time comes in as `now`, and
//! what is to be done goes out as [`Effect`]s.

mod access;
pub(crate) mod call;
mod condition;
pub(crate) mod event;
pub(crate) mod memory;
// Among the tests, and yet not below them: the fuzzer, which has no other test, plays with it, too.
#[cfg(any(test, fuzzing))]
#[path = "tests/model.rs"]
pub(crate) mod model;
pub(crate) mod program;
mod questions;
mod reconfiguration;
mod table;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procmgr_config::{Action, Config, Definition, Gid, Group, OnExit, ProgramName, Uid};
use procmgr_proto::message::{Code, ExitStatus, Invocation, Response};

use crate::maps::Map;
use crate::supervisor::access::Person;
use crate::supervisor::call::{Call, refuse, reply, shown};
use crate::supervisor::event::{
    Caller, Cause, Control, Effect, Event, Intent, Job, Pid, Process, Report, Timestamp,
};
use crate::supervisor::memory::{Memory, Recollection};
use crate::supervisor::program::{ENDS_BEFORE, Program};
use crate::supervisor::table::Table;

/// Decides what is to be done with the programs of one daemon.
#[derive(Debug)]
pub(crate) struct Supervisor<S> {
    host: Host,
    standing: Standing,
    programs: Table<S>,
    /// The control processes whose end somebody waits for.
    controls: Map<Pid, Caller>,
    /// Who waits for the executable to take over, while it is tried.
    upgrader: Option<Caller>,
    /// Who waits for the end of the daemon, while it waits for the end of its programs.
    enders: Option<Vec<Caller>>,
}

/// What is given with the process of the daemon, and no file says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    /// The user that the daemon runs as.
    pub(crate) owner: Uid,
    /// How long programs may take to end when the daemon does, if their definitions do not say it; `None` waits for
    /// them without end.
    pub(crate) patience: Option<Duration>,
}

/// What the configuration says of the daemon itself.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Where it listens, as long as it lives.
    pub(crate) socket_path: PathBuf,
    /// Where it keeps its records, as long as it lives.
    pub(crate) state_path: Option<PathBuf>,
    pub(crate) on_exit: OnExit,
}

/// All that a supervisor knows, for another image of the daemon to go on with.
#[derive(Debug)]
pub(crate) struct Snapshot<P> {
    pub(crate) standing: Standing,
    /// In the order of lists.
    pub(crate) programs: Vec<P>,
    pub(crate) controls: Vec<(Pid, Caller)>,
    pub(crate) upgrader: Option<Caller>,
    pub(crate) enders: Option<Vec<Caller>>,
}

/// How all programs fare, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overview {
    /// How many there are, those that linger included.
    pub(crate) programs: usize,
    /// How many of them have a main process.
    pub(crate) running: usize,
    /// Whether the daemon ends as soon as none of them has.
    pub(crate) is_ending: bool,
}

/// When a client is answered that has asked for an action with a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplyPoint {
    Spawned,
    ScriptExited,
    MainExited,
}

impl ReplyPoint {
    fn of(action: &Action) -> Self {
        match action {
            Action::Start | Action::Restart => Self::Spawned,
            Action::Reload | Action::Signal | Action::Status | Action::Custom(_) => Self::ScriptExited,
            Action::Stop => Self::MainExited,
        }
    }
}

impl<S: Clone> Supervisor<S> {
    /// Creates a supervisor whose programs are all down.
    pub(crate) fn new(config: Config, host: Host) -> Self {
        let Config { socket_path, state_path, on_exit, autostart: _, programs } = config;
        let programs = programs.into_iter().map(Program::new).collect();
        let standing = Standing { socket_path, state_path, on_exit };
        let snapshot = Snapshot { standing, programs, controls: Vec::new(), upgrader: None, enders: None };
        Self::restored(snapshot, host)
    }

    /// Creates a supervisor that goes on where another one was.
    pub(crate) fn restored(snapshot: Snapshot<Program<S>>, host: Host) -> Self {
        let Snapshot { standing, programs, controls, upgrader, enders } = snapshot;
        let mut table = Table::with_capacity(programs.len());
        for program in programs {
            table.insert(program.name.clone(), program, Cause::default());
        }
        // Nobody has asked yet what there is, or knows it already.
        table.take_changes();
        Self { host, standing, programs: table, controls: controls.into_iter().collect(), upgrader, enders }
    }

    /// Returns all that there is to know. To be asked between two events.
    pub(crate) fn snapshot(&self) -> Snapshot<&Program<S>> {
        Snapshot {
            standing: self.standing.clone(),
            programs: self.programs.iter().map(|(_, program)| program).collect(),
            controls: self.controls.iter().map(|(pid, caller)| (*pid, *caller)).collect(),
            upgrader: self.upgrader,
            enders: self.enders.clone(),
        }
    }

    /// Returns by which definition a program lives, if it is defined.
    pub(crate) fn definition(&self, program: &ProgramName) -> Option<&Arc<Definition>> {
        self.programs.get(program).and_then(|(_, program)| program.definition())
    }

    /// Returns what is to be on record, as far as there is something.
    pub(crate) fn memories(&self) -> impl Iterator<Item = (&ProgramName, Memory)> {
        let memories = self.programs.iter().map(|(name, program)| (name, program.memory()));
        memories.filter(|(_, memory)| *memory != Memory::Nothing)
    }

    /// Returns how all programs fare.
    pub(crate) fn overview(&self) -> Overview {
        let (programs, running) = (self.programs.count(), self.programs.running());
        Overview { programs, running, is_ending: self.enders.is_some() }
    }

    /// Decides what an event leads to. The effects are to be performed in their order, each once.
    pub(crate) fn handle(&mut self, now: Timestamp, event: Event<S>) -> Vec<Effect<S>> {
        let mut effects = self.decide(now, event);
        if self.enders.is_some() && self.programs.running() == 0 {
            self.end(&mut effects);
        }
        let memories = self.programs.take_memories();
        let memories = memories.into_iter().map(|(program, memory)| Effect::Remember { program, memory });
        let changes = self.programs.take_changes().into_iter().map(Effect::Publish);
        memories.chain(changes).chain(effects).collect()
    }

    /// Returns when [`Event::Deadline`] is wanted, if ever.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.programs.first_due().map(|(due, _)| due)
    }

    fn decide(&mut self, now: Timestamp, event: Event<S>) -> Vec<Effect<S>> {
        let mut effects = Vec::new();
        match event {
            Event::Recalled { programs } => self.recalled(now, programs, &mut effects),
            Event::Autostart(group) => self.autostart(now, group),
            Event::Asked { caller, question } => self.asked(now, caller, question, &mut effects),
            Event::Invoked { caller, groups, invocation, stdio } => {
                self.invoked(now, caller, &groups, invocation, stdio, &mut effects);
            }
            Event::Spawned { job, process } => self.spawned(&job, process, &mut effects),
            Event::SpawnFailed { job, reason } => self.spawn_failed(now, &job, &reason, &mut effects),
            Event::Exited { pid, status } => self.exited(now, pid, status, &mut effects),
            Event::Deadline => self.deadline(now, &mut effects),
            Event::Signaled(Control::Reload) => {
                effects.push(Effect::LoadConfig { caller: None, intent: Intent::Apply });
            }
            // Whoever asks twice does not want to wait for the programs any longer.
            Event::Signaled(Control::Terminate) if self.enders.is_some() => self.end(&mut effects),
            Event::Signaled(Control::Terminate) => self.begin_end(now, None, &mut effects),
            Event::Configured { caller, intent, outcome } => {
                self.configured(caller, intent, outcome, &mut effects);
            }
            Event::Rehearsed => effects.extend(self.upgrader.map(|_| Effect::HandOver)),
            Event::NotUpgraded { reason } => self.not_upgraded(reason, &mut effects),
            Event::Upgraded => {
                effects.push(Effect::Report(Report::Upgraded));
                effects.extend(self.upgrader.take().map(|caller| reply(caller, Response::Done)));
            }
        }
        effects
    }

    /// Goes on with what an earlier daemon has left. Programs that the configuration does not name linger if they run.
    fn recalled(&mut self, now: Timestamp, programs: Vec<Recollection>, effects: &mut Vec<Effect<S>>) {
        for Recollection { program: name, memory, living } in programs {
            if self.programs.get(&name).is_none() {
                if living.is_none() {
                    continue;
                }
                self.programs.insert(name.clone(), Program::unnamed(name.clone()), Cause::default());
            }
            let recall = |program: &mut Program<S>| program.recall(now, memory, living, effects);
            self.programs.update(&name, Cause::default(), recall);
        }
    }

    fn autostart(&mut self, now: Timestamp, group: Group) {
        for name in self.programs.names() {
            self.programs.update(&name, Cause::default(), |program| {
                if program.definition().is_some_and(|definition| definition.autostart == Some(group)) {
                    program.autostart(now);
                }
            });
        }
    }

    fn invoked(
        &mut self,
        now: Timestamp,
        caller: Caller,
        groups: &[Gid],
        invocation: Invocation,
        stdio: S,
        effects: &mut Vec<Effect<S>>,
    ) {
        let Invocation { program, action, arguments } = invocation;
        let Some((name, program)) = self.programs.get(program.as_slice()) else {
            let text = format!("there is no program {}", shown(&program));
            return effects.push(refuse(caller, Code::NoProg, text));
        };
        let action = Action::from_name(&action);
        if !program.knows(&action) {
            let text = format!("there is no action {}", shown(action.name()));
            return effects.push(refuse(caller, Code::NoAction, text));
        }
        if !(Person { peer: caller.peer, groups }).may_invoke(program.rights(&action)) {
            return effects.push(refuse(caller, Code::BadAuth, format!("you may not {action} {name}")));
        }
        if self.enders.is_some() && matches!(action, Action::Start | Action::Restart | Action::Reload) {
            return effects.push(refuse(caller, Code::Shutdown, "the daemon is about to end"));
        }
        let name = name.clone();
        let call = Call::new(caller, arguments, stdio);
        let cause = Cause::request(Some(caller));
        self.programs.update(&name, cause, |program| program.invoke(now, action, call, effects));
    }

    fn spawned(&mut self, job: &Job, process: Process, effects: &mut Vec<Effect<S>>) {
        match ReplyPoint::of(&job.action) {
            ReplyPoint::Spawned => {
                let (name, cause) = (job.program.clone(), Cause::request(job.caller));
                let signed = |program: &Program<S>| program.signed(job, Some(process));
                self.programs.update_from(&name, cause, signed, |program| {
                    program.main_spawned(job, process, effects);
                });
            }
            ReplyPoint::ScriptExited => self.controls.extend(job.caller.map(|caller| (process.pid, caller))),
            // The caller waits for the main process, so nobody does for this one.
            ReplyPoint::MainExited => {}
        }
    }

    fn spawn_failed(&mut self, now: Timestamp, job: &Job, reason: &str, effects: &mut Vec<Effect<S>>) {
        let failure = (job.action == Action::Start).then(|| reason.to_owned());
        let cause = Cause { by: job.caller, ended: None, failure };
        let (is_ending, patience) = (self.enders.is_some(), self.host.patience);
        let change = |program: &mut Program<S>| {
            program.spawn_failed(now, job, reason, effects);
            // What somebody else wanted to stop has to end nevertheless.
            if is_ending {
                program.end(now, patience, effects);
            }
        };
        match ReplyPoint::of(&job.action) {
            // A process that is no more may have put itself on record.
            ReplyPoint::Spawned => {
                self.programs.update_from(&job.program, cause, |program| program.signed(job, None), change);
            }
            ReplyPoint::ScriptExited | ReplyPoint::MainExited => {
                self.programs.update(&job.program, cause, change);
            }
        }
    }

    fn exited(&mut self, now: Timestamp, pid: Pid, status: ExitStatus, effects: &mut Vec<Effect<S>>) {
        if let Some(name) = self.programs.of_main(pid).cloned() {
            let by = self.programs.get(&name).and_then(|(_, program)| program.stopper());
            let cause = Cause { by, ended: Some(status), failure: None };
            self.programs.update(&name, cause, |program| program.main_exited(now, status, effects));
        } else if let Some(caller) = self.controls.remove(&pid) {
            effects.push(reply(caller, Response::Exited(status)));
        }
    }

    /// Does what is due first. Whatever else is due is so still, so that requests can go before it.
    fn deadline(&mut self, now: Timestamp, effects: &mut Vec<Effect<S>>) {
        let first = self.programs.first_due().filter(|(due, _)| *due <= now.instant);
        if let Some(name) = first.map(|(_, name)| name.clone()) {
            self.programs.update(&name, Cause::default(), |program| program.deadline(now, effects));
        }
    }

    fn not_upgraded(&mut self, reason: String, effects: &mut Vec<Effect<S>>) {
        let text = format!("the executable cannot take over: {reason}");
        effects.push(Effect::Report(Report::NotUpgraded { reason }));
        effects.extend(self.upgrader.take().map(|caller| refuse(caller, Code::Spawn, text)));
    }

    /// Ends the daemon, after its programs if they are to end with it.
    fn begin_end(&mut self, now: Timestamp, caller: Option<Caller>, effects: &mut Vec<Effect<S>>) {
        let is_new = self.enders.is_none();
        self.enders.get_or_insert_default().extend(caller);
        match self.standing.on_exit {
            OnExit::Leave => self.end(effects),
            OnExit::Stop if is_new => {
                let patience = self.host.patience;
                effects.push(Effect::Report(Report::Stopping { programs: self.programs.running() }));
                for name in self.programs.names() {
                    self.programs
                        .update(&name, Cause::request(caller), |program| program.end(now, patience, effects));
                }
            }
            OnExit::Stop => {}
        }
    }

    /// Ends the daemon, whatever runs. Whoever waits is told that nobody will answer.
    fn end(&mut self, effects: &mut Vec<Effect<S>>) {
        let mut enders = self.enders.take().unwrap_or_default().into_iter();
        let last = enders.next();
        let mut waiting: Vec<Caller> = self.controls.drain().map(|(_, caller)| caller).collect();
        waiting.extend(self.upgrader.take());
        for name in self.programs.names() {
            let abandoned = self.programs.update(&name, Cause::request(last), Program::abandon);
            waiting.extend(abandoned.unwrap_or_default());
        }
        waiting.sort_unstable();
        effects.extend(waiting.into_iter().map(|caller| refuse(caller, Code::Shutdown, ENDS_BEFORE)));
        effects.extend(enders.map(|caller| reply(caller, Response::Done)));
        effects.push(Effect::Report(Report::Ending));
        effects.push(Effect::Exit { caller: last });
    }
}
