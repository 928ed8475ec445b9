//! Decides everything about programs: what a request, a death or a deadline leads to.
//!
//! Below this folder there is no clock, file, socket, process, thread or environment; time comes in as `now`, and
//! what is to be done goes out as [`Effect`]s.

mod access;
pub(crate) mod call;
mod condition;
pub(crate) mod event;
// Among the tests, and yet not below them: the fuzzer, which has no other test, plays with it, too.
#[cfg(any(test, fuzzing))]
#[path = "tests/model.rs"]
pub(crate) mod model;
mod program;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use procmgr_config::{Action, Config, Definition, Group, ProgramName, Uid};
use procmgr_proto::message::{Code, ExitStatus, Invocation, Refusal, Response};

use crate::supervisor::call::{Call, refuse, reply, shown};
use crate::supervisor::event::{
    Caller, Cause, Changes, Control, Effect, Event, Job, Loaded, Pid, Question, Rejected, Report,
};
use crate::supervisor::program::Program;
use crate::supervisor::table::Table;

/// How many programs one [`Event::Deadline`] starts at the most. Others are due still, and come next, but the
/// requests that have arrived in the meantime go first: ten thousand programs to be started keep nobody waiting.
const STARTS_PER_DEADLINE: usize = 8;

/// Decides what is to be done with the programs of one daemon.
#[derive(Debug)]
pub(crate) struct Supervisor<S> {
    /// The user that the daemon runs as.
    owner: Uid,
    socket_path: PathBuf,
    programs: Table<S>,
    /// The control processes whose end somebody waits for.
    controls: HashMap<Pid, Caller>,
}

/// When a client is answered that has asked for an action with a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplyPoint {
    Spawned,
    ScriptExited,
    MainExited,
}

impl ReplyPoint {
    fn of(action: Action) -> Self {
        match action {
            Action::Start | Action::Restart => Self::Spawned,
            Action::Reload | Action::Signal | Action::Status => Self::ScriptExited,
            Action::Stop => Self::MainExited,
        }
    }
}

impl<S: Clone> Supervisor<S> {
    /// Creates a supervisor whose programs are all down.
    pub(crate) fn new(config: Config, owner: Uid) -> Self {
        let Config { socket_path, state_path: _, on_exit: _, autostart: _, programs } = config;
        let mut table = Table::new();
        for definition in programs {
            table.insert(definition.name.clone(), Program::new(definition), Cause::default());
        }
        // Nobody has asked yet what there is.
        table.take_changes();
        Self { owner, socket_path, programs: table, controls: HashMap::new() }
    }

    /// Decides what an event leads to. The effects are to be performed in their order, each once.
    pub(crate) fn handle(&mut self, now: Instant, event: Event<S>) -> Vec<Effect<S>> {
        let effects = self.decide(now, event);
        let changes = self.programs.take_changes();
        changes.into_iter().map(Effect::Publish).chain(effects).collect()
    }

    /// Returns when [`Event::Deadline`] is wanted, if ever.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.programs.first_due().map(|(due, _)| due)
    }

    fn decide(&mut self, now: Instant, event: Event<S>) -> Vec<Effect<S>> {
        let mut effects = Vec::new();
        match event {
            Event::Autostart(group) => self.autostart(now, group),
            Event::Asked { caller, question } => self.asked(caller, question, &mut effects),
            Event::Invoked { caller, invocation, stdio } => {
                self.invoked(caller, invocation, stdio, &mut effects);
            }
            Event::Spawned { job, pid } => self.spawned(job, pid, &mut effects),
            Event::SpawnFailed { job, reason } => {
                let failure = (job.action == Action::Start).then(|| reason.clone());
                let cause = Cause { by: job.caller, ended: None, failure };
                self.programs.update(&job.program, cause, |program| {
                    program.spawn_failed(now, &job, &reason, &mut effects);
                });
            }
            Event::Exited { pid, status } => self.exited(now, pid, status, &mut effects),
            Event::Deadline => self.deadline(now, &mut effects),
            Event::Signaled(Control::Reload) => effects.push(Effect::LoadConfig { caller: None }),
            Event::Signaled(Control::Terminate) => self.end(None, &mut effects),
            Event::Configured { caller, outcome } => self.configured(caller, outcome, &mut effects),
        }
        effects
    }

    fn autostart(&mut self, now: Instant, group: Group) {
        for name in self.programs.names() {
            self.programs.update(&name, Cause::default(), |program| {
                if program.definition().is_some_and(|definition| definition.autostart == Some(group)) {
                    program.autostart(now);
                }
            });
        }
    }

    fn asked(&mut self, caller: Caller, question: Question, effects: &mut Vec<Effect<S>>) {
        match question {
            Question::Ping => effects.push(reply(caller, Response::Done)),
            Question::List => {
                let programs = self.programs.iter().map(|(name, program)| program.condition().entry(name));
                effects.push(reply(caller, Response::Programs(programs.collect())));
            }
            Question::Subscribe => {
                let programs = self.programs.iter().map(|(name, program)| program.condition().of(name));
                effects.push(reply(caller, Response::Subscribed { programs: programs.collect() }));
            }
            Question::Stop | Question::Reload if !access::may_command(&caller.peer, self.owner) => {
                let text = "only root and the user of the daemon may stop or reload it";
                effects.push(refuse(caller, Code::Eperm, text));
            }
            Question::Stop => self.end(Some(caller), effects),
            Question::Reload => effects.push(Effect::LoadConfig { caller: Some(caller) }),
        }
    }

    fn invoked(&mut self, caller: Caller, invocation: Invocation, stdio: S, effects: &mut Vec<Effect<S>>) {
        let Invocation { program, action, arguments } = invocation;
        let Some((name, program)) = self.programs.get(program.as_slice()) else {
            let text = format!("there is no program {}", shown(&program));
            return effects.push(refuse(caller, Code::NoProg, text));
        };
        let Some(action) = Action::from_name(&action) else {
            let text = format!("there is no action {}", shown(&action));
            return effects.push(refuse(caller, Code::NoAction, text));
        };
        if !access::may_invoke(&caller.peer, program.rights(action)) {
            return effects.push(refuse(caller, Code::BadAuth, format!("you may not {action} {name}")));
        }
        let name = name.clone();
        let call = Call::new(caller, arguments, stdio);
        let cause = Cause::request(Some(caller));
        self.programs.update(&name, cause, |program| program.invoke(action, call, effects));
    }

    fn spawned(&mut self, job: Job, pid: Pid, effects: &mut Vec<Effect<S>>) {
        match ReplyPoint::of(job.action) {
            ReplyPoint::Spawned => {
                let (name, cause) = (job.program.clone(), Cause::request(job.caller));
                self.programs.update(&name, cause, |program| program.main_spawned(job, pid, effects));
            }
            ReplyPoint::ScriptExited => self.controls.extend(job.caller.map(|caller| (pid, caller))),
            // The caller waits for the main process, so nobody does for this one.
            ReplyPoint::MainExited => {}
        }
    }

    fn exited(&mut self, now: Instant, pid: Pid, status: ExitStatus, effects: &mut Vec<Effect<S>>) {
        if let Some(name) = self.programs.of_main(pid).cloned() {
            let by = self.programs.get(&name).and_then(|(_, program)| program.stopper());
            let cause = Cause { by, ended: Some(status), failure: None };
            self.programs.update(&name, cause, |program| program.main_exited(now, status, effects));
        } else if let Some(caller) = self.controls.remove(&pid) {
            effects.push(reply(caller, Response::Exited(status)));
        }
    }

    fn deadline(&mut self, now: Instant, effects: &mut Vec<Effect<S>>) {
        for _ in 0..STARTS_PER_DEADLINE {
            let Some((_, name)) = self.programs.first_due().filter(|(due, _)| *due <= now) else { break };
            let name = name.clone();
            self.programs.update(&name, Cause::default(), |program| program.deadline(effects));
        }
    }

    /// Ends the daemon. Programs go on; whoever waits is told that nobody will answer.
    fn end(&mut self, caller: Option<Caller>, effects: &mut Vec<Effect<S>>) {
        let mut waiting: Vec<Caller> = self.controls.drain().map(|(_, caller)| caller).collect();
        for name in self.programs.names() {
            let abandoned = self.programs.update(&name, Cause::request(caller), Program::abandon);
            waiting.extend(abandoned.unwrap_or_default());
        }
        waiting.sort_unstable();
        let text = "the daemon ends before this is done";
        effects.extend(waiting.into_iter().map(|caller| refuse(caller, Code::Shutdown, text)));
        effects.push(Effect::Report(Report::Ending));
        effects.push(Effect::Exit { caller });
    }

    fn configured(
        &mut self,
        caller: Option<Caller>,
        outcome: Result<Loaded, Rejected>,
        effects: &mut Vec<Effect<S>>,
    ) {
        let response = match outcome {
            Ok(Loaded { config, mut remarks }) => {
                if config.socket_path != self.socket_path {
                    remarks.push(format!(
                        "the socket stays {} until the daemon is started anew",
                        self.socket_path.display()
                    ));
                }
                effects.push(Effect::Report(Report::Reconfigured {
                    changes: self.apply(config.programs, &Cause::request(caller)),
                    remarks: remarks.clone(),
                }));
                Response::Reloaded { remarks: remarks.into_iter().map(String::into_bytes).collect() }
            }
            Err(Rejected { lines }) => {
                effects.push(Effect::Report(Report::ConfigRejected { lines: lines.clone() }));
                Response::Refused(Refusal::new(Code::BadConf, lines.join("\n")))
            }
        };
        effects.extend(caller.map(|caller| reply(caller, response)));
    }

    /// Puts new definitions in force. Starts and stops nothing.
    fn apply(&mut self, definitions: Vec<Arc<Definition>>, cause: &Cause) -> Changes {
        let order: Vec<ProgramName> = definitions.iter().map(|definition| definition.name.clone()).collect();
        let present: HashSet<&ProgramName> = order.iter().collect();
        let mut changes = Changes::default();
        for name in self.programs.names() {
            if !present.contains(&name) {
                let was_present =
                    self.programs.update(&name, cause.clone(), |program| program.configure(None).is_some());
                if was_present == Some(true) {
                    changes.removed.push(name);
                }
            }
        }
        for definition in definitions {
            let name = definition.name.clone();
            let before = self
                .programs
                .update(&name, cause.clone(), |program| program.configure(Some(Arc::clone(&definition))));
            match before {
                Some(Some(before)) if before == definition => {}
                Some(Some(_)) => changes.changed.push(name),
                // It lingered until now, and is the program of the configuration again.
                Some(None) => changes.added.push(name),
                None => {
                    self.programs.insert(name.clone(), Program::new(definition), cause.clone());
                    changes.added.push(name);
                }
            }
        }
        self.programs.reorder(order);
        changes
    }
}
