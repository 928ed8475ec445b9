//! Findings about a configuration file: where, how bad, and what; and how they are collected.
//!
//! Which findings there are is decided where the file is judged, not here.

use std::fmt;
use std::path::{Path, PathBuf};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The line, counted from 1.
    pub line: usize,
    /// The column, in bytes, counted from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// Which of all things that may be found it is.
    pub kind: Kind,
    /// What it is, in one line; bytes of the file that are not printable ASCII are escaped.
    pub text: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file says something that has no effect, or perhaps not the one that was meant.
    Warning,
}

/// What may be found. The names are for scripts, and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A line that means nothing.
    Syntax,
    /// A value that is not what it should be.
    InvalidValue,
    /// The name of a user or group that there is not.
    UnknownName,
    /// A user or group that cannot be looked up.
    LookUp,
    /// A file that others than root may write, although its scripts run as root.
    Untrusted,
    /// A key that is not known, or not there.
    UnknownKey,
    /// A section that is no program's.
    UnknownSection,
    /// A key or section that a later one replaces.
    Shadowed,
    /// A key that changes nothing.
    NoEffect,
    /// The name of an action that is one slip away from that of a built-in one.
    NearAction,
    /// A path that depends on where the daemon is started.
    RelativePath,
    /// The number of a user or group that the system has no name for.
    UnknownId,
    /// A command that does not take the place of its shell.
    NoExec,
    /// An action for nobody but root, among others that are not.
    RootOnly,
    /// Something that is to be trusted, and that others may write.
    Writable,
    /// A file or folder that there is not.
    Missing,
    /// An output that is opened anew by a user who cannot.
    ReopenedOutput,
    /// How many findings are not told.
    More,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Syntax,
        Self::InvalidValue,
        Self::UnknownName,
        Self::LookUp,
        Self::Untrusted,
        Self::UnknownKey,
        Self::UnknownSection,
        Self::Shadowed,
        Self::NoEffect,
        Self::NearAction,
        Self::RelativePath,
        Self::UnknownId,
        Self::NoExec,
        Self::RootOnly,
        Self::Writable,
        Self::Missing,
        Self::ReopenedOutput,
        Self::More,
    ];

    /// Returns the word by which scripts know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::InvalidValue => "invalid-value",
            Self::UnknownName => "unknown-name",
            Self::LookUp => "look-up",
            Self::Untrusted => "untrusted",
            Self::UnknownKey => "unknown-key",
            Self::UnknownSection => "unknown-section",
            Self::Shadowed => "shadowed",
            Self::NoEffect => "no-effect",
            Self::NearAction => "near-action",
            Self::RelativePath => "relative-path",
            Self::UnknownId => "unknown-id",
            Self::NoExec => "no-exec",
            Self::RootOnly => "root-only",
            Self::Writable => "writable",
            Self::Missing => "missing",
            Self::ReopenedOutput => "reopened-output",
            Self::More => "more",
        }
    }
}

/// The findings about one file, in the order of their lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// The file.
    pub path: PathBuf,
    /// The findings.
    pub diagnostics: Vec<Diagnostic>,
}

impl Findings {
    /// Returns each finding as a line, `FILE:LINE:COLUMN: error: TEXT`, without a newline.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.diagnostics.iter().map(|diagnostic| format!("{}:{diagnostic}", self.path.display()))
    }

    /// Returns whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// Returns the errors among the findings.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, severity, kind: _, text } = self;
        write!(formatter, "{line}:{column}: {severity}: {text}")
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// The column, in bytes, counted from 1.
    pub(crate) column: usize,
}

/// Collects findings in any order, and of very many only some.
pub(crate) struct Collector {
    /// How many are kept.
    limit: usize,
    errors: Kept,
    warnings: Kept,
}

/// Findings of one severity: the first of them, and how many came after.
#[derive(Default)]
struct Kept {
    findings: Vec<(Position, Kind, String)>,
    omitted: usize,
}

impl Default for Collector {
    fn default() -> Self {
        Self::of(MAX_FINDINGS)
    }
}

impl Collector {
    /// Creates one that keeps so many findings.
    pub(crate) fn of(limit: usize) -> Self {
        Self { limit, errors: Kept::default(), warnings: Kept::default() }
    }

    /// Adds an error. The text is asked for only if the error is kept.
    pub(crate) fn error(&mut self, kind: Kind, position: Position, text: impl FnOnce() -> String) {
        self.errors.add(self.limit, kind, position, text);
    }

    /// Adds a warning. The text is asked for only if the warning is kept.
    pub(crate) fn warning(&mut self, kind: Kind, position: Position, text: impl FnOnce() -> String) {
        self.warnings.add(self.limit, kind, position, text);
    }

    /// Returns the findings, sorted by their places. Warnings make room for errors, never the other way round.
    pub(crate) fn finish(mut self, path: &Path) -> Findings {
        self.warnings.shorten(self.limit - self.errors.findings.len());
        let omitted = self.errors.omitted + self.warnings.omitted;
        let severity = if self.errors.omitted > 0 { Severity::Error } else { Severity::Warning };
        let errors = self.errors.findings.into_iter().map(|finding| (Severity::Error, finding));
        let warnings = self.warnings.findings.into_iter().map(|finding| (Severity::Warning, finding));
        let mut diagnostics: Vec<_> = errors
            .chain(warnings)
            .map(|(severity, (position, kind, text))| {
                let Position { line, column } = position;
                Diagnostic { line, column, severity, kind, text }
            })
            .collect();
        diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        if let Some(&Diagnostic { line, column, .. }) = diagnostics.last().filter(|_| omitted > 0) {
            let text = format!("{omitted} more {}", if omitted == 1 { "finding" } else { "findings" });
            diagnostics.push(Diagnostic { line, column, severity, kind: Kind::More, text });
        }
        Findings { path: path.to_path_buf(), diagnostics }
    }
}

impl Kept {
    fn add(&mut self, limit: usize, kind: Kind, position: Position, text: impl FnOnce() -> String) {
        if self.findings.len() < limit {
            self.findings.push((position, kind, text()));
        } else {
            self.omitted += 1;
        }
    }

    fn shorten(&mut self, length: usize) {
        self.omitted += self.findings.len().saturating_sub(length);
        self.findings.truncate(length);
    }
}

/// Returns bytes of the file as a text may show them: quoted, escaped, and not at any length.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let (start, rest) = shortened(bytes);
    format!("\"{}\"{rest}", start.escape_ascii())
}

/// Returns the same without quotes, for what is a word.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let (start, rest) = shortened(bytes);
    format!("{}{rest}", start.escape_ascii())
}

fn shortened(bytes: &[u8]) -> (&[u8], &'static str) {
    match bytes.split_at_checked(MAX_QUOTED) {
        None | Some((_, [])) => (bytes, ""),
        Some((start, _)) => (start, "..."),
    }
}

/// How many findings a daemon tells of one file. What a file says must not grow the daemon without bound, nor the
/// answer to a reload, and nobody reads more.
pub(crate) const MAX_FINDINGS: usize = 100;

/// How many bytes of a name or value are shown: enough to find it again, whatever the file holds.
const MAX_QUOTED: usize = 60;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::diagnostic::{Collector, Kind, MAX_FINDINGS, Position, Severity, quote};

    fn at(line: usize) -> Position {
        Position { line, column: 1 }
    }

    #[test]
    fn findings_are_sorted_by_their_places() {
        let mut collector = Collector::default();
        collector.warning(Kind::Shadowed, at(3), || "c".to_owned());
        collector.error(Kind::Syntax, Position { line: 1, column: 2 }, || "b".to_owned());
        collector.warning(Kind::Shadowed, at(1), || "a".to_owned());

        let lines: Vec<_> = collector.finish(Path::new("f")).lines().collect();

        assert_eq!(lines, ["f:1:1: warning: a", "f:1:2: error: b", "f:3:1: warning: c"]);
    }

    #[test]
    fn of_very_many_findings_the_errors_are_told_and_the_rest_is_counted() {
        let mut collector = Collector::default();
        for line in 1..=2 * MAX_FINDINGS {
            collector.warning(Kind::Shadowed, at(line), || format!("warning {line}"));
        }
        collector.error(Kind::Syntax, at(500), || "the one that matters".to_owned());

        let findings = collector.finish(Path::new("f"));

        assert_eq!(findings.diagnostics.len(), MAX_FINDINGS + 1);
        assert_eq!(findings.errors().count(), 1);
        assert_eq!(findings.lines().last().unwrap(), "f:500:1: warning: 101 more findings");
    }

    #[test]
    fn an_error_left_out_still_counts_as_an_error() {
        let mut collector = Collector::default();
        for line in 1..=MAX_FINDINGS + 1 {
            collector.error(Kind::Syntax, at(line), || "wrong".to_owned());
        }

        let last = collector.finish(Path::new("f")).diagnostics.pop().unwrap();

        assert_eq!((last.severity, last.text.as_str()), (Severity::Error, "1 more finding"));
    }

    #[test]
    fn quoted_bytes_can_neither_command_a_terminal_nor_fill_it() {
        assert_eq!(quote(b"a\x1b[2J\xff"), r#""a\x1b[2J\xff""#);
        assert_eq!(quote(&[b'x'; 60]), format!("\"{}\"", "x".repeat(60)));
        assert_eq!(quote(&[b'x'; 61]), format!("\"{}\"...", "x".repeat(60)));
    }
}
