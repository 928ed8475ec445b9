//! The table that maps each sentence of the manual to the tests that show it.
//!
//! Whether a test shows what it claims is for people to judge; here only that it exists.

use crate::tidy::Violation;
use crate::tidy::repository::{File, Repository};
use crate::tidy::rust::Source;

const TABLE: &str = "docs/MANUAL_COVERAGE.md";

/// Every row names tests, and every test that is named exists.
pub(super) fn manual(repository: &Repository) -> Vec<Violation> {
    let Some(table) = repository.file(TABLE) else {
        return vec![Violation::new(TABLE, 1, "the table of the manual's sentences is missing")];
    };
    let mut violations = Vec::new();
    for (number, cells) in rows(table) {
        if cells.iter().any(String::is_empty) {
            violations.push(Violation::new(TABLE, number, "a cell is empty"));
        }
    }
    for (number, line) in table.lines() {
        for name in test_names(line).filter(|name| !exists(repository, name)) {
            violations.push(Violation::new(TABLE, number, format!("there is no test {name}")));
        }
    }
    violations
}

/// Returns the rows below the headings of all tables, each as its cells.
fn rows(table: &File) -> Vec<(usize, Vec<String>)> {
    let mut rows = Vec::new();
    let mut is_below_heading = false;
    for (number, line) in table.lines() {
        match line.trim().strip_prefix('|') {
            None => is_below_heading = false,
            Some(row) if row.chars().all(|it| "|-: ".contains(it)) && row.contains('-') => {
                is_below_heading = true;
            }
            Some(row) if is_below_heading => rows.push((number, cells(row))),
            Some(_) => {}
        }
    }
    rows
}

/// Returns the cells of a row, which are separated by `|` but not by `\|`.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim_end().strip_suffix('|').unwrap_or(row).replace("\\|", "\0");
    row.split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

/// Returns the names of tests in a line: `target::module::test` between backquotes.
fn test_names(line: &str) -> impl Iterator<Item = &str> {
    let is_word = |word: &str| {
        let mut characters = word.chars();
        characters.next().is_some_and(|it| it.is_ascii_lowercase() || it == '_')
            && characters.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
    };
    let is_name = move |quoted: &&str| quoted.contains("::") && quoted.split("::").all(is_word);
    line.split('`').skip(1).step_by(2).filter(is_name)
}

/// Returns whether there is a test of that name, such as `procmgr_config::value::tests::ids_are_decimal_or_none`.
fn exists(repository: &Repository, name: &str) -> bool {
    let segments: Vec<&str> = name.split("::").collect();
    let [target, modules @ .., test] = &segments[..] else { return false };
    roots(repository, target).iter().any(|(folder, root)| {
        // The last modules may stand inside of a file.
        (0..=modules.len()).any(|depth| {
            let place = [&[folder.as_str()], &modules[..depth]].concat().join("/");
            let candidates = match depth {
                0 => vec![root.clone()],
                _ => vec![format!("{place}.rs"), format!("{place}/mod.rs")],
            };
            candidates.iter().filter_map(|path| repository.file(path)).any(|file| has_test(file, test))
        })
    })
}

/// Returns where a target may have its modules, and its root file: the unit tests of a crate, or integration tests.
fn roots(repository: &Repository, target: &str) -> Vec<(String, String)> {
    let mut roots = Vec::new();
    let manifests =
        repository.files().filter(|file| file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml"));
    for folder in manifests.map(|file| file.path.trim_end_matches("Cargo.toml")) {
        let is_crate = match folder.trim_end_matches('/') {
            "" => target == "procmgr",
            folder => folder.replace('-', "_") == target,
        };
        if is_crate {
            roots.extend(
                ["lib.rs", "main.rs"].map(|root| (format!("{folder}src"), format!("{folder}src/{root}"))),
            );
        }
        let tests = format!("{folder}tests/{target}");
        roots.push((format!("{folder}tests"), format!("{tests}.rs")));
        roots.push((tests.clone(), format!("{tests}/main.rs")));
    }
    roots
}

/// Returns whether a file has a function of that name below an attribute that makes it a test.
fn has_test(file: &File, test: &str) -> bool {
    let source = Source::new(file);
    let mut is_marked = false;
    for (_, line) in
        source.lines().map(|(number, line)| (number, line.trim())).filter(|(_, line)| !line.is_empty())
    {
        if line.contains("#[test]") {
            is_marked = true;
        } else if let Some((_, declared)) = line.split_once("fn ").filter(|_| is_marked) {
            if declared.split(|it: char| !it.is_alphanumeric() && it != '_').next() == Some(test) {
                return true;
            }
            is_marked = false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(table: &str) -> Vec<String> {
        let repository = Repository::of(&[
            (TABLE, table),
            ("Cargo.toml", ""),
            ("procmgr-config/Cargo.toml", ""),
            (
                "procmgr-config/src/value.rs",
                "#[cfg(test)]\nmod tests {\n    #[test]\n    fn inline() {}\n    fn helper() {}\n}\n",
            ),
            ("procmgr-config/src/load/tests.rs", "#[test]\nfn in_a_file() {}\n"),
            ("procmgr-config/tests/golden.rs", "#[test]\nfn bytes() {}\n"),
            ("tests/end_to_end/main.rs", "#[test]\nfn at_the_root() {}\n"),
            ("tests/end_to_end/actions.rs", "#[test]\n#[should_panic]\nfn stops() {}\n"),
        ]);
        manual(&repository).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tests_are_found_wherever_they_stand() {
        let table = "| sentence | tests |\n|---|---|\n\
                     | a \\| b | `end_to_end::actions::stops`, `end_to_end::at_the_root` |\n\
                     | `std::fs::File` | `procmgr_config::value::tests::inline` `procmgr_config::load::tests::in_a_file` |\n\
                     | c | `golden::bytes` |\n";
        assert_eq!(told(table), [] as [&str; 0]);
    }

    #[test]
    fn a_test_that_does_not_exist_is_found() {
        let table = "| sentence | tests |\n|---|---|\n| a | `end_to_end::actions::starts` |\n\
                     | b | `procmgr_config::value::tests::helper` |\n";
        assert_eq!(
            told(table),
            [
                "docs/MANUAL_COVERAGE.md:3: there is no test end_to_end::actions::starts",
                "docs/MANUAL_COVERAGE.md:4: there is no test procmgr_config::value::tests::helper",
            ]
        );
    }

    #[test]
    fn an_empty_cell_is_found() {
        assert_eq!(
            told("| sentence | tests |\n|---|---|\n| a |  |\n"),
            ["docs/MANUAL_COVERAGE.md:3: a cell is empty"]
        );
    }

    #[test]
    fn a_missing_table_is_found() {
        assert_eq!(manual(&Repository::of(&[])).len(), 1);
    }
}
