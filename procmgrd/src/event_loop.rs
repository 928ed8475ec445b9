//! The daemon's one loop: waits, collects what has happened, has the supervisor decide, and does as it says.
//!
//! There is no policy here, and no `if` about programs; one event and all that follows from it is finished before the
//! next one.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use std::{io, iter, mem};

use procmgr_config::ProgramName;
use procmgr_config::load::Loaded as Config;
use procmgr_proto::message::Response;

use crate::clock;
use crate::config_source::ConfigSource;
use crate::connection::Demand;
use crate::disposal::{self, Foreign};
use crate::error::Error;
use crate::heap::Heap;
use crate::journal::{self, Journal};
use crate::news::EventFrame;
use crate::notify::Notifier;
use crate::pidfile::PidFile;
use crate::poll::{Poller, READY_PER_WAIT, Ready, Source};
use crate::process;
use crate::server::{Incoming, Server};
use crate::signals::{Signaled, Signals};
use crate::spawn::Spawner;
use crate::state::store::Store;
use crate::supervisor::Supervisor;
use crate::supervisor::event::{Caller, Control, Effect, Event, Intent, Loaded, Pid, Rejected, Spawn};
use crate::upgrade::Upgrade;
use crate::wards::Wards;

/// What a script's terminal is here. Shared, because a restart shows it to two scripts.
pub(crate) type Terminal = Rc<Foreign>;

/// Everything that the loop works with.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) supervisor: Supervisor<Terminal>,
    pub(crate) poller: Poller,
    pub(crate) signals: Signals,
    pub(crate) server: Server,
    pub(crate) spawner: Spawner,
    pub(crate) wards: Wards,
    pub(crate) store: Store,
    pub(crate) config: ConfigSource,
    pub(crate) journal: Journal,
    pub(crate) notifier: Notifier,
    pub(crate) pidfile: Option<PidFile>,
    pub(crate) upgrade: Upgrade,
    /// Descriptors that the daemon was started with, and keeps for whoever has given them.
    pub(crate) inherited: Vec<OwnedFd>,
    pub(crate) heap: Heap,
    /// The decision to end, once it has been taken. Nothing is decided after it.
    pub(crate) end: Option<End>,
}

/// The decision to end; the caller, if any, is answered last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    caller: Option<Caller>,
}

impl Daemon {
    /// Serves until somebody ends it.
    ///
    /// # Errors
    /// If the kernel refuses to wait or to tell of children, without which there is no going on.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        // What it took to get here is not needed any more.
        self.heap.wear();
        let end = self.serve()?;
        self.notifier.stopping();
        drop(self.pidfile);
        if self.supervisor.memories().next().is_none() {
            self.store.remove();
        }
        if let Some(caller) = end.caller {
            self.journal.answered(caller, &Response::Done, Instant::now());
        }
        // Whoever has asked for the end is told of it when the process is gone, and the connection with it.
        mem::forget(self.server.end(end.caller, Instant::now()));
        Ok(())
    }

    fn serve(&mut self) -> Result<End, Error> {
        loop {
            self.keep_records();
            if let Some(end) = self.end {
                return Ok(end);
            }
            self.server.deliver(&self.poller, Instant::now());
            self.notifier.tell(self.supervisor.overview(), Instant::now());
            self.heap.mend();
            let ready = self.wait().map_err(Error::system("wait for events"))?;
            self.turn(&ready)?;
        }
    }

    /// Waits for something to do. Whatever there is at once goes ahead of closing what clients have brought.
    fn wait(&mut self) -> io::Result<Vec<Ready>> {
        if disposal::postpone() {
            let ready = self.poller.wait(Some(Duration::ZERO))?;
            if !ready.is_empty() {
                return Ok(ready);
            }
        }
        disposal::set_off();
        self.poller.wait(self.time_left())
    }

    /// Takes one turn. Deaths go first: a start that is asked for in the same turn must find the program down. What is
    /// due goes next, requests last.
    fn turn(&mut self, ready: &[Ready]) -> Result<(), Error> {
        let is_ready = |source| ready.iter().any(|ready| ready.source == source);
        // In a crowd the signals may be ready and not among those that are told.
        let may_be_signaled = is_ready(Source::Signals) || ready.len() == READY_PER_WAIT;
        let signals = if may_be_signaled { self.signals.take() } else { Vec::new() };
        if signals.contains(&Signaled::Child) {
            self.reap()?;
        }
        for pid in ready.iter().filter_map(Ready::ward) {
            self.bury(pid);
        }
        for pid in self.wards.look(&self.poller, Instant::now()) {
            self.bury(pid);
        }
        for signal in signals {
            match signal {
                Signaled::Child => {}
                Signaled::Reload => self.step(Event::Signaled(Control::Reload)),
                Signaled::Terminate => self.step(Event::Signaled(Control::Terminate)),
            }
        }
        self.do_what_is_due();
        self.server.expire(&self.poller, Instant::now());
        if is_ready(Source::SocketFile) {
            self.server.restore_socket(&self.poller, Instant::now());
        }
        if is_ready(Source::State) {
            self.store.look(Instant::now());
        }
        let began = Instant::now();
        for (ready, number) in self.server.taking_turns(ready) {
            let incoming = self.server.serve(ready, number, &self.poller, Instant::now());
            if let Some(incoming) = incoming {
                self.receive(incoming);
            }
            // Whoever was not served is ready still, and perhaps somebody else by then, whose turn comes first.
            if began.elapsed() >= MOST_OF_A_TURN {
                break;
            }
        }
        if is_ready(Source::Listener) {
            self.server.accept(&self.poller, Instant::now());
        }
        self.go_on_with_upgrade();
        Ok(())
    }

    /// Starts and kills the programs for which it is time. Ten thousand keep nobody waiting: what is still due comes
    /// next, behind the requests that have arrived meanwhile.
    fn do_what_is_due(&mut self) {
        let began = Instant::now();
        while self.end.is_none()
            && self.supervisor.next_deadline().is_some_and(|due| due <= Instant::now())
            && began.elapsed() < MOST_OF_A_TURN
        {
            self.step(Event::Deadline);
        }
    }

    /// Takes note of all children that have died.
    pub(crate) fn reap(&mut self) -> Result<(), Error> {
        self.upgrade.clear_away();
        // One at a time: the pid of a reaped child may be that of the next one that is spawned.
        while let Some((pid, status)) = process::reap().map_err(Error::system("wait for children"))? {
            self.upgrade.take_note(pid, status);
            // One in our care that had the PID of a child must have died before.
            self.bury(pid);
            self.step(Event::Exited { pid, status });
        }
        Ok(())
    }

    /// Takes note of all processes in our care that have died already.
    pub(crate) fn bury_all(&mut self) -> Result<(), Error> {
        loop {
            let ready = self.poller.wait(Some(Duration::ZERO)).map_err(Error::system("wait for events"))?;
            let dead: Vec<Pid> = ready.iter().filter_map(Ready::ward).collect();
            if dead.is_empty() {
                return Ok(());
            }
            for pid in dead {
                self.bury(pid);
            }
        }
    }

    /// Takes note that a process has died, if it is one in our care. Returns whether it is.
    fn bury(&mut self, pid: Pid) -> bool {
        let status = self.wards.release(pid, &self.poller);
        if let Some(status) = status {
            self.step(Event::Exited { pid, status });
        }
        status.is_some()
    }

    /// Hands a request to the supervisor.
    fn receive(&mut self, incoming: Incoming) {
        let Incoming { caller, demand } = incoming;
        self.journal.asked(caller, &demand, Instant::now());
        self.step(match demand {
            Demand::Ask(question) => Event::Asked { caller, question },
            Demand::Invoke { invocation, groups, stdio } => {
                Event::Invoked { caller, groups, invocation, stdio: Rc::new(stdio) }
            }
        });
    }

    /// Has the supervisor decide on an event, and does all that follows from it.
    pub(crate) fn step(&mut self, event: Event<Terminal>) {
        if self.end.is_some() {
            return;
        }
        for effect in self.supervisor.handle(clock::timestamp(), event) {
            if let Some(answer) = self.perform(effect) {
                self.step(answer);
            }
        }
    }

    /// Does one thing. Returns what the supervisor is to be told of it, if it is.
    fn perform(&mut self, effect: Effect<Terminal>) -> Option<Event<Terminal>> {
        match effect {
            Effect::Remember { program, memory } => {
                self.store.remember(&program, &memory, Instant::now());
                // If that did not work, perhaps all can be written anew, before anything follows from it.
                self.keep_records();
            }
            Effect::Spawn(spawn) => return Some(self.spawn(spawn)),
            Effect::LoadConfig { caller, intent } => {
                return Some(Event::Configured { caller, intent, outcome: self.load(intent) });
            }
            Effect::Exit { caller } => self.end = Some(End { caller }),
            Effect::Signal { process, signal, scope } => {
                let result = self.wards.signal(process, signal, scope);
                let result = result.unwrap_or_else(|| process::signal(process, signal, scope));
                if let Err(error) = result {
                    journal::not_signalled(process.pid, &error);
                }
            }
            Effect::Reply { caller, response } => self.reply(caller, &response),
            Effect::Report(report) => journal::report(&report),
            Effect::Rehearse => self.upgrade.begin(),
            Effect::HandOver => return Some(Event::NotUpgraded { reason: self.hand_over() }),
            Effect::Publish(change) => {
                let event = EventFrame::new(change, SystemTime::now());
                self.server.publish(&event, &self.poller, Instant::now());
            }
        }
        None
    }

    fn spawn(&mut self, spawn: Spawn<Terminal>) -> Event<Terminal> {
        let job = spawn.job.clone();
        // Whatever has befallen the records in this turn: what is started now is to be there.
        self.keep_records();
        match self.spawner.spawn(spawn, &mut self.store) {
            Ok(process) => {
                // Whoever had this PID before is dead, although nobody has told us yet. What that changes has been put
                // on record behind what the process has put there.
                if self.bury(process.pid) {
                    self.store.begin_anew(Instant::now());
                }
                Event::Spawned { job, process }
            }
            Err(error) => Event::SpawnFailed { job, reason: error.to_string() },
        }
    }

    /// Writes the records anew if that is due.
    pub(crate) fn keep_records(&mut self) {
        let now = Instant::now();
        if self.store.wants_all(now) {
            self.store.write_all(self.supervisor.memories(), now);
        }
    }

    fn reply(&mut self, caller: Caller, response: &Response) {
        let now = Instant::now();
        self.journal.answered(caller, response, now);
        self.server.answer(caller, response, &self.poller, now);
    }

    fn load(&mut self, intent: Intent) -> Result<Loaded, Rejected> {
        self.heap.wear();
        let in_force = |program: &ProgramName| self.supervisor.definition(program);
        let result = match intent {
            Intent::Preview => self.config.load(in_force),
            Intent::Apply => {
                self.notifier.reloading();
                let result = self.config.load(in_force);
                self.notifier.reloaded(result.is_ok());
                // A socket that could not be made again has another chance, now that an administrator is at work.
                self.server.restore_socket(&self.poller, Instant::now());
                result
            }
        };
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
        let deadlines = [
            self.supervisor.next_deadline(),
            self.server.next_deadline(),
            self.store.next_deadline(),
            self.wards.next_deadline(),
            self.upgrade.next_deadline(),
            self.notifier.next_deadline(),
        ];
        let first = deadlines.into_iter().flatten().min();
        first.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// How long in one turn programs are started that are due, and how long requests are taken. Some cost more to answer
/// than to ask, and nobody is to wait for very many.
const MOST_OF_A_TURN: Duration = Duration::from_millis(5);
