//! From entries to definitions: each value is judged, and the more particular level beats the more general one.
//!
//! Which entry of a key counts is settled before; whether a setting is of any use, in `check`.

use std::path::Path;
use std::sync::Arc;

use crate::accounts::{Account, Accounts, Found};
use crate::diagnostic::{Collector, Kind, Position, quote};
use crate::document::Document;
use crate::keys::{ActionKeys, GlobalKeys, ProgramKeys};
use crate::load::Keep;
use crate::syntax::Entry;
use crate::value::{self, Expected, Id, Ids};
use crate::{
    Allowed, Config, Definition, Gid, Group, Identity, KillMode, OnExit, ProgramName, Rule, Terms, Uid,
    check, sorted,
};

/// Returns what a document says. Where a value is unusable, an error is found and the result must not be used.
pub(crate) fn resolve(
    document: &Document<'_>,
    default_socket_path: &Path,
    accounts: &mut Accounts,
    keep: &mut Keep<'_>,
    findings: &mut Collector,
) -> Config {
    let globals = GlobalKeys::sort(document.globals(), findings);
    let programs = document.programs(findings);
    let mut resolver = Resolver { accounts, findings };
    let defaults = resolver.defaults(&globals);
    Config {
        socket_path: resolver.value(globals.socket_path, value::path, default_socket_path.to_path_buf()),
        state_path: resolver.value(globals.state_path, |value| value::path(value).map(Some), None),
        on_exit: resolver.value(globals.on_exit, value::on_exit, OnExit::default()),
        autostart: resolver.value(globals.do_autostart, value::group, Some(Group(1))),
        programs: programs
            .into_iter()
            .map(|(name, entries)| keep(resolver.program(name, entries, &defaults)))
            .collect(),
    }
}

struct Resolver<'r> {
    accounts: &'r mut Accounts,
    findings: &'r mut Collector,
}

/// What holds where a more particular level says nothing.
#[derive(Clone, Default)]
struct Defaults {
    user: Option<Account>,
    group: Option<Gid>,
    /// What follows from these, with whom it is for.
    terms: Arc<Terms>,
}

/// The entries of one level that say who may ask, and as whom scripts run.
struct Persons<'a> {
    uid: Option<&'a Entry<'a>>,
    gid: Option<&'a Entry<'a>>,
    supplementary_groups: Option<&'a Entry<'a>>,
    suid: Option<&'a Entry<'a>>,
    sgid: Option<&'a Entry<'a>>,
}

impl Persons<'_> {
    fn say_nothing(&self) -> bool {
        matches!(self, Self { uid: None, gid: None, supplementary_groups: None, suid: None, sgid: None })
    }
}

impl Resolver<'_> {
    fn defaults(&mut self, globals: &GlobalKeys<'_>) -> Defaults {
        let persons = Persons {
            uid: globals.allow_uid,
            gid: globals.allow_gid,
            supplementary_groups: globals.supplementary_groups,
            suid: globals.default_suid,
            sgid: globals.default_sgid,
        };
        self.persons(&persons, &Defaults::default())
    }

    fn program(&mut self, name: &[u8], entries: &[Entry<'_>], globals: &Defaults) -> Definition {
        let keys = ProgramKeys::sort(entries, self.findings);
        let persons = Persons {
            uid: keys.allow_uid,
            gid: keys.allow_gid,
            supplementary_groups: keys.supplementary_groups,
            suid: keys.default_suid,
            sgid: keys.default_sgid,
        };
        let defaults = self.persons(&persons, globals);
        let mut definition =
            Definition::new(ProgramName::new(name), Rule { script: None, terms: defaults.terms.clone() });
        definition.reserve(keys.actions().count());
        for (action, keys) in keys.actions() {
            definition.define(action.clone(), self.rule(keys, &defaults));
        }
        definition.restart_delay = self.value(keys.restart_delay, value::restart_delay, None);
        definition.restart_max_delay = self.value(keys.restart_max_delay, value::seconds, None);
        definition.restart_limit = self.value(keys.restart_limit, value::limit, None);
        definition.stop_timeout = self.value(keys.stop_timeout, value::seconds, None);
        definition.kill_mode = self.value(keys.kill_mode, value::kill_mode, KillMode::default());
        definition.autostart = self.value(keys.autostart, value::group, None);
        definition.cwd = self.value(keys.cwd, |value| value::path(value).map(|path| Some(path.into())), None);
        check::program(&keys, &definition, self.findings);
        definition
    }

    fn rule(&mut self, keys: &ActionKeys<'_>, defaults: &Defaults) -> Rule {
        let ActionKeys { cmd, uid, gid, suid, sgid } = *keys;
        let persons = Persons { uid, gid, supplementary_groups: None, suid, sgid };
        Rule {
            script: cmd.map(|entry| entry.value.bytes.into()),
            terms: self.persons(&persons, defaults).terms,
        }
    }

    /// Returns what one level says, on top of what holds without it.
    fn persons(&mut self, entries: &Persons<'_>, defaults: &Defaults) -> Defaults {
        if entries.say_nothing() {
            return defaults.clone();
        }
        let Defaults { user, group, terms } = defaults;
        let Terms { allowed, identity: _ } = &**terms;
        let allowed = Allowed {
            uids: self.ids(entries.uid, value::users, Self::uid, &allowed.uids),
            gids: self.ids(entries.gid, value::groups, Self::gid, &allowed.gids),
            membership: self.value(entries.supplementary_groups, value::membership, allowed.membership),
        };
        let user = self.user(entries.suid, user.as_ref());
        let group = self.group(entries.sgid, *group);
        let terms = Arc::new(Terms { allowed, identity: identity(user.clone(), group) });
        Defaults { user, group, terms }
    }

    /// Returns the ids that an entry names, or the default if there is none. An entry that says `none` is not the
    /// default.
    fn ids<T: Ord>(
        &mut self,
        entry: Option<&Entry<'_>>,
        judge: fn(&[u8]) -> Result<Ids<'_>, Expected>,
        find: fn(&mut Self, Id<'_>, Position) -> Option<T>,
        default: &Arc<[T]>,
    ) -> Arc<[T]> {
        let Some(Entry { value, .. }) = entry else {
            return Arc::clone(default);
        };
        let ids = self.judged(entry, judge).unwrap_or_default();
        let position = |offset| Position { column: value.position.column + offset, ..value.position };
        sorted(ids.into_iter().filter_map(|(offset, id)| find(self, id, position(offset))).collect())
    }

    /// Returns the group that an entry names, or the default if there is none.
    fn group(&mut self, entry: Option<&Entry<'_>>, default: Option<Gid>) -> Option<Gid> {
        let Some(Entry { value, .. }) = entry else {
            return default;
        };
        let id = self.judged(entry, value::user_group).flatten()?;
        self.gid(id, value.position)
    }

    fn uid(&mut self, id: Id<'_>, position: Position) -> Option<Uid> {
        match id {
            Id::Number(number) => Some(Uid(number)),
            Id::Name(name) => {
                let found = self.accounts.user(name);
                self.found("user", name, position, found)
            }
        }
    }

    fn gid(&mut self, id: Id<'_>, position: Position) -> Option<Gid> {
        match id {
            Id::Number(number) => Some(Gid(number)),
            Id::Name(name) => {
                let found = self.accounts.group(name);
                self.found("group", name, position, found)
            }
        }
    }

    /// Returns whom a name is of. That it is nobody's is an error: the action would be denied to whom it is meant for.
    fn found<T>(&mut self, what: &str, name: &[u8], position: Position, found: Found<T>) -> Option<T> {
        match found {
            Ok(Some(id)) => return Some(id),
            Ok(None) => {
                let text = || format!("unknown {what} {}", quote(name));
                self.findings.error(Kind::UnknownName, position, text);
            }
            Err(error) => {
                let text = || format!("cannot look up {what} {}: {}", quote(name), error.desc());
                self.findings.error(Kind::LookUp, position, text);
            }
        }
        None
    }

    /// Returns what an entry says; nothing, with an error, if that is unusable.
    fn judged<'e, T>(
        &mut self,
        entry: Option<&Entry<'e>>,
        judge: fn(&'e [u8]) -> Result<T, Expected>,
    ) -> Option<T> {
        let Entry { key, value } = entry?;
        let unusable = |expected: Expected| {
            let text = || expected.tell(key.bytes, value.bytes);
            self.findings.error(Kind::InvalidValue, value.position, text);
        };
        judge(value.bytes).map_err(unusable).ok()
    }

    /// Returns what an entry says, or the default if there is none. An entry that says `none` is not the default.
    fn value<T>(
        &mut self,
        entry: Option<&Entry<'_>>,
        judge: fn(&[u8]) -> Result<T, Expected>,
        default: T,
    ) -> T {
        self.judged(entry, judge).unwrap_or(default)
    }

    /// Returns the user that an entry names, or the default if there is none.
    fn user(&mut self, entry: Option<&Entry<'_>>, default: Option<&Account>) -> Option<Account> {
        let Some(Entry { value, .. }) = entry else {
            return default.cloned();
        };
        let id = self.judged(entry, value::user).flatten()?;
        let uid = self.uid(id, value.position)?;
        // Without an answer the script would run with the wrong groups, perhaps with those of the daemon.
        self.accounts
            .find(uid)
            .map_err(|error| {
                let text = || format!("cannot look up user {}: {}", uid.0, error.desc());
                self.findings.error(Kind::LookUp, value.position, text);
            })
            .ok()
    }
}

fn identity(user: Option<Account>, group: Option<Gid>) -> Identity {
    match user {
        Some(Account { uid, gid, groups }) => {
            Identity { uid: Some(uid), gid: group, primary: gid, groups: Some(groups) }
        }
        None => Identity { gid: group, ..Identity::default() },
    }
}

#[cfg(test)]
mod tests;
