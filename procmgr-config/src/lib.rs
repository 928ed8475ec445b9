//! What the configuration file of procmgr says, in types that cannot be wrong.
//!
//! Reading it and judging it happens in the rooms below; what is done with it is none of this crate's business.

pub mod accounts;
mod check;
pub mod diagnostic;
mod difference;
mod document;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod keys;
pub mod lint;
pub mod load;
mod resolve;
mod syntax;
mod value;

use std::fmt;
use std::path::{Path, PathBuf};
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
///
/// Two are equal if they mean the same, however their sections say it.
#[derive(Clone, Debug)]
pub struct Definition {
    /// What follows `prog-`.
    pub name: ProgramName,
    /// How long after its death the program is started again; `None` leaves it dead. Never zero.
    pub restart_delay: Option<Duration>,
    /// The longest pause ahead of a restart: the pauses double from one restart to the next, up to this. `None` keeps
    /// all as long as the first one. Never zero.
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
    pub cwd: Option<Box<Path>>,
    /// What holds for actions that have no rule of their own. It has no script.
    default: Rule,
    /// The rules of actions that differ from it, in the order of the actions.
    rules: Vec<(Action, Rule)>,
}

impl Definition {
    /// Creates the definition of a program that allows every action to those to whom `default` does, and says nothing
    /// else; the script of `default` is left out.
    pub fn new(name: ProgramName, default: Rule) -> Self {
        Self {
            name,
            restart_delay: None,
            restart_max_delay: None,
            restart_limit: None,
            stop_timeout: None,
            kill_mode: KillMode::default(),
            autostart: None,
            cwd: None,
            default: Rule { script: None, ..default },
            rules: Vec::new(),
        }
    }

    /// Says this of an action, and nothing else of it.
    pub fn define(&mut self, action: Action, mut rule: Rule) {
        if rule.terms == self.default.terms {
            rule.terms = Arc::clone(&self.default.terms);
        }
        let place = self.rules.binary_search_by(|(it, _)| it.cmp(&action));
        match (place, rule == self.default) {
            (Ok(place), true) => drop(self.rules.remove(place)),
            (Ok(place), false) => self.rules[place].1 = rule,
            (Err(_), true) => {}
            (Err(place), false) => self.rules.insert(place, (action, rule)),
        }
    }

    /// Makes room for the rules of so many more actions, and not for others: there may be very many definitions.
    pub fn reserve(&mut self, actions: usize) {
        self.rules.reserve_exact(actions);
    }

    /// Shares with another definition what both say alike.
    pub fn share(&mut self, other: &Self) {
        if self.default.terms != other.default.terms {
            return;
        }
        let rules = self.rules.iter_mut().map(|(_, rule)| rule);
        for rule in rules.filter(|rule| Arc::ptr_eq(&rule.terms, &self.default.terms)) {
            rule.terms = Arc::clone(&other.default.terms);
        }
        self.default.terms = Arc::clone(&other.default.terms);
    }

    /// Says this of each built-in action.
    #[must_use]
    pub fn with_built_in(mut self, mut rule: impl FnMut(&Action) -> Rule) -> Self {
        for action in Action::BUILT_IN {
            let rule = rule(&action);
            self.define(action, rule);
        }
        self
    }

    /// Returns what the section says of an action.
    pub fn rule(&self, action: &Action) -> &Rule {
        let place = self.rules.binary_search_by(|(it, _)| it.cmp(action));
        place.map_or(&self.default, |place| &self.rules[place].1)
    }

    /// Returns what holds for actions of which the section says nothing in particular.
    pub fn default_rule(&self) -> &Rule {
        &self.default
    }

    /// Returns the actions of which the section says something in particular, and what, in the order of the actions.
    pub fn rules(&self) -> &[(Action, Rule)] {
        &self.rules
    }

    /// Returns all actions that can be asked for: the built-in ones, and those for which the section has a script.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        let custom = self.rules.iter().map(|(action, _)| action).filter(|action| !action.is_built_in());
        Action::BUILT_IN.iter().chain(custom)
    }
}

/// What can be asked for on a program, and what a section has keys for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// Does what the script wishes, too, under a name that the section has chosen.
    Custom(CustomAction),
}

/// The name of an action that is not built in: any bytes but NUL and LF. Clones share the bytes.
///
/// They lie one step further away than they had to, so that the many actions that are built in stay small.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomAction(Arc<Box<[u8]>>);

impl Action {
    /// Every action that is built in, in the order of the manual.
    pub const BUILT_IN: [Self; 6] =
        [Self::Start, Self::Restart, Self::Reload, Self::Signal, Self::Stop, Self::Status];

    /// Returns the action of that name. One that is not built in can be asked for where a section has a script for it.
    pub fn from_name(name: &[u8]) -> Self {
        Self::built_in(name).unwrap_or_else(|| Self::Custom(CustomAction(Arc::new(name.into()))))
    }

    /// Returns the built-in action of that name, if there is one.
    pub fn built_in(name: &[u8]) -> Option<Self> {
        Self::BUILT_IN.into_iter().find(|action| action.name() == name)
    }

    /// Returns whether it is one that every program has.
    pub fn is_built_in(&self) -> bool {
        !matches!(self, Self::Custom(_))
    }

    /// Returns the name by which users and configuration files call this action.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Start => b"start",
            Self::Restart => b"restart",
            Self::Reload => b"reload",
            Self::Signal => b"signal",
            Self::Stop => b"stop",
            Self::Status => b"status",
            Self::Custom(CustomAction(name)) => name,
        }
    }
}

/// Shown with everything but printable ASCII escaped, as the name of a program is.
impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.name().escape_ascii())
    }
}

/// What a section says of one action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The shell text, without NUL; `None` asks for the default action. An empty text is a script, too.
    pub script: Option<Box<[u8]>>,
    /// For whom and as whom. Shared: most actions of most programs have the same.
    pub terms: Arc<Terms>,
}

impl Rule {
    /// Puts the two together.
    pub fn new(script: Option<Box<[u8]>>, terms: Terms) -> Self {
        Self { script, terms: Arc::new(terms) }
    }
}

/// Whom an action is for, and as whom it is performed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Who, beside root, may ask for the action.
    pub allowed: Allowed,
    /// As whom the script runs.
    pub identity: Identity,
}

/// Who, beside root, may ask for an action: peers with one of these users *or* of these groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The users, sorted, each once.
    pub uids: Arc<[Uid]>,
    /// The groups, sorted, each once.
    pub gids: Arc<[Gid]>,
    /// Which groups of a peer are compared with these.
    pub membership: Membership,
}

impl Allowed {
    /// Allows these users and these groups.
    pub fn new(uids: impl Into<Vec<Uid>>, gids: impl Into<Vec<Gid>>) -> Self {
        Self { uids: sorted(uids.into()), gids: sorted(gids.into()), membership: Membership::default() }
    }
}

/// Which groups of a peer count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Membership {
    /// Its effective group alone.
    #[default]
    Effective,
    /// Its supplementary groups as well.
    Supplementary,
}

/// Puts ids into the one order in which lists of the same ones are equal.
pub(crate) fn sorted<T: Ord>(mut ids: Vec<T>) -> Arc<[T]> {
    ids.sort_unstable();
    ids.dedup();
    ids.into()
}

/// As whom a script runs. What is `None` stays as the daemon has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user (`suid`).
    pub uid: Option<Uid>,
    /// The group (`sgid`).
    pub gid: Option<Gid>,
    /// The primary group of the user. `None` without a user, and for one that the system does not know.
    pub primary: Option<Gid>,
    /// The supplementary groups: those of the user, none if the system knows no such user. `None` without a user.
    pub groups: Option<Arc<[Gid]>>,
}

impl Identity {
    /// Returns the group that a script runs as: the one that is named, or else the primary one of the user.
    pub fn group(&self) -> Option<Gid> {
        self.gid.or(self.primary)
    }
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
    use super::*;

    #[test]
    fn what_two_definitions_say_alike_can_be_shared() {
        let terms = |uid| Terms { allowed: Allowed::new([Uid(uid)], []), ..Terms::default() };
        let definition = |name: &[u8], uid| {
            let mut definition = Definition::new(ProgramName::new(name), Rule::new(None, terms(uid)));
            definition.define(Action::Start, Rule::new(Some(Box::default()), terms(uid)));
            definition.define(Action::Stop, Rule::new(None, terms(9)));
            definition
        };
        let (a, b) = (definition(b"a", 1), definition(b"b", 1));
        let (mut same, mut other) = (b.clone(), definition(b"c", 2));
        same.share(&a);
        other.share(&a);

        assert_eq!((&same, &other), (&b, &definition(b"c", 2)));
        let is_shared =
            |it: &Definition, action| Arc::ptr_eq(&it.rule(&action).terms, &a.default_rule().terms);
        assert!(is_shared(&same, Action::Start) && is_shared(&same, Action::Reload));
        assert!(!is_shared(&same, Action::Stop) && !is_shared(&other, Action::Start));
    }

    #[test]
    fn an_action_is_found_by_its_name_as_it_is_written_and_any_other_is_custom() {
        for action in Action::BUILT_IN {
            assert_eq!(Action::from_name(action.name()), action);
        }
        for name in [&b"Restart"[..], b"restart ", b"re", b""] {
            assert_eq!(Action::built_in(name), None);
            let action = Action::from_name(name);
            assert!(!action.is_built_in() && action.name() == name);
        }
    }

    #[test]
    fn an_action_without_a_rule_of_its_own_has_the_one_of_all() {
        let allowed = Allowed::new([Uid(2), Uid(1), Uid(2)], []);
        let default = Rule::new(None, Terms { allowed, ..Terms::default() });
        let own = Rule { script: Some(b"x"[..].into()), ..default.clone() };
        let mut definition = Definition::new(ProgramName::new(b"a"), own.clone());
        let dance = Action::from_name(b"dance");
        for action in [Action::Status, dance.clone(), Action::Start] {
            definition.define(action, own.clone());
        }
        assert_eq!(*default.terms.allowed.uids, [Uid(1), Uid(2)]);
        assert_eq!(*definition.rule(&Action::Stop), default);
        assert_eq!(*definition.rule(&dance), own);
        let rules: Vec<_> = definition.rules().iter().map(|(action, _)| action.to_string()).collect();
        assert_eq!(rules, ["start", "status", "dance"]);
        assert_eq!(definition.actions().count(), 7);
        definition.define(dance.clone(), default.clone());
        definition.define(Action::Start, default.clone());
        assert_eq!((definition.rules().len(), definition.rule(&dance)), (1, &default));
    }
}
