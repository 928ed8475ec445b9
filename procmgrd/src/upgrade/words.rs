//! What a supervisor knows, in words that another image of the daemon can read.
//!
//! What of it outlives the daemon is in `state`; here is all of it, those who wait and what they have brought included.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use procmgr_config::{Definition, OnExit, ProgramName, Uid};
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::custody::Account;
use crate::disposal::Foreign;
use crate::event_loop::Terminal;
use crate::latin::Bytes;
use crate::packed::{PackedCaller, PackedPath, senseless};
use crate::parcel::{Packer, Slot, Unpacker};
use crate::state::stored::{StoredDefinition, StoredProcess};
use crate::supervisor::call::Call;
use crate::supervisor::event::{Caller, Pid};
use crate::supervisor::program::Program;
use crate::supervisor::program::state::{Origin, Rest, Run, State};
use crate::supervisor::{Snapshot, Standing};

/// A [`Snapshot`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PackedSupervisor {
    socket_path: PackedPath,
    state_path: Option<PackedPath>,
    on_exit: PackedOnExit,
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
    #[serde(default)]
    restarts: u32,
    state: PackedState,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PackedState {
    Down(PackedRest),
    Up(PackedRun),
    Stopping { run: PackedRun, waiting: Vec<PackedCaller>, next: Option<PackedCall>, rest: PackedRest },
    Backoff { until: Moment },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PackedRest {
    Idle,
    Stopped,
}

#[derive(Debug, Serialize, Deserialize)]
struct PackedRun {
    main: StoredProcess,
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
        Self {
            socket_path: socket_path.as_path().into(),
            state_path: state_path.as_deref().map(Into::into),
            on_exit: match on_exit {
                OnExit::Leave => PackedOnExit::Leave,
                OnExit::Stop => PackedOnExit::Stop,
            },
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
        let Self { socket_path, state_path, on_exit, programs, controls, upgrader, enders } = self;
        let standing = Standing {
            socket_path: socket_path.into(),
            state_path: state_path.map(Into::into),
            on_exit: match on_exit {
                PackedOnExit::Leave => OnExit::Leave,
                PackedOnExit::Stop => OnExit::Stop,
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
        let Program { name, definition, restarts, state } = program;
        let pack_run = |run: &Run| PackedRun::pack(run, definition.as_ref());
        let state = match state {
            State::Down(rest) => PackedState::Down((*rest).into()),
            // It is spawned before anything else happens, so that nobody ever sees this.
            State::Starting { .. } => PackedState::Down(PackedRest::Idle),
            State::Up(run) => PackedState::Up(pack_run(run)),
            State::Stopping { run, waiting, next, rest } => PackedState::Stopping {
                run: pack_run(run),
                waiting: waiting.iter().map(|caller| (*caller).into()).collect(),
                next: next.as_ref().map(|call| PackedCall::pack(call, packer)),
                rest: (*rest).into(),
            },
            State::Backoff { until } => PackedState::Backoff { until: packer.moment(*until) },
        };
        let definition = definition.as_deref().map(Into::into);
        Self { name: Bytes(name.as_bytes().to_vec()), definition, restarts: *restarts, state }
    }

    fn unpack(
        self,
        unpacker: &mut Unpacker,
        account: impl Fn(Uid) -> Account,
    ) -> io::Result<Program<Terminal>> {
        let Self { name: Bytes(name), definition, restarts, state } = self;
        let name = ProgramName::new(&name);
        let definition = definition.map(|definition| Arc::new(definition.into()));
        let unpack_run = |run: PackedRun| run.unpack(&name, definition.as_ref());
        let state = match state {
            PackedState::Down(rest) => State::Down(rest.into()),
            PackedState::Up(run) => State::Up(unpack_run(run)?),
            PackedState::Stopping { run, waiting, next, rest } => State::Stopping {
                run: unpack_run(run)?,
                waiting: waiting.into_iter().map(Into::into).collect(),
                next: next.map(|call| call.unpack(unpacker, account)).transpose()?,
                rest: rest.into(),
            },
            PackedState::Backoff { until } => State::Backoff { until: unpacker.instant(until) },
        };
        Ok(Program { name, definition, restarts, state })
    }
}

impl PackedRun {
    fn pack(run: &Run, present: Option<&Arc<Definition>>) -> Self {
        let Run { main, definition, origin } = run;
        let is_present = present.is_some_and(|present| present == definition);
        Self {
            main: (*main).into(),
            definition: (!is_present).then(|| (&**definition).into()),
            is_taken_over: *origin == Origin::TakenOver,
        }
    }

    fn unpack(self, program: &ProgramName, present: Option<&Arc<Definition>>) -> io::Result<Run> {
        let Self { main, definition, is_taken_over } = self;
        let definition = definition.map(|definition| Arc::new(definition.into()));
        let definition = definition.or_else(|| present.cloned());
        let definition =
            definition.ok_or_else(|| senseless(format!("{program} runs without a definition")))?;
        let origin = if is_taken_over { Origin::TakenOver } else { Origin::Own };
        Ok(Run { main: main.into(), definition, origin })
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
        }
    }
}

impl From<PackedRest> for Rest {
    fn from(rest: PackedRest) -> Self {
        match rest {
            PackedRest::Idle => Self::Idle,
            PackedRest::Stopped => Self::Stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use procmgr_config::{Action, Config, Gid, Rule};
    use procmgr_proto::message::{ExitStatus, Invocation};

    use super::*;
    use crate::custody::Ledger;
    use crate::parcel::hand_on;
    use crate::supervisor::Supervisor;
    use crate::supervisor::event::{Effect, Event, Peer, Process, Spawn, Ticks};
    use crate::supervisor::memory::Memory;

    const NAMES: [&str; 6] = ["down", "stopped", "up", "stopping", "restarting", "backoff"];

    fn definition(name: &str) -> Definition {
        let mut definition =
            Definition::new(ProgramName::new(name.as_bytes()), Rule::default()).with_built_in(|action| {
                Rule { script: (*action == Action::Start).then(|| b"start".to_vec()), ..Rule::default() }
            });
        definition.restart_delay = (name == "backoff").then_some(Duration::from_secs(1000));
        definition
    }

    struct World {
        supervisor: Supervisor<Terminal>,
        now: Instant,
        ledger: Ledger,
        requests: u64,
    }

    impl World {
        fn new() -> Self {
            let programs = NAMES.map(|name| Arc::new(definition(name))).to_vec();
            let (socket_path, state_path) = (PathBuf::from("/s"), Some(PathBuf::from("/s.state")));
            let config = Config { socket_path, state_path, on_exit: OnExit::Stop, autostart: None, programs };
            let supervisor = Supervisor::new(config, Uid(7));
            Self { supervisor, now: Instant::now(), ledger: Ledger::new(100), requests: 0 }
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

        fn exited(&mut self, pid: i32) -> Vec<Effect<Terminal>> {
            let status = ExitStatus::Code(0);
            self.supervisor.handle(self.now, Event::Exited { pid: Pid(pid), status })
        }

        /// Has another image go on with what is known.
        fn hand_over(self) -> Self {
            let Self { supervisor, now, requests, .. } = self;
            let (stored, mut unpacker): (PackedSupervisor, Unpacker) =
                hand_on(supervisor, |supervisor, packer| {
                    PackedSupervisor::pack(supervisor.snapshot(), packer)
                });
            let ledger = Ledger::new(100);
            let snapshot = stored.unpack(&mut unpacker, |uid| ledger.account(uid)).unwrap();
            Self { supervisor: Supervisor::restored(snapshot, Uid(7)), now, ledger, requests }
        }

        fn memories(&self) -> Vec<(ProgramName, Memory)> {
            self.supervisor.memories().map(|(name, memory)| (name.clone(), memory)).collect()
        }
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
        world.ask("restarting", "restart", 0);
        world.exited(15);

        let before = world.memories();
        assert_eq!(before.len(), 5);
        let mut world = world.hand_over();
        assert_eq!(world.ledger.of(Uid::ROOT), 3, "the terminal of the restart counts");
        let after = world.memories();
        // Due times are told by two looks at the clock.
        assert_eq!(before[..4], after[..4]);
        let dues = [before, after].map(|memories| match memories[4].1 {
            Memory::Due { at, restarts: 1 } => at,
            ref other => panic!("{other:?}"),
        });
        assert!(dues[0].max(dues[1]) - dues[0].min(dues[1]) < Duration::from_millis(100));
        assert!(world.supervisor.next_deadline().is_some());

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
        assert_eq!(snapshot.programs[0].restarts, 0, "the first version did not count them");
    }
}
