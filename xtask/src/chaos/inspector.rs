//! The inspector: looks, while nobody acts, until all accounts agree, and blames whatever does not come to agree.
//!
//! What has to agree is told in `inspection` and in `watch`; what happens between two looks is not known here.

use std::sync::MutexGuard;
use std::thread;
use std::time::{Duration, Instant};

use crate::chaos::cast::Edition;
use crate::chaos::census::{Census, Mark};
use crate::chaos::diary::Pages;
use crate::chaos::identity::Identity;
use crate::chaos::inspection::{View, judge};
use crate::chaos::ledger::{FaultKind, Ledger};
use crate::chaos::model::Belief;
use crate::chaos::scene::Scene;
use crate::chaos::strangers::Strangers;
use crate::chaos::watch::Watch;

/// Who looks.
pub(super) struct Inspector<'a> {
    scene: &'a Scene,
    mark: Mark,
    ledger: &'a Ledger,
    strangers: &'a Strangers<'a>,
    watch: Option<Watch>,
    /// What lived when it was looked at last, in the order of the names.
    living: Vec<(String, Identity)>,
    pub(super) inspections: u64,
    /// How many events subscriptions have told.
    pub(super) events: u64,
}

impl<'a> Inspector<'a> {
    /// Returns one who has not looked yet.
    pub(super) fn new(scene: &'a Scene, ledger: &'a Ledger, strangers: &'a Strangers<'a>) -> Self {
        let (watch, living) = (None, Vec::new());
        Self { scene, mark: scene.mark(), ledger, strangers, watch, living, inspections: 0, events: 0 }
    }

    /// Holds all accounts against each other while nobody acts, as soon as nothing is under way.
    pub(super) fn inspect(&mut self, edition: &Edition) -> Result<(), String> {
        let _halted = self.ledger.halt();
        self.inspections += 1;
        let begin = Instant::now();
        while !self.try_to_inspect(edition, begin.elapsed() > PATIENCE)? {
            thread::sleep(PAUSE);
        }
        self.strangers.look()?;
        self.verdict()
    }

    /// Follows what happens by a subscription, from now on.
    pub(super) fn watch(&mut self) -> Result<(), String> {
        let _halted = self.ledger.halt();
        let pages = self.pages()?;
        let count = |name: &String| (name.clone(), pages.births(name).len());
        let births = self.ledger.programs.iter().map(|program| count(&program.name)).collect();
        drop(pages);
        let watch = Watch::begin(&self.scene.socket(), births);
        self.watch = Some(watch.map_err(|error| format!("cannot subscribe: {error}"))?);
        Ok(())
    }

    /// Ends the subscription, after a last look at what it has told.
    pub(super) fn unwatch(&mut self, edition: &Edition) -> Result<(), String> {
        self.inspect(edition)?;
        let Some(watch) = self.watch.take() else { return Ok(()) };
        self.events += watch.events();
        let _halted = self.ledger.halt();
        let pages = self.pages()?;
        for program in &self.ledger.programs {
            if !watch.has_told(&program.name, pages.births(&program.name)) {
                let text = "it was born more often than a subscriber was told".to_owned();
                self.ledger.blame(FaultKind::Event, Some(&program.name), text);
            }
        }
        drop(pages);
        self.verdict()
    }

    /// Waits until each program runs that is to, also if it has just died and is to be started again.
    pub(super) fn see_them_come_back(&self, edition: &Edition) -> Result<(), String> {
        let _halted = self.ledger.halt();
        let programs = self.ledger.programs.iter().enumerate();
        let is_to_run = |number| self.ledger.entry(number).belief == Belief::Running;
        let mut awaited: Vec<&str> = programs
            .filter(|(number, _)| !edition.absent.contains(number) && is_to_run(*number))
            .map(|(_, program)| program.name.as_str())
            .collect();
        let begin = Instant::now();
        while !awaited.is_empty() && begin.elapsed() < PATIENCE {
            let census = Census::take(&self.mark).map_err(|error| error.to_string())?;
            awaited.retain(|program| census.of(program).is_empty());
            thread::sleep(PAUSE);
        }
        for program in awaited {
            let text = "it was to run, and does not come back".to_owned();
            self.ledger.blame(FaultKind::Lost, Some(program), text);
        }
        self.verdict()
    }

    /// Sees that nothing lives, now that all has been stopped.
    pub(super) fn see_them_gone(&self) -> Result<(), String> {
        let census = Census::take(&self.mark).map_err(|error| error.to_string())?;
        for (program, process) in census.all() {
            let text = format!("it was stopped, and lives: {process:?}");
            self.ledger.blame(FaultKind::Lost, Some(program), text);
        }
        self.verdict()
    }

    /// Returns what lived when it was looked at last.
    pub(super) fn living(&self) -> &[(String, Identity)] {
        &self.living
    }

    /// Looks once. Returns whether there is nothing left to be waited for, which at the end of patience there is not.
    fn try_to_inspect(&mut self, edition: &Edition, is_last: bool) -> Result<bool, String> {
        let view = View::take(&self.scene.socket(), || Census::take(&self.mark));
        let view = view.map_err(|error| format!("cannot look at the programs: {error}"))?;
        let pages = self.pages()?;
        let discords = view.discords(&self.ledger.programs, edition, &pages);
        let untold = self.watch.as_ref().map_or(Vec::new(), |watch| watch.differences(&view.conditions));
        let do_agree = discords.is_empty() && untold.is_empty();
        if do_agree {
            judge(self.ledger, &view, &pages);
        } else if is_last {
            for discord in discords {
                self.ledger.blame(discord.kind, Some(&discord.program), discord.text);
            }
            for (program, text) in untold {
                self.ledger.blame(FaultKind::Event, Some(&program), text);
            }
        }
        drop(pages);
        self.living = view.census.all().map(|(name, process)| (name.to_owned(), process)).collect();
        self.living.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(do_agree || is_last)
    }

    /// Fails if anything has been found wrong, by whomever.
    fn verdict(&self) -> Result<(), String> {
        for note in &self.pages()?.complaints {
            self.ledger.blame(FaultKind::Duplicate, Some(&note.program), note.to_string());
        }
        for complaint in self.watch.iter().flat_map(Watch::complaints) {
            self.ledger.blame(FaultKind::Event, None, complaint);
        }
        if self.ledger.faults().is_empty() { Ok(()) } else { Err("a promise is broken".to_owned()) }
    }

    fn pages(&self) -> Result<MutexGuard<'_, Pages>, String> {
        self.ledger.diary.read().map_err(|error| format!("cannot read the diary: {error}"))
    }
}

/// Far longer than anything takes that is waited for here.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait before it is looked again.
const PAUSE: Duration = Duration::from_millis(2);
