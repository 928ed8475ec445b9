//! What of a program outlives the daemon, what a later one makes of it, and how a program ends with the daemon.
//!
//! What requests, deaths and deadlines do is told next door, in `program`.

use std::sync::Arc;
use std::time::Instant;

use procmgr_config::Definition;
use procmgr_proto::message::{Code, ExitStatus};

use crate::supervisor::call::Call;
use crate::supervisor::event::{Effect, Job, Process, Report};
use crate::supervisor::memory::{Aim, Memory, Running};
use crate::supervisor::program::state::{Origin, Rest, Run, State};
use crate::supervisor::program::{ENDS_BEFORE, Program};

impl<S: Clone> Program<S> {
    /// Returns what is to be on record.
    pub(crate) fn memory(&self) -> Memory {
        match &self.state {
            State::Down(Rest::Idle) => Memory::Nothing,
            State::Down(Rest::Stopped) => Memory::Stopped,
            State::Starting { before, .. } => before.clone(),
            State::Up(run) => self.memory_of(run, Aim::Run),
            State::Stopping { run, next: Some(_), .. } => self.memory_of(run, Aim::Restart),
            State::Stopping { run, rest: Rest::Stopped, .. } => self.memory_of(run, Aim::Stop),
            State::Stopping { run, rest: Rest::Idle, .. } => self.memory_of(run, Aim::End),
            State::Backoff { until } => Memory::Due { at: *until, restarts: self.restarts },
        }
    }

    fn memory_of(&self, run: &Run, aim: Aim) -> Memory {
        let (main, definition) = (Some(run.main), Arc::clone(&run.definition));
        Memory::Running(Running { main, former: None, definition, aim, restarts: self.restarts })
    }

    /// Returns what the process that is to become the main process puts on record before it is executed.
    pub(crate) fn signed(&self, job: &Job, process: Option<Process>) -> Memory {
        Memory::Running(Running {
            main: process,
            former: self.run().map(|run| run.main),
            definition: Arc::clone(&job.definition),
            aim: Aim::Run,
            restarts: self.restarts_by(job),
        })
    }

    /// Returns how many restarts in a row it will have been after this one. Somebody's request begins a new row.
    pub(super) fn restarts_by(&self, job: &Job) -> u32 {
        if job.caller.is_some() { 0 } else { self.restarts }
    }

    /// Makes of a program that is down what an earlier daemon has left on record; what was under way goes on, for nobody.
    pub(crate) fn recall(
        &mut self,
        now: Instant,
        memory: Memory,
        living: Option<Process>,
        effects: &mut Vec<Effect<S>>,
    ) {
        match memory {
            Memory::Nothing => {}
            Memory::Stopped => self.state = State::Down(Rest::Stopped),
            Memory::Due { at, restarts } => {
                self.restarts = restarts;
                self.state = State::Backoff { until: at };
            }
            Memory::Running(Running { main, definition, aim, restarts, former: _ }) => {
                self.restarts = restarts;
                match (living, main) {
                    (Some(main), _) => self.take_over(main, definition, aim, effects),
                    (None, main) => self.recall_dead(now, main, definition, aim, effects),
                }
            }
        }
    }

    fn take_over(
        &mut self,
        main: Process,
        definition: Arc<Definition>,
        aim: Aim,
        effects: &mut Vec<Effect<S>>,
    ) {
        let program = self.name.clone();
        effects.push(Effect::Report(Report::TakenOver { program, pid: main.pid }));
        let definition = self.definition.clone().filter(|it| *it == definition).unwrap_or(definition);
        let run = Run { main, definition, origin: Origin::TakenOver };
        match aim {
            Aim::Run => self.state = State::Up(run),
            Aim::Stop => self.stop_run(run, Vec::new(), Rest::Stopped, Call::of_nobody(), effects),
            Aim::End => self.stop_run(run, Vec::new(), Rest::Idle, Call::of_nobody(), effects),
            Aim::Restart => {
                effects.push(self.stop_effect(&run, Call::of_nobody()));
                let next = Some(Call::of_nobody());
                self.state = State::Stopping { run, waiting: Vec::new(), next, rest: Rest::Idle };
            }
        }
    }

    fn recall_dead(
        &mut self,
        now: Instant,
        main: Option<Process>,
        definition: Arc<Definition>,
        aim: Aim,
        effects: &mut Vec<Effect<S>>,
    ) {
        match (aim, main) {
            (Aim::Run, Some(main)) => {
                self.state = State::Up(Run { main, definition, origin: Origin::TakenOver });
                self.main_exited(now, ExitStatus::Unknown, effects);
            }
            (Aim::Stop, _) => self.state = State::Down(Rest::Stopped),
            (Aim::Run | Aim::End, _) => {}
            (Aim::Restart, _) => self.state = State::Backoff { until: now },
        }
    }

    /// Has the program end because the daemon does. Whoever waits for its restart waits in vain.
    pub(crate) fn end(&mut self, effects: &mut Vec<Effect<S>>) {
        match &mut self.state {
            State::Down(_) | State::Starting { .. } => {}
            State::Up(run) => {
                let run = run.clone();
                self.stop_run(run, Vec::new(), Rest::Idle, Call::of_nobody(), effects);
            }
            State::Stopping { next, rest, .. } => {
                if let Some(call) = next.take() {
                    *rest = Rest::Idle;
                    call.refuse(Code::Shutdown, ENDS_BEFORE.to_owned(), effects);
                }
            }
            State::Backoff { .. } => self.state = State::Down(Rest::Idle),
        }
    }
}
