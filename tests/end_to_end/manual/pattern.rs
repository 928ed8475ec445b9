//! Whether an output is the one that is shown, which cannot know everything: PIDs and times are others each time.
//!
//! What differs otherwise is a difference.

use std::collections::HashMap;

/// The numbers that stand for PIDs where an output is shown.
const PIDS: std::ops::RangeInclusive<u32> = 4000..=4999;

/// Which process each PID that was shown stands for, for as long as a session lasts.
#[derive(Clone, Debug, Default)]
pub(super) struct Pids(HashMap<String, String>);

impl Pids {
    /// Returns whether this output has come as it was shown, in which
    ///
    /// - a line of `...` stands for any lines, and `...` in a line for any text;
    /// - a whole number from 4000 to 4999 stands for a PID, always the same one, and other ones for others;
    /// - a time of day, or `after` a time, stands for any;
    /// - spaces stand for any number of them, for columns are as wide as what is in them.
    pub(super) fn matches(&mut self, shown: &str, output: &str) -> bool {
        let mut pids = self.clone();
        let shown: Vec<Vec<String>> = shown.lines().map(tokens).collect();
        let output: Vec<Vec<String>> = output.lines().map(tokens).collect();
        let is_match = pids.lines(&shown, &output);
        if is_match {
            *self = pids;
        }
        is_match
    }

    fn lines(&mut self, shown: &[Vec<String>], output: &[Vec<String>]) -> bool {
        match shown.split_first() {
            None => output.is_empty(),
            Some((line, rest)) if *line == ["..."] => (0..=output.len()).any(|skipped| {
                let mut pids = self.clone();
                let is_match = pids.lines(rest, &output[skipped..]);
                if is_match {
                    *self = pids;
                }
                is_match
            }),
            Some((line, rest)) => output
                .split_first()
                .is_some_and(|(first, others)| self.line(line, first) && self.lines(rest, others)),
        }
    }

    fn line(&mut self, shown: &[String], output: &[String]) -> bool {
        match shown.split_first() {
            None => output.is_empty(),
            Some((token, rest)) if token == "..." => (0..=output.len()).any(|skipped| {
                let mut pids = self.clone();
                let is_match = pids.line(rest, &output[skipped..]);
                if is_match {
                    *self = pids;
                }
                is_match
            }),
            Some((token, rest)) => output
                .split_first()
                .is_some_and(|(first, others)| self.token(token, first) && self.line(rest, others)),
        }
    }

    fn token(&mut self, shown: &str, output: &str) -> bool {
        let is_pid = shown.parse().is_ok_and(|number| PIDS.contains(&number));
        if !is_pid {
            return shown == output;
        }
        if let Some(known) = self.0.get(shown) {
            return known == output;
        }
        let is_new = output.parse::<u32>().is_ok() && !self.0.values().any(|known| known == output);
        if is_new {
            self.0.insert(shown.to_owned(), output.to_owned());
        }
        is_new
    }
}

/// Cuts a line into numbers, `...` and characters, with what is never the same made so.
fn tokens(line: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = line.trim_end();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_digit() {
            match time(rest) {
                0 => rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len()),
                length => {
                    tokens.push("TIME".to_owned());
                    rest = &rest[length..];
                    continue;
                }
            }
        } else if rest.starts_with("...") {
            3
        } else if let Some(duration) = rest.strip_prefix("after ").filter(|it| is_duration(it)) {
            tokens.push("AFTER".to_owned());
            rest = duration.trim_start_matches(|it: char| it.is_ascii_digit() || it == '.');
            continue;
        } else {
            first.len_utf8()
        };
        let (token, tail) = rest.split_at(length);
        if token != " " || tokens.last().is_none_or(|last| last != " ") {
            tokens.push(token.to_owned());
        }
        rest = tail;
    }
    tokens
}

/// Returns how long the time of day at the beginning of a text is, such as `2026-11-23T20:05:01.123Z`; 0 if there is
/// none.
fn time(text: &str) -> usize {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let bytes = text.as_bytes();
    let is_so =
        |(shape, byte): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { shape == byte };
    if bytes.len() < SHAPE.len() || !SHAPE.iter().zip(bytes).all(is_so) {
        return 0;
    }
    let fraction = |it: &u8| it.is_ascii_digit() || *it == b'.';
    let end = SHAPE.len() + bytes[SHAPE.len()..].iter().take_while(|it| fraction(it)).count();
    if bytes.get(end) == Some(&b'Z') { end + 1 } else { 0 }
}

/// Returns whether a text begins with seconds as they are logged, such as `0.004 s`.
fn is_duration(text: &str) -> bool {
    let rest = text.trim_start_matches(|it: char| it.is_ascii_digit());
    rest.len() < text.len()
        && rest
            .strip_prefix('.')
            .is_some_and(|rest| rest.trim_start_matches(|it: char| it.is_ascii_digit()).starts_with(" s"))
}

#[test]
fn what_is_never_the_same_is_the_same() {
    for (shown, output) in [
        ("web: running, pid 4711\n", "web: running, pid 934\n"),
        ("4711 4712 4711\n", "9 8 9\n"),
        ("2026-11-23T20:05:01Z x\n", "2031-01-02T03:04:05Z x\n"),
        ("exit status 0 after 0.004 s\n", "exit status 0 after 12.1 s\n"),
        ("a   4711  b\n", "a 1048576 b\n"),
        ("a\n...\nb\n", "a\nb\n"),
        ("a\n...\nb\n", "a\nx\ny\nb\n"),
        ("size ... bytes\n", "size 12 bytes\n"),
    ] {
        assert!(Pids::default().matches(shown, output), "{shown:?} {output:?}");
    }
}

#[test]
fn all_else_is_a_difference() {
    for (shown, output) in [
        ("", "x\n"),
        ("x\n", ""),
        ("143\n", "137\n"),
        ("4711 4711\n", "8 9\n"),
        ("4711 4712\n", "9 9\n"),
        ("4711\n", "x\n"),
        ("2026-11-23T20:05:01Z\n", "2026-11-23T20:05:01.123\n"),
        ("...\nb\n", "a\n"),
        ("a b\n", "ab\n"),
    ] {
        assert!(!Pids::default().matches(shown, output), "{shown:?} {output:?}");
    }
}

#[test]
fn a_pid_stands_for_one_process_all_along() {
    let mut pids = Pids::default();
    assert!(pids.matches("pid 4711\n", "pid 5\n"));
    assert!(!pids.matches("pid 4711\n", "pid 6\n"));
    assert!(!pids.matches("pid 4712\n", "pid 5\n"));
    assert!(pids.matches("pid 4712\n", "pid 6\n"));
}
