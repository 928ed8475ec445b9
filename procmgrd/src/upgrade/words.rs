//! What a supervisor knows, in words that another image of the daemon can read.
//!
//! What of it outlives the daemon is in `state`; here is all of it, those who wait and what they have brought included.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use procmgr_config::{Definition, OnExit, ProgramName, Uid};
use serde::{Deserialize, Serialize};

use crate::clock::{Moment, StoredTimestamp};
use crate::custody::Account;
use crate::disposal::Foreign;
use crate::event_loop::Terminal;
use crate::latin::Bytes;
use crate::packed::{PackedCaller, PackedPath, senseless};
use crate::parcel::{Packer, Slot, Unpacker};
use crate::state::stored::{StoredDefinition, StoredPast, StoredProcess};
use crate::supervisor::call::Call;
use crate::supervisor::event::{Caller, Pid, Timestamp};
use crate::supervisor::memory::Past;
use crate::supervisor::program::Program;
use crate::supervisor::program::state::{Origin, Patience, Rest, Run, State};
use crate::supervisor::{Snapshot, Standing};

/// A [`Snapshot`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PackedSupervisor {
    socket_path: PackedPath,
    state_path: Option<PackedPath>,
    on_exit: PackedOnExit,
    /// With those that are to be stopped when the daemon ends.
    #[serde(default)]
    patience: Option<Duration>,
    programs: Vec<PackedProgram>,
    controls: Vec<(i32, PackedCaller)>,
    upgrader: Option<PackedCaller>,
    enders: Option<Vec<PackedCaller>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PackedOnExit {
    Leave,
    Stop,
}

/// A [`Program`].
#[derive(Debug, Serialize, Deserialize)]
struct PackedProgram {
    name: Bytes,
    definition: Option<StoredDefinition>,
    /// All that the second version knew of the past.
    #[serde(default, skip_serializing)]
    restarts: u32,
    #[serde(default)]
    past: Option<StoredPast>,
    state: PackedState,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PackedState {
    Down(PackedRest),
    Up(PackedRun),
    Stopping {
        run: PackedRun,
        waiting: Vec<PackedCaller>,
        next: Option<PackedCall>,
        rest: PackedRest,
        #[serde(default)]
        patience: PackedPatience,
    },
    Backoff {
        until: Moment,
        /// The same by the clock on the wall.
        #[serde(default)]
        time: Option<u64>,
    },
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PackedPatience {
    #[default]
    Endless,
    Until(Moment),
    Exhausted,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PackedRest {
    Idle,
    Stopped,
    Failed,
}

#[derive(Debug, Serialize, Deserialize)]
struct PackedRun {
    main: StoredProcess,
    #[serde(default)]
    since: Option<StoredTimestamp>,
    /// `None` if it is that of the configuration.
    definition: Option<StoredDefinition>,
    is_taken_over: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct PackedCall {
    caller: Option<PackedCaller>,
    arguments: Vec<Bytes>,
    stdio: Option<Vec<Slot>>,
}

impl PackedSupervisor {
    /// Puts a supervisor into words.
    pub(crate) fn pack<'a>(snapshot: Snapshot<&'a Program<Terminal>>, packer: &mut Packer<'a>) -> Self {
        let Snapshot { standing, programs, controls, upgrader, enders } = snapshot;
        let Standing { socket_path, state_path, on_exit } = standing;
        let (on_exit, patience) = match on_exit {
            OnExit::Leave => (PackedOnExit::Leave, None),
            OnExit::Stop { patience } => (PackedOnExit::Stop, patience),
        };
        Self {
            socket_path: socket_path.as_path().into(),
            state_path: state_path.as_deref().map(Into::into),
            on_exit,
            patience,
            programs: programs.into_iter().map(|program| PackedProgram::pack(program, packer)).collect(),
            controls: controls.into_iter().map(|(Pid(pid), caller)| (pid, caller.into())).collect(),
            upgrader: upgrader.map(Into::into),
            enders: enders.map(|enders| enders.into_iter().map(Into::into).collect()),
        }
    }

    /// Returns what the words mean. What somebody has brought is charged to the account of that user.
    pub(crate) fn unpack(
        self,
        unpacker: &mut Unpacker,
        account: impl Fn(Uid) -> Account,
    ) -> io::Result<Snapshot<Program<Terminal>>> {
        let Self { socket_path, state_path, on_exit, patience, programs, controls, upgrader, enders } = self;
        let standing = Standing {
            socket_path: socket_path.into(),
            state_path: state_path.map(Into::into),
            on_exit: match on_exit {
                PackedOnExit::Leave => OnExit::Leave,
                PackedOnExit::Stop => OnExit::Stop { patience },
            },
        };
        let programs = programs.into_iter().map(|program| program.unpack(unpacker, &account));
        Ok(Snapshot {
            standing,
            programs: programs.collect::<io::Result<_>>()?,
            controls: controls.into_iter().map(|(pid, caller)| (Pid(pid), caller.into())).collect(),
            upgrader: upgrader.map(Into::into),
            enders: enders.map(|enders| enders.into_iter().map(Into::into).collect()),
        })
    }
}

impl PackedProgram {
    fn pack<'a>(program: &'a Program<Terminal>, packer: &mut Packer<'a>) -> Self {
        let Program { name, definition, past, state } = program;
        let pack_run = |run: &Run, packer: &Packer<'a>| PackedRun::pack(run, definition.as_ref(), packer);
        let state = match state {
            State::Down(rest) => PackedState::Down((*rest).into()),
            // It is spawned before anything else happens, so that nobody ever sees this.
            State::Starting { .. } => PackedState::Down(PackedRest::Idle),
            State::Up(run) => PackedState::Up(pack_run(run, packer)),
            State::Stopping { run, waiting, next, rest, patience } => PackedState::Stopping {
                run: pack_run(run, packer),
                waiting: waiting.iter().map(|caller| (*caller).into()).collect(),
                next: next.as_ref().map(|call| PackedCall::pack(call, packer)),
                rest: (*rest).into(),
                patience: match patience {
                    Patience::Endless => PackedPatience::Endless,
                    Patience::Until(end) => PackedPatience::Until(packer.moment(*end)),
                    Patience::Exhausted => PackedPatience::Exhausted,
                },
            },
            State::Backoff { until: Timestamp { instant, time } } => {
                PackedState::Backoff { until: packer.moment(*instant), time: Some(*time) }
            }
        };
        let definition = definition.as_deref().map(Into::into);
        let (name, past) = (Bytes(name.as_bytes().to_vec()), Some((*past).into()));
        Self { name, definition, restarts: 0, past, state }
    }

    fn unpack(
        self,
        unpacker: &mut Unpacker,
        account: impl Fn(Uid) -> Account,
    ) -> io::Result<Program<Terminal>> {
        let Self { name: Bytes(name), definition, restarts, past, state } = self;
        let past = past.map_or(Past { restarts, row: restarts, last_exit: None }, Into::into);
        let name = ProgramName::new(&name);
        let definition = definition.map(|definition| Arc::new(definition.into()));
        let unpack_run =
            |run: PackedRun, unpacker: &Unpacker| run.unpack(&name, definition.as_ref(), unpacker);
        let state = match state {
            PackedState::Down(rest) => State::Down(rest.into()),
            PackedState::Up(run) => State::Up(unpack_run(run, unpacker)?),
            PackedState::Stopping { run, waiting, next, rest, patience } => State::Stopping {
                run: unpack_run(run, unpacker)?,
                waiting: waiting.into_iter().map(Into::into).collect(),
                next: next.map(|call| call.unpack(unpacker, account)).transpose()?,
                rest: rest.into(),
                patience: match patience {
                    PackedPatience::Endless => Patience::Endless,
                    PackedPatience::Until(end) => Patience::Until(unpacker.instant(end)),
                    PackedPatience::Exhausted => Patience::Exhausted,
                },
            },
            PackedState::Backoff { until, time } => State::Backoff { until: unpacker.complete(until, time) },
        };
        Ok(Program { name, definition, past, state })
    }
}

impl PackedRun {
    fn pack(run: &Run, present: Option<&Arc<Definition>>, packer: &Packer<'_>) -> Self {
        let Run { main, since, definition, origin } = run;
        let is_present = present.is_some_and(|present| present == definition);
        Self {
            main: (*main).into(),
            since: since.map(|since| packer.timestamp(since)),
            definition: (!is_present).then(|| (&**definition).into()),
            is_taken_over: *origin == Origin::TakenOver,
        }
    }

    fn unpack(
        self,
        program: &ProgramName,
        present: Option<&Arc<Definition>>,
        unpacker: &Unpacker,
    ) -> io::Result<Run> {
        let Self { main, since, definition, is_taken_over } = self;
        let since = since.map(|since| unpacker.timestamp(since));
        let definition = definition.map(|definition| Arc::new(definition.into()));
        let definition = definition.or_else(|| present.cloned());
        let definition =
            definition.ok_or_else(|| senseless(format!("{program} runs without a definition")))?;
        let origin = if is_taken_over { Origin::TakenOver } else { Origin::Own };
        Ok(Run { main: main.into(), since, definition, origin })
    }
}

impl PackedCall {
    fn pack<'a>(call: &'a Call<Terminal>, packer: &mut Packer<'a>) -> Self {
        let Call { caller, arguments, stdio } = call;
        Self {
            caller: caller.map(Into::into),
            arguments: arguments.iter().cloned().map(Bytes).collect(),
            stdio: stdio.as_ref().map(|stdio| stdio.pack(packer)),
        }
    }

    fn unpack(self, unpacker: &mut Unpacker, account: impl Fn(Uid) -> Account) -> io::Result<Call<Terminal>> {
        let Self { caller, arguments, stdio } = self;
        let caller: Option<Caller> = caller.map(Into::into);
        let stdio = match (stdio, &caller) {
            (Some(slots), Some(caller)) => {
                let account = account(caller.peer.uid);
                Some(Rc::new(Foreign::unpack(slots, unpacker, &account)?))
            }
            (Some(_), None) => return Err(senseless("nobody has brought descriptors")),
            (None, _) => None,
        };
        Ok(Call { caller, arguments: arguments.into_iter().map(|Bytes(word)| word).collect(), stdio })
    }
}

impl From<Rest> for PackedRest {
    fn from(rest: Rest) -> Self {
        match rest {
            Rest::Idle => Self::Idle,
            Rest::Stopped => Self::Stopped,
            Rest::Failed => Self::Failed,
        }
    }
}

impl From<PackedRest> for Rest {
    fn from(rest: PackedRest) -> Self {
        match rest {
            PackedRest::Idle => Self::Idle,
            PackedRest::Stopped => Self::Stopped,
            PackedRest::Failed => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;
    use std::time::Instant;

    use procmgr_config::{Action, Config, Gid, Rule};
    use procmgr_proto::details::ProgramDetails;
    use procmgr_proto::message::{ExitStatus, Invocation};

    use super::*;
    use crate::clock::timestamp;
    use crate::custody::Ledger;
    use crate::parcel::hand_on;
    use crate::supervisor::Supervisor;
    use crate::supervisor::event::{Effect, Event, Peer, Process, Signal, Spawn, Ticks};
    use crate::supervisor::memory::{Memory, Running};

    const PATIENCE: Option<Duration> = Some(Duration::from_secs(3));

    const NAMES: [&str; 7] = ["down", "stopped", "up", "stopping", "restarting", "failed", "backoff"];

    fn definition(name: &str) -> Definition {
        let mut definition =
            Definition::new(ProgramName::new(name.as_bytes()), Rule::default()).with_built_in(|action| {
                Rule { script: (*action == Action::Start).then(|| b"start".to_vec()), ..Rule::default() }
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
            let config = Config {
                socket_path,
                state_path,
                on_exit: OnExit::Stop { patience: PATIENCE },
                autostart: None,
                programs,
            };
            let (supervisor, now) = (Supervisor::new(config, Uid(7)), timestamp());
            Self { supervisor, began: now.instant, now, ledger: Ledger::new(100), requests: 0 }
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
            let event = Event::Invoked { caller, groups: Vec::new(), invocation, stdio };
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
                hand_on(supervisor, |supervisor, packer| {
                    PackedSupervisor::pack(supervisor.snapshot(), packer)
                });
            let ledger = Ledger::new(100);
            let snapshot = stored.unpack(&mut unpacker, |uid| ledger.account(uid)).unwrap();
            Self { supervisor: Supervisor::restored(snapshot, Uid(7)), began, now, ledger, requests }
        }

        fn memories(&self) -> Vec<(ProgramName, Memory)> {
            let memories = self.supervisor.memories().map(|(name, memory)| (name.clone(), memory));
            memories.map(|(name, memory)| (name, at(self.began, memory))).collect()
        }
    }

    /// Returns what is on record with one instant in the place of that of the start, if that is the same one: instants are told
    /// by two looks at the clock.
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
        assert_eq!(world.supervisor.snapshot().standing.on_exit, OnExit::Stop { patience: PATIENCE });
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
            let ledger = Ledger::new(100);
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
}
