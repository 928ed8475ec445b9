//! What scripts run, and where: commands without `exec`, files that are missing or that others may write, and outputs
//! that their user cannot open.
//!
//! Who may have them run is judged in `rights`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::accounts::Accounts;
use crate::diagnostic::{Collector, Kind, Position, shown};
use crate::lint::paths::{Flaw, Trusted};
use crate::lint::shell::{self, Command, End, Script};
use crate::lint::{Linter, Program};
use crate::syntax::Word;
use crate::{Action, Uid};

impl Linter<'_> {
    /// Judges the scripts of a program, and their folder.
    pub(super) fn scripts(
        &mut self,
        program: &Program<'_>,
        accounts: &mut Accounts,
        findings: &mut Collector,
    ) {
        let mut users = Vec::new();
        for (action, keys) in program.keys.actions() {
            let Some(entry) = keys.cmd else { continue };
            let user = program.definition.rule(action).terms.identity.uid.unwrap_or(self.daemon);
            users.push(user);
            let script = shell::read(entry.value.bytes);
            if matches!(action, Action::Start | Action::Restart)
                && let Some(command) = plain_command(&script)
            {
                without_exec(command, entry.value, findings);
            }
            let trusted = Trusted::new([self.daemon, user], accounts);
            for command in &script.commands {
                self.file_of_script(command, entry.value, &trusted, findings);
            }
            if user != Uid::ROOT && user != self.daemon {
                reopened_output(entry.value, findings);
            }
        }
        self.folder(program, &users, accounts, findings);
    }

    /// Judges what a command executes, or reads, if it says by an absolute path what that is.
    fn file_of_script(
        &mut self,
        command: &Command,
        value: Word<'_>,
        trusted: &Trusted,
        findings: &mut Collector,
    ) {
        let mut words = command.words.iter().map(|word| (word.offset, word.literal.as_deref()));
        let named = match words.next() {
            Some((_, Some(b"exec" | b"."))) => words.next(),
            first => first,
        };
        let Some((offset, Some(path @ [b'/', ..]))) = named else { return };
        let position = within(value, offset);
        match self.paths.flaw(as_path(path), trusted) {
            None => {}
            Some(Flaw::Missing) => {
                findings.warning(Kind::Missing, position, || format!("there is no {}", shown(path)));
            }
            Some(flaw @ (Flaw::WritableItself(_) | Flaw::Writable(..))) => {
                let text = || format!("{}: {}", shown(path), flaw.tell());
                findings.warning(Kind::Writable, position, text);
            }
        }
    }

    /// Judges the folder of the scripts. One that belongs to the only user as whom they run is for that user to write.
    fn folder(
        &mut self,
        program: &Program<'_>,
        users: &[Uid],
        accounts: &mut Accounts,
        findings: &mut Collector,
    ) {
        let Some(entry) = program.keys.cwd else { return };
        let Some(cwd) = program.definition.cwd.as_deref().filter(|cwd| cwd.is_absolute()) else { return };
        let only = users.first().filter(|first| users.iter().all(|user| user == *first));
        let trusted = Trusted::new([self.daemon].into_iter().chain(only.copied()), accounts);
        let position = entry.value.position;
        let path = shown(entry.value.bytes);
        match self.paths.flaw(cwd, &trusted) {
            Some(Flaw::Missing) => {
                findings.warning(Kind::Missing, position, || format!("there is no folder {path}"));
            }
            Some(flaw @ (Flaw::WritableItself(_) | Flaw::Writable(..))) => {
                findings.warning(Kind::Writable, position, || format!("cwd {path}: {}", flaw.tell()));
            }
            None if !self.paths.is_folder(cwd) => {
                findings.warning(Kind::Missing, position, || format!("{path} is no folder"));
            }
            None => {}
        }
    }
}

/// Returns the command that a script comes down to, if that is a plain one that could take the place of the shell.
fn plain_command(script: &Script) -> Option<&Command> {
    let (last, before) = script.commands.split_last().filter(|_| script.is_list)?;
    let follows = before.last().is_none_or(|command| matches!(command.end, End::Sequence | End::And));
    // A shell that has to tidy up, or has children to wait for, must stay; one that is gone before needs no advice.
    let is_needed = |command: &Command| {
        let name = name(command);
        let leaves = name == Some(b"exec") && command.words.len() > 1;
        command.end == End::Background || matches!(name, Some(b"trap" | b"alias")) || leaves
    };
    let is_plain = !last.has_assignments && name(last).is_some_and(|name| !is_of_shell(name));
    (follows && last.end == End::Sequence && is_plain && !before.iter().any(is_needed)).then_some(last)
}

fn name(command: &Command) -> Option<&[u8]> {
    command.words.first()?.literal.as_deref()
}

fn without_exec(command: &Command, value: Word<'_>, findings: &mut Collector) {
    let Some(word) = command.words.first() else { return };
    let position = within(value, word.offset);
    findings.warning(Kind::NoExec, position, || {
        // As it stands in the file, quotes included.
        let name = shown(&value.bytes[word.offset..word.end]);
        let more = if value.bytes.len() > word.end { " ..." } else { "" };
        format!("a shell may stay in front of this command: did you mean \"exec {name}{more}\"?")
    });
}

/// Warns about the first output that is opened by its name.
fn reopened_output(value: Word<'_>, findings: &mut Collector) {
    let found = OUTPUTS.iter().filter_map(|name| Some((position_of(value.bytes, name.as_bytes())?, name)));
    if let Some((offset, name)) = found.min() {
        findings.warning(Kind::ReopenedOutput, within(value, offset), || {
            let number = if name.ends_with("out") || name.ends_with('1') { 1 } else { 2 };
            format!("{name} can hardly be opened by another user: did you mean \">&{number}\"?")
        });
    }
}

/// Finds a path that is no part of a longer one.
fn position_of(text: &[u8], path: &[u8]) -> Option<usize> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let mut windows = text.windows(path.len()).enumerate();
    windows
        .find(|(start, window)| {
            let before = start.checked_sub(1).map(|before| text[before]);
            let after = text.get(start + path.len()).copied();
            *window == path && ![before, after].into_iter().flatten().any(is_part)
        })
        .map(|(start, _)| start)
}

/// Returns a place within a value.
fn within(value: Word<'_>, offset: usize) -> Position {
    Position { column: value.position.column + offset, ..value.position }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Names of what is open already.
const OUTPUTS: [&str; 6] =
    ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2", "/proc/self/fd/1", "/proc/self/fd/2"];

/// Returns whether a command is one that the shell performs itself.
fn is_of_shell(name: &[u8]) -> bool {
    str::from_utf8(name).is_ok_and(|name| name.is_empty() || OF_SHELLS.contains(&name))
}

/// What usual shells perform themselves.
const OF_SHELLS: [&str; 57] = [
    ".", ":", "[", "alias", "bg", "bind", "break", "builtin", "caller", "cd", "chdir", "command", "continue",
    "declare", "dirs", "disown", "echo", "enable", "eval", "exec", "exit", "export", "false", "fc", "fg",
    "getopts", "hash", "help", "history", "jobs", "kill", "let", "local", "logout", "popd", "printf",
    "pushd", "pwd", "read", "readonly", "return", "set", "shift", "source", "suspend", "test", "times",
    "trap", "true", "type", "typeset", "ulimit", "umask", "unalias", "unset", "wait", "mapfile",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_command_at_the_end_could_take_the_place_of_the_shell() {
        for script in [
            "sleep 5",
            "/usr/sbin/daemon -x >> /log 2>&1",
            "umask 077; daemon -x",
            "cd /x && ./run",
            "a | b; c",
            "test -x /d || exit 1; d;",
            "exec 2>> /log; d",
            "A=1; d $A",
            "'/opt/my app/run'",
        ] {
            assert!(plain_command(&shell::read(script.as_bytes())).is_some(), "{script}");
        }
    }

    #[test]
    fn nobody_is_told_to_exec_what_cannot_be() {
        for script in [
            "",
            "exec sleep 5",
            "cd /x; exec ./run",
            "A=1 daemon",
            "daemon &",
            "helper & daemon",
            "a | b",
            "a || b",
            "a && b &",
            "a &&",
            "if a; then b; fi",
            "while true; do a; done",
            "trap 'rm /x' EXIT; a",
            "$DAEMON -x",
            "echo hello",
            ". /etc/run",
            "eval run",
            "[ -f /x ]",
            "f() { a; }; f",
            "(a)",
            "a 'b",
            "exec a; b",
            "# a",
        ] {
            assert!(plain_command(&shell::read(script.as_bytes())).is_none(), "{script}");
        }
    }

    #[test]
    fn an_output_is_no_part_of_a_longer_path() {
        for (text, expected) in [
            ("a >/dev/stderr", Some(3)),
            ("a '/dev/stderr'", Some(3)),
            ("a /dev/stderrs", None),
            ("a /x/dev/stderr", None),
            ("a /dev/stderr/x /dev/stderr;", Some(16)),
        ] {
            assert_eq!(position_of(text.as_bytes(), b"/dev/stderr"), expected, "{text}");
        }
    }
}
