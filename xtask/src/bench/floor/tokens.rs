//! The floor of a reload: reading the file, and finding each of its words where it stands.
//!
//! What the words mean is not known here, and none of them is copied.

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
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read the file: {error}"))?;
        black_box(tokens(&text));
        println!("{}", begin.elapsed().as_nanos());
    }
    Ok(())
}

/// Keys with their values, and names of sections, which have none.
type Words<'a> = Vec<(&'a str, &'a str)>;

fn tokens(text: &str) -> Words<'_> {
    let lines = text.lines().map(str::trim_ascii);
    let words =
        lines.filter_map(|line| match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => Some((name, "")),
            None => line.split_once('=').map(|(key, value)| (key.trim_ascii_end(), value.trim_ascii_start())),
        });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_a_file_is_found() {
        let words = tokens("a = 1\n\n[prog-p]\ncmd-start = exec x=y\n");
        assert_eq!(words, [("a", "1"), ("prog-p", ""), ("cmd-start", "exec x=y")]);
    }
}
