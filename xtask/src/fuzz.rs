//! `cargo xtask fuzz`: made-up input for each target of the fuzzer, for a while.
//!
//! Here the targets are built and run, one after the other, and what came of it is told. What has to hold of an input
//! stands in `fuzz/` and beside the code that takes it.

use std::collections::BTreeMap;
use std::env;
use std::fmt::{self, Display};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs each target for so many seconds, on its seeds and on whatever earlier runs have left in its corpus.
///
/// # Errors
/// If a target cannot be built, or if there is a finding, which the output tells.
pub(crate) fn run(seconds: &str) -> Result<(), String> {
    let seconds: u32 =
        seconds.parse().map_err(|error| format!("{seconds:?} is no number of seconds: {error}"))?;
    // In an optimised build, cargo-fuzz keeps the checks of a debug build. Safe code has no need of a sanitizer.
    if !fuzz(["build", "--sanitizer", "none"]).status().map_err(because("run cargo"))?.success() {
        return Err("fuzz: cannot build the targets; is cargo-fuzz there? It comes by \
                    `cargo install --locked --version 0.13.2 cargo-fuzz`, and needs a C++ compiler"
            .to_owned());
    }
    println!("{HEADING}");
    let mut failed = Vec::new();
    for target in targets()? {
        let outcome = run_target(&target, seconds)?;
        println!("{target:<12}{outcome}");
        if let Some(report) = outcome.report {
            println!("{report}");
            failed.push(target);
        }
    }
    match failed[..] {
        [] => Ok(()),
        _ => Err(format!("fuzz: a finding in {}", failed.join(", "))),
    }
}

/// Returns the names of all targets.
fn targets() -> Result<Vec<String>, String> {
    let output = fuzz(["list"]).output().map_err(because("list the targets"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn run_target(target: &str, seconds: u32) -> Result<Outcome, String> {
    let corpus = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).map_err(because("make a folder for the corpus"))?;
    let mut run = fuzz(["run", "--sanitizer", "none", target])
        .arg(corpus)
        .arg(root().join("fuzz/seeds").join(target))
        .args(["--", &format!("-max_total_time={seconds}"), &format!("-timeout={SLOWEST}")])
        .stderr(Stdio::piped())
        .spawn()
        .map_err(because("run the fuzzer"))?;
    let output = run.stderr.take().expect("it was piped");
    let mut progress = Progress::default();
    let mut report = Vec::new();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(because("read what the fuzzer tells"))?;
        let line = String::from_utf8_lossy(&line).into_owned();
        match Progress::read(&line) {
            Some(read) => progress = read,
            None => report.push(line),
        }
    }
    let status = run.wait().map_err(because("wait for the fuzzer"))?;
    Ok(Outcome { progress, report: (!status.success()).then(|| report.join("\n")) })
}

/// What came of a target.
struct Outcome {
    progress: Progress,
    /// What the fuzzer tells of its finding, if there is one; it ends with the first.
    report: Option<String>,
}

impl Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { progress: Progress { executions, per_second, edges, features, corpus }, report } = self;
        let findings = u8::from(report.is_some());
        write!(formatter, "{executions:>12}{per_second:>8}{edges:>7}{features:>10}{corpus:>8}{findings:>10}")
    }
}

const HEADING: &str = "target        executions   per s  edges  features  corpus  findings";

/// How far a run has come.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    executions: u64,
    per_second: u64,
    /// Edges of the code that were taken.
    edges: u64,
    /// Those, told apart by how often they were taken, and comparisons.
    features: u64,
    /// How many inputs were worth keeping.
    corpus: u64,
}

impl Progress {
    /// Reads a line such as `#4672 DONE cov: 1443 ft: 5018 corp: 575/395Kb lim: 3619 exec/s: 424 rss: 30Mb`; others
    /// tell no progress.
    fn read(line: &str) -> Option<Self> {
        let (executions, rest) = line.strip_prefix('#')?.split_once(char::is_whitespace)?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let values: BTreeMap<&str, &str> = words.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let value = |name| {
            let digits = values.get(name)?.split(|it: char| !it.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        Some(Self {
            executions: executions.parse().ok()?,
            per_second: value("exec/s:").unwrap_or(0),
            edges: value("cov:").unwrap_or(0),
            features: value("ft:").unwrap_or(0),
            corpus: value("corp:").unwrap_or(0),
        })
    }
}

fn fuzz<const COUNT: usize>(arguments: [&str; COUNT]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg("fuzz").args(arguments).current_dir(root());
    command
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn because<E: Display>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("fuzz: cannot {what}: {error}")
}

/// How many seconds an input may take, on a machine that has other things to do, too.
const SLOWEST: u32 = 20;

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn progress_is_read_from_what_the_fuzzer_tells() {
        let line = "#4672\tDONE   cov: 1443 ft: 5018 corp: 575/395Kb lim: 3619 exec/s: 424 rss: 30Mb";
        let expected =
            Progress { executions: 4672, per_second: 424, edges: 1443, features: 5018, corpus: 575 };
        assert_eq!(Progress::read(line), Some(expected));
    }

    #[test]
    fn other_lines_tell_no_progress() {
        for line in ["", "#", "INFO: seed corpus: files: 23", "\"ab\" # Uses: 7", "    #3 0x55 in main"] {
            assert_eq!(Progress::read(line), None, "{line}");
        }
    }
}
