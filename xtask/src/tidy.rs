//! `cargo xtask tidy`: the rules of the house that no compiler knows.
//!
//! Here is the list of checks and how violations are told; each check, and the rule that it keeps, has a room below.

mod coverage;
mod habits;
mod layers;
mod prose;
mod repository;
mod rust;

use std::fmt;
use std::path::Path;

use crate::tidy::repository::Repository;

/// Looks for one kind of violation.
type Check = fn(&Repository) -> Vec<Violation>;

const CHECKS: [Check; 10] = [
    layers::arrows,
    layers::adapters,
    layers::core,
    habits::headers,
    habits::unsafety,
    habits::leftovers,
    habits::width,
    coverage::manual,
    prose::machines,
    prose::links,
];

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    /// Counted from 1.
    line: usize,
    text: String,
}

impl Violation {
    fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, text } = self;
        write!(formatter, "{path}:{line}: {text}")
    }
}

/// Checks the repository that this executable was built from, and tells each violation on standard output.
///
/// # Errors
/// The summary, if there are violations; the reason, if the repository cannot be read.
pub(crate) fn run() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let repository =
        Repository::read(&root).map_err(|error| format!("cannot read the repository: {error}"))?;
    let mut violations: Vec<Violation> = CHECKS.iter().flat_map(|check| check(&repository)).collect();
    violations.sort();
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => {
            println!("tidy: {} checks, {} files, nothing to complain about", CHECKS.len(), repository.len());
            Ok(())
        }
        1 => Err("tidy: 1 violation".to_owned()),
        count => Err(format!("tidy: {count} violations")),
    }
}

#[cfg(test)]
mod tests {
    use super::Violation;

    #[test]
    fn a_violation_can_be_clicked_on() {
        assert_eq!(Violation::new("src/main.rs", 7, "no").to_string(), "src/main.rs:7: no");
    }
}
