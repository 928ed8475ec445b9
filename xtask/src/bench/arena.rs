//! Who is measured, where, and how often: the floor, procmgr, and other executables, by turns.
//!
//! What is measured is not known here.

use std::cell::Cell;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::figure::{Figure, Unit};
use crate::bench::options::{Extent, Options};
use crate::bench::rows::managers::Manager;
use crate::bench::samples::Samples;
use crate::stage::{Linking, Profile, Stage, build};

/// The executables, freshly built, and a folder in which they are measured.
pub(super) struct Arena {
    pub(super) stage: Stage,
    pub(super) extent: Extent,
    /// The first one is procmgr.
    subjects: Vec<Subject>,
    managers: Vec<&'static Manager>,
    /// This executable, as fast as procmgr.
    player: PathBuf,
    /// How many names were given to things in the folder.
    names: Cell<u32>,
}

/// An executable of a procmgr.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) executable: PathBuf,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Contestant<'a> {
    /// A program that does the least that there is to do.
    Floor,
    Subject(&'a Subject),
}

/// What was measured of each, so many things at a time.
pub(super) struct Outcome<const N: usize> {
    floor: [Samples; N],
    subjects: Vec<Option<[Samples; N]>>,
}

impl Arena {
    /// Builds the executables, and makes the folder.
    pub(super) fn build(options: &Options) -> Result<Self, String> {
        let stage = Stage::build(Profile::Release)?;
        let player = build("xtask", Profile::Release, Linking::Dynamic)?;
        let own = Subject { name: "procmgr".to_owned(), executable: stage.executable().to_owned() };
        let others = options.against.iter();
        let others =
            others.map(|(name, executable)| Subject { name: name.clone(), executable: executable.clone() });
        let subjects = [own].into_iter().chain(others).collect();
        let managers = if options.wants("managers") { Manager::installed() } else { Vec::new() };
        Ok(Self { stage, extent: options.extent, subjects, managers, player, names: Cell::default() })
    }

    /// Returns procmgr.
    pub(super) fn own(&self) -> &Subject {
        &self.subjects[0]
    }

    /// Returns the names of the other executables, and then of other managers.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        self.against()
            .map(|subject| subject.name.as_str())
            .chain(self.managers.iter().map(|manager| manager.name))
    }

    /// Returns the other executables.
    pub(super) fn against(&self) -> impl Iterator<Item = &Subject> {
        self.subjects[1..].iter()
    }

    /// Returns the other managers, if they are to be measured.
    pub(super) fn managers(&self) -> &[&'static Manager] {
        &self.managers
    }

    /// Returns a build of procmgr that brings the C library along. In a hurry there is none, for it takes long.
    pub(super) fn static_build(&self) -> Result<Option<PathBuf>, String> {
        if self.extent.is_quick {
            return Ok(None);
        }
        build("procmgr", Profile::Release, Linking::Static).map(Some)
    }

    /// Returns a name that nothing in the folder has yet.
    pub(super) fn new_name(&self) -> String {
        self.names.set(self.names.get() + 1);
        format!("n{}", self.names.get())
    }

    /// Returns the path of the folder.
    pub(super) fn folder(&self) -> PathBuf {
        self.stage.path("")
    }

    /// Returns a command that plays a role in the folder, at whose end it is swept away.
    pub(super) fn role(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.player);
        command.args(["bench", "role"]).args(words).current_dir(self.folder());
        command
    }

    /// Returns a command of this executable in the folder, without anything in the environment that it would look at.
    pub(super) fn client(&self, executable: &Path) -> Command {
        let mut command = Command::new(executable);
        command.env_clear().current_dir(self.folder());
        command.envs(env::var_os("PATH").map(|path| ("PATH", path)));
        command
    }

    /// Prepares each, the floor included, and measures all of them by turns, so many rounds. Who is neither the floor
    /// nor procmgr may fail.
    pub(super) fn contest<T, const N: usize>(
        &self,
        rounds: u32,
        prepare: impl FnMut(Contestant<'_>) -> Result<T, String>,
        measure: impl FnMut(&mut T) -> Result<[f64; N], String>,
    ) -> Result<Outcome<N>, String> {
        self.contest_of(rounds, true, prepare, measure)
    }

    /// As a `contest`, but without a floor.
    pub(super) fn contest_of_subjects<T, const N: usize>(
        &self,
        rounds: u32,
        mut prepare: impl FnMut(&Subject) -> Result<T, String>,
        measure: impl FnMut(&mut T) -> Result<[f64; N], String>,
    ) -> Result<Outcome<N>, String> {
        let prepare = |contestant: Contestant<'_>| match contestant {
            Contestant::Floor => Err("there is no floor".to_owned()),
            Contestant::Subject(subject) => prepare(subject),
        };
        self.contest_of(rounds, false, prepare, measure)
    }

    fn contest_of<T, const N: usize>(
        &self,
        rounds: u32,
        has_floor: bool,
        mut prepare: impl FnMut(Contestant<'_>) -> Result<T, String>,
        mut measure: impl FnMut(&mut T) -> Result<[f64; N], String>,
    ) -> Result<Outcome<N>, String> {
        let floor = has_floor.then_some(Contestant::Floor);
        let contestants = floor.into_iter().chain(self.subjects.iter().map(Contestant::Subject));
        let mut entrants = Vec::new();
        for contestant in contestants {
            let entrant = self.forgive(contestant, prepare(contestant))?;
            entrants.push((contestant, entrant, [const { Samples::new() }; N]));
        }
        for _ in 0..rounds {
            for (contestant, entrant, samples) in &mut entrants {
                let Some(it) = entrant else { continue };
                match self.forgive(*contestant, measure(it))? {
                    Some(numbers) => samples.iter_mut().zip(numbers).for_each(|(to, number)| to.push(number)),
                    None => *entrant = None,
                }
            }
        }
        let mut outcomes = entrants.into_iter().map(|(_, entrant, samples)| entrant.map(|_| samples));
        let floor = if has_floor { outcomes.next().flatten() } else { None };
        Ok(Outcome { floor: floor.unwrap_or([const { Samples::new() }; N]), subjects: outcomes.collect() })
    }

    fn forgive<T>(&self, whom: Contestant<'_>, result: Result<T, String>) -> Result<Option<T>, String> {
        match (whom, result) {
            (Contestant::Subject(subject), Err(reason)) if subject.name != self.own().name => {
                eprintln!("{} is left out: {reason}", subject.name);
                Ok(None)
            }
            (_, result) => result.map(Some),
        }
    }
}

impl<'a> Contestant<'a> {
    /// Returns the executable, if it is not the floor's turn.
    pub(super) fn subject(self) -> Option<&'a Subject> {
        match self {
            Self::Floor => None,
            Self::Subject(subject) => Some(subject),
        }
    }
}

impl<const N: usize> Outcome<N> {
    /// Returns what was measured of the floor.
    pub(super) fn floor(&self, number: usize) -> Samples {
        self.floor[number].clone()
    }

    /// Returns what was measured of procmgr.
    pub(super) fn own(&self, number: usize) -> Samples {
        let own = self.subjects.first().and_then(Option::as_ref);
        own.map_or_else(Samples::new, |samples| samples[number].clone())
    }

    /// Returns a figure of what was measured, of the subjects only.
    pub(super) fn figure(&self, number: usize, what: impl Into<String>, unit: Unit) -> Figure {
        let others = self.subjects.iter().skip(1);
        let others = others.map(|samples| samples.as_ref().map(|samples| samples[number].clone()));
        Figure::new(what, unit, self.own(number)).beside(others.collect())
    }

    /// Returns a figure of what was measured, above the floor.
    pub(super) fn figure_above(&self, number: usize, what: impl Into<String>, unit: Unit) -> Figure {
        self.figure(number, what, unit).above(self.floor(number))
    }
}
