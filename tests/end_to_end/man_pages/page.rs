//! Reading a man page: its sections, what its lists are about, and what its macros name.
//!
//! Only what our pages use of mdoc is understood; whether it is right is for mandoc to say.

use std::fs;
use std::path::Path;

/// The macros of what is typed, or read by programs.
const LITERAL: [&str; 7] = ["Fl", "Cm", "Ic", "Ev", "Pa", "Ql", "Nm"];

/// Other macros that may stand within a line, and end what stands ahead of them.
const OTHERS: [&str; 12] = ["Ar", "Ns", "Op", "Pq", "Po", "Pc", "It", "Va", "Vt", "Xr", "Sx", "Em"];

pub(super) struct Page {
    pub(super) text: String,
}

impl Page {
    pub(super) fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man").join(name);
        Self { text: fs::read_to_string(path).unwrap() }
    }

    /// Returns the part below a heading, up to the next one of its rank.
    pub(super) fn part(&self, heading: &str) -> Self {
        let start = self.text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
        let body = &self.text[start + heading.len() + 2..];
        let end = [".Sh ", ".Ss "].iter().filter(|rank| heading.starts_with(".Ss") || **rank == ".Sh ");
        let end = end.filter_map(|rank| body.find(&format!("\n{rank}"))).min();
        Self { text: body[..end.unwrap_or(body.len())].to_owned() }
    }

    /// Returns what each item of a list is about: the line of its macro, without that and without escapes.
    pub(super) fn items(&self) -> Vec<String> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix(".It "))
            .map(|item| item.replace('\\', ""))
            .collect()
    }

    /// Returns the options that are named: `-x` and `--xyz`.
    pub(super) fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        for line in self.macro_lines() {
            // `Fl x` is a short one, `Fl Fl xyz` a long one; further words are of the same kind.
            let mut dashes = 0;
            let mut previous = "";
            for word in line.trim_start_matches('.').split(' ') {
                if word == "Fl" {
                    dashes = if previous == "Fl" { 2 } else { 1 };
                } else if LITERAL.contains(&word) || OTHERS.contains(&word) {
                    dashes = 0;
                } else if dashes > 0 && word.starts_with(|it: char| it.is_ascii_alphanumeric()) {
                    options.push(format!("{}{}", "-".repeat(dashes), word.replace('\\', "")));
                }
                previous = word;
            }
        }
        options
    }

    /// Returns the examples: what stands in literal displays.
    pub(super) fn examples(&self) -> Vec<String> {
        let displays = self.text.split("\n.Bd -literal").skip(1);
        let bodies = displays.map(|it| it.split_once('\n').unwrap().1.split_once("\n.Ed").unwrap().0);
        bodies.map(|body| body.replace("\\-", "-") + "\n").collect()
    }

    /// Returns the lines in which a hyphen of what is typed is written like one of prose.
    pub(super) fn soft_hyphens(&self) -> Vec<&str> {
        let mut is_example = false;
        let is_soft = |line: &&str| line.replace("\\-", "").contains('-');
        let lines = self.text.lines().filter(move |line| {
            is_example = line.starts_with(".Bd -literal") || (is_example && *line != ".Ed");
            let mut words = line.trim_start_matches('.').split(' ');
            let is_literal = line.starts_with('.') && words.any(|word| LITERAL.contains(&word));
            (is_example && !line.starts_with(".Bd")) || is_literal
        });
        lines.filter(|line| !line.starts_with(".Nm procmgr-")).filter(is_soft).collect()
    }

    fn macro_lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| line.starts_with('.') && !line.starts_with(".\\\""))
    }
}
