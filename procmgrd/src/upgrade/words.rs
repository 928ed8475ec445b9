//! What a supervisor knows, in words that another image of the daemon can read.
//!
//! What of it outlives the daemon is in `state`; here is all of it, those who wait and what they have brought included.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

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
        let mut neighbour = None;
        let programs = programs.into_iter().map(|program| {
            let program = program.unpack(unpacker, &account, neighbour.as_deref())?;
            neighbour = program.definition.clone().or(neighbour.take());
            Ok(program)
        });
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
        neighbour: Option<&Definition>,
    ) -> io::Result<Program<Terminal>> {
        let Self { name: Bytes(name), definition, restarts, past, state } = self;
        let past = past.map_or(Past { restarts, row: restarts, last_exit: None }, Into::into);
        let definition = definition.map(|definition| {
            let mut definition = Definition::from(definition);
            // Most say the same of much, and there may be very many.
            if let Some(neighbour) = neighbour {
                definition.share(neighbour);
            }
            Arc::new(definition)
        });
        let name = definition.as_ref().map_or_else(|| ProgramName::new(&name), |it| it.name.clone());
        let unpack_run =
            |run: PackedRun, unpacker: &Unpacker| run.unpack(&name, definition.as_ref(), unpacker);
        let state = match state {
            PackedState::Down(rest) => State::Down(rest.into()),
            PackedState::Up(run) => State::Up(unpack_run(run, unpacker)?),
            PackedState::Stopping { run, waiting, next, rest, patience } => State::Stopping {
                run: unpack_run(run, unpacker)?,
                waiting: waiting.into_iter().map(Into::into).collect(),
                next: next.map(|call| call.unpack(unpacker, account).map(Box::new)).transpose()?,
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
mod tests;
