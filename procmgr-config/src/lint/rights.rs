//! Who may have what run: users and groups that there are not, actions that are for nobody, and scripts that run as
//! root.
//!
//! What the scripts do is judged in `scripts`.

use crate::diagnostic::{Collector, Kind, Position, shown};
use crate::keys::GlobalKeys;
use crate::lint::people::Named;
use crate::lint::{Linter, Program};
use crate::syntax::Entry;
use crate::value::{self, Expected, Id, Ids};
use crate::{Action, Allowed, Definition, Gid, ProgramName, Uid};

/// A script that runs as root, and others who may have it run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privileged {
    /// The program.
    pub program: ProgramName,
    /// What they may ask for.
    pub action: Action,
    /// Whose script is run then: an action without one may run those of others.
    pub script: Action,
    /// The line of that script.
    pub line: usize,
    /// The column of its key, in bytes.
    pub column: usize,
    /// Who may ask.
    pub allowed: Allowed,
}

impl Privileged {
    /// Returns the users who may ask, but for root: the first of them, and how many there are beyond.
    pub fn users(&self) -> (Vec<Uid>, usize) {
        let others = self.allowed.uids.iter().copied().filter(|uid| *uid != Uid::ROOT);
        (others.clone().take(MAX_PEOPLE).collect(), others.count().saturating_sub(MAX_PEOPLE))
    }

    /// Returns the groups that may ask: the first of them, and how many there are beyond.
    pub fn groups(&self) -> (Vec<Gid>, usize) {
        let groups = self.allowed.gids.iter().copied();
        (groups.clone().take(MAX_PEOPLE).collect(), groups.len().saturating_sub(MAX_PEOPLE))
    }
}

impl Linter<'_> {
    /// Judges the users and groups that stand ahead of the first section.
    pub(super) fn ids_of_file(&mut self, globals: &GlobalKeys<'_>, findings: &mut Collector) {
        self.users([globals.allow_uid, globals.default_suid], findings);
        self.groups([globals.allow_gid, globals.default_sgid], findings);
    }

    /// Judges who may do what with a program.
    pub(super) fn rights(
        &mut self,
        program: &Program<'_>,
        globals: &GlobalKeys<'_>,
        findings: &mut Collector,
    ) {
        let keys = program.keys;
        self.users([keys.allow_uid, keys.default_suid], findings);
        self.groups([keys.allow_gid, keys.default_sgid], findings);
        for (_, keys) in keys.actions() {
            self.users([keys.uid, keys.suid], findings);
            self.groups([keys.gid, keys.sgid], findings);
        }
        let general = [keys.allow_uid, keys.allow_gid, globals.allow_uid, globals.allow_gid];
        if general.into_iter().flatten().next().is_none() {
            root_only(program, findings);
        }
        if self.daemon == Uid::ROOT {
            self.privileged(program);
        }
    }

    /// Warns about users that the system does not know.
    fn users<const N: usize>(&mut self, entries: [Option<&Entry<'_>>; N], findings: &mut Collector) {
        for (number, position) in entries.into_iter().flatten().flat_map(|entry| numbers(entry, value::users))
        {
            if *self.people.look_up_user(Uid(number)) == Named::Nobody && self.people.exist() {
                findings.warning(Kind::UnknownId, position, || format!("the system has no user {number}"));
            }
        }
    }

    /// Warns about groups that the system does not know.
    fn groups<const N: usize>(&mut self, entries: [Option<&Entry<'_>>; N], findings: &mut Collector) {
        for (number, position) in
            entries.into_iter().flatten().flat_map(|entry| numbers(entry, value::groups))
        {
            if *self.people.look_up_group(Gid(number)) == Named::Nobody && self.people.exist() {
                findings.warning(Kind::UnknownId, position, || format!("the system has no group {number}"));
            }
        }
    }

    /// Lists the scripts that others than root may have run as root.
    fn privileged(&mut self, program: &Program<'_>) {
        let definition = program.definition;
        for action in definition.actions() {
            let allowed = &definition.rule(action).terms.allowed;
            if !is_for_others(allowed) {
                continue;
            }
            for script in scripts_of(action, definition) {
                let rule = definition.rule(script);
                let Some(entry) = program.keys.action(script).cmd else { continue };
                let is_empty = entry.value.bytes.is_empty();
                if is_empty || rule.terms.identity.uid.is_some_and(|uid| uid != Uid::ROOT) {
                    continue;
                }
                if self.privileged.len() == MAX_PRIVILEGED {
                    self.privileged_omitted += 1;
                    continue;
                }
                let Position { line, column } = entry.key.position;
                let privileged = Privileged {
                    program: definition.name.clone(),
                    action: action.clone(),
                    script: script.clone(),
                    line,
                    column,
                    allowed: allowed.clone(),
                };
                for uid in privileged.users().0 {
                    self.people.look_up_user(uid);
                }
                for gid in privileged.groups().0 {
                    self.people.look_up_group(gid);
                }
                self.privileged.push(privileged);
            }
        }
    }
}

/// Warns about scripts for nobody but root, of a program that others may do something with. Who means that says `none`.
fn root_only(program: &Program<'_>, findings: &mut Collector) {
    let definition = program.definition;
    let Some((others, _)) = definition.rules().iter().find(|(_, rule)| is_for_others(&rule.terms.allowed))
    else {
        return;
    };
    for (action, keys) in program.keys.actions() {
        if let (Some(entry), None, None) = (keys.cmd, keys.uid, keys.gid) {
            findings.warning(Kind::RootOnly, entry.key.position, || {
                let [name, others] = [action, others].map(|action| shown(action.name()));
                format!(
                    "{name} is for nobody but root, although {others} is for others: if so meant, say \"uid-{name} = none\""
                )
            });
        }
    }
}

fn is_for_others(allowed: &Allowed) -> bool {
    !allowed.gids.is_empty() || allowed.uids.iter().any(|uid| *uid != Uid::ROOT)
}

/// Returns whose scripts an action runs: its own, or those of the actions that it is made of.
fn scripts_of<'a>(action: &'a Action, definition: &Definition) -> Vec<&'a Action> {
    let has_script = |action: &Action| definition.rule(action).script.is_some();
    match action {
        _ if has_script(action) => vec![action],
        Action::Reload if has_script(&Action::Restart) => vec![&Action::Restart],
        Action::Reload | Action::Restart => {
            [&Action::Stop, &Action::Start].into_iter().filter(|action| has_script(action)).collect()
        }
        Action::Start | Action::Signal | Action::Stop | Action::Status | Action::Custom(_) => Vec::new(),
    }
}

/// Returns the numbers that an entry names, with their places.
fn numbers<'e>(
    entry: &'e Entry<'e>,
    judge: fn(&'e [u8]) -> Result<Ids<'e>, Expected>,
) -> impl Iterator<Item = (u32, Position)> + 'e {
    let Position { line, column } = entry.value.position;
    let ids = judge(entry.value.bytes).unwrap_or_default();
    ids.into_iter().filter_map(move |(offset, id)| match id {
        Id::Number(number) => Some((number, Position { line, column: column + offset })),
        Id::Name(_) => None,
    })
}

/// How many users, and groups, are told of one script.
const MAX_PEOPLE: usize = 100;

/// How many scripts are listed.
const MAX_PRIVILEGED: usize = 100_000;
