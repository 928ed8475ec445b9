//! What the user reads: answers on standard output, everything else on standard error.
//!
//! Nothing is asked and nothing decided here.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use procmgr_proto::message::{ProgramEntry, Refusal};

use crate::ListFormat;

/// Shows programs.
pub(crate) fn programs(programs: &[ProgramEntry], format: ListFormat) -> io::Result<()> {
    let stdout = io::stdout();
    let text = match format {
        ListFormat::Lines => lines(programs, stdout.is_terminal()),
        ListFormat::NulTerminated => nul_terminated(programs),
    };
    bytes(&text)
}

/// Shows a text of our own.
pub(crate) fn text(text: &str) -> io::Result<()> {
    bytes(text.as_bytes())
}

/// Shows what has been put into words already.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Returns a name as it is to be shown: harmless to a terminal, and to scripts as it is.
pub(crate) fn name(name: &[u8], is_for_terminal: bool) -> Vec<u8> {
    if is_for_terminal { printable(name).into_bytes() } else { name.to_vec() }
}

/// Shows whether something runs: a program or the daemon.
pub(crate) fn is_running(is_running: bool) -> io::Result<()> {
    bytes(if is_running { b"running\n" } else { b"not running\n" })
}

/// Shows what the daemon remarks about its configuration.
pub(crate) fn remarks(remarks: &[Vec<u8>]) {
    for remark in remarks {
        complain(&printable(remark));
    }
}

/// Shows a refusal, which may be of several lines.
pub(crate) fn refusal(refusal: &Refusal) {
    let lines: Vec<String> = refusal.text.split(|byte| *byte == b'\n').map(printable).collect();
    complain(&format!("ERROR: ({}) {}", refusal.code, lines.join("\n")));
}

/// Shows why there is no answer.
pub(crate) fn error(error: &dyn Error) {
    let mut text = format!("ERROR: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    complain(&printable(text.as_bytes()));
}

/// Shows that an answer could not be written, unless nobody wants it any more.
pub(crate) fn unwritten(cause: &io::Error) {
    if cause.kind() != io::ErrorKind::BrokenPipe {
        complain(&format!("ERROR: cannot write to standard output: {cause}"));
    }
}

fn lines(programs: &[ProgramEntry], is_for_terminal: bool) -> Vec<u8> {
    let width = |name: &[u8]| String::from_utf8_lossy(name).chars().count();
    let names: Vec<Vec<u8>> = programs.iter().map(|program| name(&program.name, is_for_terminal)).collect();
    let widest = names.iter().map(|name| width(name)).max().unwrap_or(0);
    let mut text = Vec::new();
    for (shown, program) in names.iter().zip(programs) {
        text.extend_from_slice(shown);
        text.resize(text.len() + widest - width(shown), b' ');
        text.extend_from_slice(b": ");
        let tokens: Vec<Vec<u8>> = program.tokens.iter().map(|token| name(token, is_for_terminal)).collect();
        text.extend_from_slice(&tokens.join(&b' '));
        text.push(b'\n');
    }
    text
}

fn nul_terminated(programs: &[ProgramEntry]) -> Vec<u8> {
    let record = |program: &ProgramEntry| {
        [&program.name, b"\0".as_slice(), &program.tokens.join(&b' '), b"\0"].concat()
    };
    programs.iter().flat_map(record).collect()
}

/// Returns a text of which nothing can harm a terminal, and that is one line: control characters and bytes that are no
/// text are escaped.
pub(crate) fn printable(text: &[u8]) -> String {
    let mut printable = String::new();
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                printable.extend(character.escape_default());
            } else {
                printable.push(character);
            }
        }
        let _ = write!(printable, "{}", chunk.invalid().escape_ascii());
    }
    printable
}

/// Writes a line to standard error. If that does not take it, there is nobody to tell.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<ProgramEntry> {
        let entry = |name: &[u8], tokens: &[&str]| ProgramEntry {
            name: name.to_vec(),
            tokens: tokens.iter().map(|token| token.as_bytes().to_vec()).collect(),
        };
        vec![entry(b"game", &["running", "stopping"]), entry("zoë\x1b[2J".as_bytes(), &["dead"])]
    }

    #[test]
    fn names_are_padded_to_the_longest() {
        assert_eq!(lines(&entries(), false), "game   : running stopping\nzoë\x1b[2J: dead\n".as_bytes());
    }

    #[test]
    fn a_terminal_is_shown_no_control_characters() {
        assert_eq!(
            String::from_utf8(lines(&entries(), true)).unwrap(),
            "game        : running stopping\nzoë\\u{1b}[2J: dead\n"
        );
    }

    #[test]
    fn scripts_get_the_bytes_between_nuls() {
        assert_eq!(nul_terminated(&entries()), "game\0running stopping\0zoë\x1b[2J\0dead\0".as_bytes());
    }

    #[test]
    fn tokens_that_this_version_does_not_know_are_shown_and_harm_no_terminal() {
        let entry =
            ProgramEntry { name: b"game".to_vec(), tokens: vec![b"dead".to_vec(), b"\x1bc".to_vec()] };
        assert_eq!(lines(std::slice::from_ref(&entry), true), b"game: dead \\u{1b}c\n");
        assert_eq!(lines(&[entry], false), b"game: dead \x1bc\n");
    }

    #[test]
    fn no_programs_are_no_lines() {
        assert_eq!(lines(&[], false), b"");
        assert_eq!(nul_terminated(&[]), b"");
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped() {
        assert_eq!(printable(b"a\xffb\x07\nc"), "a\\xffb\\u{7}\\nc");
    }
}
