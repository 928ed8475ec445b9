//! What of a program outlives the daemon, and what a later one makes of it.
//!
//! What requests, deaths and deadlines do is told next door, in `program`.

use std::sync::Arc;

use procmgr_proto::details::PastExit;
use procmgr_proto::message::ExitStatus;

use crate::supervisor::call::Call;
use crate::supervisor::event::{Effect, Job, Process, Report, Timestamp};
use crate::supervisor::memory::{Aim, Memory, Past, Running};
use crate::supervisor::program::Program;
use crate::supervisor::program::state::{Origin, Rest, Run, State};

impl<S: Clone> Program<S> {
    /// Returns what is to be on record.
    pub(crate) fn memory(&self) -> Memory {
        match &self.state {
            State::Down(Rest::Idle) => Memory::Nothing,
            State::Down(Rest::Stopped) => Memory::Stopped(self.past),
            State::Down(Rest::Failed) => Memory::Failed(self.past),
            State::Starting { before, .. } => (**before).clone(),
            State::Up(run) => self.memory_of(run, Aim::Run),
            State::Stopping { run, next: Some(_), .. } => self.memory_of(run, Aim::Restart),
            State::Stopping { run, rest: Rest::Stopped, .. } => self.memory_of(run, Aim::Stop),
            State::Stopping { run, rest: Rest::Idle | Rest::Failed, .. } => self.memory_of(run, Aim::End),
            State::Backoff { until } => Memory::Due { at: *until, past: self.past },
        }
    }

    fn memory_of(&self, run: &Run, aim: Aim) -> Memory {
        let (main, since, definition) = (Some(run.main), run.since, Arc::clone(&run.definition));
        Memory::Running(Running { main, former: None, since, definition, aim, past: self.past })
    }

    /// Returns what the process that is to become the main process puts on record before it is executed.
    pub(crate) fn signed(&self, job: &Job, process: Option<Process>) -> Memory {
        Memory::Running(Running {
            main: process,
            former: self.run().map(|run| run.main),
            since: Some(job.at),
            definition: Arc::clone(&job.definition),
            aim: Aim::Run,
            past: self.past_by(job),
        })
    }

    /// Returns what it has gone through after a start. Since somebody's request no restart has been.
    pub(super) fn past_by(&self, job: &Job) -> Past {
        let Past { restarts, row, last_exit } = self.past;
        let (restarts, row) = if job.caller.is_some() { (0, 0) } else { (restarts, row) };
        Past { restarts, row, last_exit }
    }

    /// Makes of a program that is down what an earlier daemon has left on record; what was under way goes on, for
    /// nobody.
    pub(crate) fn recall(
        &mut self,
        now: Timestamp,
        memory: Memory,
        living: Option<Process>,
        effects: &mut Vec<Effect<S>>,
    ) {
        match memory {
            Memory::Nothing => {}
            Memory::Stopped(past) => (self.past, self.state) = (past, State::Down(Rest::Stopped)),
            Memory::Failed(past) => (self.past, self.state) = (past, State::Down(Rest::Failed)),
            Memory::Due { at, past } => (self.past, self.state) = (past, State::Backoff { until: at }),
            Memory::Running(running) => {
                self.past = running.past;
                match living {
                    Some(main) => self.take_over(now, main, running, effects),
                    None => self.recall_dead(now, running.main, running.aim, effects),
                }
            }
        }
    }

    fn take_over(&mut self, now: Timestamp, main: Process, running: Running, effects: &mut Vec<Effect<S>>) {
        let program = self.name.clone();
        effects.push(Effect::Report(Report::TakenOver { program, pid: main.pid }));
        let Running { main: named, since, definition, aim, .. } = running;
        // Of the process that another one was to replace it is not on record.
        let since = since.filter(|_| named == Some(main));
        let definition = self.definition.clone().filter(|it| *it == definition).unwrap_or(definition);
        let run = Run { main, since, definition, origin: Origin::TakenOver };
        match aim {
            Aim::Run => self.state = State::Up(run),
            Aim::Stop => self.stop_run(now, run, Rest::Stopped, Call::of_nobody(), effects),
            Aim::End => self.stop_run(now, run, Rest::Idle, Call::of_nobody(), effects),
            Aim::Restart => {
                effects.push(self.stop_effect(now, &run, Call::of_nobody()));
                let (next, patience) = (Some(Call::of_nobody().into()), run.patience(now));
                self.state = State::Stopping { run, waiting: Vec::new(), next, rest: Rest::Idle, patience };
            }
        }
    }

    fn recall_dead(&mut self, now: Timestamp, main: Option<Process>, aim: Aim, effects: &mut Vec<Effect<S>>) {
        let status = ExitStatus::Unknown;
        // A process that never was has not ended, either.
        self.past.last_exit = main.map(|_| PastExit { status, time: now.time }).or(self.past.last_exit);
        match (aim, main) {
            (Aim::Run, Some(Process { pid, .. })) => {
                let report = |program, restart| Report::Ended { program, pid, status, restart };
                // It may have ended at any time since then.
                self.die(now, None, report, effects);
            }
            (Aim::Stop, _) => self.state = State::Down(Rest::Stopped),
            (Aim::Run | Aim::End, _) => {}
            (Aim::Restart, _) => self.state = State::Backoff { until: now },
        }
    }
}
