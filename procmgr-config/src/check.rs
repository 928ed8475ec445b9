//! The warnings: what is allowed, but perhaps not meant.
//!
//! None of them ever keeps a file from being used.

use strsim::damerau_levenshtein;

use crate::diagnostic::{Collector, Kind, quote, shown};
use crate::keys::{ProgramKeys, global_keys, is_global_key, is_program_key, program_keys};
use crate::syntax::{Entry, Word};
use crate::{Action, Definition};

/// Warns about the settings of a program that cannot take effect.
pub(crate) fn program(keys: &ProgramKeys<'_>, definition: &Definition, findings: &mut Collector) {
    let start = keys.action(&Action::Start);
    if start.cmd.is_none() {
        let autostart = keys.autostart.filter(|_| definition.autostart.is_some());
        let restart_delay = keys.restart_delay.filter(|_| definition.restart_delay.is_some());
        let [max_delay, limit] = of_restarts(keys, definition);
        for entry in [autostart, restart_delay, max_delay, limit, start.uid, start.gid].into_iter().flatten()
        {
            without_effect(entry, &Action::Start, findings);
        }
    }
    for (action, keys) in keys.actions() {
        match keys.cmd {
            None => {
                for entry in [keys.suid, keys.sgid].into_iter().flatten() {
                    without_effect(entry, action, findings);
                }
            }
            Some(entry) if !action.is_built_in() => custom_action(entry, action, findings),
            Some(_) => {}
        }
    }
    if start.cmd.is_some() {
        backoff(keys, definition, findings);
    }
    if let Some(entry) = keys.cwd.filter(|_| definition.cwd.as_ref().is_some_and(|cwd| cwd.is_relative())) {
        let text =
            || format!("relative cwd {}: depends on where the daemon was started", quote(entry.value.bytes));
        findings.warning(Kind::RelativePath, entry.value.position, text);
    }
}

/// Warns about the settings of restarts that cannot take effect.
fn backoff(keys: &ProgramKeys<'_>, definition: &Definition, findings: &mut Collector) {
    let [max_delay, limit] = of_restarts(keys, definition);
    match definition.restart_delay {
        None => {
            for entry in [max_delay, limit].into_iter().flatten() {
                let text =
                    || format!("{} has no effect without restart-delay", entry.key.bytes.escape_ascii());
                findings.warning(Kind::NoEffect, entry.key.position, text);
            }
        }
        Some(delay) => {
            if let Some(entry) =
                max_delay.filter(|_| definition.restart_max_delay.is_some_and(|it| it <= delay))
            {
                let text = || "restart-max-delay has no effect: restart-delay is not shorter".to_owned();
                findings.warning(Kind::NoEffect, entry.key.position, text);
            }
        }
    }
}

/// Returns the entries that say how restarts go on, if they say anything.
fn of_restarts<'k>(keys: &'k ProgramKeys<'_>, definition: &Definition) -> [Option<&'k Entry<'k>>; 2] {
    [
        keys.restart_max_delay.filter(|_| definition.restart_max_delay.is_some()),
        keys.restart_limit.filter(|_| definition.restart_limit.is_some()),
    ]
}

fn without_effect(entry: &Entry<'_>, action: &Action, findings: &mut Collector) {
    findings.warning(Kind::NoEffect, entry.key.position, || {
        format!("{} has no effect without {}", shown(entry.key.bytes), shown(&key_of_script(action)))
    });
}

/// Warns about an action with a name that was probably meant to be a built-in one.
fn custom_action(entry: &Entry<'_>, action: &Action, findings: &mut Collector) {
    if let Some(meant) = meant_action(action.name()) {
        findings.warning(Kind::NearAction, entry.key.position, || {
            format!("{} defines an action of its own: did you mean \"cmd-{meant}\"?", shown(entry.key.bytes))
        });
    }
}

/// Warns about an entry for an action that there is not.
pub(crate) fn key_of_no_action(entry: &Entry<'_>, action: &Action, findings: &mut Collector) {
    if meant_action(action.name()).is_some() {
        unknown_program_key(entry, findings);
    } else {
        without_effect(entry, action, findings);
    }
}

fn key_of_script(action: &Action) -> Vec<u8> {
    [b"cmd-", action.name()].concat()
}

/// Returns the built-in action that was probably meant by the name of another one: at most one mistake, or another
/// case.
fn meant_action(name: &[u8]) -> Option<Action> {
    if name.len() > MAX_KNOWN {
        return None;
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let is_near = |action: &Action| damerau_levenshtein(name.trim(), &action.to_string()) <= 1;
    Action::BUILT_IN.into_iter().find(is_near)
}

/// Warns about an entry that is overridden by a later one.
pub(crate) fn shadowed_key(entry: &Entry<'_>, counting: &Entry<'_>, findings: &mut Collector) {
    let line = counting.key.position.line;
    let text = || format!("{} is ignored: the one in line {line} counts", entry.key.bytes.escape_ascii());
    findings.warning(Kind::Shadowed, entry.key.position, text);
}

/// Warns about a section that is replaced by a later one.
pub(crate) fn shadowed_section(name: Word<'_>, counting: Word<'_>, findings: &mut Collector) {
    let line = counting.position.line;
    let text = || format!("section {} is ignored: the one in line {line} counts", quote(name.bytes));
    findings.warning(Kind::Shadowed, name.position, text);
}

/// Warns about a section that is not a program's.
pub(crate) fn unknown_section(name: Word<'_>, findings: &mut Collector) {
    findings.warning(Kind::UnknownSection, name.position, || {
        let hint = match meant_program(name.bytes) {
            Some(program) => format!("did you mean {}?", quote(&[b"prog-", program].concat())),
            None => "those of programs begin with \"prog-\"".to_owned(),
        };
        format!("unknown section {}: {hint}", quote(name.bytes))
    });
}

/// Warns about an entry of a program's section that means nothing there.
pub(crate) fn unknown_program_key(entry: &Entry<'_>, findings: &mut Collector) {
    let misplaced = |key: &[u8]| is_global_key(key).then_some("it belongs ahead of the first section");
    unknown_key(entry, misplaced, program_keys(), findings);
}

/// Warns about an entry ahead of the first section that means nothing there.
pub(crate) fn unknown_global_key(entry: &Entry<'_>, findings: &mut Collector) {
    let misplaced = |key: &[u8]| is_program_key(key).then_some("it belongs into the section of a program");
    unknown_key(entry, misplaced, global_keys(), findings);
}

fn unknown_key(
    entry: &Entry<'_>,
    misplaced: impl Fn(&[u8]) -> Option<&'static str>,
    known: impl Iterator<Item = String>,
    findings: &mut Collector,
) {
    let key = entry.key.bytes;
    findings.warning(Kind::UnknownKey, entry.key.position, || match (misplaced(key), nearest(key, known)) {
        (Some(place), _) => format!("unknown key {}: {place}", quote(key)),
        (None, Some(meant)) => format!("unknown key {}: did you mean \"{meant}\"?", quote(key)),
        (None, None) => format!("unknown key {}", quote(key)),
    });
}

/// Returns the known name that was probably meant, if one is near enough: at most one mistake in three letters.
fn nearest(name: &[u8], known: impl Iterator<Item = String>) -> Option<String> {
    // So long a name is near to none, and the comparison would take the longer the longer it is.
    if name.len() > 2 * MAX_KNOWN {
        return None;
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase().replace(['_', ' '], "-");
    known
        .map(|meant| (damerau_levenshtein(&name, &meant), meant))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, meant)| *distance <= meant.len() / 3)
        .map(|(_, meant)| meant)
}

/// Returns the name of the program that a section was probably meant for.
fn meant_program(section: &[u8]) -> Option<&[u8]> {
    let section = section.trim_ascii();
    let end = section.iter().position(|byte| b"-_.: ".contains(byte))?;
    let (word, program) = (section[..end].to_ascii_lowercase(), &section[end + 1..]);
    // At most one mistake in "prog", or it written out.
    let near = word.len() <= MAX_KNOWN && damerau_levenshtein(&String::from_utf8_lossy(&word), "prog") <= 1;
    (near || word == b"program" || word == b"programme").then_some(program)
}

/// No known name is longer.
const MAX_KNOWN: usize = 20;

#[cfg(test)]
mod tests {
    use crate::check::{MAX_KNOWN, meant_program, nearest};
    use crate::keys::{global_keys, program_keys};

    #[test]
    fn a_slip_is_met_with_the_name_that_was_meant() {
        let cases = [
            ("cmd-strat", "cmd-start"),
            ("cmd-restrat", "cmd-restart"),
            ("cmd_start", "cmd-start"),
            ("CMD-Start", "cmd-start"),
            ("cmdstart", "cmd-start"),
            ("restart_dealy", "restart-delay"),
            ("alow-uid", "allow-uid"),
            ("auto-start", "autostart"),
            ("cdw", "cwd"),
        ];
        for (key, meant) in cases {
            let found = nearest(key.as_bytes(), program_keys());
            assert_eq!(found.as_deref(), Some(meant), "{key}");
        }
    }

    #[test]
    fn a_name_that_resembles_none_gets_no_hint() {
        for key in [&b""[..], b"x", b"user", b"environment", b"\xff\xfe", &vec![b'c'; 1 << 20]] {
            assert_eq!(nearest(key, program_keys()), None, "{}", key[..key.len().min(20)].escape_ascii());
        }
    }

    #[test]
    fn hints_name_only_keys_of_that_place() {
        assert_eq!(nearest(b"socket_path", global_keys()).as_deref(), Some("socket-path"));
        assert_eq!(nearest(b"socket_path", program_keys()), None);
    }

    #[test]
    fn no_known_name_is_longer_than_the_limit_says() {
        assert!(program_keys().chain(global_keys()).all(|key| key.len() <= MAX_KNOWN));
    }

    #[test]
    fn a_section_that_resembles_a_program_is_met_with_its_name() {
        for section in [
            "program-web",
            "Prog-web",
            "porg-web",
            "prog_web",
            "prog.web",
            "prog web",
            " prog-web",
            "pro-web",
        ] {
            assert_eq!(meant_program(section.as_bytes()), Some(&b"web"[..]), "{section}");
        }
        for section in ["", "web", "prog", "program", "group-web", "socket-path"] {
            assert_eq!(meant_program(section.as_bytes()), None, "{section}");
        }
    }
}
