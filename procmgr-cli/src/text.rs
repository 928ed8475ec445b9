//! Text for a terminal: what harms none, how wide it is, and a part of it; the only room that names `unicode_width`.
//!
//! What is said is not known here.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

use crate::reader::Reader;

/// What stands for the end of a text that was cut off. It is a single byte, for terminals that know no more.
const CUT: char = '~';

/// Returns a text of which nothing can harm a terminal, and that is one line: control characters and bytes that are no
/// text are escaped.
pub(crate) fn printable(text: &[u8]) -> String {
    let mut printable = String::new();
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                printable.extend(character.escape_default());
            } else {
                printable.push(character);
            }
        }
        let _ = write!(printable, "{}", chunk.invalid().escape_ascii());
    }
    printable
}

/// Returns a name as it is to be shown: harmless to a terminal, and to scripts as it is.
pub(crate) fn name(name: &[u8], reader: Reader) -> Vec<u8> {
    if reader.is_person() { printable(name).into_bytes() } else { name.to_vec() }
}

/// Returns how many columns a text takes.
pub(crate) fn width(text: &[u8]) -> usize {
    String::from_utf8_lossy(text).chars().map(width_of).sum()
}

/// Returns the text with spaces behind it, so that it takes that many columns.
pub(crate) fn padded(mut text: Vec<u8>, columns: usize) -> Vec<u8> {
    text.resize(text.len() + columns.saturating_sub(width(&text)), b' ');
    text
}

/// Returns the text, or as much of it as that many columns take, with a sign that there was more.
pub(crate) fn cut(text: &[u8], columns: usize) -> Vec<u8> {
    if width(text) <= columns {
        return text.to_vec();
    }
    let mut kept = String::new();
    let mut taken = width_of(CUT);
    if taken > columns {
        return Vec::new();
    }
    for character in String::from_utf8_lossy(text).chars() {
        taken += width_of(character);
        if taken > columns {
            break;
        }
        kept.push(character);
    }
    kept.push(CUT);
    kept.into_bytes()
}

/// Returns how many columns a character takes. A control character, which scripts are shown as it is, counts for one.
fn width_of(character: char) -> usize {
    character.width().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_escaped() {
        assert_eq!(printable(b"a\xffb\x07\nc"), "a\\xffb\\u{7}\\nc");
    }

    #[test]
    fn wide_characters_take_two_columns_and_accents_none() {
        assert_eq!(
            ["web", "zoë", "猫", "e\u{301}", "\u{1b}["].map(|text| width(text.as_bytes())),
            [3, 3, 2, 1, 2]
        );
        assert_eq!(padded("猫".into(), 4), "猫  ".as_bytes());
        assert_eq!(padded("cat".into(), 2), b"cat");
    }

    #[test]
    fn a_text_is_cut_to_the_columns_that_there_are() {
        let cut = |columns| String::from_utf8(cut("a猫cd".as_bytes(), columns)).unwrap();
        assert_eq!([0, 1, 2, 3, 4, 5, 9].map(cut), ["", "~", "a~", "a~", "a猫~", "a猫cd", "a猫cd"]);
    }
}
