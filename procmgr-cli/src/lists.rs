//! Lists of programs, a line or a record for each: what they are in, and what may be done to them.
//!
//! The table of `--long` has a room of its own, `table`; JSON stands in `json`.

use procmgr_proto::details::Permission;
use procmgr_proto::message::ProgramEntry;

use crate::reader::Reader;
use crate::text;

/// Returns a line for each program, for people: its name and its words.
pub(crate) fn programs(programs: &[ProgramEntry], reader: Reader) -> Vec<u8> {
    lines(programs.iter().map(|program| (program.name.as_slice(), program.tokens.as_slice())), reader)
}

/// Returns a line for each program to which something may be done, for people: its name and the actions.
pub(crate) fn permissions(permissions: &[Permission], reader: Reader) -> Vec<u8> {
    lines(permissions.iter().map(|it| (it.program.as_slice(), it.actions.as_slice())), reader)
}

/// Returns the name and the words of each program, both ended by NUL, for scripts.
pub(crate) fn nul_terminated(programs: &[ProgramEntry]) -> Vec<u8> {
    let record = |program: &ProgramEntry| {
        [&program.name, b"\0".as_slice(), &program.tokens.join(&b' '), b"\0"].concat()
    };
    programs.iter().flat_map(record).collect()
}

/// Returns each action that may be performed, the name of its program first, both ended by NUL, for scripts.
///
/// The actions of a program are not joined, for their names may have spaces in them.
pub(crate) fn nul_terminated_permissions(permissions: &[Permission]) -> Vec<u8> {
    let record = |it: &Permission, action: &[u8]| [&it.program, b"\0".as_slice(), action, b"\0"].concat();
    permissions.iter().flat_map(|it| it.actions.iter().flat_map(move |action| record(it, action))).collect()
}

/// Returns a line for each name, with its words behind it, the names padded to the longest; on a terminal, to the
/// longest that leaves room for words.
fn lines<'a>(programs: impl Iterator<Item = (&'a [u8], &'a [Vec<u8>])>, reader: Reader) -> Vec<u8> {
    let rows: Vec<_> = programs.map(|(name, words)| (text::name(name, reader), words)).collect();
    let most = reader.columns().map_or(usize::MAX, |columns| columns / 2);
    let widest = rows.iter().map(|(name, _)| text::width(name)).max().unwrap_or(0).min(most);
    let mut lines = Vec::new();
    for (name, words) in rows {
        let words: Vec<Vec<u8>> = words.iter().map(|word| text::name(word, reader)).collect();
        lines.extend([&text::padded(name, widest), b": ".as_slice(), &words.join(&b' '), b"\n"].concat());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Terminal;
    use crate::reader::tests::PERSON;

    fn entries() -> Vec<ProgramEntry> {
        let entry = |name: &[u8], tokens: &[&str]| ProgramEntry {
            name: name.to_vec(),
            tokens: tokens.iter().map(|token| token.as_bytes().to_vec()).collect(),
        };
        vec![entry(b"game", &["running", "stopping"]), entry("zoë\x1b[2J".as_bytes(), &["dead"])]
    }

    #[test]
    fn names_are_padded_to_the_longest() {
        assert_eq!(
            programs(&entries(), Reader::Script),
            "game   : running stopping\nzoë\x1b[2J: dead\n".as_bytes()
        );
    }

    #[test]
    fn a_terminal_is_shown_no_control_characters() {
        assert_eq!(
            String::from_utf8(programs(&entries(), PERSON)).unwrap(),
            "game        : running stopping\nzoë\\u{1b}[2J: dead\n"
        );
    }

    #[test]
    fn a_long_name_does_not_push_the_words_of_others_off_a_terminal() {
        let long = ProgramEntry { name: vec![b'x'; 30], tokens: vec![b"dead".to_vec()] };
        let narrow = Reader::Person(Terminal { columns: Some(20), has_colours: false });
        let shown = String::from_utf8(programs(&[entries().remove(0), long], narrow)).unwrap();
        assert_eq!(shown, format!("game      : running stopping\n{}: dead\n", "x".repeat(30)));
    }

    #[test]
    fn scripts_get_the_bytes_between_nuls() {
        assert_eq!(nul_terminated(&entries()), "game\0running stopping\0zoë\x1b[2J\0dead\0".as_bytes());
    }

    #[test]
    fn tokens_that_this_version_does_not_know_are_shown_and_harm_no_terminal() {
        let entry =
            ProgramEntry { name: b"game".to_vec(), tokens: vec![b"dead".to_vec(), b"\x1bc".to_vec()] };
        assert_eq!(programs(std::slice::from_ref(&entry), PERSON), b"game: dead \\u{1b}c\n");
        assert_eq!(programs(&[entry], Reader::Script), b"game: dead \x1bc\n");
    }

    #[test]
    fn no_programs_are_no_lines() {
        assert_eq!(programs(&[], Reader::Script), b"");
        assert_eq!(nul_terminated(&[]), b"");
    }

    #[test]
    fn what_may_be_done_is_a_line_for_each_program() {
        let permission = |program: &str, actions: &[&str]| Permission {
            program: program.into(),
            actions: actions.iter().map(|action| action.as_bytes().to_vec()).collect(),
        };
        let allowed = [permission("web", &["start", "stop"]), permission("猫", &["rotate\x07"])];
        assert_eq!(
            String::from_utf8(permissions(&allowed, PERSON)).unwrap(),
            "web: start stop\n猫 : rotate\\u{7}\n"
        );
        assert_eq!(
            String::from_utf8(nul_terminated_permissions(&allowed)).unwrap(),
            "web\0start\0web\0stop\0猫\0rotate\x07\0"
        );
        assert_eq!(permissions(&[], PERSON), b"");
        assert_eq!(nul_terminated_permissions(&[]), b"");
    }
}
