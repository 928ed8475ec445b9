//! Checking a configuration file: reading it, showing what there is to say about it, and the exit status.
//!
//! What is found is `procmgr-config`'s to say; no daemon is asked.

mod excerpt;
mod json;
mod lines;

use std::path::Path;

use procmgr_cli::Format;
use procmgr_config::diagnostic::{Kind, Severity};
use procmgr_config::lint::surroundings::Surroundings;
use procmgr_config::lint::{self, Finding, Report};

use crate::args::CheckArgs;
use crate::complain;

/// The exit status of a file that cannot be used.
const FAULTY: u8 = 1;

/// Checks a file for the daemon of whoever runs this, and returns the exit status.
pub(crate) fn run(path: &Path, args: CheckArgs) -> u8 {
    let report = Surroundings::of_system()
        .map_err(|error| format!("cannot find the working directory: {error}"))
        .and_then(|system| lint::check(path, &system).map_err(|error| error.to_string()));
    let report = match report {
        Ok(report) => report,
        Err(reason) => {
            complain(&format!("procmgr: {}", excerpt::harmless(&reason)));
            return FAULTY;
        }
    };
    let mut output = Output { pending: String::new(), status: 0 };
    show(&report, args, &mut |text| output.add(text));
    output.flush();
    let status = if Tally::of(&report).errors > 0 { FAULTY } else { 0 };
    status.max(output.status)
}

fn show(report: &Report, CheckArgs { format, is_quiet }: CheckArgs, add: &mut impl FnMut(&str)) {
    match (format, is_quiet) {
        (Format::Lines, false) => lines::all(report, add),
        (Format::Lines, true) => lines::errors_only(report, add),
        (Format::Json, false) => json::all(report, add),
        (Format::Json, true) => json::errors_only(report, add),
    }
}

/// How many findings there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    errors: usize,
    warnings: usize,
}

impl Tally {
    fn of(report: &Report) -> Self {
        // The one that counts those left out is none itself.
        report.findings().filter(|finding| finding.kind != Kind::More).fold(
            Self::default(),
            |tally, finding| match finding.severity {
                Severity::Error => Self { errors: tally.errors + 1, ..tally },
                Severity::Warning => Self { warnings: tally.warnings + 1, ..tally },
            },
        )
    }
}

fn errors(report: &Report) -> impl Iterator<Item = Finding<'_>> {
    report.findings().filter(|finding| finding.severity == Severity::Error)
}

/// Standard output, written in large pieces.
struct Output {
    pending: String,
    /// That of writing so far.
    status: u8,
}

impl Output {
    fn add(&mut self, text: &str) {
        self.pending.push_str(text);
        if self.pending.len() > PIECE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        // What could not be written once is complained of once.
        if self.status == 0 {
            self.status = procmgr_cli::show(&self.pending);
        }
        self.pending.clear();
    }
}

/// How many bytes are written at a time.
const PIECE: usize = 64 << 10;

#[cfg(test)]
mod tests;
