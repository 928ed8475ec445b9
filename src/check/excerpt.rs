//! What is shown of a line of the file, so that no terminal is harmed or flooded by it.
//!
//! Which line, and why, is not known here.

/// Returns as much of a line as is worth showing around a column, which counts from 1, and how many columns of that are
/// ahead of the place.
pub(super) fn around(source: &[u8], column: usize) -> (String, usize) {
    let place = (column - 1).min(source.len());
    let end = source.trim_ascii_end().len().max(place);
    let source = &source[..end];
    let ahead = source[..place].iter().rev();
    let mut start = place - fitting(ahead, WIDTH / 2);
    if source.len() <= WIDTH && columns(source) <= WIDTH {
        start = 0;
    }
    let mut shown = if start > 0 { CUT.to_owned() } else { String::new() };
    shown.extend(source[start..place].iter().map(|byte| escaped(*byte)));
    let caret = shown.len();
    let length = fitting(source[place..].iter(), WIDTH.saturating_sub(caret));
    shown.extend(source[place..place + length].iter().map(|byte| escaped(*byte)));
    if place + length < source.len() {
        shown.push_str(CUT);
    }
    (shown, caret)
}

/// Returns a text of ours without the control characters that a path may have brought into it.
pub(super) fn harmless(text: &str) -> String {
    let mut harmless = String::new();
    for character in text.chars() {
        if character.is_control() {
            harmless.extend(character.escape_default());
        } else {
            harmless.push(character);
        }
    }
    harmless
}

/// Returns how many bytes fit into that many columns.
fn fitting<'b>(bytes: impl Iterator<Item = &'b u8>, columns: usize) -> usize {
    let widths = bytes.scan(0, |taken, byte| {
        *taken += escaped(*byte).len();
        Some(*taken)
    });
    widths.take_while(|taken| *taken <= columns).count()
}

fn columns(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| escaped(*byte).len()).sum()
}

/// Shows a byte: a tab as the white space that it is, whatever else is not printable ASCII by its number.
fn escaped(byte: u8) -> String {
    match byte {
        b' '..=b'~' => char::from(byte).to_string(),
        b'\t' => " ".to_owned(),
        _ => format!("\\x{byte:02x}"),
    }
}

/// How many columns are shown: few enough for any terminal to show them in one line.
const WIDTH: usize = 70;

/// What stands where something was cut off.
const CUT: &str = "...";

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &[u8], column: usize) -> (String, usize) {
        around(source, column)
    }

    #[test]
    fn a_line_is_shown_as_it_is() {
        assert_eq!(shown(b"\tkey = value \r", 8), (" key = value".to_owned(), 7));
        assert_eq!(shown(b"", 1), (String::new(), 0));
        assert_eq!(shown(b"a = ", 5), ("a = ".to_owned(), 4));
        assert_eq!(shown(b"a", 99), ("a".to_owned(), 1));
    }

    #[test]
    fn what_may_harm_a_terminal_is_shown_by_its_number() {
        assert_eq!(shown(b"a\x1b[2J\xff = b", 9), ("a\\x1b[2J\\xff = b".to_owned(), 14));
        assert_eq!(harmless("a\u{1b}[2J\u{9b}\né"), "a\\u{1b}[2J\\u{9b}\\né");
    }

    #[test]
    fn of_a_long_line_the_part_around_the_place_is_shown() {
        let line = [&[b'a'; 200][..], b"HERE", &[b'b'; 200]].concat();
        let (text, caret) = shown(&line, 201);
        assert!(text.starts_with("...aaa") && text.ends_with("bbb..."), "{text}");
        assert!(text[caret..].starts_with("HERE") && text.len() <= WIDTH + CUT.len(), "{text}");
        let (text, caret) = shown(&line, 1);
        assert!(caret == 0 && text.starts_with("aaa") && text.ends_with("a..."), "{text}");
        let (text, caret) = shown(&[0xff; 1000], 999);
        assert!(text[caret..].starts_with("\\xff\\xff") && text.len() <= WIDTH, "{text}");
    }
}
