//! Runs what a user would type, shows it as a terminal would, and compares what comes with what was promised.
//!
//! Knows nothing of procmgr.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::stage::Stage;

/// A session at a terminal.
pub(crate) struct Session<'a> {
    stage: &'a Stage,
    style: Style,
    /// How many commands were run.
    count: usize,
}

/// What a command has left.
struct Outcome {
    /// Standard output and standard error, as they came.
    output: String,
    status: i32,
}

impl<'a> Session<'a> {
    /// Begins a session on the stage; colours are for terminals.
    pub(crate) fn new(stage: &'a Stage, is_terminal: bool) -> Self {
        let is_coloured = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { stage, style: if is_coloured { COLOURED } else { PLAIN }, count: 0 }
    }

    /// Says what comes next.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), String> {
        let Style { comment, end, .. } = self.style;
        show(&format!("\n{comment}# {}{end}\n", text.replace('\n', "\n# ")))
    }

    /// Runs a command in the shell and returns its output, which must match a pattern, as must its exit status.
    pub(crate) fn run(&mut self, command: &str, pattern: &str, status: i32) -> Result<String, String> {
        self.show_command(command)?;
        let outcome = self.perform(command)?;
        self.show_outcome(&outcome)?;
        outcome.judge(command, pattern, status)
    }

    /// Runs a command again until it does what was promised, but shows it once: for what takes its time.
    pub(crate) fn run_until(&mut self, command: &str, pattern: &str, status: i32) -> Result<String, String> {
        self.show_command(command)?;
        let begin = Instant::now();
        let mut outcome = self.perform(command)?;
        while !outcome.is_as_promised(pattern, status) && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
            outcome = self.perform(command)?;
        }
        self.show_outcome(&outcome)?;
        outcome.judge(command, pattern, status)
    }

    /// Says that all went well.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        let Style { good, end, .. } = self.style;
        show(&format!("\n{good}All {} commands did what was promised.{end}\n", self.count))
    }

    fn show_command(&mut self, command: &str) -> Result<(), String> {
        self.count += 1;
        let Style { prompt, typed, end, .. } = self.style;
        show(&format!("{prompt}${end} {typed}{command}{end}\n"))
    }

    fn show_outcome(&self, outcome: &Outcome) -> Result<(), String> {
        show(&outcome.output)?;
        let Style { status, end, .. } = self.style;
        if outcome.status == 0 {
            Ok(())
        } else {
            show(&format!("{status}[exit status {}]{end}\n", outcome.status))
        }
    }

    fn perform(&self, command: &str) -> Result<Outcome, String> {
        let cannot = |error: io::Error| format!("cannot run `{command}`: {error}");
        // A file and not a pipe: what the command leaves running has it too, and would keep a pipe from ending.
        let mut output = tempfile::tempfile().map_err(cannot)?;
        let mut shell = self.stage.shell(command);
        shell.stdin(Stdio::null()).stdout(output.try_clone().map_err(cannot)?);
        let mut child = shell.stderr(output.try_clone().map_err(cannot)?).spawn().map_err(cannot)?;
        let status = wait(&mut child).map_err(cannot)?;
        Ok(Outcome { output: read(&mut output).map_err(cannot)?, status: code(status) })
    }
}

impl Outcome {
    fn judge(self, command: &str, pattern: &str, status: i32) -> Result<String, String> {
        if self.is_as_promised(pattern, status) {
            return Ok(self.output);
        }
        Err(format!(
            "\n`{command}` did not do what was promised.\nexpected: exit status {status}, output {pattern:?}\n    \
             came: exit status {}, output {:?}",
            self.status, self.output
        ))
    }

    fn is_as_promised(&self, pattern: &str, status: i32) -> bool {
        self.status == status && matches(pattern, &self.output)
    }
}

/// Returns whether a text is as a pattern says, in which each `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, mut pattern)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((part, rest)) = pattern.split_once('*') {
        // The first place will do: whatever else the text holds is left to the next `*`.
        let Some((_, tail)) = text.split_once(part) else { return false };
        (pattern, text) = (rest, tail);
    }
    text.ends_with(pattern)
}

/// Waits for the end of a command, but not for ever.
fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begin.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end after {PATIENCE:?}")));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn read(output: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns what a shell would have in `$?`.
fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn show(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot show the session: {error}"))
}

/// What a terminal is told ahead of, and after, each kind of text.
#[derive(Clone, Copy)]
struct Style {
    comment: &'static str,
    prompt: &'static str,
    typed: &'static str,
    status: &'static str,
    good: &'static str,
    end: &'static str,
}

const COLOURED: Style = Style {
    comment: "\x1b[36m",
    prompt: "\x1b[32m",
    typed: "\x1b[1m",
    status: "\x1b[33m",
    good: "\x1b[1;32m",
    end: "\x1b[0m",
};

const PLAIN: Style = Style { comment: "", prompt: "", typed: "", status: "", good: "", end: "" };

/// Far longer than any command of the session takes.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("", ""),
            ("running\n", "running\n"),
            ("*", ""),
            ("*", "anything"),
            ("process * shows: *\n", "process 12 shows: hello\n"),
            ("*:3:4: error: *", "/a:1/b:3:4: error: no\n"),
        ] {
            assert!(matches(pattern, text), "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn the_rest_is_taken_as_it_is() {
        for (pattern, text) in [
            ("", "x"),
            ("running\n", "not running\n"),
            ("running\n", "running\n\n"),
            ("process * shows: hello\n", "process 12 shows: good day\n"),
            ("a*a", "a"),
            ("*b*c", "a c b"),
        ] {
            assert!(!matches(pattern, text), "{pattern:?} {text:?}");
        }
    }
}
