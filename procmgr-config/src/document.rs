//! The file as a whole: the entries ahead of the first section, and the sections that count.
//!
//! Which keys a section may hold, and what they mean, is decided elsewhere.

use std::collections::HashMap;
use std::ops::Range;

use rustc_hash::FxBuildHasher;

use crate::check;
use crate::diagnostic::{Collector, Kind};
use crate::syntax::{Entry, Token, Word, lines};

/// What a file says, line by line. It borrows every name and value from the text.
pub(crate) struct Document<'a> {
    /// The entries of all sections in one list: a list for each would be ten thousand small ones.
    entries: Vec<Entry<'a>>,
    globals: Range<usize>,
    sections: Vec<Section<'a>>,
}

/// A section of the file.
struct Section<'a> {
    name: Word<'a>,
    entries: Range<usize>,
}

impl<'a> Document<'a> {
    /// Reads a text. Lines that are not allowed become errors and are otherwise passed over.
    pub(crate) fn read(text: &'a [u8], findings: &mut Collector) -> Self {
        let mut document = Self { entries: Vec::new(), globals: 0..0, sections: Vec::new() };
        // Where there is not so much memory, less may do: the list grows as any other.
        document.entries.try_reserve(text.len() / USUAL_LENGTH).ok();
        for line in lines(text) {
            if let Some(mistake) = line.mistake {
                findings.error(Kind::Syntax, mistake.position, || mistake.text.to_owned());
            }
            match line.token {
                Some(Token::Entry(entry)) => document.add(entry),
                Some(Token::Section(name)) => document.open(name),
                None => {}
            }
        }
        document
    }

    fn open(&mut self, name: Word<'a>) {
        let end = self.entries.len();
        self.sections.push(Section { name, entries: end..end });
    }

    fn add(&mut self, entry: Entry<'a>) {
        self.entries.push(entry);
        let entries = self.sections.last_mut().map_or(&mut self.globals, |section| &mut section.entries);
        entries.end = self.entries.len();
    }

    /// Returns the entries ahead of the first section.
    pub(crate) fn globals(&self) -> &[Entry<'a>] {
        &self.entries[self.globals.clone()]
    }

    /// Returns the name and the entries of each program, in the order of the sections that count; warns about the other
    /// sections.
    pub(crate) fn programs(&self, findings: &mut Collector) -> Vec<(&'a [u8], &[Entry<'a>])> {
        // Of a name that occurs again, the later place overwrites the earlier one. Nobody gains by names that were
        // made to collide: whoever writes the file can do worse.
        let last: HashMap<&[u8], Word<'_>, FxBuildHasher> =
            self.sections.iter().map(|section| (section.name.bytes, section.name)).collect();
        let mut programs = Vec::with_capacity(last.len());
        for Section { name, entries } in &self.sections {
            let counting = last[name.bytes];
            match name.bytes.strip_prefix(PREFIX) {
                None => check::unknown_section(*name, findings),
                Some(_) if counting.position != name.position => {
                    check::shadowed_section(*name, counting, findings);
                }
                Some(program) => programs.push((program, &self.entries[entries.clone()])),
            }
        }
        programs
    }
}

/// How long the line of an entry is, or longer, in most files: then the list of them need not grow, and be moved.
const USUAL_LENGTH: usize = 32;

/// What the name of a program's section begins with.
const PREFIX: &[u8] = b"prog-";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::diagnostic::Collector;
    use crate::document::Document;

    fn programs(text: &[u8]) -> Vec<(&[u8], Vec<usize>)> {
        let mut findings = Collector::default();
        let document = Document::read(text, &mut findings);
        let lines =
            |entries: &[crate::syntax::Entry<'_>]| entries.iter().map(|e| e.key.position.line).collect();
        let programs =
            document.programs(&mut findings).into_iter().map(|(name, entries)| (name, lines(entries)));
        let programs = programs.collect();
        assert!(!findings.finish(Path::new("f")).has_errors());
        programs
    }

    #[test]
    fn only_entries_ahead_of_the_first_section_are_global() {
        let mut findings = Collector::default();
        let document = Document::read(b"a=1\nb=2\n[x]\nc=3\n[y]\nd=4\n", &mut findings);

        let globals: Vec<_> = document.globals().iter().map(|entry| entry.key.bytes).collect();

        assert_eq!(globals, [b"a", b"b"]);
    }

    #[test]
    fn of_same_named_sections_the_last_counts_as_a_whole_and_at_its_place() {
        let text = b"[prog-a]\nk=2\nl=3\n[prog-b]\nk=5\n[prog-a]\nk=7\n";

        assert_eq!(programs(text), [(&b"b"[..], vec![5]), (b"a", vec![7])]);
    }

    #[test]
    fn sections_of_others_are_ignored_and_a_program_may_have_any_name() {
        let text = b"[other]\nk=2\n[prog-]\nk=4\n[Prog-a]\nk=6\n[prog- \xff]\n";

        assert_eq!(programs(text), [(&b""[..], vec![4]), (b" \xff", vec![])]);
    }
}
