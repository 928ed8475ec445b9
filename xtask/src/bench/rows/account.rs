//! What a request costs, counted instead of timed: system calls, as `strace` sees them, and instructions, as
//! `valgrind` does.
//!
//! Where one of these is not installed, its figures are missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::arena::Arena;
use crate::bench::asker::{End, Manner, Orders, ask};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Unit};
use crate::bench::floor::trivial;
use crate::bench::samples::Samples;

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for counter in [Counter::SystemCalls, Counter::Instructions] {
        if !counter.is_there() {
            eprintln!("{} is not installed, so {} are not counted", counter.tool(), counter.name());
            continue;
        }
        for request in ["ping", "status", "work"] {
            let few = daemon(arena, counter, request, arena.extent.counted)?;
            let many = daemon(arena, counter, request, 2 * arena.extent.counted)?;
            let each = (many - few) / f64::from(arena.extent.counted);
            let what = match request {
                "work" => "an action with a script".to_owned(),
                request => format!("`{request}`"),
            };
            figures.push(figure(counter, &format!("of the daemon for {what}"), each));
        }
        let (client, floor) = clients(arena, counter)?;
        let floor = Samples::from_iter([floor]);
        figures
            .push(figure(counter, "of the client for `status`, above those of `true`", client).above(floor));
    }
    Ok(figures)
}

fn figure(counter: Counter, what: &str, number: f64) -> Figure {
    Figure::new(format!("{} {what}", counter.name()), Unit::Count, Samples::from_iter([number]))
}

/// Returns what is counted of a daemon in its life, if there are so many requests in it.
fn daemon(arena: &Arena, counter: Counter, request: &str, answers: u32) -> Result<f64, String> {
    let file = arena.stage.path(&arena.new_name());
    let watched = counter.command(arena, &file, &arena.own().executable);
    let daemon = Daemon::start_as(arena, watched, PLAN)?;
    let (manner, end) = (Manner::Keeping, End::Answers(answers));
    ask(arena, Orders { socket: &daemon.socket, request, clients: 1, manner, end, pause: Duration::ZERO })?;
    drop(daemon);
    counter.read(&file)
}

/// Returns what is counted of a client, and of a program that does nothing.
fn clients(arena: &Arena, counter: Counter) -> Result<(f64, f64), String> {
    let daemon = Daemon::start(arena, arena.own(), PLAN)?;
    let count = |program: &Path, words: &[&str]| {
        let file = arena.stage.path(&arena.new_name());
        let mut command = counter.command(arena, &file, program);
        command.args(words).env("PROCMGR_CONFFILE", &daemon.configuration);
        trivial::time(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
        counter.read(&file)
    };
    Ok((count(&arena.own().executable, &["p0", "status"])?, count(Path::new(trivial::DYNAMIC), &[])?))
}

/// Who counts.
#[derive(Clone, Copy, Debug)]
enum Counter {
    SystemCalls,
    Instructions,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Self::SystemCalls => "system calls",
            Self::Instructions => "instructions",
        }
    }

    fn tool(self) -> &'static str {
        match self {
            Self::SystemCalls => "strace",
            Self::Instructions => "valgrind",
        }
    }

    fn is_there(self) -> bool {
        let mut tool = Command::new(self.tool());
        tool.arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|it| it.success())
    }

    /// Returns a command that runs the program, and has its sum written into the file. Of the processes that the
    /// program runs nothing is counted.
    fn command(self, arena: &Arena, file: &Path, program: &Path) -> Command {
        let mut command = arena.client(Path::new(self.tool()));
        match self {
            // The program stays the child of whoever runs the command, so that signals reach it.
            Self::SystemCalls => command.args(["-D", "-c", "-o"]).arg(file),
            Self::Instructions => {
                let mut log = std::ffi::OsString::from("--log-file=");
                log.push(file);
                command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(log)
            }
        };
        command.arg(program);
        command
    }

    /// Waits until the sum is there, and returns it.
    fn read(self, file: &PathBuf) -> Result<f64, String> {
        let begin = Instant::now();
        loop {
            let text = fs::read_to_string(file).unwrap_or_default();
            if let Some(sum) = text.lines().rev().find_map(|line| self.sum(line)) {
                return Ok(sum);
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("{} has counted nothing: {text}", self.tool()));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn sum(self, line: &str) -> Option<f64> {
        match self {
            Self::SystemCalls => line.strip_suffix(" total")?.split_whitespace().nth(3)?.parse().ok(),
            Self::Instructions => line.split_once("Collected : ")?.1.trim().parse().ok(),
        }
    }
}

const PLAN: Plan<'_> =
    Plan { programs: 1, keys: "cmd-start = exec sleep 1000\ncmd-work = exit 0\nautostart = yes", first: "" };

const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_found_where_each_tool_tells_it() {
        let calls = "100.00    0.000412           1       385         4 total";
        assert_eq!(Counter::SystemCalls.sum(calls), Some(385.0));
        assert_eq!(Counter::Instructions.sum("==12== Collected : 138754"), Some(138_754.0));
        assert_eq!(Counter::Instructions.sum(calls), None);
    }
}
