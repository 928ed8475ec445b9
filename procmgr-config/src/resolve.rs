//! From entries to definitions: each value is judged, and the more particular level beats the more general one.
//!
//! Which entry of a key counts is settled before; whether a setting is of any use, in `check`.

use std::path::Path;
use std::sync::Arc;

use crate::accounts::{Account, Accounts};
use crate::diagnostic::Collector;
use crate::document::Document;
use crate::keys::{ActionKeys, GlobalKeys, ProgramKeys};
use crate::syntax::Entry;
use crate::value::{self, Expected};
use crate::{Action, check};
use crate::{Allowed, Config, Definition, Gid, Group, Identity, KillMode, OnExit, ProgramName, Rule};

/// Returns what a document says. Where a value is unusable, an error is found and the result must not be used.
pub(crate) fn resolve(
    document: &Document<'_>,
    default_socket_path: &Path,
    accounts: &mut Accounts,
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
            .map(|(name, entries)| Arc::new(resolver.program(name, entries, &defaults)))
            .collect(),
    }
}

struct Resolver<'r> {
    accounts: &'r mut Accounts,
    findings: &'r mut Collector,
}

/// What holds where a more particular level says nothing.
struct Defaults {
    allowed: Allowed,
    user: Option<Account>,
    group: Option<Gid>,
}

impl Resolver<'_> {
    fn defaults(&mut self, globals: &GlobalKeys<'_>) -> Defaults {
        Defaults {
            allowed: Allowed {
                uid: self.value(globals.allow_uid, value::uid, None),
                gid: self.value(globals.allow_gid, value::gid, None),
            },
            user: self.user(globals.default_suid, None),
            group: self.value(globals.default_sgid, value::gid, None),
        }
    }

    fn program(&mut self, name: &[u8], entries: &[Entry<'_>], globals: &Defaults) -> Definition {
        let keys = ProgramKeys::sort(entries, self.findings);
        let defaults = Defaults {
            allowed: Allowed {
                uid: self.value(keys.allow_uid, value::uid, globals.allowed.uid),
                gid: self.value(keys.allow_gid, value::gid, globals.allowed.gid),
            },
            user: self.user(keys.default_suid, globals.user.as_ref()),
            group: self.value(keys.default_sgid, value::gid, globals.group),
        };
        let rule = |action: Action| self.rule(keys.action(action), &defaults);
        let mut definition = Definition::new(ProgramName::new(name), rule);
        definition.restart_delay = self.value(keys.restart_delay, value::restart_delay, None);
        definition.restart_max_delay = self.value(keys.restart_max_delay, value::seconds, None);
        definition.restart_limit = self.value(keys.restart_limit, value::limit, None);
        definition.stop_timeout = self.value(keys.stop_timeout, value::seconds, None);
        definition.kill_mode = self.value(keys.kill_mode, value::kill_mode, KillMode::default());
        definition.autostart = self.value(keys.autostart, value::group, None);
        definition.cwd = self.value(keys.cwd, |value| value::path(value).map(Some), None);
        check::program(&keys, &definition, self.findings);
        definition
    }

    fn rule(&mut self, keys: &ActionKeys<'_>, defaults: &Defaults) -> Rule {
        let allowed = Allowed {
            uid: self.value(keys.uid, value::uid, defaults.allowed.uid),
            gid: self.value(keys.gid, value::gid, defaults.allowed.gid),
        };
        let user = self.user(keys.suid, defaults.user.as_ref());
        let group = self.value(keys.sgid, value::gid, defaults.group);
        Rule {
            script: keys.cmd.map(|entry| entry.value.bytes.to_vec()),
            allowed,
            identity: identity(user, group),
        }
    }

    /// Returns what an entry says, or the default if there is none. An entry that says `none` is not the default.
    fn value<T>(
        &mut self,
        entry: Option<&Entry<'_>>,
        judge: fn(&[u8]) -> Result<T, Expected>,
        default: T,
    ) -> T {
        let Some(Entry { key, value }) = entry else {
            return default;
        };
        judge(value.bytes).unwrap_or_else(|expected| {
            self.findings.error(value.position, || expected.tell(key.bytes, value.bytes));
            default
        })
    }

    /// Returns the user that an entry names, or the default if there is none.
    fn user(&mut self, entry: Option<&Entry<'_>>, default: Option<&Account>) -> Option<Account> {
        let Some(Entry { value, .. }) = entry else {
            return default.cloned();
        };
        let uid = self.value(entry, value::uid, None)?;
        // Without an answer the script would run with the wrong groups, perhaps with those of the daemon.
        self.accounts
            .find(uid)
            .map_err(|error| {
                let text = || format!("cannot look up user {}: {}", uid.0, error.desc());
                self.findings.error(value.position, text);
            })
            .ok()
    }
}

fn identity(user: Option<Account>, group: Option<Gid>) -> Identity {
    match user {
        Some(Account { uid, gid, groups }) => {
            Identity { uid: Some(uid), gid: group.or(gid), groups: Some(groups) }
        }
        None => Identity { uid: None, gid: group, groups: None },
    }
}

#[cfg(test)]
mod tests;
