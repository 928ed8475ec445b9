//! The daemon's one loop: waits, collects what has happened, has the supervisor decide, and does as it says.
//!
//! There is no policy here, and no `if` about programs; one event and all that follows from it is finished before the
//! next one.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use std::{iter, mem};

use procmgr_config::load::Loaded as Config;
use procmgr_proto::message::Response;

use crate::config_source::ConfigSource;
use crate::connection::Demand;
use crate::disposal::Foreign;
use crate::error::Error;
use crate::journal::{self, Journal};
use crate::news::EventFrame;
use crate::notify::Notifier;
use crate::poll::{Poller, READY_PER_WAIT, Ready, Source};
use crate::process;
use crate::server::{Incoming, Server};
use crate::signals::{Signaled, Signals};
use crate::spawn::Spawner;
use crate::supervisor::Supervisor;
use crate::supervisor::event::{Caller, Control, Effect, Event, Loaded, Rejected};

/// What a script's terminal is here. Shared, because a restart shows it to two scripts.
type Terminal = Rc<Foreign>;

/// Everything that the loop works with.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) supervisor: Supervisor<Terminal>,
    pub(crate) poller: Poller,
    pub(crate) signals: Signals,
    pub(crate) server: Server,
    pub(crate) spawner: Spawner,
    pub(crate) config: ConfigSource,
    pub(crate) journal: Journal,
    pub(crate) notifier: Notifier,
}

/// The decision to end; the caller, if any, is answered last.
#[derive(Clone, Copy, Debug)]
struct End {
    caller: Option<Caller>,
}

/// What has come of an effect.
#[derive(Debug)]
enum Performed {
    /// It is done, and that is all.
    Done,
    /// It is done, and the supervisor is to be told this.
    Answered(Event<Terminal>),
    /// The daemon is to end.
    Ended(End),
}

impl Daemon {
    /// Serves until somebody ends it, after `first` has been taken care of.
    ///
    /// # Errors
    /// If the kernel refuses to wait or to tell of children, without which there is no going on.
    pub(crate) fn run(mut self, first: Option<Event<Terminal>>, cleanup: impl FnOnce()) -> Result<(), Error> {
        let end = self.serve(first)?;
        self.notifier.stopping();
        cleanup();
        if let Some(caller) = end.caller {
            self.journal.answered(caller, &Response::Done, Instant::now());
        }
        // Whoever has asked for the end is told of it when the process is gone, and the connection with it.
        mem::forget(self.server.end(end.caller, Instant::now()));
        Ok(())
    }

    fn serve(&mut self, first: Option<Event<Terminal>>) -> Result<End, Error> {
        if let Some(end) = first.and_then(|event| self.step(event)) {
            return Ok(end);
        }
        loop {
            self.server.deliver(&self.poller, Instant::now());
            let ready = self.poller.wait(self.time_left()).map_err(Error::system("wait for events"))?;
            if let Some(end) = self.turn(&ready)? {
                return Ok(end);
            }
        }
    }

    /// Takes one turn. Deaths go first: a start that is asked for in the same turn must find the program down. What is
    /// due goes next, requests last.
    fn turn(&mut self, ready: &[Ready]) -> Result<Option<End>, Error> {
        let is_ready = |source| ready.iter().any(|ready| ready.source == source);
        // In a crowd the signals may be ready and not among those that are told.
        let may_be_signaled = is_ready(Source::Signals) || ready.len() == READY_PER_WAIT;
        let signals = if may_be_signaled { self.signals.take() } else { Vec::new() };
        if signals.contains(&Signaled::Child) {
            // One at a time: the pid of a reaped child may be that of the next one that is spawned.
            while let Some((pid, status)) = process::reap().map_err(Error::system("wait for children"))? {
                self.step(Event::Exited { pid, status });
            }
        }
        for signal in signals {
            let event = match signal {
                Signaled::Child => continue,
                Signaled::Reload => Event::Signaled(Control::Reload),
                Signaled::Terminate => Event::Signaled(Control::Terminate),
            };
            if let Some(end) = self.step(event) {
                return Ok(Some(end));
            }
        }
        self.step(Event::Deadline);
        self.server.expire(&self.poller, Instant::now());
        if is_ready(Source::SocketFile) {
            self.server.restore_socket(&self.poller, Instant::now());
        }
        for ready in ready {
            if let Source::Connection(number) = ready.source {
                let incoming = self.server.serve(*ready, number, &self.poller, Instant::now());
                if let Some(end) = incoming.and_then(|incoming| self.receive(incoming)) {
                    return Ok(Some(end));
                }
            }
        }
        if is_ready(Source::Listener) {
            self.server.accept(&self.poller, Instant::now());
        }
        Ok(None)
    }

    /// Hands a request to the supervisor.
    fn receive(&mut self, incoming: Incoming) -> Option<End> {
        let Incoming { caller, demand } = incoming;
        self.journal.asked(caller, &demand, Instant::now());
        self.step(match demand {
            Demand::Ask(question) => Event::Asked { caller, question },
            Demand::Invoke(invocation, stdio) => Event::Invoked { caller, invocation, stdio: Rc::new(stdio) },
        })
    }

    /// Has the supervisor decide on an event, and does all that follows from it.
    fn step(&mut self, event: Event<Terminal>) -> Option<End> {
        for effect in self.supervisor.handle(Instant::now(), event) {
            let end = match self.perform(effect) {
                Performed::Done => None,
                Performed::Answered(event) => self.step(event),
                Performed::Ended(end) => Some(end),
            };
            if end.is_some() {
                return end;
            }
        }
        None
    }

    /// Does one thing.
    fn perform(&mut self, effect: Effect<Terminal>) -> Performed {
        match effect {
            Effect::Spawn(spawn) => {
                let job = spawn.job.clone();
                return Performed::Answered(match self.spawner.spawn(spawn) {
                    Ok(pid) => Event::Spawned { job, pid },
                    Err(error) => Event::SpawnFailed { job, reason: error.to_string() },
                });
            }
            Effect::LoadConfig { caller } => {
                return Performed::Answered(Event::Configured { caller, outcome: self.load() });
            }
            Effect::Exit { caller } => return Performed::Ended(End { caller }),
            Effect::Terminate { pid } => {
                if let Err(error) = process::terminate(pid) {
                    journal::not_signalled(pid, &error);
                }
            }
            Effect::Reply { caller, response } => self.reply(caller, &response),
            Effect::Report(report) => journal::report(&report),
            Effect::Publish(change) => {
                let event = EventFrame::new(change, SystemTime::now());
                self.server.publish(&event, &self.poller, Instant::now());
            }
        }
        Performed::Done
    }

    fn reply(&mut self, caller: Caller, response: &Response) {
        let now = Instant::now();
        self.journal.answered(caller, response, now);
        self.server.answer(caller, response, &self.poller, now);
    }

    fn load(&mut self) -> Result<Loaded, Rejected> {
        self.notifier.reloading();
        let result = self.config.load();
        self.notifier.ready();
        // A socket that could not be made again has another chance, now that an administrator is at work.
        self.server.restore_socket(&self.poller, Instant::now());
        match result {
            Ok(Config { config, findings }) => Ok(Loaded { config, remarks: findings.lines().collect() }),
            Err(error) => {
                let findings = error.findings().map(|findings| findings.lines().collect::<Vec<_>>());
                let lines = iter::once(error.to_string()).chain(findings.unwrap_or_default()).collect();
                Err(Rejected { lines })
            }
        }
    }

    fn time_left(&self) -> Option<Duration> {
        let deadlines = [self.supervisor.next_deadline(), self.server.next_deadline()];
        let first = deadlines.into_iter().flatten().min();
        first.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}
