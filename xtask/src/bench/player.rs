//! Processes that take part in a benchmark: told what to do by lines on standard input, heard by lines on standard
//! output.
//!
//! What they do is not known here.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A process that plays a role. It is killed when it is dropped.
pub(super) struct Player {
    process: Child,
    /// It plays until this is closed.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Player {
    /// Starts it.
    pub(super) fn start(command: &mut Command) -> Result<Self, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| format!("cannot start a role: {error}"))?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let output = BufReader::new(output.ok_or("a role has no standard output")?);
        Ok(Self { process, input, output })
    }

    /// Waits until it says that it is ready.
    pub(super) fn wait_until_ready(&mut self) -> Result<(), String> {
        let line = self.hear()?;
        if line == READY { Ok(()) } else { Err(format!("a role has not begun, but said {line:?}")) }
    }

    /// Returns its PID, for what the kernel tells of it.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Tells it a line.
    pub(super) fn tell(&mut self, line: &str) -> Result<(), String> {
        let input = self.input.as_mut().ok_or("a role does not listen any more")?;
        writeln!(input, "{line}").map_err(|error| format!("cannot tell a role: {error}"))
    }

    /// Waits for a line.
    pub(super) fn hear(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| format!("cannot hear a role: {error}"))?;
        Ok(line.trim_end().to_owned())
    }

    /// Asks it to come to an end.
    pub(super) fn dismiss(&mut self) {
        drop(self.input.take());
    }

    /// Waits for its end, and returns what it has still said.
    pub(super) fn finish(mut self) -> Result<String, String> {
        self.dismiss();
        let mut text = String::new();
        self.output.read_to_string(&mut text).map_err(|error| format!("cannot hear a role: {error}"))?;
        let status = self.process.wait().map_err(|error| format!("cannot wait for a role: {error}"))?;
        if status.success() { Ok(text) } else { Err(format!("a role has ended with {status}")) }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a role says when it is at work.
pub(super) const READY: &str = "ready";
