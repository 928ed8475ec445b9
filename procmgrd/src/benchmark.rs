//! What the benchmark of the core is let in to: programs that run, and what may happen to them.
//!
//! No build that serves anybody has it. Nothing is run here; what the core wants to be run has begun at once.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use procmgr_config::load::parse;
use procmgr_config::{Config, Gid, Group, Uid};
use procmgr_proto::message::{ExitStatus, Invocation};

use crate::supervisor::event::{
    Caller, Effect, Event, Intent, Loaded, Peer, Pid, Process, Question, Ticks, Timestamp,
};
use crate::supervisor::{Host, Supervisor};

/// A supervisor of programs that run, the first of which is asked for.
#[derive(Debug)]
pub struct World {
    supervisor: Supervisor<()>,
    now: Timestamp,
    config: Config,
    /// The main process of the first program.
    main: Pid,
    /// The process that was begun last.
    last: Pid,
}

impl World {
    /// Creates a supervisor of so many programs, and has it start them.
    ///
    /// # Panics
    /// If the configuration is not understood, which it is.
    #[must_use]
    pub fn new(programs: u32) -> Self {
        let mut text = "socket-path = /run/procmgr\n".to_owned();
        for number in 0..programs {
            write!(text, "[prog-{number}]\n{KEYS}").expect("a text takes everything");
        }
        let loaded = parse(Path::new("file"), text.as_bytes(), Path::new("/run/procmgr"));
        let config = loaded.expect("it is without mistakes").config;
        let supervisor = Supervisor::new(config.clone(), Host { owner: Uid::ROOT, patience: None });
        let now = Timestamp { instant: Instant::now(), time: 0 };
        let mut world = Self { supervisor, now, config, main: Pid(0), last: Pid(FIRST_PID) };
        world.happen(Event::Autostart(Group(1)));
        world.pass(Duration::ZERO);
        world.main = Pid(FIRST_PID + 1);
        world
    }

    /// Somebody asks whether the daemon answers.
    pub fn ping(&mut self) {
        self.happen(Event::Asked { caller: CALLER, question: Question::Ping });
    }

    /// Somebody asks for all programs.
    pub fn list(&mut self) {
        self.happen(Event::Asked { caller: CALLER, question: Question::List });
    }

    /// Somebody asks for the status of a program.
    pub fn status(&mut self) {
        self.invoke(b"status");
    }

    /// Somebody asks for an action with a script, which ends.
    pub fn script(&mut self) {
        self.invoke(b"work");
        self.happen(Event::Exited { pid: self.last, status: ExitStatus::Code(0) });
    }

    /// The main process of a program dies, and after the delay there is another one.
    pub fn death(&mut self) {
        self.happen(Event::Exited { pid: self.main, status: ExitStatus::Signal(9) });
        self.pass(Duration::from_secs(1));
        self.main = self.last;
    }

    /// The file has been read again, and says what it has said.
    pub fn reload(&mut self) {
        let loaded = Loaded { config: self.config.clone(), remarks: Vec::new() };
        let outcome = Ok(loaded);
        self.happen(Event::Configured { caller: Some(CALLER), intent: Intent::Apply, outcome });
    }

    fn invoke(&mut self, action: &[u8]) {
        let (program, action) = (b"0".to_vec(), action.to_vec());
        let invocation = Invocation { program, action, arguments: Vec::new() };
        self.happen(Event::Invoked { caller: CALLER, groups: [].into(), invocation, stdio: () });
    }

    /// Lets time pass, and has done what is due then.
    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        while self.supervisor.next_deadline().is_some_and(|due| due <= self.now.instant) {
            self.happen(Event::Deadline);
        }
    }

    fn happen(&mut self, event: Event<()>) {
        for effect in self.supervisor.handle(self.now, event) {
            if let Effect::Spawn(spawn) = effect {
                self.last = Pid(self.last.0 + 1);
                let process = Process { pid: self.last, started: Ticks(0) };
                self.happen(Event::Spawned { job: spawn.job, process });
            }
        }
    }
}

const KEYS: &str = "cmd-start = exec sleep 1000\ncmd-work = exit 0\nrestart-delay = 1\nautostart = yes\n";

const FIRST_PID: i32 = 1000;

const CALLER: Caller =
    Caller { connection: 1, request: 1, peer: Peer { pid: Pid(10), uid: Uid::ROOT, gid: Gid(0) } };
