//! The census: which processes of programs live, as `/proc` tells.
//!
//! What the daemon says about it is not asked here.

use std::collections::HashMap;
use std::fs;
use std::io;

use crate::chaos::identity::Identity;

/// What tells processes of one stage from those of another one: a word in their command lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(String);

/// The living processes of each program.
#[derive(Debug, Default)]
pub(super) struct Census(HashMap<String, Vec<Identity>>);

impl Mark {
    /// Takes a word.
    pub(super) fn new(word: &str) -> Self {
        Self(word.to_owned())
    }

    /// Returns the command line by which a process is recognised as one of a program; it is to be run in the folder
    /// of the stage.
    pub(super) fn command(&self, program: &str) -> String {
        format!("{EXECUTABLE} {} {} {program}", PART.join(" "), self.0)
    }

    /// Returns the command line by which a script ends a process of a program.
    pub(super) fn command_to_end(&self, program: &str) -> String {
        format!("{EXECUTABLE} chaos role end {} {program}", self.0)
    }

    /// Returns the program that a process belongs to, which has this command line; `None` if it belongs to none.
    fn program<'a>(&self, words: &[&'a str]) -> Option<&'a str> {
        match words {
            // The shell, which has not come to its `exec` yet.
            ["/bin/sh", "-c", script, ..] => {
                let words: Vec<&str> = script.strip_prefix("exec ")?.split(' ').collect();
                self.program(&words)
            }
            [EXECUTABLE, first, second, third, mark, program, ..] => {
                ([*first, *second, *third] == PART && *mark == self.0).then_some(*program)
            }
            _ => None,
        }
    }

    /// Returns the program that the process of a PID belongs to.
    pub(super) fn program_of(&self, pid: u32) -> Option<String> {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8(line).ok()?;
        let words: Vec<&str> = line.split_terminator('\0').collect();
        self.program(&words).map(str::to_owned)
    }
}

impl Census {
    /// Counts.
    pub(super) fn take(mark: &Mark) -> io::Result<Self> {
        let mut living: HashMap<String, Vec<Identity>> = HashMap::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // Its start is asked for first: should another process get the PID meanwhile, it is another one.
            let Some(process) = Identity::of(pid) else { continue };
            let Some(program) = mark.program_of(pid) else { continue };
            if Identity::of(pid) == Some(process) {
                living.entry(program).or_default().push(process);
            }
        }
        Ok(Self(living))
    }

    /// Returns the living processes of a program.
    pub(super) fn of(&self, program: &str) -> &[Identity] {
        self.0.get(program).map_or(&[], Vec::as_slice)
    }

    /// Returns all living processes of programs.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, Identity)> {
        self.0.iter().flat_map(|(name, processes)| processes.iter().map(|it| (name.as_str(), *it)))
    }
}

const EXECUTABLE: &str = "./xtask";
const PART: [&str; 3] = ["chaos", "role", "program"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_recognised_by_its_command_line_in_the_shell_and_after_it() {
        let mark = Mark::new("stage-1");
        let command = mark.command("p07");
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(mark.program(&words), Some("p07"));
        let script = format!("exec {command} 700 \"$PID\"");
        assert_eq!(mark.program(&["/bin/sh", "-c", &script]), Some("p07"));
    }

    #[test]
    fn others_are_not_recognised() {
        let mark = Mark::new("stage-1");
        let command = mark.command_to_end("p07");
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(mark.program(&words), None);
        assert_eq!(Mark::new("stage-2").program(&["/bin/sh", "-c", &mark.command("p07")]), None);
        for words in [&[][..], &["/bin/sh"], &["/bin/sh", "-c", ":"], &["./xtask", "chaos"]] {
            assert_eq!(mark.program(words), None, "{words:?}");
        }
    }
}
