//! What is wanted of the benchmark, as the command line says it.
//!
//! What a row is, is known in `rows`.

use std::path::PathBuf;
use std::time::Duration;

use crate::bench::rows::ROWS;

/// The words of a command line.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) extent: Extent,
    pub(super) format: Format,
    /// The names of the rows; none are all.
    only: Vec<String>,
    /// Other executables that are measured in turn, with their names.
    pub(super) against: Vec<(String, PathBuf)>,
}

/// How the figures are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Markdown,
    Json,
}

impl Options {
    /// Understands the words.
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options =
            Self { extent: FULL, format: Format::Markdown, only: Vec::new(), against: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            match *word {
                "--quick" => options.extent = QUICK,
                "--json" => options.format = Format::Json,
                "--only" => {
                    let rows = value()?.split(',').map(known_row).collect::<Result<Vec<_>, _>>()?;
                    options.only.extend(rows);
                }
                "--against" => options.against.push(executable(value()?)?),
                _ => return Err(format!("there is no option {word}")),
            }
        }
        Ok(options)
    }

    /// Returns whether a row is to be measured.
    pub(super) fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == row)
    }
}

fn known_row(name: &str) -> Result<String, String> {
    if ROWS.iter().any(|row| row.name == name) {
        return Ok(name.to_owned());
    }
    let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
    Err(format!("there is no row {name}, but {}", names.join(", ")))
}

fn executable(words: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = words.split_once('=').ok_or("--against wants NAME=PATH")?;
    let path = PathBuf::from(path).canonicalize().map_err(|error| format!("cannot find {path}: {error}"))?;
    Ok((name.to_owned(), path))
}

/// How much is done for each row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) is_quick: bool,
    /// How many times all of a row are measured in turn.
    pub(super) rounds: u32,
    /// How many times where one time takes many seconds.
    pub(super) long_rounds: u32,
    /// How long requests are made in a round.
    pub(super) slot: Duration,
    /// How many whole processes are timed in a round.
    pub(super) processes: u32,
    /// How many deaths are timed in a round.
    pub(super) deaths: u32,
    /// How many programs are some, and how many are many.
    pub(super) some: u32,
    pub(super) many: u32,
    /// How many scripts are run, and how many files read, before memory may not have grown.
    pub(super) scripts: u32,
    pub(super) reloads: u32,
    /// How many requests are in the life of a daemon of which something is counted, and how many more in that of
    /// another.
    pub(super) counted: u32,
    /// How long nothing has to happen.
    pub(super) idle: Duration,
}

const FULL: Extent = Extent {
    is_quick: false,
    rounds: 7,
    long_rounds: 3,
    slot: Duration::from_millis(500),
    processes: 60,
    deaths: 200,
    some: 1_000,
    many: 10_000,
    scripts: 100_000,
    reloads: 1_000,
    counted: 500,
    idle: Duration::from_secs(20),
};

/// Enough to see that it works; the figures mean little.
const QUICK: Extent = Extent {
    is_quick: true,
    rounds: 2,
    long_rounds: 1,
    slot: Duration::from_millis(50),
    processes: 3,
    deaths: 10,
    some: 20,
    many: 100,
    scripts: 200,
    reloads: 20,
    counted: 20,
    idle: Duration::from_secs(2),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_one_by_one_or_all_are_meant() {
        let some = Options::parse(&["--only", "status,size", "--only", "idle"]).unwrap();
        assert!(["status", "size", "idle"].iter().all(|row| some.wants(row)));
        assert!(!some.wants("memory"));
        assert!(Options::parse(&["--json"]).unwrap().wants("memory"));
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for (words, reason) in [
            (&["--slow"][..], "there is no option --slow"),
            (&["--only"][..], "--only wants a value"),
            (&["--against", "/bin/true"][..], "--against wants NAME=PATH"),
        ] {
            assert_eq!(Options::parse(words).unwrap_err(), reason);
        }
        assert!(Options::parse(&["--only", "speed"]).unwrap_err().starts_with("there is no row speed, but "));
    }
}
