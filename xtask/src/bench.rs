//! `cargo xtask bench`: what the executable takes, beside what the machine takes for the same.
//!
//! What is wanted on the command line, and in which order it is measured. How is said in the rooms below.

mod arena;
mod asker;
mod crowd;
mod daemon;
mod figure;
mod floor;
mod kernel;
mod options;
mod player;
mod report;
mod rows;
mod samples;
mod signs;

use std::process;
use std::thread;
use std::time::Duration;

use crate::bench::arena::Arena;
use crate::bench::options::{Format, Options};
use crate::bench::report::Report;

/// Builds procmgr as it is installed, measures each row, and tells the figures; or does so with crowds.
///
/// # Errors
/// If something could not be measured, or a request has failed. Times are figures and no errors.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    if let ["crowd", words @ ..] = words {
        return crowd::run(words);
    }
    let options = Options::parse(words)?;
    give_up_after(LONGEST_RUN);
    let arena = Arena::build(&options)?;
    let mut report = Report::default();
    for row in rows::ROWS.iter().filter(|row| options.wants(row.name)) {
        eprintln!("{} ...", row.name);
        let figures = (row.measure)(&arena).map_err(|reason| format!("{}: {reason}", row.name))?;
        report.add(row.name, figures);
    }
    match options.format {
        Format::Markdown => print!("{}", report.markdown(&arena)),
        Format::Json => println!("{}", report.json(&arena)),
    }
    Ok(())
}

/// Plays one of the roles of the benchmarks, in a process of its own.
///
/// # Errors
/// Whatever keeps it from playing on.
pub(crate) fn play(orders: &[&str]) -> Result<(), String> {
    match orders {
        ["ask", orders @ ..] => asker::play(orders),
        ["floor", orders @ ..] => floor::play(orders),
        _ => crowd::play(orders),
    }
}

/// Ends this process when it has taken far too long, which ends the others as well: somebody waits for an answer that
/// will never come.
fn give_up_after(time: Duration) {
    thread::spawn(move || {
        thread::sleep(time);
        eprintln!("no end after {time:?}");
        process::exit(1);
    });
}

/// Much longer than all rows take, with the build ahead of them.
const LONGEST_RUN: Duration = Duration::from_secs(60 * 60);
