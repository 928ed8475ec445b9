//! Whether a crate's licence is one of those that `deny.toml` allows, as `cargo deny` would judge it.
//!
//! Which crates there are is not known here.

/// Returns the licences that a `deny.toml` allows.
pub(super) fn allowed(deny: &str) -> Vec<&str> {
    let section = deny.split_once("\n[licenses]").map_or("", |(_, rest)| rest);
    let section = section.split("\n[").next().unwrap_or_default();
    let list = section.split_once("\nallow = [").map_or("", |(_, rest)| rest);
    let list = list.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).collect()
}

/// Returns whether an expression, such as `(MIT OR Apache-2.0) AND Unicode-3.0`, can be satisfied by allowed
/// licences. What is no expression cannot.
pub(super) fn is_satisfied(expression: &str, allowed: &[&str]) -> bool {
    // The slash is what older crates say for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = Words(spaced.split_whitespace().collect());
    words.any(allowed) == Some(true) && words.0.is_empty()
}

/// The rest of an expression; `None` is said of what is none.
struct Words<'a>(Vec<&'a str>);

impl Words<'_> {
    fn any(&mut self, allowed: &[&str]) -> Option<bool> {
        let mut is_satisfied = self.every(allowed)?;
        while self.take("OR") {
            is_satisfied |= self.every(allowed)?;
        }
        Some(is_satisfied)
    }

    fn every(&mut self, allowed: &[&str]) -> Option<bool> {
        let mut is_satisfied = self.one(allowed)?;
        while self.take("AND") {
            is_satisfied &= self.one(allowed)?;
        }
        Some(is_satisfied)
    }

    fn one(&mut self, allowed: &[&str]) -> Option<bool> {
        if self.take("(") {
            let is_satisfied = self.any(allowed)?;
            return self.take(")").then_some(is_satisfied);
        }
        if self.0.is_empty() {
            return None;
        }
        let mut licence = self.0.remove(0).to_owned();
        if self.take("WITH") && !self.0.is_empty() {
            licence = format!("{licence} WITH {}", self.0.remove(0));
        }
        Some(allowed.contains(&licence.as_str()))
    }

    fn take(&mut self, word: &str) -> bool {
        let is_there = self.0.first() == Some(&word);
        if is_there {
            self.0.remove(0);
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_needs_one_licence_and_a_sum_needs_all() {
        let allowed = ["MIT", "Unicode-3.0"];
        for satisfied in [
            "MIT",
            "MIT OR Apache-2.0",
            "Apache-2.0/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "A WITH B OR MIT",
        ] {
            assert!(is_satisfied(satisfied, &allowed), "{satisfied}");
        }
        for not in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT)", "MIT OR", "MIT WITH B", "MIT MIT"] {
            assert!(!is_satisfied(not, &allowed), "{not}");
        }
    }

    #[test]
    fn the_list_is_that_of_the_section_of_licences() {
        let deny = "[bans]\nallow = [\"x\"]\n\n[licenses]\nunused = 1\nallow = [\n  \"A\",\n  \"B\",\n]\n[sources]\n";
        assert_eq!(allowed(deny), ["A", "B"]);
        assert_eq!(allowed("[bans]\n"), [] as [&str; 0]);
    }
}
