//! What another image of the daemon knows, and what it makes of words that make no sense.
//!
//! That all of a daemon reaches the next image is shown end to end.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use procmgr_config::{Action, Config, Gid, Rule};
use procmgr_proto::details::ProgramDetails;
use procmgr_proto::message::{ExitStatus, Invocation};

use super::*;
use crate::clock::timestamp;
use crate::custody::Ledger;
use crate::parcel::hand_on;
use crate::supervisor::Host;
use crate::supervisor::Supervisor;
use crate::supervisor::event::{Effect, Event, Peer, Process, Signal, Spawn, Ticks};
use crate::supervisor::memory::{Memory, Running};

const HOST: Host = Host { owner: Uid(7), patience: None };

const NAMES: [&str; 7] = ["down", "stopped", "up", "stopping", "restarting", "failed", "backoff"];

fn definition(name: &str) -> Definition {
    let mut definition =
        Definition::new(ProgramName::new(name.as_bytes()), Rule::default()).with_built_in(|action| Rule {
            script: (*action == Action::Start).then(|| b"start"[..].into()),
            ..Rule::default()
        });
    definition.restart_delay = ["backoff", "failed"].contains(&name).then_some(Duration::from_secs(1000));
    definition.restart_limit = (name == "failed").then_some(1);
    definition.stop_timeout = (name == "restarting").then_some(Duration::from_secs(10));
    definition
}

struct World {
    supervisor: Supervisor<Terminal>,
    began: Instant,
    now: Timestamp,
    ledger: Ledger,
    requests: u64,
}

impl World {
    fn new() -> Self {
        let programs = NAMES.map(|name| Arc::new(definition(name))).to_vec();
        let (socket_path, state_path) = (PathBuf::from("/s"), Some(PathBuf::from("/s.state")));
        let config = Config { socket_path, state_path, on_exit: OnExit::Stop, autostart: None, programs };
        let (supervisor, now) = (Supervisor::new(config, HOST), timestamp());
        Self { supervisor, began: now.instant, now, ledger: Ledger::new(100, 1000), requests: 0 }
    }

    /// Asks for an action, and has its script run, if there is one, in a process of this PID.
    fn ask(&mut self, program: &str, action: &str, pid: i32) {
        self.requests += 1;
        let peer = Peer { pid: Pid(1), uid: Uid::ROOT, gid: Gid(0) };
        let caller = Caller { connection: 1, request: self.requests, peer };
        let null = || File::open("/dev/null").unwrap().into();
        let descriptors = vec![null(), null(), null()];
        let stdio = Rc::new(Foreign::new(descriptors, &self.ledger.account(Uid::ROOT)));
        let (program, action) = (program.into(), action.into());
        let invocation = Invocation { program, action, arguments: vec![b"\xff word".to_vec()] };
        let event = Event::Invoked { caller, groups: [].into(), invocation, stdio };
        for effect in self.supervisor.handle(self.now, event) {
            if let Effect::Spawn(Spawn { job, .. }) = effect {
                let process = Process { pid: Pid(pid), started: Ticks(5) };
                self.supervisor.handle(self.now, Event::Spawned { job, process });
            }
        }
    }

    /// Lets what is due be done, and a script that is run for it be run in a process of this PID.
    fn due(&mut self, pid: i32) -> Vec<Effect<Terminal>> {
        let effects = self.supervisor.handle(self.now, Event::Deadline);
        for effect in &effects {
            if let Effect::Spawn(Spawn { job, .. }) = effect {
                let (job, process) = (job.clone(), Process { pid: Pid(pid), started: Ticks(5) });
                self.supervisor.handle(self.now, Event::Spawned { job, process });
            }
        }
        effects
    }

    fn details(&self) -> Vec<ProgramDetails> {
        self.supervisor.snapshot().programs.into_iter().map(Program::details).collect()
    }

    fn exited(&mut self, pid: i32) -> Vec<Effect<Terminal>> {
        let status = ExitStatus::Code(0);
        self.supervisor.handle(self.now, Event::Exited { pid: Pid(pid), status })
    }

    /// Has another image go on with what is known.
    fn hand_over(self) -> Self {
        let Self { supervisor, began, now, requests, .. } = self;
        let (stored, mut unpacker): (PackedSupervisor, Unpacker) =
            hand_on(supervisor, |supervisor, packer| PackedSupervisor::pack(supervisor.snapshot(), packer));
        let ledger = Ledger::new(100, 1000);
        let snapshot = stored.unpack(&mut unpacker, |uid| ledger.account(uid)).unwrap();
        Self { supervisor: Supervisor::restored(snapshot, HOST), began, now, ledger, requests }
    }

    fn memories(&self) -> Vec<(ProgramName, Memory)> {
        let memories = self.supervisor.memories().map(|(name, memory)| (name.clone(), memory));
        memories.map(|(name, memory)| (name, at(self.began, memory))).collect()
    }
}

/// Returns what is on record with one instant in the place of that of the start, if that is the same one: instants
/// are told by two looks at the clock.
fn at(instant: Instant, memory: Memory) -> Memory {
    let Memory::Running(running) = memory else { return memory };
    let since = running.since.expect("it is known");
    assert!(since.instant.max(instant) - since.instant.min(instant) < Duration::from_millis(100));
    Memory::Running(Running { since: Some(Timestamp { instant, ..since }), ..running })
}

#[test]
fn another_image_knows_what_this_one_has_known() {
    let mut world = World::new();
    for (pid, program) in (11..).zip(&NAMES[1..]) {
        world.ask(program, "start", pid);
    }
    world.ask("stopped", "stop", 0);
    world.exited(11);
    world.ask("stopping", "stop", 0);
    world.exited(15);
    world.now = world.now + Duration::from_secs(1000);
    world.due(15);
    world.exited(15);
    world.exited(16);
    world.ask("restarting", "restart", 0);

    let (before, details) = (world.memories(), world.details());
    assert_eq!(before.len(), 6);
    let mut world = world.hand_over();
    assert_eq!(world.supervisor.snapshot().standing.on_exit, OnExit::Stop);
    assert_eq!(world.ledger.of(Uid::ROOT), 3, "the terminal of the restart counts");
    let after = world.memories();
    assert_eq!(world.details(), details);
    // Due times are told by two looks at the clock.
    assert_eq!(before[..5], after[..5]);
    assert!(matches!(after[4].1, Memory::Failed(Past { restarts: 1, row: 1, .. })));
    let dues = [before, after].map(|memories| match memories[5].1 {
        Memory::Due { at, past: Past { restarts: 1, row: 1, last_exit: Some(_) } } => at,
        ref other => panic!("{other:?}"),
    });
    let instants = dues.map(|due| due.instant);
    assert!(instants[0].max(instants[1]) - instants[0].min(instants[1]) < Duration::from_millis(100));
    assert_eq!(dues[0].time, dues[1].time);
    let kill = world.supervisor.next_deadline().unwrap() - world.now.instant;
    assert!((9..=10).contains(&(kill + Duration::from_millis(500)).as_secs()), "{kill:?}");
    world.now = world.now + Duration::from_secs(11);
    let effects = world.due(0);
    assert!(matches!(effects.last(), Some(Effect::Signal { signal: Signal::Kill, .. })), "{effects:?}");
    let mut world = world.hand_over();
    assert!(world.due(0).is_empty(), "it is killed once");

    let effects = world.exited(13);
    let answered = effects.iter().filter(|effect| matches!(effect, Effect::Reply { .. })).count();
    assert_eq!(answered, 1, "whoever waits for the stop is answered");
    let spawn = world.exited(14).into_iter().find_map(|effect| match effect {
        Effect::Spawn(spawn) => Some(spawn),
        _ => None,
    });
    let spawn = spawn.expect("the restart goes on");
    assert_eq!(spawn.arguments, [b"\xff word"]);
    assert_eq!(spawn.stdio.map(|stdio| stdio.len()), Some(3));
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let stored = |state: &str| {
        let text = format!(
            r#"{{"socket_path":"/s","state_path":null,"on_exit":"leave","controls":[],"upgrader":null,
            "enders":null,"programs":[{{"name":"a","definition":null,"state":{state}}}]}}"#
        );
        let stored: PackedSupervisor = serde_json::from_str(&text).unwrap();
        let ledger = Ledger::new(100, 1000);
        stored.unpack(&mut Unpacker::new(crate::clock::Clock::now()), |uid| ledger.account(uid))
    };
    let run = r#"{"main":{"pid":1,"started":1},"definition":null,"is_taken_over":false}"#;
    let run_by =
        r#"{"main":{"pid":1,"started":1},"definition":{"name":"a","rules":[]},"is_taken_over":true}"#;
    let stopping = |stdio: &str| {
        format!(
            r#"{{"stopping":{{"run":{run_by},"waiting":[],"rest":"idle",
            "next":{{"caller":null,"arguments":[],"stdio":{stdio}}}}}}}"#
        )
    };
    stored(&format!(r#"{{"up":{run}}}"#)).unwrap_err();
    stored(&stopping("[7]")).unwrap_err();
    let snapshot = stored(&stopping("null")).unwrap();
    assert_eq!(snapshot.programs[0].past, Past::default(), "the first version did not count them");
}
