//! The grammar by example, against an independent parser, and against arbitrary bytes.
//!
//! No example depends on what a key means.

use ini::{Ini, ParseOption};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;

use crate::diagnostic::Position;
use crate::syntax::{Entry, Line, Mistake, NOT_A_LINE, NUL, OPEN_SECTION, Token, Word, is_space, lines};

fn word(bytes: &[u8], column: usize) -> Word<'_> {
    Word { bytes, position: Position { line: 2, column } }
}

fn nothing() -> Line<'static> {
    Line::default()
}

fn section(name: &[u8], column: usize) -> Line<'_> {
    Line { token: Some(Token::Section(word(name, column))), mistake: None }
}

fn entry<'a>(key: (&'a [u8], usize), value: (&'a [u8], usize)) -> Line<'a> {
    let entry = Entry { key: word(key.0, key.1), value: word(value.0, value.1) };
    Line { token: Some(Token::Entry(entry)), mistake: None }
}

fn but<'a>(line: Line<'a>, text: &'static str, column: usize) -> Line<'a> {
    Line { mistake: Some(Mistake { position: Position { line: 2, column }, text }), ..line }
}

#[test]
fn each_line_says_what_the_grammar_says_it_says() {
    let cases: [(&[u8], Line<'_>); 54] = [
        // Blank lines and comments; white space is that of the C locale.
        (b"", nothing()),
        (b" \t\x0b\x0c\r", nothing()),
        (b"# comment = no entry", nothing()),
        (b"; comment", nothing()),
        (b" \t# [no section]", nothing()),
        (b"\x0b;", nothing()),
        (b"#\xff\xfe", nothing()),
        // Entries.
        (b"k=v", entry((b"k", 1), (b"v", 3))),
        (b"k = v", entry((b"k", 1), (b"v", 5))),
        (b"\t k\x0b\x0c=\x0b\x0c v \r", entry((b"k", 3), (b"v", 10))),
        (b"k = v\r", entry((b"k", 1), (b"v", 5))),
        (b"k = \rv", entry((b"k", 1), (b"v", 6))),
        (b"a key = a value", entry((b"a key", 1), (b"a value", 9))),
        (b"K=V", entry((b"K", 1), (b"V", 3))),
        (b"=v", entry((b"", 1), (b"v", 2))),
        (b" = v", entry((b"", 2), (b"v", 4))),
        (b"k=", entry((b"k", 1), (b"", 3))),
        (b"k =  ", entry((b"k", 1), (b"", 4))),
        (b"=", entry((b"", 1), (b"", 2))),
        (b"==", entry((b"", 1), (b"=", 2))),
        (b"k=a=b", entry((b"k", 1), (b"a=b", 3))),
        (b"k==", entry((b"k", 1), (b"=", 3))),
        (b"k:l=v", entry((b"k:l", 1), (b"v", 5))),
        (b"\xc2\xa0k=\xc2\xa0", entry((b"\xc2\xa0k", 1), (b"\xc2\xa0", 5))),
        (b"k=\x85\xa0\xff", entry((b"k", 1), (b"\x85\xa0\xff", 3))),
        // Nothing in a value is a comment, a quote, an escape, a continuation or a variable.
        (b"k = a # b", entry((b"k", 1), (b"a # b", 5))),
        (b"k = a ; b", entry((b"k", 1), (b"a ; b", 5))),
        (b"k = #", entry((b"k", 1), (b"#", 5))),
        (b"k = \" a \"", entry((b"k", 1), (b"\" a \"", 5))),
        (b"k = 'a", entry((b"k", 1), (b"'a", 5))),
        (b"k = a\\n\\", entry((b"k", 1), (b"a\\n\\", 5))),
        (b"k = \\ ", entry((b"k", 1), (b"\\", 5))),
        (b"k = %(a)s ${b} $PID", entry((b"k", 1), (b"%(a)s ${b} $PID", 5))),
        (b"k#l = v", entry((b"k#l", 1), (b"v", 7))),
        (b"k = [a]", entry((b"k", 1), (b"[a]", 5))),
        // Sections: the first and the last byte decide.
        (b"[a]", section(b"a", 2)),
        (b" [a]\t\r", section(b"a", 3)),
        (b"[ a ]", section(b" a ", 2)),
        (b"[]", section(b"", 2)),
        (b"[a]b]", section(b"a]b", 2)),
        (b"[[a]", section(b"[a", 2)),
        (b"[a=b]", section(b"a=b", 2)),
        (b"[#a]", section(b"#a", 2)),
        (b"[\xff]", section(b"\xff", 2)),
        (b"[a=b", entry((b"[a", 1), (b"b", 4))),
        (b"[a] = b", entry((b"[a]", 1), (b"b", 7))),
        // Mistakes, and what is made of them.
        (b"[", but(section(b"", 2), OPEN_SECTION, 1)),
        (b" [a", but(section(b"a", 3), OPEN_SECTION, 2)),
        (b"[a] # comment", but(section(b"a", 2), OPEN_SECTION, 1)),
        (b"  k v", but(nothing(), NOT_A_LINE, 3)),
        (b"]", but(nothing(), NOT_A_LINE, 1)),
        (b"k = a\0\0", but(entry((b"k", 1), (b"a\0\0", 5)), NUL, 6)),
        (b"  # \0", but(nothing(), NUL, 5)),
        (b" \0 ", but(nothing(), NUL, 2)),
    ];
    for (bytes, line) in cases {
        assert_eq!(Line::read(bytes, 2), line, "{}", bytes.escape_ascii());
    }
}

#[test]
fn only_lf_ends_a_line() {
    let keys = |text| {
        let entry = |line: Line<'_>| match line.token {
            Some(Token::Entry(entry)) => Some((entry.key.position.line, entry.value.bytes.to_vec())),
            Some(Token::Section(_)) | None => None,
        };
        lines(text).filter_map(entry).collect::<Vec<_>>()
    };

    assert_eq!(keys(b"a=1\n\nb=2"), [(1, b"1".to_vec()), (3, b"2".to_vec())]);
    assert_eq!(keys(b"a=1\r\nb=2\r\n"), [(1, b"1".to_vec()), (2, b"2".to_vec())]);
    assert_eq!(
        keys(b"a=1\rb=2\x0bc=3\x0cd=4\\\ne=5"),
        [(1, b"1\rb=2\x0bc=3\x0cd=4\\".to_vec()), (2, b"5".to_vec())]
    );
    assert_eq!(keys(b""), []);
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_start_only() {
    let key = |text| match lines(text).last().unwrap().token {
        Some(Token::Entry(Entry { key, .. })) => (key.bytes, key.position.column),
        other => panic!("{other:?}"),
    };

    assert_eq!(key(b"\xef\xbb\xbf k=v"), (&b"k"[..], 2));
    assert_eq!(key(b"\xef\xbb\xbf\xef\xbb\xbfk=v"), (&b"\xef\xbb\xbfk"[..], 1));
    assert_eq!(key(b"\n\xef\xbb\xbfk=v"), (&b"\xef\xbb\xbfk"[..], 1));
    assert_eq!(lines(b"\xef\xbb\xbf").last().unwrap(), nothing());
    assert_eq!(lines(b"\xef\xbb\xbf# comment").last().unwrap(), nothing());
}

#[test]
fn a_line_may_be_very_long() {
    let value = vec![b'x'; 8 << 20];
    let text = [b"k = ", &value[..], b" "].concat();

    assert_eq!(Line::read(&text, 2), entry((b"k", 1), (&value, 5)));
}

/// Pieces of which every rule of the grammar is made.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 14] = [
        b"\n",
        b"[",
        b"]",
        b"=",
        b" ",
        b"\r",
        b"\x0b",
        b"#",
        b";",
        b"prog-",
        b"cmd-start",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xff",
    ];
    vec(select(pieces.to_vec()), 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_a_word_says_stands_where_it_claims_to_stand(text in prop_oneof![vec(any::<u8>(), 0..200), pieces()]) {
        let raw: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        for line in lines(&text) {
            let words = match line.token {
                Some(Token::Section(name)) => vec![name],
                Some(Token::Entry(Entry { key, value })) => vec![key, value],
                None => vec![],
            };
            for Word { bytes, position: Position { line, column } } in words {
                let mark = if line == 1 && text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
                prop_assert!(raw[line - 1][mark + column - 1..].starts_with(bytes));
            }
            if let Some(Token::Entry(Entry { key, value })) = line.token {
                for word in [key, value] {
                    prop_assert!(!word.bytes.first().is_some_and(|byte| is_space(*byte)));
                    prop_assert!(!word.bytes.last().is_some_and(|byte| is_space(*byte)));
                }
            }
        }
    }

    #[test]
    fn on_plain_files_another_parser_agrees(
        file in vec(
            prop_oneof![
                "[a-z-]{1,8}".prop_map(|name| format!("[{name}]")),
                ("[a-z]{1,4}(-[a-z]{1,4})?", " ?= ?", "[a-zA-Z0-9/$|&.,=+-]{0,6}( [a-zA-Z0-9/$\"'|]{1,6})?")
                    .prop_map(|(key, equals, value)| format!("{key}{equals}{value}")),
                "# [a-z =]{0,10}",
                Just(String::new()),
            ],
            0..20,
        )
    ) {
        let text = file.join("\n") + "\n";
        let option = ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
        let oracle = Ini::load_from_str_opt(&text, option).unwrap();

        let mut section = None;
        let mut last = std::collections::BTreeMap::new();
        for line in lines(text.as_bytes()) {
            prop_assert_eq!(line.mistake, None);
            let text = |word: Word<'_>| String::from_utf8(word.bytes.to_vec()).unwrap();
            match line.token {
                Some(Token::Section(name)) => section = Some(text(name)),
                Some(Token::Entry(Entry { key, value })) => {
                    last.insert((section.clone(), text(key)), text(value));
                }
                None => {}
            }
        }
        let mut theirs = std::collections::BTreeMap::new();
        for (section, properties) in &oracle {
            for (key, value) in properties {
                theirs.insert((section.map(str::to_owned), key.to_owned()), value.to_owned());
            }
        }
        prop_assert_eq!(last, theirs);
    }
}
