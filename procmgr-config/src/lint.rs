//! What whoever checks a file is told: all findings at once, those that a daemon tells and many that it does not.
//!
//! A daemon never comes here, and no finding beyond its own is an error, but for a file that it would not trust.

mod effects;
mod paths;
pub mod people;
pub mod rights;
mod scripts;
mod shell;
pub mod surroundings;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::accounts::Accounts;
use crate::diagnostic::{Collector, Diagnostic, Kind, Severity};
use crate::document::Document;
use crate::keys::{GlobalKeys, ProgramKeys};
use crate::lint::paths::{Flaw, Paths, Trusted};
use crate::lint::people::People;
use crate::lint::rights::Privileged;
use crate::lint::surroundings::Surroundings;
use crate::load::{self, LoadError};
use crate::resolve::resolve;
use crate::syntax;
use crate::{Definition, Uid};

/// What there is to say about a file.
#[derive(Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// Scripts that run as root and that others may have run, in the order of the file.
    pub privileged: Vec<Privileged>,
    /// How many of them there are beyond those.
    pub privileged_omitted: usize,
    /// The names of whom they are for.
    pub people: People,
    /// Findings about the file as a whole.
    remarks: Vec<(Severity, Kind, String)>,
    /// Findings in the file, in the order of their places.
    diagnostics: Vec<Diagnostic>,
    /// The file, for its lines to be shown.
    text: Vec<u8>,
}

/// One finding of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding<'r> {
    /// Where it is; `None` if it is about the file as a whole.
    pub place: Option<Place<'r>>,
    /// How bad it is.
    pub severity: Severity,
    /// Which of all things that may be found it is.
    pub kind: Kind,
    /// What it is, in one line of printable ASCII.
    pub text: &'r str,
}

/// A place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'r> {
    /// The line, counted from 1.
    pub line: usize,
    /// The column, in bytes, counted from 1. It may be just behind the end.
    pub column: usize,
    /// The bytes of the line.
    pub source: &'r [u8],
}

/// Checks a file for the daemon of whoever asks.
///
/// # Errors
/// If the file cannot be read.
pub fn check(path: &Path, surroundings: &Surroundings) -> Result<Report, LoadError> {
    Ok(judge(path, load::read(path, load::open(path)?)?, surroundings))
}

/// Checks a text that stands in the file `path`.
pub fn judge(path: &Path, text: Vec<u8>, surroundings: &Surroundings) -> Report {
    let mut findings = Collector::of(MAX_FINDINGS);
    let mut accounts = Accounts::new(surroundings.database);
    let mut linter = Linter {
        daemon: surroundings.daemon,
        people: People::new(surroundings.database),
        paths: Paths::new(surroundings),
        privileged: Vec::new(),
        privileged_omitted: 0,
    };
    let remarks = linter.file(&surroundings.folder.join(path), &mut accounts);
    linter.text(&text, &mut accounts, &mut findings);
    let diagnostics = findings.finish(path).diagnostics;
    let Linter { people, privileged, privileged_omitted, .. } = linter;
    Report { path: path.to_path_buf(), privileged, privileged_omitted, people, remarks, diagnostics, text }
}

impl Report {
    /// Returns the findings: those about the file as a whole first, then the others in the order of their places.
    pub fn findings(&self) -> impl Iterator<Item = Finding<'_>> {
        let whole = self.remarks.iter().map(|(severity, kind, text)| Finding {
            place: None,
            severity: *severity,
            kind: *kind,
            text,
        });
        // The findings are sorted, so the lines are gone through once.
        let mut lines = (1..).zip(syntax::sources(&self.text)).peekable();
        let placed = self.diagnostics.iter().map(move |Diagnostic { line, column, severity, kind, text }| {
            while lines.peek().is_some_and(|(number, _)| number < line) {
                lines.next();
            }
            let source = lines.peek().map_or(&b""[..], |(_, source)| source);
            let place = Some(Place { line: *line, column: *column, source });
            Finding { place, severity: *severity, kind: *kind, text }
        });
        whole.chain(placed)
    }
}

/// What all rooms below work with.
struct Linter<'s> {
    /// As whom the daemon runs.
    daemon: Uid,
    people: People,
    paths: Paths<'s>,
    privileged: Vec<Privileged>,
    privileged_omitted: usize,
}

/// A program: what its section says, and what that means.
struct Program<'a> {
    keys: &'a ProgramKeys<'a>,
    definition: &'a Definition,
}

impl Linter<'_> {
    /// Judges who may write the file.
    fn file(&mut self, path: &Path, accounts: &mut Accounts) -> Vec<(Severity, Kind, String)> {
        let trusted = Trusted::new([self.daemon], accounts);
        match self.paths.flaw(path, &trusted) {
            // It has been read: what hides it from us hides it from nobody else.
            None | Some(Flaw::Missing) => Vec::new(),
            Some(flaw @ Flaw::WritableItself(_)) if self.daemon == Uid::ROOT => {
                let text = format!("{}, and its scripts run as root", flaw.tell());
                vec![(Severity::Error, Kind::Untrusted, text)]
            }
            Some(flaw @ (Flaw::WritableItself(_) | Flaw::Writable(..))) => {
                vec![(Severity::Warning, Kind::Writable, flaw.tell())]
            }
        }
    }

    /// Judges what the file says.
    fn text(&mut self, text: &[u8], accounts: &mut Accounts, findings: &mut Collector) {
        let document = Document::read(text, findings);
        let config = resolve(&document, Path::new(""), accounts, &mut Arc::new, findings);
        // What is to be said of keys and sections as such has been said.
        let silence = &mut Collector::of(0);
        let globals = GlobalKeys::sort(document.globals(), silence);
        self.ids_of_file(&globals, findings);
        let mut has_group_rule = globals.allow_gid.is_some();
        for ((_, entries), definition) in document.programs(silence).into_iter().zip(&config.programs) {
            let keys = &ProgramKeys::sort(entries, silence);
            let program = Program { keys, definition };
            self.rights(&program, &globals, findings);
            self.scripts(&program, accounts, findings);
            effects::of_program(&program, &globals, findings);
            has_group_rule |= effects::has_group_rule(keys);
        }
        effects::of_file(&globals, has_group_rule, findings);
    }
}

/// How many findings are told: all that anybody can mend, and few enough for the memory, whatever the file holds.
const MAX_FINDINGS: usize = 100_000;

#[cfg(test)]
mod tests;
