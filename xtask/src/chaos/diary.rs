//! The diary: where programs write of themselves, and the harness of the deaths that it causes.
//!
//! It is how births and deaths are known without asking the daemon. What follows from them is not known here.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::chaos::identity::Identity;

/// What can be noted about a process of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It is at work.
    Born,
    /// It is about to end by itself, or by the harness.
    Died,
    /// It is at work beside another one of the same program.
    Twice,
    /// It was to take the place of another one, and could not.
    Stuck,
}

/// A line of the diary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) word: Word,
    pub(super) program: String,
    pub(super) process: Identity,
}

/// Appends a line, in one piece.
pub(super) fn write(path: &Path, note: &Note) -> io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write_all(format!("{note}\n").as_bytes())
}

/// The diary as it is read.
pub(super) struct Diary {
    path: PathBuf,
    pages: Mutex<Pages>,
}

/// What has been read.
pub(super) struct Pages {
    file: File,
    /// A line that was not complete yet.
    rest: String,
    births: HashMap<String, Vec<Identity>>,
    pids: HashSet<u32>,
    deaths: HashMap<String, Vec<Identity>>,
    /// What ought not to have happened.
    pub(super) complaints: Vec<Note>,
}

impl Diary {
    /// Opens a diary.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let pages = Pages {
            file: File::open(&path)?,
            rest: String::new(),
            births: HashMap::new(),
            pids: HashSet::new(),
            deaths: HashMap::new(),
            complaints: Vec::new(),
        };
        Ok(Self { path, pages: Mutex::new(pages) })
    }

    /// Notes a death that is about to be caused.
    pub(super) fn note_death(&self, program: &str, process: Identity) -> io::Result<()> {
        write(&self.path, &Note { word: Word::Died, program: program.to_owned(), process })
    }

    /// Reads on, and returns all that there is.
    pub(super) fn read(&self) -> io::Result<MutexGuard<'_, Pages>> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = std::mem::take(&mut pages.rest);
        pages.file.read_to_string(&mut text)?;
        pages.take_in(&text);
        Ok(pages)
    }
}

impl Pages {
    /// Returns the births of a program, in their order.
    pub(super) fn births(&self, program: &str) -> &[Identity] {
        self.births.get(program).map_or(&[], Vec::as_slice)
    }

    /// Returns the deaths of a program that nobody has asked the daemon for.
    pub(super) fn deaths(&self, program: &str) -> &[Identity] {
        self.deaths.get(program).map_or(&[], Vec::as_slice)
    }

    /// Returns how many births there were.
    pub(super) fn count_of_births(&self) -> usize {
        self.births.values().map(Vec::len).sum()
    }

    /// Returns how many deaths there were that nobody has asked the daemon for.
    pub(super) fn count_of_deaths(&self) -> usize {
        self.deaths.values().map(Vec::len).sum()
    }

    /// Returns whether any process of a program has ever had a PID.
    pub(super) fn knows(&self, pid: u32) -> bool {
        self.pids.contains(&pid)
    }

    fn take_in(&mut self, text: &str) {
        let (complete, rest) = text.rsplit_once('\n').unwrap_or(("", text));
        rest.clone_into(&mut self.rest);
        for note in complete.lines().filter_map(Note::parse) {
            match note.word {
                Word::Born => {
                    self.pids.insert(note.process.pid);
                    self.births.entry(note.program).or_default().push(note.process);
                }
                Word::Died => self.deaths.entry(note.program).or_default().push(note.process),
                Word::Twice | Word::Stuck => self.complaints.push(note),
            }
        }
    }
}

impl Word {
    const ALL: [Self; 4] = [Self::Born, Self::Died, Self::Twice, Self::Stuck];

    fn name(self) -> &'static str {
        match self {
            Self::Born => "born",
            Self::Died => "died",
            Self::Twice => "twice",
            Self::Stuck => "stuck",
        }
    }
}

impl Note {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let word = words.next()?;
        let word = Word::ALL.into_iter().find(|it| it.name() == word)?;
        let program = words.next()?.to_owned();
        let process = Identity { pid: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? };
        Some(Self { word, program, process })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.word.name(), self.program, self.process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Identity = Identity { pid: 7, started: 9 };

    #[test]
    fn a_line_says_what_was_noted() {
        for word in Word::ALL {
            let note = Note { word, program: "p07".to_owned(), process: PROCESS };
            assert_eq!(Note::parse(&note.to_string()), Some(note));
        }
        for line in ["", "born", "born p07 7", "born p07 x 9", "bored p07 7 9"] {
            assert_eq!(Note::parse(line), None, "{line}");
        }
    }

    #[test]
    fn half_a_line_waits_for_the_other_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diary");
        std::fs::write(&path, "born a 7 9\nborn a 8").unwrap();
        let diary = Diary::open(path.clone()).unwrap();
        assert_eq!(diary.read().unwrap().births("a"), [PROCESS]);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b" 9\ntwice b 7 9\n").unwrap();
        diary.note_death("a", PROCESS).unwrap();
        let pages = diary.read().unwrap();
        assert_eq!(pages.births("a"), [PROCESS, Identity { pid: 8, started: 9 }]);
        assert_eq!((pages.deaths("a"), pages.count_of_deaths()), (&[PROCESS][..], 1));
        assert_eq!(pages.complaints.len(), 1);
        assert!(pages.knows(8) && !pages.knows(9));
    }
}
