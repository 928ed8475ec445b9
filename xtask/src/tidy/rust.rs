//! As much of Rust as the checks need: what is code, what is a test, and which paths are named.
//!
//! No rule is known here. What looks like code in a comment or a literal is none.

use crate::tidy::repository::File;

/// A source file with its comments and literals blanked out.
#[derive(Debug)]
pub(crate) struct Source<'f> {
    pub(crate) file: &'f File,
    /// The text, in which only what the compiler takes for code is left.
    code: String,
    /// Of each line, whether it belongs to an item that only tests have.
    is_test: Vec<bool>,
}

/// A path that the code names, such as `std::fs::read`; those of a `use` are spelt out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
    pub(crate) is_import: bool,
}

impl<'f> Source<'f> {
    pub(crate) fn new(file: &'f File) -> Self {
        let code = blank_out(&file.text);
        let is_test = test_lines(&code, is_test_file(&file.path));
        Self { file, code, is_test }
    }

    /// Returns the code.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// Returns the lines of the code with their numbers, which count from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines())
    }

    /// Returns whether a line is there for tests only.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.is_test.get(line - 1).copied().unwrap_or(false)
    }

    /// Returns every path that the code names.
    pub(crate) fn paths(&self) -> Vec<Named> {
        let tokens = tokens(&self.code);
        let mut paths = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            at = match tokens[at].word() {
                Some("use") => read_tree(&tokens, at + 1, &[], &mut paths),
                Some(_) => read_path(&tokens, at, &mut paths),
                None => at + 1,
            };
        }
        paths
    }
}

impl Named {
    /// Returns whether this is the path, or one that it leads to. A lone word is none unless it is imported: it may be
    /// the name of anything.
    pub(crate) fn is_below(&self, path: &str) -> bool {
        let mut segments = self.segments.iter();
        let leads_here = path.split("::").all(|wanted| segments.next().is_some_and(|it| it == wanted));
        leads_here && (self.is_import || self.segments.len() > 1)
    }
}

/// Returns whether a file is there for tests only.
fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches" | "fuzz"))
}

/// Replaces comments and literals by spaces; every line stays where it is.
fn blank_out(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let in_word = code.ends_with(is_word);
        let opaque = opaque_length(rest, in_word);
        let (part, tail) = rest.split_at(opaque.unwrap_or(next.len_utf8()));
        match opaque {
            Some(_) => code.extend(part.chars().map(|it| if it == '\n' { '\n' } else { ' ' })),
            None => code.push(next),
        }
        rest = tail;
    }
    code
}

/// Returns the length of the comment or literal that the text begins with, if it does.
fn opaque_length(text: &str, in_word: bool) -> Option<usize> {
    if text.starts_with("//") {
        Some(text.find('\n').unwrap_or(text.len()))
    } else if text.starts_with("/*") {
        Some(block_comment(text))
    } else if text.starts_with('"') {
        Some(quoted(text, '"'))
    } else if text.starts_with('\'') {
        let mut after = text.chars().skip(1);
        let is_character = matches!((after.next(), after.next()), (Some('\\'), _) | (Some(_), Some('\'')));
        is_character.then(|| quoted(text, '\''))
    } else if in_word {
        None
    } else {
        raw_string(text)
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Returns the length of a literal with escapes, both of its quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if character == '\\' {
            is_escaped = true;
        } else if character == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Returns the length of a string without escapes, such as `r#"..."#`.
fn raw_string(text: &str) -> Option<usize> {
    let after_prefix =
        text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or(text.strip_prefix('r'))?;
    let body = after_prefix.trim_start_matches('#');
    let hashes = after_prefix.len() - body.len();
    let body = body.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + length)
}

/// Finds the items below `#[cfg(test)]`.
fn test_lines(code: &str, is_test_file: bool) -> Vec<bool> {
    let mut lines = vec![is_test_file; code.lines().count()];
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        let item = &code[start + attribute.len()..];
        let end = start + attribute.len() + item_length(item);
        let line_of = |at: usize| code[..at].matches('\n').count();
        let count = lines.len();
        lines[line_of(start)..(line_of(end) + 1).min(count)].fill(true);
    }
    lines
}

/// Returns the length of an item: up to the brace that closes it, or to a semicolon that no brace precedes.
fn item_length(item: &str) -> usize {
    let mut depth = 0;
    for (at, character) in item.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => return at,
            '}' => depth -= 1,
            ';' if depth == 0 => return at,
            _ => {}
        }
    }
    item.len()
}

#[derive(Debug)]
struct Token<'c> {
    line: usize,
    /// A word, `::`, or a single character.
    text: &'c str,
}

impl<'c> Token<'c> {
    fn word(&self) -> Option<&'c str> {
        self.text.starts_with(is_word).then_some(self.text)
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (line, mut rest) in (1..).zip(code.lines()) {
        while let Some(next) = rest.chars().next() {
            let length = match next {
                _ if is_word(next) => rest.find(|it| !is_word(it)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => next.len_utf8(),
            };
            let (text, tail) = rest.split_at(length);
            if !next.is_whitespace() {
                tokens.push(Token { line, text });
            }
            rest = tail;
        }
    }
    tokens
}

/// Reads a path that begins with a word. Returns the place behind it.
fn read_path(tokens: &[Token<'_>], start: usize, paths: &mut Vec<Named>) -> usize {
    let mut segments = vec![tokens[start].text.to_owned()];
    let mut at = start + 1;
    while let [separator, next, ..] = &tokens[at..] {
        let Some(word) = next.word().filter(|_| separator.text == "::") else { break };
        segments.push(word.to_owned());
        at += 2;
    }
    paths.push(Named { line: tokens[start].line, segments, is_import: false });
    at
}

/// Reads what stands behind `use`, or behind a brace or comma in it. Returns the place behind it.
fn read_tree(tokens: &[Token<'_>], start: usize, prefix: &[String], paths: &mut Vec<Named>) -> usize {
    let mut segments = prefix.to_vec();
    let mut at = start;
    let mut line = 0;
    while let Some(token) = tokens.get(at) {
        line = token.line;
        match (token.text, token.word()) {
            ("::", _) | ("*", None) => at += 1,
            ("{", _) => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = read_tree(tokens, at, &segments, paths);
                    at += usize::from(tokens.get(at).is_some_and(|token| token.text == ","));
                }
                return at + 1;
            }
            ("as", _) => at += 2,
            (_, Some(word)) => {
                segments.push(word.to_owned());
                at += 1;
            }
            _ => break,
        }
    }
    paths.push(Named { line, segments, is_import: true });
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    fn paths(text: &str) -> Vec<String> {
        let file = source("src/lib.rs", text);
        Source::new(&file).paths().into_iter().map(|named| named.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text =
            "a // b\nc /* d /* e */ f */ g \"h \\\" i\" j r#\"k \" l\"# m 'n' o '\\'' p b\"q\" br\"r\"";
        let words: Vec<String> = blank_out(text).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["a", "c", "g", "j", "m", "o", "p", "b"]);
    }

    #[test]
    fn a_lifetime_is_no_literal() {
        assert_eq!(blank_out("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn lines_stay_where_they_are() {
        assert_eq!(blank_out("x \"a\nb\" y\n/* c\n */ z").lines().count(), 4);
    }

    #[test]
    fn imports_are_spelt_out() {
        assert_eq!(
            paths("use std::{env, io::{self, Read as _}, fs::*};\nfn f() { nix::unistd::fork(); }"),
            ["std::env", "std::io::self", "std::io::Read", "std::fs", "fn", "f", "nix::unistd::fork"]
        );
    }

    #[test]
    fn a_lone_word_names_no_crate_unless_it_is_imported() {
        let file = source("src/lib.rs", "use nix;\nfn f(nix: u8) { nix::g() }");
        let source = Source::new(&file);
        let lines: Vec<usize> =
            source.paths().iter().filter(|named| named.is_below("nix")).map(|named| named.line).collect();
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_path_is_below_its_own_segments_only() {
        let file = source("src/lib.rs", "use std::process_kit::x;");
        assert!(Source::new(&file).paths().iter().all(|named| !named.is_below("std::process")));
    }

    #[test]
    fn tests_are_told_from_the_rest() {
        let text = "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\nfn h() {}\n#[cfg(test)]\nmod t;\nfn i() {}";
        let file = source("src/lib.rs", text);
        let source = Source::new(&file);
        let tests: Vec<usize> = (1..=9).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 7, 8]);
    }

    #[test]
    fn whole_files_are_tests_by_their_place() {
        for path in ["tests/a/b.rs", "x/src/y/tests.rs", "x/src/y/tests/z.rs"] {
            let file = source(path, "fn f() {}");
            assert!(Source::new(&file).is_test(1), "{path}");
        }
    }
}
