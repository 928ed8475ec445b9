//! What tells two definitions of a program apart, by the keys that say it.
//!
//! What follows from a difference is not known here; values are compared and never shown.

use std::collections::BTreeSet;

use crate::{Action, Definition, Identity, Rule};

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        let has_same_rule = |action: &Action| self.rule(action) == other.rule(action);
        // Most that are equal say it in the same way, too, which takes less time to find out.
        let says_the_same = || self.default == other.default && self.rules == other.rules;
        let means_the_same = || self.actions().eq(other.actions()) && self.actions().all(has_same_rule);
        self.name == other.name
            && self.plain_differences(other).next().is_none()
            && (says_the_same() || means_the_same())
    }
}

impl Eq for Definition {}

impl Definition {
    /// Returns the keys of a section that say something else than in the other definition: those of an action, or,
    /// where both have what holds for all of their actions, those of the section. None if both mean the same.
    pub fn differences(&self, other: &Self) -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> =
            self.plain_differences(other).map(|key| key.as_bytes().to_vec()).collect();
        let actions: BTreeSet<&Action> = self.actions().chain(other.actions()).collect();
        for Aspect { of_action, of_section, differs } in ASPECTS {
            let mut is_general = false;
            for action in &actions {
                let (one, another) = (self.rule(action), other.rule(action));
                if !differs(one, another) {
                    continue;
                }
                if differs(one, &self.default) || differs(another, &other.default) {
                    keys.push([of_action.as_bytes(), b"-", action.name()].concat());
                } else {
                    is_general = true;
                }
            }
            keys.extend(is_general.then(|| of_section.as_bytes().to_vec()));
        }
        keys
    }

    /// Returns the keys, of those that are of no action, that say something else.
    fn plain_differences(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let Self {
            name: _,
            restart_delay,
            restart_max_delay,
            restart_limit,
            stop_timeout,
            kill_mode,
            autostart,
            cwd,
            default: _,
            rules: _,
        } = self;
        let keys = [
            ("restart-delay", *restart_delay != other.restart_delay),
            ("restart-max-delay", *restart_max_delay != other.restart_max_delay),
            ("restart-limit", *restart_limit != other.restart_limit),
            ("stop-timeout", *stop_timeout != other.stop_timeout),
            ("kill-mode", *kill_mode != other.kill_mode),
            ("autostart", *autostart != other.autostart),
            ("cwd", *cwd != other.cwd),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key)
    }
}

/// What one key says of an action.
struct Aspect {
    /// What the key begins with, ahead of the name of the action.
    of_action: &'static str,
    /// The key that says it for all actions of a section.
    of_section: &'static str,
    differs: fn(&Rule, &Rule) -> bool,
}

const ASPECTS: [Aspect; 6] = [
    Aspect {
        of_action: "cmd",
        // No rule of a section has a script, so this one is never told.
        of_section: "cmd",
        differs: |one, other| one.script != other.script,
    },
    Aspect {
        of_action: "uid",
        of_section: "allow-uid",
        differs: |one, other| one.terms.allowed.uids != other.terms.allowed.uids,
    },
    Aspect {
        of_action: "gid",
        of_section: "allow-gid",
        differs: |one, other| one.terms.allowed.gids != other.terms.allowed.gids,
    },
    Aspect {
        // There is no key for one action, so all of a section have the same.
        of_action: "supplementary-groups",
        of_section: "supplementary-groups",
        differs: |one, other| one.terms.allowed.membership != other.terms.allowed.membership,
    },
    Aspect {
        of_action: "suid",
        of_section: "default-suid",
        differs: |one, other| {
            let of_user = |rule: &Rule| {
                let Identity { uid, gid: _, primary, groups } = rule.terms.identity.clone();
                (uid, primary, groups)
            };
            of_user(one) != of_user(other)
        },
    },
    Aspect {
        of_action: "sgid",
        of_section: "default-sgid",
        differs: |one, other| one.terms.identity.gid != other.terms.identity.gid,
    },
];

#[cfg(test)]
mod tests;
