//! Keys that change nothing, beyond those that a daemon warns about.
//!
//! Only what is certain is told: what the command line may ask for, or a value that is wrong, is left alone.

use crate::diagnostic::{Collector, Kind};
use crate::keys::{GlobalKeys, ProgramKeys};
use crate::lint::Program;
use crate::syntax::Entry;
use crate::{Action, KillMode};

/// Warns about settings of a program that change nothing.
pub(super) fn of_program(program: &Program<'_>, globals: &GlobalKeys<'_>, findings: &mut Collector) {
    let Program { keys, definition } = program;
    let has = |action: &Action| keys.action(action).cmd.is_some();
    if !has(&Action::Start) && !has(&Action::Restart) {
        let stop_timeout = keys.stop_timeout.filter(|_| definition.stop_timeout.is_some());
        let kill_mode = keys.kill_mode.filter(|_| definition.kill_mode != KillMode::default());
        for entry in [stop_timeout, kill_mode].into_iter().flatten() {
            without(entry, "cmd-start", findings);
        }
    }
    if keys.actions().all(|(_, keys)| keys.cmd.is_none()) {
        for entry in [keys.default_suid, keys.default_sgid, keys.cwd].into_iter().flatten() {
            without(entry, "a script", findings);
        }
    }
    if globals.allow_gid.is_none() && !has_group_rule(keys) {
        groups(keys.supplementary_groups, findings);
    }
}

/// Warns about settings ahead of the first section that change nothing.
pub(super) fn of_file(globals: &GlobalKeys<'_>, has_group_rule: bool, findings: &mut Collector) {
    if !has_group_rule {
        groups(globals.supplementary_groups, findings);
    }
}

/// Returns whether a section says anything of groups that may perform actions.
pub(super) fn has_group_rule(keys: &ProgramKeys<'_>) -> bool {
    keys.allow_gid.is_some() || keys.actions().any(|(_, keys)| keys.gid.is_some())
}

fn groups(entry: Option<&Entry<'_>>, findings: &mut Collector) {
    if let Some(entry) = entry.filter(|entry| entry.value.bytes == b"yes") {
        without(entry, "allow-gid or gid-ACTION", findings);
    }
}

fn without(entry: &Entry<'_>, what: &str, findings: &mut Collector) {
    let text = || format!("{} has no effect without {what}", entry.key.bytes.escape_ascii());
    findings.warning(Kind::NoEffect, entry.key.position, text);
}
