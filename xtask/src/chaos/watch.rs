//! A subscription: what it tells must be the truth, all of it, and nothing but that.
//!
//! Three things hold it to that: each event must be able to follow the one before, the last one must be what is the
//! case, and each birth that a program has noted by itself must have been told.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::chaos::identity::Identity;
use crate::chaos::wire::{Condition, Connection, Event, Response};
use crate::wire::Request;

/// A subscription, and a thread that follows it for as long as it lasts.
pub(super) struct Watch {
    told: Arc<Mutex<Told>>,
    /// How many births of each program there had been before.
    births: HashMap<String, usize>,
}

/// What has been told.
#[derive(Debug, Default)]
struct Told {
    conditions: HashMap<String, Condition>,
    /// The PIDs of each program, in the order in which they were told.
    pids: HashMap<String, Vec<u32>>,
    events: u64,
    /// What cannot be.
    complaints: Vec<String>,
}

impl Watch {
    /// Subscribes. So many births of each program have been noted before, of which nothing will be told.
    pub(super) fn begin(socket: &Path, births: HashMap<String, usize>) -> io::Result<Self> {
        let mut connection = Connection::open(socket)?;
        let Response::Subscribed(conditions) = connection.ask(Request::Subscribe)? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        connection.be_patient()?;
        let mut told = Told::default();
        for condition in conditions {
            told.keep(condition);
        }
        let told = Arc::new(Mutex::new(told));
        let follower = Arc::clone(&told);
        thread::spawn(move || follow(&mut connection, &follower));
        Ok(Self { told, births })
    }

    /// Returns what is wrong with it, held against what is the case. It may not have been told all of that yet.
    pub(super) fn differences(&self, conditions: &HashMap<String, Condition>) -> Vec<(String, String)> {
        let told = self.told();
        let names = conditions.keys().chain(told.conditions.keys());
        let mut differences: Vec<(String, String)> = names
            .filter(|name| conditions.get(*name) != told.conditions.get(*name))
            .map(|name| (name.clone(), format!("a subscriber was told {:?}", told.conditions.get(name))))
            .collect();
        differences.sort_unstable();
        differences.dedup();
        differences
    }

    /// Returns what must not be, whatever comes later.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.told().complaints.clone()
    }

    /// Returns whether each birth of a program was told, all of which have been noted by itself.
    pub(super) fn has_told(&self, program: &str, births: &[Identity]) -> bool {
        let skipped = self.births.get(program).copied().unwrap_or(0);
        let told = self.told();
        let pids = told.pids.get(program).map_or(&[][..], Vec::as_slice);
        are_among(births.iter().skip(skipped).map(|process| process.pid), pids)
    }

    /// Returns how many events there have been.
    pub(super) fn events(&self) -> u64 {
        self.told().events
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn keep(&mut self, condition: Condition) {
        let known = self.conditions.get(&condition.name).and_then(|it| it.pid);
        if let Some(pid) = condition.pid.filter(|pid| known != Some(*pid)) {
            self.pids.entry(condition.name.clone()).or_default().push(pid);
        }
        if condition.state == "removed" {
            self.conditions.remove(&condition.name);
        } else {
            self.conditions.insert(condition.name.clone(), condition);
        }
    }

    fn take_in(&mut self, event: Event) {
        self.events += 1;
        let before = self.conditions.get(&event.condition.name);
        if !can_follow(before, &event) {
            self.complaints.push(format!("{event:?} cannot follow {before:?}"));
        }
        self.keep(event.condition);
    }
}

fn follow(connection: &mut Connection, told: &Mutex<Told>) {
    loop {
        let event = connection.event();
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(Some(event)) => told.take_in(event),
            Ok(None) => return,
            Err(error) => return told.complaints.push(format!("a subscription cannot be read: {error}")),
        }
    }
}

/// Returns whether an event can come next after what was the case before.
fn can_follow(before: Option<&Condition>, event: &Event) -> bool {
    let Event { condition, ended } = event;
    let Some(before) = before else { return condition.state == "down" };
    let next: &[&str] = match before.state.as_str() {
        "down" => &["starting", "removed"],
        "starting" => &["running", "down", "back-off"],
        "running" => &["running", "stopping", "restarting", "down", "back-off", "removed"],
        "stopping" => &["stopping", "running", "restarting", "down", "removed"],
        "restarting" => &["restarting", "running", "stopping", "starting", "down", "removed"],
        "back-off" => &["starting", "down", "removed"],
        _ => &[],
    };
    let has_gone = before.pid.is_some() && condition.pid.is_none();
    next.contains(&condition.state.as_str()) && before != condition && has_gone == ended.is_some()
}

/// Returns whether all that is wanted is among what there is, in the same order.
fn are_among(mut wanted: impl Iterator<Item = u32>, there: &[u32]) -> bool {
    let mut rest = there.iter();
    wanted.all(|pid| rest.any(|it| *it == pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(state: &str, pid: Option<u32>) -> Condition {
        Condition { name: "a".to_owned(), state: state.to_owned(), pid, marks: Vec::new() }
    }

    fn event(state: &str, pid: Option<u32>, has_ended: bool) -> Event {
        Event { condition: condition(state, pid), ended: has_ended.then_some((0, 0)) }
    }

    #[test]
    fn an_event_that_is_missing_leaves_a_gap() {
        let running = condition("running", Some(7));
        assert!(can_follow(Some(&running), &event("stopping", Some(7), false)));
        assert!(can_follow(Some(&running), &event("down", None, true)));
        assert!(can_follow(Some(&running), &event("running", Some(8), false)));
        assert!(!can_follow(Some(&running), &event("starting", None, true)));
        assert!(!can_follow(Some(&running), &event("down", None, false)));
        assert!(!can_follow(Some(&running), &event("running", Some(7), false)));
        assert!(!can_follow(Some(&condition("down", None)), &event("running", Some(7), false)));
        assert!(can_follow(None, &event("down", None, false)));
        assert!(!can_follow(None, &event("running", Some(7), false)));
    }

    #[test]
    fn what_was_told_is_kept_and_pids_in_their_order() {
        let mut told = Told::default();
        told.keep(condition("running", Some(7)));
        for it in [
            event("stopping", Some(7), false),
            event("down", None, true),
            event("starting", None, false),
            event("running", Some(7), false),
            event("running", Some(9), false),
        ] {
            told.take_in(it);
        }
        assert_eq!((told.events, told.complaints.len()), (5, 0));
        assert_eq!(told.pids["a"], [7, 7, 9]);
        told.take_in(event("removed", None, true));
        assert!(told.conditions.is_empty());
    }

    #[test]
    fn births_have_to_be_told_in_their_order() {
        assert!(are_among([7, 9].into_iter(), &[5, 7, 8, 9]));
        assert!(!are_among([9, 7].into_iter(), &[5, 7, 8, 9]));
        assert!(!are_among([7, 7].into_iter(), &[7]));
        assert!(are_among([].into_iter(), &[]));
    }
}
