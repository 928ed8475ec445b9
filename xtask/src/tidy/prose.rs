//! What is written for people: links that lead somewhere, and no trace of the machine that it was written on.
//!
//! Whether it is true, or well said, is for people to judge.

use std::collections::HashMap;

use crate::tidy::Violation;
use crate::tidy::repository::{File, Repository};

/// What begins a path that exists on the machine of one developer, spelt so that this file is none of its findings.
const MACHINES: [&str; 4] =
    [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "Users/"), concat!("../", "shared")];

/// No file names a path of a developer's machine.
pub(super) fn machines(repository: &Repository) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in repository.files() {
        for (number, line) in file.lines() {
            for machine in MACHINES.iter().filter(|machine| line.contains(**machine)) {
                let text = format!("{machine} is a path of somebody's machine");
                violations.push(Violation::new(&file.path, number, text));
            }
        }
    }
    violations
}

/// Links between our documents lead to files and headings that exist.
pub(super) fn links(repository: &Repository) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in repository.ending_in(".md") {
        for (number, line) in prose(file) {
            let outside = ["http://", "https://", "mailto:"];
            let targets = targets(&line);
            for target in targets.iter().filter(|it| !outside.iter().any(|start| it.starts_with(start))) {
                if let Some(text) = complaint(repository, file, target) {
                    violations.push(Violation::new(&file.path, number, text));
                }
            }
        }
    }
    violations
}

fn complaint(repository: &Repository, from: &File, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { from.path.clone() } else { resolve(&from.path, path) };
    if !repository.has(&path) {
        return Some(format!("{target} leads nowhere"));
    }
    let document = repository.file(&path).filter(|_| !anchor.is_empty())?;
    (!anchors(document).contains(&anchor.to_owned())).then(|| format!("{target} leads to no heading"))
}

/// Returns the path that a link in the file `from` leads to, from the root of the repository.
fn resolve(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns the lines that are neither code blocks nor within backquotes.
fn prose(file: &File) -> Vec<(usize, String)> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for (number, line) in file.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push((number, line.split('`').step_by(2).collect::<Vec<_>>().join("`")));
        }
    }
    lines
}

/// Returns where the links of a line lead: `[text](target)`.
fn targets(line: &str) -> Vec<String> {
    let links = line.split("](").skip(1);
    links.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.trim().to_owned()).collect()
}

/// Returns the names by which the headings of a document can be linked to.
fn anchors(document: &File) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut is_code = false;
    let mut anchors = Vec::new();
    for (_, line) in document.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if is_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|it| it.is_alphanumeric() || "-_ ".contains(*it))
            .map(|it| if it == ' ' { '-' } else { it })
            .collect();
        let count = seen.entry(anchor.clone()).or_default();
        anchors.push(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_machine_is_found_in_any_file() {
        let text = format!("all is well\ncd {}procmgr\n", MACHINES[0]);
        let repository = Repository::of(&[(".ci/run", &text), ("README.md", "network/workshop\n")]);
        let found: Vec<_> = machines(&repository).into_iter().map(|it| (it.path, it.line)).collect();
        assert_eq!(found, [(".ci/run".to_owned(), 2)]);
    }

    fn told(readme: &str) -> Vec<String> {
        let repository = Repository::of(&[
            ("docs/README.md", readme),
            ("docs/OTHER.md", "# The `-c` option, and *more*\n## Twice\n## Twice\n```\n# no heading\n```\n"),
            ("examples/real/procmgr.cfg", ""),
        ]);
        links(&repository).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_left_alone() {
        let readme = "# Here\n[a](OTHER.md) [b](../examples/) [c](../examples/real/procmgr.cfg) [d](https://x.org/y.md)\n\
                      [e](#here) [f](OTHER.md#the--c-option-and-more) [g](OTHER.md#twice-1)\n\
                      `[h](nowhere)`\n```\n[i](nowhere)\n```\n";
        assert_eq!(told(readme), [] as [&str; 0]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        assert_eq!(
            told("[a](MISSING.md)\n[b](OTHER.md#no-heading) [c](../example)\n"),
            [
                "docs/README.md:1: MISSING.md leads nowhere",
                "docs/README.md:2: OTHER.md#no-heading leads to no heading",
                "docs/README.md:2: ../example leads nowhere",
            ]
        );
    }
}
