//! The floor of a reload: reading the file, and keeping each of its words.
//!
//! What the words mean is not known here.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bench::arena::Arena;
use crate::bench::player::Player;

/// A process that reads a file each time that it is told to.
pub(in crate::bench) struct Reader(Player);

impl Reader {
    pub(in crate::bench) fn start(arena: &Arena, path: &Path) -> Result<Self, String> {
        Player::start(arena.role(&["floor", "tokens"]).arg(path)).map(Self)
    }

    /// Returns how long it has taken this time.
    pub(in crate::bench) fn read(&mut self) -> Result<Duration, String> {
        self.0.tell("read")?;
        let line = self.0.hear()?;
        line.parse().map(Duration::from_nanos).map_err(|_| format!("the reader mumbles: {line:?}"))
    }
}

/// Reads the file for each line on standard input, and tells how many nanoseconds it has taken.
pub(super) fn play(path: &Path) -> Result<(), String> {
    for _ in std::io::stdin().lines() {
        let begin = Instant::now();
        let bytes = fs::read(path).map_err(|error| format!("cannot read the file: {error}"))?;
        let sections = black_box(tokens(&bytes));
        let time = begin.elapsed();
        println!("{}", time.as_nanos());
        drop(sections);
    }
    Ok(())
}

/// A section: its name, and keys with their values.
type Section = (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

fn tokens(bytes: &[u8]) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    for line in bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if let Some(name) = line.strip_prefix(b"[").and_then(|line| line.strip_suffix(b"]")) {
            sections.push((name.to_owned(), Vec::new()));
        } else if let Some(at) = line.iter().position(|byte| *byte == b'=')
            && let Some((_, keys)) = sections.last_mut()
        {
            keys.push((line[..at].trim_ascii().to_owned(), line[at + 1..].trim_ascii().to_owned()));
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_a_file_is_kept() {
        let sections = tokens(b"a = 1\n\n[prog-p]\ncmd-start = exec x=y\n");
        let key = |key: &[u8], value: &[u8]| (key.to_owned(), value.to_owned());
        assert_eq!(
            sections,
            [(vec![], vec![key(b"a", b"1")]), (b"prog-p".to_vec(), vec![key(b"cmd-start", b"exec x=y")])]
        );
    }
}
