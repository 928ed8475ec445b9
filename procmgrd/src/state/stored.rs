//! What is written about programs and their definitions, in words that can be read again by another daemon.
//!
//! The core and the configuration know nothing of these words. A field that is added later needs a default, for records
//! that do not have it yet, and a raised version if it must not be passed over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use procmgr_config::{
    Action, Allowed, Definition, Gid, Group, Identity, KillMode, Membership, ProgramName, Rule, Terms, Uid,
};
use procmgr_proto::details::PastExit;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Moment, StoredTimestamp};
use crate::latin::Bytes;
use crate::packed::PackedPath;
use crate::supervisor::event::{Pid, Process, Ticks};
use crate::supervisor::memory::{Aim, Memory, Past, Running};

/// What is on record about a program. A main process is not in here but beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredProgram {
    program: Bytes,
    memory: StoredMemory,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    past: Option<StoredPast>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredMemory {
    Nothing,
    Stopped,
    Failed,
    Due {
        at: Moment,
        /// The same by the clock on the wall.
        #[serde(default)]
        time: Option<u64>,
        /// All that the second version knew of the past.
        #[serde(default, skip_serializing)]
        restarts: u32,
    },
    Running {
        former: Option<StoredProcess>,
        #[serde(default)]
        since: Option<StoredTimestamp>,
        aim: StoredAim,
        #[serde(default, skip_serializing)]
        restarts: u32,
        definition: Box<StoredDefinition>,
    },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredAim {
    Run,
    Stop,
    End,
    Restart,
}

/// A [`Past`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoredPast {
    #[serde(default)]
    restarts: u32,
    #[serde(default)]
    row: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_exit: Option<StoredExit>,
}

/// A [`PastExit`]. The status is in the two numbers that it is on the wire.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct StoredExit {
    status: (u32, u8),
    time: u64,
}

/// A [`Process`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct StoredProcess {
    pid: i32,
    started: u64,
}

/// A [`Definition`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredDefinition {
    name: Bytes,
    restart_delay: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart_max_delay: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart_limit: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop_timeout: Option<Duration>,
    #[serde(default)]
    kill_mode: StoredKillMode,
    autostart: Option<u32>,
    cwd: Option<PackedPath>,
    /// What holds for actions that are not among the rules.
    #[serde(default)]
    default: StoredRule,
    /// By the names of the actions.
    rules: Vec<(Bytes, StoredRule)>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredKillMode {
    #[default]
    Process,
    Group,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct StoredRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    script: Option<Bytes>,
    /// Of daemons that knew of one user and of one group only.
    #[serde(default, skip_serializing)]
    allowed_uid: Option<u32>,
    #[serde(default, skip_serializing)]
    allowed_gid: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allowed_uids: Vec<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allowed_gids: Vec<u32>,
    #[serde(default, skip_serializing_if = "is_false")]
    supplementary_groups: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    primary: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<u32>>,
}

impl StoredProgram {
    /// Puts a memory into words, and returns the main process beside it.
    pub(crate) fn new(program: &ProgramName, memory: &Memory, clock: Clock) -> (Self, Option<Process>) {
        let (memory, past, main) = match memory {
            Memory::Nothing => (StoredMemory::Nothing, None, None),
            Memory::Stopped(past) => (StoredMemory::Stopped, Some(past), None),
            Memory::Failed(past) => (StoredMemory::Failed, Some(past), None),
            Memory::Due { at, past } => {
                let (at, time) = (clock.moment(at.instant), Some(at.time));
                (StoredMemory::Due { at, time, restarts: 0 }, Some(past), None)
            }
            Memory::Running(Running { main, former, since, definition, aim, past }) => {
                let (former, aim, definition) =
                    (former.map(Into::into), (*aim).into(), Box::new((&**definition).into()));
                let since = since.map(|since| clock.stored(since));
                (StoredMemory::Running { former, since, aim, restarts: 0, definition }, Some(past), *main)
            }
        };
        let past = past.filter(|past| **past != Past::default()).map(|past| (*past).into());
        (Self { program: Bytes(program.as_bytes().to_vec()), memory, past }, main)
    }

    /// Returns what the words mean, with the main process that was beside them.
    pub(crate) fn understand(self, main: Option<Process>, clock: Clock) -> (ProgramName, Memory) {
        let past = self.past.map(Past::from);
        let known = |restarts| past.unwrap_or(Past { restarts, row: restarts, last_exit: None });
        let memory = match self.memory {
            StoredMemory::Nothing => Memory::Nothing,
            StoredMemory::Stopped => Memory::Stopped(known(0)),
            StoredMemory::Failed => Memory::Failed(known(0)),
            StoredMemory::Due { at, time, restarts } => {
                Memory::Due { at: clock.complete(at, time), past: known(restarts) }
            }
            StoredMemory::Running { former, since, aim, restarts, definition } => Memory::Running(Running {
                main,
                former: former.map(Into::into),
                since: since.map(|since| clock.timestamp(since)),
                definition: Arc::new((*definition).into()),
                aim: aim.into(),
                past: known(restarts),
            }),
        };
        (ProgramName::new(&self.program.0), memory)
    }
}

impl From<Past> for StoredPast {
    fn from(Past { restarts, row, last_exit }: Past) -> Self {
        let stored = |PastExit { status, time }| StoredExit { status: status.into(), time };
        Self { restarts, row, last_exit: last_exit.map(stored) }
    }
}

impl From<StoredPast> for Past {
    fn from(StoredPast { restarts, row, last_exit }: StoredPast) -> Self {
        let exit = |StoredExit { status, time }| PastExit { status: status.into(), time };
        Self { restarts, row, last_exit: last_exit.map(exit) }
    }
}

impl From<Process> for StoredProcess {
    fn from(Process { pid: Pid(pid), started: Ticks(started) }: Process) -> Self {
        Self { pid, started }
    }
}

impl From<StoredProcess> for Process {
    fn from(StoredProcess { pid, started }: StoredProcess) -> Self {
        Self { pid: Pid(pid), started: Ticks(started) }
    }
}

impl From<Aim> for StoredAim {
    fn from(aim: Aim) -> Self {
        match aim {
            Aim::Run => Self::Run,
            Aim::Stop => Self::Stop,
            Aim::End => Self::End,
            Aim::Restart => Self::Restart,
        }
    }
}

impl From<StoredAim> for Aim {
    fn from(aim: StoredAim) -> Self {
        match aim {
            StoredAim::Run => Self::Run,
            StoredAim::Stop => Self::Stop,
            StoredAim::End => Self::End,
            StoredAim::Restart => Self::Restart,
        }
    }
}

impl From<&Definition> for StoredDefinition {
    fn from(definition: &Definition) -> Self {
        let rule = |(action, rule): &(Action, Rule)| (Bytes(action.name().to_vec()), rule.into());
        Self {
            name: Bytes(definition.name.as_bytes().to_vec()),
            restart_delay: definition.restart_delay,
            restart_max_delay: definition.restart_max_delay,
            restart_limit: definition.restart_limit,
            stop_timeout: definition.stop_timeout,
            kill_mode: match definition.kill_mode {
                KillMode::Process => StoredKillMode::Process,
                KillMode::Group => StoredKillMode::Group,
            },
            autostart: definition.autostart.map(|Group(number)| number),
            cwd: definition.cwd.as_deref().map(Into::into),
            default: definition.default_rule().into(),
            rules: definition.rules().iter().map(rule).collect(),
        }
    }
}

impl From<StoredDefinition> for Definition {
    fn from(stored: StoredDefinition) -> Self {
        let StoredDefinition {
            name: Bytes(name),
            restart_delay,
            restart_max_delay,
            restart_limit,
            stop_timeout,
            kill_mode,
            autostart,
            cwd,
            default,
            rules,
        } = stored;
        let mut definition = Self::new(ProgramName::new(&name), default.into());
        definition.reserve(rules.len());
        for (Bytes(action), rule) in rules {
            definition.define(Action::from_name(&action), rule.into());
        }
        definition.restart_delay = restart_delay;
        definition.restart_max_delay = restart_max_delay;
        definition.restart_limit = restart_limit;
        definition.stop_timeout = stop_timeout;
        definition.kill_mode = match kill_mode {
            StoredKillMode::Process => KillMode::Process,
            StoredKillMode::Group => KillMode::Group,
        };
        definition.autostart = autostart.map(Group);
        definition.cwd = cwd.map(|cwd| PathBuf::from(cwd).into());
        definition
    }
}

impl From<&Rule> for StoredRule {
    fn from(Rule { script, terms }: &Rule) -> Self {
        let Terms { allowed, identity } = &**terms;
        let Allowed { uids, gids, membership } = allowed;
        let Identity { uid, gid, primary, groups } = identity;
        Self {
            script: script.as_deref().map(|script| Bytes(script.to_vec())),
            allowed_uid: None,
            allowed_gid: None,
            allowed_uids: uids.iter().map(|Uid(uid)| *uid).collect(),
            allowed_gids: gids.iter().map(|Gid(gid)| *gid).collect(),
            supplementary_groups: match membership {
                Membership::Effective => false,
                Membership::Supplementary => true,
            },
            uid: uid.map(|Uid(uid)| uid),
            gid: gid.map(|Gid(gid)| gid),
            primary: primary.map(|Gid(gid)| gid),
            groups: groups.as_ref().map(|groups| groups.iter().map(|Gid(gid)| *gid).collect()),
        }
    }
}

impl From<StoredRule> for Rule {
    fn from(stored: StoredRule) -> Self {
        let StoredRule {
            script,
            allowed_uid,
            allowed_gid,
            allowed_uids,
            allowed_gids,
            supplementary_groups,
            uid,
            gid,
            primary,
            groups,
        } = stored;
        let uids: Vec<Uid> = allowed_uid.into_iter().chain(allowed_uids).map(Uid).collect();
        let gids: Vec<Gid> = allowed_gid.into_iter().chain(allowed_gids).map(Gid).collect();
        let membership = if supplementary_groups { Membership::Supplementary } else { Membership::Effective };
        let allowed = Allowed { membership, ..Allowed::new(uids, gids) };
        let identity = Identity {
            uid: uid.map(Uid),
            gid: gid.map(Gid),
            primary: primary.map(Gid),
            groups: groups.map(|groups| groups.into_iter().map(Gid).collect()),
        };
        Self::new(script.map(|Bytes(script)| script.into()), Terms { allowed, identity })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_false(it: &bool) -> bool {
    !it
}

#[cfg(test)]
mod tests;
