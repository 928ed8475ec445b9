//! The programs, the indexes that find one by its main process and by its deadline, and what subscribers are told.
//!
//! The indexes are kept here and nowhere else, and changes are noticed here; what happens to a program is `program`'s
//! business.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::hash::Hash;
use std::mem;
use std::time::Instant;

use procmgr_config::ProgramName;

use crate::maps::{self, Map, Set};
use crate::supervisor::condition::Condition;
use crate::supervisor::event::{Cause, Change, Pid};
use crate::supervisor::memory::Memory;
use crate::supervisor::program::Program;

/// Every program of the daemon.
#[derive(Debug)]
pub(crate) struct Table<S> {
    /// Each in a place of its own: the empty places of the map are small then.
    rows: Map<ProgramName, Box<Row<S>>>,
    /// The order of lists: that of the configuration, then what lingers. Names that are forgotten stay until the next
    /// reordering and are passed over: taking each out at once would cost a scan apiece.
    order: Vec<ProgramName>,
    mains: Map<Pid, ProgramName>,
    deadlines: BTreeSet<Deadline>,
    /// What has changed since it was last taken.
    changes: Vec<Change>,
    /// What of that is to be put on record.
    memories: Vec<(ProgramName, Memory)>,
}

#[derive(Debug)]
struct Row<S> {
    program: Program<S>,
    /// The place in the file when the program was put in; it decides who goes first among those due at once.
    place: usize,
}

/// Sorted by what is due first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    due: Instant,
    place: usize,
    name: ProgramName,
}

impl<S: Clone> Table<S> {
    /// Creates a table without programs, and with room for so many.
    pub(crate) fn with_capacity(programs: usize) -> Self {
        Self {
            rows: maps::with_capacity(programs),
            order: Vec::with_capacity(programs),
            mains: Map::default(),
            deadlines: BTreeSet::new(),
            changes: Vec::new(),
            memories: Vec::new(),
        }
    }

    /// Puts in a program, behind all others.
    pub(crate) fn insert(&mut self, name: ProgramName, program: Program<S>, cause: Cause) {
        let place = self.order.len();
        let deadline = |due| Deadline { due, place, name: name.clone() };
        self.deadlines.extend(program.due().map(deadline));
        self.mains.extend(program.condition().main.map(|pid| (pid, name.clone())));
        self.changes.push(Change { program: program.condition().of(&name), cause });
        self.order.push(name.clone());
        self.rows.insert(name, Box::new(Row { program, place }));
    }

    /// Changes a program by `change`, keeps the indexes true, takes note of what has changed, and forgets the program
    /// if nothing keeps it.
    ///
    /// Returns what `change` returns; `None` if there is no such program.
    pub(crate) fn update<R>(
        &mut self,
        name: &ProgramName,
        cause: Cause,
        change: impl FnOnce(&mut Program<S>) -> R,
    ) -> Option<R> {
        self.update_from(name, cause, Program::memory, change)
    }

    /// Changes a program of which this is on record, whatever the program itself would say.
    pub(crate) fn update_from<R>(
        &mut self,
        name: &ProgramName,
        cause: Cause,
        on_record: impl FnOnce(&Program<S>) -> Memory,
        change: impl FnOnce(&mut Program<S>) -> R,
    ) -> Option<R> {
        let Row { program, place } = &mut **self.rows.get_mut(name)?;
        let on_record = on_record(program);
        let (before, due_before) = (program.condition(), program.due());
        let result = change(program);
        let memory = program.memory();
        let (after, due, is_forgotten) = (program.condition(), program.due(), program.is_forgotten());
        let (main_before, main) = (before.main, after.main);
        let deadline = |due| Deadline { due, place: *place, name: name.clone() };
        if main != main_before {
            main_before.map(|pid| self.mains.remove(&pid));
            main.map(|pid| self.mains.insert(pid, name.clone()));
        }
        if due != due_before {
            due_before.map(|due| self.deadlines.remove(&deadline(due)));
            due.map(|due| self.deadlines.insert(deadline(due)));
        }
        let memory = if is_forgotten { Memory::Nothing } else { memory };
        if memory != on_record {
            self.memories.push((name.clone(), memory));
        }
        if is_forgotten {
            due.map(|due| self.deadlines.remove(&deadline(due)));
            self.rows.remove(name);
        }
        let after = if is_forgotten { Condition::REMOVED } else { after };
        if after != before || cause.ended.is_some() || cause.failure.is_some() {
            self.changes.push(Change { program: after.of(name), cause });
        }
        Some(result)
    }

    /// Returns what has changed since this was last asked, in the order in which it did.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        mem::take(&mut self.changes)
    }

    /// Returns what is to be put on record since this was last asked, in the order in which it came about.
    pub(crate) fn take_memories(&mut self) -> Vec<(ProgramName, Memory)> {
        mem::take(&mut self.memories)
    }

    /// Returns how many programs there are.
    pub(crate) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Returns how many programs have a main process.
    pub(crate) fn running(&self) -> usize {
        self.mains.len()
    }

    /// Puts these programs first, in this order. The others keep their order behind them.
    pub(crate) fn reorder(&mut self, first: &[&ProgramName]) {
        if first.iter().copied().eq(&self.order) {
            return;
        }
        let mut seen: Set<&ProgramName> = Set::default();
        let order = first.iter().copied().chain(&self.order).filter(|name| seen.insert(name));
        // The names that the table has already, lest there be two of each.
        let names = order.filter_map(|name| self.rows.get_key_value(name));
        self.order = names.map(|(name, _)| name.clone()).collect();
    }

    /// Returns a program by its name.
    pub(crate) fn get<Q>(&self, name: &Q) -> Option<(&ProgramName, &Program<S>)>
    where
        ProgramName: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.rows.get_key_value(name).map(|(name, row)| (name, &row.program))
    }

    /// Returns the program whose main process this is.
    pub(crate) fn of_main(&self, pid: Pid) -> Option<&ProgramName> {
        self.mains.get(&pid)
    }

    /// Returns the program that is due first, and when.
    pub(crate) fn first_due(&self) -> Option<(Instant, &ProgramName)> {
        self.deadlines.first().map(|deadline| (deadline.due, &deadline.name))
    }

    /// Returns the programs in the order of lists.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ProgramName, &Program<S>)> {
        self.order.iter().filter_map(|name| self.get(name))
    }

    /// Returns the names in the order of lists.
    pub(crate) fn names(&self) -> Vec<ProgramName> {
        self.order.clone()
    }
}
