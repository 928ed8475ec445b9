//! The grammar: what a line of the file says, where it says so, and what no line may be.
//!
//! Which names there are and what a value means is not asked here, and no byte of a name or value is changed.

use crate::diagnostic::Position;

/// Returns what the lines of a text say; blank lines and comments say nothing.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    // Hardly any text has a NUL, and to look for one in all of it takes less time than to do so line by line.
    let read = if text.contains(&0) { Line::read } else { Line::read_without_nul };
    text.split(|byte| *byte == b'\n').zip(1..).map(move |(bytes, number)| read(bytes, number))
}

/// Returns the bytes of the lines, as columns count them.
pub(crate) fn sources(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).split(|byte| *byte == b'\n')
}

/// What one line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// What it says. Beside a mistake: what it was probably meant to say, so that the lines below are judged rightly.
    pub(crate) token: Option<Token<'a>>,
    /// What is wrong with it.
    pub(crate) mistake: Option<Mistake>,
}

/// What a line can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// `[NAME]`: the keys below belong to this section.
    Section(Word<'a>),
    /// `KEY = VALUE`.
    Entry(Entry<'a>),
}

/// A key and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) key: Word<'a>,
    pub(crate) value: Word<'a>,
}

/// A piece of a line and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) position: Position,
}

/// Why a line is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) position: Position,
    pub(crate) text: &'static str,
}

impl<'a> Line<'a> {
    /// Reads a line, given without the LF at its end; the first one has the number 1.
    pub(crate) fn read(bytes: &'a [u8], number: usize) -> Self {
        let said = Self::read_without_nul(bytes, number);
        Self { mistake: nul(Word::whole(bytes, number)).or(said.mistake), ..said }
    }

    /// Does the same with a line that holds no NUL.
    fn read_without_nul(bytes: &'a [u8], number: usize) -> Self {
        Self::tell(Word::whole(bytes, number).trim())
    }

    /// Tells what a trimmed line says.
    fn tell(line: Word<'a>) -> Self {
        match line.bytes {
            [] | [b'#' | b';', ..] => Self::default(),
            // The first and the last byte decide: "[a]b]" is the section "a]b", and "[a=b]" is no entry.
            [b'[', name @ .., b']'] => Self::section(line.part(1, name.len())),
            bytes => match (bytes.iter().position(|byte| *byte == b'='), bytes) {
                (Some(equals), _) => Self::entry(line, equals),
                (None, [b'[', rest @ ..]) => {
                    let length = rest.iter().position(|byte| *byte == b']').unwrap_or(rest.len());
                    Self { mistake: line.mistake(OPEN_SECTION), ..Self::section(line.part(1, length)) }
                }
                (None, _) => Self { token: None, mistake: line.mistake(NOT_A_LINE) },
            },
        }
    }

    fn section(name: Word<'a>) -> Self {
        Self { token: Some(Token::Section(name)), mistake: None }
    }

    fn entry(line: Word<'a>, equals: usize) -> Self {
        let key = line.part(0, equals).trim();
        let value = line.part(equals + 1, line.bytes.len() - equals - 1).trim();
        Self { token: Some(Token::Entry(Entry { key, value })), mistake: None }
    }
}

impl<'a> Word<'a> {
    /// Returns a line as a whole, but for the byte order mark ahead of the first one.
    fn whole(bytes: &'a [u8], number: usize) -> Self {
        let bytes = match number {
            1 => bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
            _ => bytes,
        };
        Self { bytes, position: Position { line: number, column: 1 } }
    }

    /// Returns the word without the white space at its ends. Of a word that is nothing else, the place before it stays.
    fn trim(self) -> Self {
        let Some(start) = self.bytes.iter().position(|byte| !is_space(*byte)) else {
            return self.part(0, 0);
        };
        let end = self.bytes.iter().rposition(|byte| !is_space(*byte)).map_or(start, |last| last + 1);
        self.part(start, end - start)
    }

    fn part(self, start: usize, length: usize) -> Self {
        let Position { line, column } = self.position;
        Self {
            bytes: &self.bytes[start..start + length],
            position: Position { line, column: column + start },
        }
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "each caller has a place for a mistake, not for a certain one"
    )]
    fn mistake(self, text: &'static str) -> Option<Mistake> {
        Some(Mistake { position: self.position, text })
    }
}

/// Finds the first NUL of a line, wherever it stands: neither a shell nor a path can be given one.
fn nul(line: Word<'_>) -> Option<Mistake> {
    let start = line.bytes.iter().position(|byte| *byte == 0)?;
    line.part(start, 1).mistake(NUL)
}

/// Returns whether a byte is white space, as in the C locale; `u8::is_ascii_whitespace` lacks the vertical tab.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

const OPEN_SECTION: &str = "a section must end its line with \"]\"";
const NOT_A_LINE: &str = "neither a [section] nor a comment nor \"key = value\"";
const NUL: &str = "NUL byte";

#[cfg(test)]
mod tests;
