//! How every source file is written: its first line, its `unsafe`, and what must not be left in it.
//!
//! Which file may know which other one is not asked here.

use crate::tidy::Violation;
use crate::tidy::repository::Repository;
use crate::tidy::rust::Source;

/// Code that is unfinished, or a test that is not run.
const LEFTOVERS: [&str; 4] = ["todo!", "unimplemented!", "dbg!", "#[ignore"];

const WIDTH: usize = 120;

/// A file begins with what lives in it.
pub(super) fn headers(repository: &Repository) -> Vec<Violation> {
    let sources = repository.ending_in(".rs").filter(|file| !file.text.starts_with("//!"));
    sources
        .map(|file| Violation::new(&file.path, 1, "a file begins with \"//!\" and what lives in it"))
        .collect()
}

/// `unsafe` stands in files that declare it, and each block says why it is sound.
pub(super) fn unsafety(repository: &Repository) -> Vec<Violation> {
    repository.sources().flat_map(|source| unsafety_of(&source)).collect()
}

fn unsafety_of(source: &Source<'_>) -> Vec<Violation> {
    let path = source.file.path.as_str();
    let comments: Vec<&str> = source.file.text.lines().map(str::trim).collect();
    let is_declared = declares_unsafe(source.code());
    let mut violations = Vec::new();
    for (number, line) in source.lines().filter(|(_, line)| has_word(line, "unsafe")) {
        if !is_declared {
            let text = "unsafe without \"#![expect(unsafe_code, reason = ...)]\" at the top of the file";
            violations.push(Violation::new(path, number, text));
        }
        let mut above = comments[..number - 1].iter().rev().take_while(|line| line.starts_with("//"));
        let is_block = line.split_once("unsafe").is_some_and(|(_, rest)| rest.trim_start().starts_with('{'));
        if is_block && !above.any(|line| line.starts_with("// SAFETY:")) {
            violations.push(Violation::new(path, number, "no \"// SAFETY:\" right above the unsafe block"));
        }
    }
    violations
}

/// Nothing is left unfinished, no test is passed over, and nothing panics for want of a thought.
pub(super) fn leftovers(repository: &Repository) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in repository.sources() {
        for (number, line) in source.lines() {
            let leftovers = LEFTOVERS.iter().filter(|leftover| line.contains(**leftover));
            let unwrap = (!source.is_test(number) && line.contains(".unwrap()")).then_some(&".unwrap()");
            for leftover in leftovers.chain(unwrap) {
                let text = format!("{leftover} must not be here");
                violations.push(Violation::new(&source.file.path, number, text));
            }
        }
    }
    violations
}

/// No comment is wider than this; the code is kept narrower by the formatter. A row of a table cannot be broken.
pub(super) fn width(repository: &Repository) -> Vec<Violation> {
    let too_wide = |line: &str| {
        let comment =
            line.trim_start().strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!', ' ']));
        line.chars().count() > WIDTH && comment.is_some_and(|text| !text.starts_with('|'))
    };
    let mut violations = Vec::new();
    for file in repository.ending_in(".rs") {
        let wide = file.text.lines().zip(1..).filter(|(line, _)| too_wide(line));
        let text = format!("a comment of more than {WIDTH} columns");
        violations.extend(wide.map(|(_, number)| Violation::new(&file.path, number, &text)));
    }
    violations
}

fn declares_unsafe(code: &str) -> bool {
    let attributes = code.split("#![expect(").skip(1);
    attributes
        .filter_map(|attribute| attribute.split_once(")]"))
        .any(|(inside, _)| has_word(inside, "unsafe_code") && has_word(inside, "reason"))
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|character: char| !character.is_alphanumeric() && character != '_').any(|it| it == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &str = "//! x\n#![expect(\n    unsafe_code,\n    reason = \"why\"\n)]\n";

    fn lines(check: fn(&Repository) -> Vec<Violation>, text: &str) -> Vec<usize> {
        let repository = Repository::of(&[("src/x.rs", text)]);
        check(&repository).into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        assert_eq!(lines(headers, "use std::fs;\n"), [1]);
        assert_eq!(lines(headers, ""), [1]);
        assert_eq!(lines(headers, "//! Files.\n"), [0; 0]);
    }

    #[test]
    fn unsafe_that_is_not_declared_is_found() {
        let text = "//! x\n// SAFETY: it is.\nunsafe { f() }\n";
        assert_eq!(lines(unsafety, text), [3]);
        assert_eq!(lines(unsafety, &format!("{DECLARED}// SAFETY: it is.\nunsafe {{ f() }}\n")), [0; 0]);
    }

    #[test]
    fn unsafe_without_a_reason_is_found() {
        assert_eq!(lines(unsafety, &format!("{DECLARED}// It is.\nlet x = unsafe {{ f() }};\n")), [7]);
        assert_eq!(lines(unsafety, &format!("{DECLARED}// SAFETY: it is.\n\nunsafe {{ f() }}\n")), [8]);
        let text = format!("{DECLARED}// SAFETY: it is,\n// as one sees.\nunsafe {{ f() }}\n");
        assert_eq!(lines(unsafety, &text), [0; 0]);
    }

    #[test]
    fn an_expectation_without_a_reason_declares_nothing() {
        assert_eq!(lines(unsafety, "#![expect(unsafe_code)]\n// SAFETY: it is.\nunsafe { f() }\n"), [3]);
    }

    #[test]
    fn what_is_unfinished_is_found() {
        let text = "fn f() {\n    todo!()\n}\nfn g() {\n    unimplemented!()\n}\nfn h() {\n    dbg!(1);\n}\n\
                    #[cfg(test)]\nmod tests {\n    #[ignore = \"slow\"]\n    fn t() {}\n}\n";
        assert_eq!(lines(leftovers, text), [2, 5, 8, 12]);
    }

    #[test]
    fn only_tests_may_unwrap() {
        let text = "fn f() {\n    g().unwrap();\n}\n#[cfg(test)]\nmod tests {\n    fn t() {\n        g().unwrap();\n    }\n}\n";
        assert_eq!(lines(leftovers, text), [2]);
    }

    #[test]
    fn a_comment_that_is_too_wide_is_found() {
        let long = "x ".repeat(58);
        let text = format!(
            "//! {long}\n    //! {long}\n// {long}xy\nlet x = \"// {long}\"; // {long}\n/// | {long} |\n"
        );
        assert_eq!(lines(width, &text), [2, 3]);
    }

    #[test]
    fn what_is_said_is_not_done() {
        assert_eq!(lines(leftovers, "//! No todo!() here.\nconst X: &str = \"dbg!(.unwrap())\";\n"), [0; 0]);
    }
}
