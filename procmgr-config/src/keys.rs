//! Which keys there are, and which of a section's entries counts for each.
//!
//! What a value means is not known here.

use std::collections::BTreeMap;

use crate::diagnostic::Collector;
use crate::syntax::Entry;
use crate::{Action, check};

/// What each program's section may say; the last entry of a key counts.
#[derive(Default)]
pub(crate) struct ProgramKeys<'a> {
    pub(crate) allow_uid: Option<&'a Entry<'a>>,
    pub(crate) allow_gid: Option<&'a Entry<'a>>,
    pub(crate) default_suid: Option<&'a Entry<'a>>,
    pub(crate) default_sgid: Option<&'a Entry<'a>>,
    pub(crate) supplementary_groups: Option<&'a Entry<'a>>,
    pub(crate) restart_delay: Option<&'a Entry<'a>>,
    pub(crate) restart_max_delay: Option<&'a Entry<'a>>,
    pub(crate) restart_limit: Option<&'a Entry<'a>>,
    pub(crate) stop_timeout: Option<&'a Entry<'a>>,
    pub(crate) kill_mode: Option<&'a Entry<'a>>,
    pub(crate) autostart: Option<&'a Entry<'a>>,
    pub(crate) cwd: Option<&'a Entry<'a>>,
    /// Of each action that is built in, in their order.
    built_in: [ActionKeys<'a>; Action::BUILT_IN.len()],
    /// Of each action that has a script and is not built in.
    custom: BTreeMap<Action, ActionKeys<'a>>,
}

/// What a program's section may say of one action.
#[derive(Default)]
pub(crate) struct ActionKeys<'a> {
    pub(crate) cmd: Option<&'a Entry<'a>>,
    pub(crate) uid: Option<&'a Entry<'a>>,
    pub(crate) gid: Option<&'a Entry<'a>>,
    pub(crate) suid: Option<&'a Entry<'a>>,
    pub(crate) sgid: Option<&'a Entry<'a>>,
}

/// What the file may say ahead of the first section; the last entry of a key counts.
#[derive(Default)]
pub(crate) struct GlobalKeys<'a> {
    pub(crate) socket_path: Option<&'a Entry<'a>>,
    pub(crate) state_path: Option<&'a Entry<'a>>,
    pub(crate) on_exit: Option<&'a Entry<'a>>,
    pub(crate) allow_uid: Option<&'a Entry<'a>>,
    pub(crate) allow_gid: Option<&'a Entry<'a>>,
    pub(crate) default_suid: Option<&'a Entry<'a>>,
    pub(crate) default_sgid: Option<&'a Entry<'a>>,
    pub(crate) supplementary_groups: Option<&'a Entry<'a>>,
    pub(crate) do_autostart: Option<&'a Entry<'a>>,
}

impl<'a> ProgramKeys<'a> {
    /// Sorts the entries of a section, and warns about those that count for nothing.
    pub(crate) fn sort(entries: &'a [Entry<'a>], findings: &mut Collector) -> Self {
        let mut keys: Self = sort(entries, Self::slot, check::unknown_program_key, findings);
        // An action that is not built in is one by its script only.
        keys.custom.retain(|action, keys| {
            let is_one = keys.cmd.is_some();
            if !is_one {
                keys.entries().for_each(|entry| check::key_of_no_action(entry, action, findings));
            }
            is_one
        });
        keys
    }

    /// Returns what the section says of an action.
    pub(crate) fn action(&self, action: &Action) -> &ActionKeys<'a> {
        match place(action.name()) {
            Some(place) => &self.built_in[place],
            None => self.custom.get(action).unwrap_or(&ActionKeys::NONE),
        }
    }

    /// Returns the actions that the section says something of, in their order.
    pub(crate) fn actions(&self) -> impl Iterator<Item = (&Action, &ActionKeys<'a>)> {
        let built_in = Action::BUILT_IN.iter().zip(&self.built_in);
        built_in.filter(|(_, keys)| !keys.say_nothing()).chain(&self.custom)
    }

    fn slot(&mut self, key: &[u8]) -> Option<&mut Slot<'a>> {
        match key {
            b"allow-uid" => Some(&mut self.allow_uid),
            b"allow-gid" => Some(&mut self.allow_gid),
            b"default-suid" => Some(&mut self.default_suid),
            b"default-sgid" => Some(&mut self.default_sgid),
            b"restart-delay" => Some(&mut self.restart_delay),
            b"restart-max-delay" => Some(&mut self.restart_max_delay),
            b"restart-limit" => Some(&mut self.restart_limit),
            b"stop-timeout" => Some(&mut self.stop_timeout),
            b"kill-mode" => Some(&mut self.kill_mode),
            b"autostart" => Some(&mut self.autostart),
            b"cwd" => Some(&mut self.cwd),
            b"supplementary-groups" => Some(&mut self.supplementary_groups),
            _ => {
                let hyphen = key.iter().position(|byte| *byte == b'-')?;
                let (kind, action) = (&key[..hyphen], &key[hyphen + 1..]);
                let is_of_action = OF_ACTIONS.iter().any(|it| it.as_bytes() == kind) && !action.is_empty();
                is_of_action.then(|| self.of_action(action))?.slot(kind)
            }
        }
    }

    fn of_action(&mut self, name: &[u8]) -> &mut ActionKeys<'a> {
        match place(name) {
            Some(place) => &mut self.built_in[place],
            None => self.custom.entry(Action::from_name(name)).or_default(),
        }
    }
}

impl<'a> ActionKeys<'a> {
    const NONE: Self = Self { cmd: None, uid: None, gid: None, suid: None, sgid: None };

    /// Returns the entries that there are.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &'a Entry<'a>> {
        let Self { cmd, uid, gid, suid, sgid } = *self;
        [cmd, uid, gid, suid, sgid].into_iter().flatten()
    }

    fn say_nothing(&self) -> bool {
        matches!(self, Self { cmd: None, uid: None, gid: None, suid: None, sgid: None })
    }

    fn slot(&mut self, kind: &[u8]) -> Option<&mut Slot<'a>> {
        match kind {
            b"cmd" => Some(&mut self.cmd),
            b"uid" => Some(&mut self.uid),
            b"gid" => Some(&mut self.gid),
            b"suid" => Some(&mut self.suid),
            b"sgid" => Some(&mut self.sgid),
            _ => None,
        }
    }
}

impl<'a> GlobalKeys<'a> {
    /// Sorts the entries ahead of the first section, and warns about those that count for nothing.
    pub(crate) fn sort(entries: &'a [Entry<'a>], findings: &mut Collector) -> Self {
        sort(entries, Self::slot, check::unknown_global_key, findings)
    }

    fn slot(&mut self, key: &[u8]) -> Option<&mut Slot<'a>> {
        match key {
            SOCKET_PATH => Some(&mut self.socket_path),
            b"state-path" => Some(&mut self.state_path),
            b"on-exit" => Some(&mut self.on_exit),
            b"allow-uid" => Some(&mut self.allow_uid),
            b"allow-gid" => Some(&mut self.allow_gid),
            b"default-suid" => Some(&mut self.default_suid),
            b"default-sgid" => Some(&mut self.default_sgid),
            b"supplementary-groups" => Some(&mut self.supplementary_groups),
            b"do-autostart" => Some(&mut self.do_autostart),
            _ => None,
        }
    }
}

type Slot<'a> = Option<&'a Entry<'a>>;

/// Returns which one of the built-in actions has this name, if one has.
fn place(name: &[u8]) -> Option<usize> {
    Action::BUILT_IN.iter().position(|action| action.name() == name)
}

/// Puts each entry into the slot of its key.
fn sort<'a, K: Default>(
    entries: &'a [Entry<'a>],
    slot: for<'k> fn(&'k mut K, &[u8]) -> Option<&'k mut Slot<'a>>,
    unknown: fn(&Entry<'_>, &mut Collector),
    findings: &mut Collector,
) -> K {
    let mut keys = K::default();
    // Backwards, so that the entry that counts is met before those that it shadows.
    for entry in entries.iter().rev() {
        match slot(&mut keys, entry.key.bytes) {
            None => unknown(entry, findings),
            Some(Some(counting)) => check::shadowed_key(entry, counting, findings),
            Some(empty @ None) => *empty = Some(entry),
        }
    }
    keys
}

/// Returns every key that a program's section may hold, but for those of actions that are not built in.
pub fn program_keys() -> impl Iterator<Item = String> {
    let per_action = |action| OF_ACTIONS.map(|kind| format!("{kind}-{action}"));
    OF_PROGRAMS.into_iter().map(str::to_owned).chain(Action::BUILT_IN.into_iter().flat_map(per_action))
}

/// Returns every key that may stand ahead of the first section.
pub fn global_keys() -> impl Iterator<Item = String> {
    OF_THE_FILE.into_iter().map(str::to_owned)
}

/// Returns whether a program's section may hold the key.
pub(crate) fn is_program_key(key: &[u8]) -> bool {
    ProgramKeys::default().slot(key).is_some()
}

/// Returns whether the key may stand ahead of the first section.
pub(crate) fn is_global_key(key: &[u8]) -> bool {
    GlobalKeys::default().slot(key).is_some()
}

/// The key of the socket's path, the only one that a client asks for.
pub(crate) const SOCKET_PATH: &[u8] = b"socket-path";

const OF_ACTIONS: [&str; 5] = ["cmd", "uid", "gid", "suid", "sgid"];

const OF_PROGRAMS: [&str; 12] = [
    "allow-uid",
    "allow-gid",
    "default-suid",
    "default-sgid",
    "supplementary-groups",
    "restart-delay",
    "restart-max-delay",
    "restart-limit",
    "stop-timeout",
    "kill-mode",
    "autostart",
    "cwd",
];

const OF_THE_FILE: [&str; 9] = [
    "socket-path",
    "state-path",
    "on-exit",
    "allow-uid",
    "allow-gid",
    "default-suid",
    "default-sgid",
    "supplementary-groups",
    "do-autostart",
];

#[cfg(test)]
mod tests {
    use crate::Action;
    use crate::keys::{global_keys, is_global_key, is_program_key, program_keys};

    #[test]
    fn every_key_that_a_hint_may_name_is_understood() {
        assert_eq!(program_keys().count(), 42);
        for key in program_keys() {
            assert!(is_program_key(key.as_bytes()), "{key}");
        }
        assert_eq!(global_keys().count(), 9);
        for key in global_keys() {
            assert!(is_global_key(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn keys_are_taken_to_the_letter() {
        for key in ["", "-", "cmd", "cmd-", "-start", "Cmd-start", "cmd_start", "run-start", "Kill-mode"] {
            assert!(!is_program_key(key.as_bytes()), "{key}");
        }
        for key in ["State-path", "state_path", "state-path-", "on-Exit", "onexit", "on-exit-"] {
            assert!(!is_global_key(key.as_bytes()), "{key}");
        }
        for key in ["socket-path", "state-path", "on-exit"] {
            assert!(!is_program_key(key.as_bytes()), "{key}");
        }
        assert!(!is_global_key(b"cmd-start"));
        for key in ["cmd-Start", "cmd-start-", "cmd--start"] {
            let action = Action::from_name(&key.as_bytes()[4..]);
            assert!(is_program_key(key.as_bytes()) && !action.is_built_in(), "{key}");
        }
    }
}
