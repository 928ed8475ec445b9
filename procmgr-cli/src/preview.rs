//! What a reload would change, in words for people.
//!
//! JSON stands in `json`.

use procmgr_proto::details::{ProgramPreview, ReloadEffect};

use crate::reader::Reader;
use crate::text;

/// Returns a line for each program that the reload concerns, or one that says that there is none.
pub(crate) fn lines(programs: &[ProgramPreview], reader: Reader) -> Vec<u8> {
    if programs.is_empty() {
        return b"nothing would change\n".to_vec();
    }
    programs.iter().flat_map(|program| line(program, reader)).collect()
}

fn line(program: &ProgramPreview, reader: Reader) -> Vec<u8> {
    let ProgramPreview { name, effect, keys, pid, is_outdated } = program;
    let mut line = [text::name(name, reader), b": ".to_vec(), text::name(effect.name(), reader)].concat();
    if !keys.is_empty() {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| text::name(key, reader)).collect();
        line.extend([b" ".as_slice(), &keys.join(b", ".as_slice())].concat());
    }
    if let Some(pid) = pid {
        let fate = match effect {
            ReloadEffect::Removed => Some("goes on until it ends"),
            _ if *is_outdated => Some("runs under an older definition"),
            _ => None,
        };
        line.extend(fate.map(|fate| format!("; {fate} (pid {pid})")).unwrap_or_default().into_bytes());
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::tests::PERSON;

    fn program(name: &str, effect: ReloadEffect) -> ProgramPreview {
        ProgramPreview { name: name.into(), effect, keys: vec![], pid: None, is_outdated: false }
    }

    fn shown(program: ProgramPreview) -> String {
        String::from_utf8(lines(&[program], PERSON)).unwrap()
    }

    #[test]
    fn a_line_says_what_becomes_of_a_program() {
        assert_eq!(shown(program("db", ReloadEffect::Added)), "db: added\n");
        let old = program("old", ReloadEffect::Removed);
        assert_eq!(shown(old.clone()), "old: removed\n");
        let running = ProgramPreview { pid: Some(7), ..old };
        assert_eq!(shown(running), "old: removed; goes on until it ends (pid 7)\n");
    }

    #[test]
    fn a_line_names_the_keys_that_change_and_who_does_not_heed_them_yet() {
        let keys = vec![b"cmd-start".to_vec(), b"uid-stop".to_vec()];
        let web = ProgramPreview { keys, pid: Some(123), ..program("web", ReloadEffect::Changed) };
        assert_eq!(shown(web.clone()), "web: changed cmd-start, uid-stop\n");
        let outdated = ProgramPreview { is_outdated: true, ..web };
        assert_eq!(
            shown(outdated.clone()),
            "web: changed cmd-start, uid-stop; runs under an older definition (pid 123)\n"
        );
        let unchanged = ProgramPreview { effect: ReloadEffect::Unchanged, keys: vec![], ..outdated };
        assert_eq!(shown(unchanged), "web: unchanged; runs under an older definition (pid 123)\n");
    }

    #[test]
    fn that_nothing_changes_is_said_in_a_line() {
        assert_eq!(lines(&[], Reader::Script), b"nothing would change\n");
    }

    #[test]
    fn a_terminal_is_shown_no_control_characters_and_a_script_the_bytes_as_they_are() {
        let effect = ReloadEffect::Other(b"mad\x1b".to_vec());
        let program = ProgramPreview { keys: vec![b"cmd-\x07".to_vec()], ..program("a\x1b", effect) };
        assert_eq!(shown(program.clone()), "a\\u{1b}: mad\\u{1b} cmd-\\u{7}\n");
        assert_eq!(lines(&[program], Reader::Script), b"a\x1b: mad\x1b cmd-\x07\n");
    }
}
