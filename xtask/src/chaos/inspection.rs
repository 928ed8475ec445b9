//! The inspection: what the daemon says, what lives, and what was promised, held against each other while nobody acts.
//!
//! What happens between two inspections is not known here.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use crate::chaos::cast::{Edition, Program, Trait};
use crate::chaos::census::Census;
use crate::chaos::diary::Pages;
use crate::chaos::identity::Identity;
use crate::chaos::ledger::{Entry, FaultKind, Ledger, Seen};
use crate::chaos::model::{Belief, Known};
use crate::chaos::wire::{Condition, Connection, Response};
use crate::wire::Request;

/// What is the case, by both accounts.
pub(super) struct View {
    /// What the daemon says.
    pub(super) conditions: HashMap<String, Condition>,
    /// What lives.
    pub(super) census: Census,
}

/// Something that must not stay so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Discord {
    pub(super) kind: FaultKind,
    pub(super) program: String,
    pub(super) text: String,
}

impl View {
    /// Looks, at the daemon first.
    pub(super) fn take(socket: &Path, census: impl FnOnce() -> io::Result<Census>) -> io::Result<Self> {
        let answer = Connection::ask_once(socket, Request::Subscribe)?;
        let Response::Subscribed(conditions) = answer else { return Err(io::ErrorKind::InvalidData.into()) };
        let conditions = conditions.into_iter().map(|condition| (condition.name.clone(), condition));
        Ok(Self { conditions: conditions.collect(), census: census()? })
    }

    /// Returns where the two accounts differ, or something is under way. A moment later it may be otherwise.
    pub(super) fn discords(&self, programs: &[Program], edition: &Edition, pages: &Pages) -> Vec<Discord> {
        let discord = |(number, program): (usize, &Program)| {
            let listed = self.conditions.get(&program.name);
            let living = self.census.of(&program.name);
            let is_present = !edition.absent.contains(&number);
            let (kind, text) = complaint(listed, living, is_present).or_else(|| {
                let has_begun = !program.has(Trait::RestartScript)
                    || living.iter().all(|it| pages.births(&program.name).contains(it));
                let text = "a script does not come to its end".to_owned();
                (!has_begun).then_some((FaultKind::Lost, text))
            })?;
            Some(Discord { kind, program: program.name.clone(), text })
        };
        programs.iter().enumerate().filter_map(discord).collect()
    }
}

/// Returns what is wrong with a program for which both accounts have this.
fn complaint(
    listed: Option<&Condition>,
    living: &[Identity],
    is_present: bool,
) -> Option<(FaultKind, String)> {
    let main = listed.and_then(|it| it.pid);
    let stands = || format!("the daemon says {listed:?}, and what lives is {living:?}");
    match (main, living) {
        (_, [_, _, ..]) => Some((FaultKind::Duplicate, stands())),
        (None, []) if listed.is_none() && is_present => Some((FaultKind::Lost, stands())),
        (Some(pid), [process]) if pid != process.pid => Some((FaultKind::Lost, stands())),
        (Some(_), []) | (None, [_]) => Some((FaultKind::Lost, stands())),
        (None, []) | (Some(_), [_]) => {
            let is_under_way =
                listed.is_some_and(|it| ["starting", "stopping", "restarting"].contains(&it.state.as_str()));
            is_under_way.then(|| (FaultKind::Request, format!("it does not come to an end: {}", stands())))
        }
    }
}

/// Holds what is the case against what is believed, and notes it for the next time.
pub(super) fn judge(ledger: &Ledger, view: &View, pages: &Pages) {
    for (number, program) in ledger.programs.iter().enumerate() {
        let mut entry = ledger.entry(number);
        let process = view.census.of(&program.name).first().copied();
        let listed = view.conditions.get(&program.name);
        let is_due = listed.is_some_and(|it| it.state == "back-off");
        for (kind, text) in broken_promises(&entry, program, process, is_due, pages) {
            ledger.blame(kind, Some(&program.name), text);
        }
        let deaths = pages.deaths(&program.name);
        match process {
            // All deaths that are known are of others.
            Some(process) if !deaths.contains(&process) => entry.deaths = deaths.len(),
            None if entry.belief == Belief::Running && !program.has(Trait::RestartDelay) && !is_due => {
                entry.belief = Belief::Unknown;
            }
            _ => {}
        }
        entry.seen = process.map_or(Seen::Dead, Seen::Alive);
        (entry.is_touched, entry.is_resting) = (false, false);
    }
}

/// Returns what was promised of a program and is not so.
fn broken_promises(
    entry: &Entry,
    program: &Program,
    process: Option<Identity>,
    is_due: bool,
    pages: &Pages,
) -> Vec<(FaultKind, String)> {
    let deaths = pages.deaths(&program.name);
    let known = Known { program, belief: entry.belief, has_died: deaths.len() > entry.deaths };
    let mut broken = Vec::new();
    match process {
        Some(_) if !known.may_be_up() => {
            broken.push((FaultKind::Meddling, format!("it was stopped, and runs: {process:?}")));
        }
        None if !known.may_be_down() && !is_due => {
            broken.push((FaultKind::Lost, "it was started, and does not run".to_owned()));
        }
        _ => {}
    }
    if entry.is_touched {
        return broken;
    }
    let comes_by_itself = program.has(Trait::RestartDelay) || program.has(Trait::Autostart);
    match (entry.seen, process) {
        (Seen::Alive(before), after) if after != Some(before) && !deaths.contains(&before) => {
            let text = format!("nobody has touched it, and instead of {before:?} there is {after:?}");
            broken.push((FaultKind::Meddling, text));
        }
        (Seen::Dead, Some(after)) if !comes_by_itself => {
            broken.push((FaultKind::Meddling, format!("nobody has started it, and there is {after:?}")));
        }
        _ => {}
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Identity = Identity { pid: 7, started: 1 };
    const ANOTHER: Identity = Identity { pid: 8, started: 1 };

    fn condition(state: &str, pid: Option<u32>) -> Condition {
        Condition { name: "a".to_owned(), state: state.to_owned(), pid, marks: Vec::new() }
    }

    fn kind(state: &str, pid: Option<u32>, living: &[Identity]) -> Option<FaultKind> {
        complaint(Some(&condition(state, pid)), living, true).map(|(kind, _)| kind)
    }

    #[test]
    fn both_accounts_have_to_agree() {
        assert_eq!(kind("running", Some(7), &[PROCESS]), None);
        assert_eq!(kind("down", None, &[]), None);
        assert_eq!(kind("back-off", None, &[]), None);
        assert_eq!(kind("running", Some(7), &[PROCESS, ANOTHER]), Some(FaultKind::Duplicate));
        assert_eq!(kind("running", Some(7), &[ANOTHER]), Some(FaultKind::Lost));
        assert_eq!(kind("running", Some(7), &[]), Some(FaultKind::Lost));
        assert_eq!(kind("down", None, &[PROCESS]), Some(FaultKind::Lost));
        assert_eq!(kind("stopping", Some(7), &[PROCESS]), Some(FaultKind::Request));
    }

    #[test]
    fn a_program_is_listed_if_it_is_in_the_configuration_or_lives() {
        assert_eq!(complaint(None, &[], false), None);
        assert!(complaint(None, &[], true).is_some());
        assert!(complaint(None, &[PROCESS], false).is_some());
    }
}
