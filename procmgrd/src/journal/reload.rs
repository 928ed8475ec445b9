//! What a reload has changed, in words for the log, and not at any length.
//!
//! How it is found out is the supervisor's business.

use std::fmt;

use procmgr_config::ProgramName;
use procmgr_proto::details::ReloadEffect;

use crate::supervisor::call::shown;
use crate::supervisor::event::{Difference, Pid};

/// Sums up what has changed, in a line.
pub(super) fn summary(differences: &[Difference]) -> String {
    let names = |effect: ReloadEffect| -> Vec<&ProgramName> {
        let programs = differences.iter().filter(|difference| difference.effect == effect);
        programs.map(|difference| &difference.program).collect()
    };
    let kinds = [ReloadEffect::Added, ReloadEffect::Removed, ReloadEffect::Changed];
    let kinds = kinds.map(|effect| (effect.clone(), names(effect)));
    let kinds = kinds.iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> = kinds.map(|(what, names)| format!("{what} {}", enumeration(names))).collect();
    if parts.is_empty() { "nothing has changed".to_owned() } else { parts.join("; ") }
}

/// Returns a line for each program of which there is more to tell than what happens to it; of many, for the first ones.
pub(super) fn particulars(differences: &[Difference]) -> Vec<String> {
    let mut told = differences.iter().filter(|it| !it.keys.is_empty() || fate(it).is_some());
    let mut lines: Vec<String> = told.by_ref().take(MOST_PARTICULARS).map(particular).collect();
    let more = told.count();
    lines.extend(
        (more > 0).then(|| format!("{more} more programs have changed, or run under older definitions")),
    );
    lines
}

fn particular(difference: &Difference) -> String {
    let Difference { program, effect, keys, .. } = difference;
    let keys: Vec<String> = keys.iter().map(|key| shown(key)).collect();
    let keys = (!keys.is_empty()).then(|| format!("{effect} {}", enumeration(&keys)));
    let parts: Vec<String> = keys.into_iter().chain(fate(difference).map(|it| it.to_string())).collect();
    format!("{program}: {}", parts.join("; "))
}

/// What becomes of a program that runs.
#[derive(Clone, Copy)]
enum Fate {
    GoesOn(Pid),
    IsOutdated(Pid),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GoesOn(pid) => write!(f, "goes on as pid {pid} until it ends"),
            Self::IsOutdated(pid) => write!(f, "runs under an older definition as pid {pid}"),
        }
    }
}

fn fate(difference: &Difference) -> Option<Fate> {
    match difference.effect {
        ReloadEffect::Removed => difference.main.map(Fate::GoesOn),
        _ if difference.is_outdated => difference.main.map(Fate::IsOutdated),
        _ => None,
    }
}

/// Returns the names, or the first of them and how many more there are: a line of the log has its bounds.
fn enumeration(names: &[impl ToString]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_PER_LINE).map(ToString::to_string).collect();
    let more = names.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

/// Of how many programs a reload tells more than the names.
const MOST_PARTICULARS: usize = 100;

const NAMES_PER_LINE: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_summed_up_in_a_line() {
        assert_eq!(summary(&[]), "nothing has changed");
        let differences = [
            difference("a", ReloadEffect::Added),
            difference("c", ReloadEffect::Changed),
            difference("d", ReloadEffect::Unchanged),
            difference("b\n", ReloadEffect::Added),
        ];
        assert_eq!(summary(&differences), "added a, b\\n; changed c");
        assert_eq!(particulars(&differences), [] as [&str; 0]);
    }

    #[test]
    fn what_a_reload_does_to_a_program_is_told_in_a_line() {
        let main = Some(Pid(7));
        let differences = [
            Difference {
                keys: vec![b"cmd-start".to_vec(), b"cmd-\x1b".to_vec()],
                main,
                is_outdated: true,
                ..difference("a", ReloadEffect::Changed)
            },
            Difference { keys: vec![b"cwd".to_vec()], ..difference("b", ReloadEffect::Changed) },
            Difference { main, ..difference("c", ReloadEffect::Removed) },
            Difference { main, is_outdated: true, ..difference("d", ReloadEffect::Unchanged) },
            Difference { main, ..difference("e", ReloadEffect::Added) },
        ];
        assert_eq!(
            particulars(&differences),
            [
                "a: changed cmd-start, cmd-\\x1b; runs under an older definition as pid 7",
                "b: changed cwd",
                "c: goes on as pid 7 until it ends",
                "d: runs under an older definition as pid 7",
            ]
        );
        let many = vec![differences[3].clone(); MOST_PARTICULARS + 2];
        let last = "2 more programs have changed, or run under older definitions";
        assert_eq!(particulars(&many).last().unwrap(), last);
    }

    fn difference(name: &str, effect: ReloadEffect) -> Difference {
        let program = ProgramName::new(name.as_bytes());
        Difference { program, effect, keys: Vec::new(), main: None, is_outdated: false }
    }

    #[test]
    fn a_line_names_no_more_than_a_few() {
        let names: Vec<_> =
            (0..10_000).map(|number| ProgramName::new(format!("p{number}").as_bytes())).collect();
        let line = enumeration(&names);
        assert!(line.starts_with("p0, p1, ") && line.ends_with("p19 and 9980 more"), "{line}");
    }
}
