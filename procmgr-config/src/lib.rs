//! What the configuration file of procmgr says, in types that cannot be wrong.
//!
//! Reading it and judging it happens in the rooms below; what is done with it is none of this crate's business.

mod accounts;
mod check;
pub mod diagnostic;
mod document;
#[cfg(fuzzing)]
pub mod fuzz;
mod keys;
pub mod load;
mod resolve;
mod syntax;
mod value;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// All that a configuration file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the daemon listens. As it stands in the file, so it may be relative; the default if the file names none.
    pub socket_path: PathBuf,
    /// The folder in which the daemon keeps what it has to know after its end. As it stands in the file, so it may be
    /// relative; `None` if the file names none.
    pub state_path: Option<PathBuf>,
    /// What becomes of the programs that run when the daemon ends.
    pub on_exit: OnExit,
    /// The group of programs that the daemon starts when it starts (`do-autostart`); `None` starts none.
    pub autostart: Option<Group>,
    /// The programs, in the order of the file. No two have the same name.
    pub programs: Vec<Arc<Definition>>,
}

/// What becomes of the programs that run when the daemon ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExit {
    /// They go on, without a daemon.
    #[default]
    Leave,
    /// They are stopped first.
    Stop,
}

/// Whom the signals are for by which the daemon ends a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KillMode {
    /// The main process alone.
    #[default]
    Process,
    /// The process group that the main process leads.
    Group,
}

/// What a `[prog-NAME]` section says, with the defaults of the global keys filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What follows `prog-`.
    pub name: ProgramName,
    /// How long after its death the program is started again; `None` leaves it dead. Never zero.
    pub restart_delay: Option<Duration>,
    /// The longest pause ahead of a restart: the pauses double from one restart to the next, up to this. `None` keeps all
    /// as long as the first one. Never zero.
    pub restart_max_delay: Option<Duration>,
    /// How many restarts in a row there are before the daemon gives up; `None` for as many as it takes. Never zero.
    pub restart_limit: Option<u32>,
    /// How long after it was told to end the program is killed; `None` waits for it without end. Never zero.
    pub stop_timeout: Option<Duration>,
    /// Whom signals of the daemon are for.
    pub kill_mode: KillMode,
    /// The group in which the daemon starts it on its own.
    pub autostart: Option<Group>,
    /// The working directory of its scripts; `None` is the daemon's.
    pub cwd: Option<PathBuf>,
    rules: [Rule; Action::ALL.len()],
}

impl Definition {
    /// Creates the definition of a program that has `rule(action)` for each action and nothing else.
    pub fn new(name: ProgramName, rule: impl FnMut(Action) -> Rule) -> Self {
        Self {
            name,
            restart_delay: None,
            restart_max_delay: None,
            restart_limit: None,
            stop_timeout: None,
            kill_mode: KillMode::default(),
            autostart: None,
            cwd: None,
            rules: Action::ALL.map(rule),
        }
    }

    /// Returns what the section says of an action.
    pub fn rule(&self, action: Action) -> &Rule {
        &self.rules[action as usize]
    }
}

/// What can be asked for on a program, and what a section has keys for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Starts the program.
    Start,
    /// Stops the program and starts it again.
    Restart,
    /// Has the program read its configuration again.
    Reload,
    /// Does what the script wishes.
    Signal,
    /// Stops the program.
    Stop,
    /// Tells whether the program runs.
    Status,
}

impl Action {
    /// Every action, in the order of the manual.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Restart, Self::Reload, Self::Signal, Self::Stop, Self::Status];

    /// Returns the action of that name, if there is one.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name().as_bytes() == name)
    }

    /// Returns the name by which users and configuration files call this action.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Signal => "signal",
            Self::Stop => "stop",
            Self::Status => "status",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a section says of one action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The shell text, without NUL; `None` asks for the default action. An empty text is a script, too.
    pub script: Option<Vec<u8>>,
    /// Who, beside root, may ask for the action.
    pub allowed: Allowed,
    /// As whom the script runs.
    pub identity: Identity,
}

/// Who, beside root, may ask for an action: peers with this user *or* this group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The user, if any.
    pub uid: Option<Uid>,
    /// The group, if any.
    pub gid: Option<Gid>,
}

/// As whom a script runs. What is `None` stays as the daemon has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user (`suid`).
    pub uid: Option<Uid>,
    /// The group (`sgid`); where the file names a user but no group, the primary group of that user, if it has one.
    pub gid: Option<Gid>,
    /// The supplementary groups: those of the user, none if the system knows no such user. `None` without a user.
    pub groups: Option<Arc<[Gid]>>,
}

/// A user id. Never 4294967295, which the kernel takes for "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u32);

impl Uid {
    /// The user who may do everything.
    pub const ROOT: Self = Self(0);
}

/// A group id. Never 4294967295, which the kernel takes for "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gid(pub u32);

/// The number of a group of programs that start together. Never 0, which stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(pub u32);

/// The name of a program: any bytes but NUL and LF. Clones share the bytes.
///
/// Shown with everything but printable ASCII escaped, so that no name can harm a terminal or a log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramName(Arc<[u8]>);

impl ProgramName {
    /// Creates a name from its bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for ProgramName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ProgramName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for ProgramName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::Action;

    #[test]
    fn an_action_is_found_by_its_name_as_it_is_written_and_by_no_other() {
        for action in Action::ALL {
            assert_eq!(Action::from_name(action.name().as_bytes()), Some(action));
        }
        for name in [&b"Restart"[..], b"restart ", b"re", b""] {
            assert_eq!(Action::from_name(name), None);
        }
    }
}
