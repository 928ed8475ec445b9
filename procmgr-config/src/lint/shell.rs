//! As much of the shell's grammar as it takes to see which commands a script runs, one after the other.
//!
//! Whatever is not understood ends the reading, and is told; nothing is expanded, and nothing run.

/// What a script runs.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// The commands, as far as the script was read.
    pub(super) commands: Vec<Command>,
    /// Whether it is nothing but a list of simple commands.
    pub(super) is_list: bool,
}

/// A simple command.
#[derive(Debug, Default)]
pub(super) struct Command {
    /// Its first words, redirections and assignments aside.
    pub(super) words: Vec<Word>,
    /// Whether assignments stand ahead of it.
    pub(super) has_assignments: bool,
    /// What stands behind it.
    pub(super) end: End,
}

/// A word of a command.
#[derive(Debug)]
pub(super) struct Word {
    /// Where it begins in the script.
    pub(super) offset: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// What it says; `None` if the shell is to expand it.
    pub(super) literal: Option<Vec<u8>>,
}

/// What stands behind a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing, or `;`.
    #[default]
    Sequence,
    /// `&&`.
    And,
    /// `||`.
    Or,
    /// `|`.
    Pipe,
    /// `&`.
    Background,
}

/// Reads a script, which is of one line. One that is too long to be run says nothing.
pub(super) fn read(script: &[u8]) -> Script {
    if script.len() > MAX_LENGTH {
        return Script::default();
    }
    let mut reader =
        Reader { script, at: 0, command: Command::default(), commands: Vec::new(), is_list: true };
    let is_whole = reader.run().is_some();
    reader.finish(End::Sequence);
    Script { is_list: is_whole && reader.is_list, commands: reader.commands }
}

struct Reader<'s> {
    script: &'s [u8],
    at: usize,
    command: Command,
    commands: Vec<Command>,
    is_list: bool,
}

/// What a reserved word makes of what follows it.
enum Reserved {
    /// Another command may follow.
    Command,
    /// No command follows, but words of its own.
    Words,
}

impl Reader<'_> {
    /// Reads on to the end; returns nothing if that is beyond what is understood.
    fn run(&mut self) -> Option<()> {
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b' ' | b'\t', _) => self.at += 1,
                (b'#', _) => return Some(()),
                (b';', Some(b';')) | (b'&', Some(b'>')) | (b'(' | b')', _) => return None,
                (b';', _) => self.end(End::Sequence, 1),
                (b'&', Some(b'&')) => self.end(End::And, 2),
                (b'&', _) => self.end(End::Background, 1),
                (b'|', Some(b'|')) => self.end(End::Or, 2),
                (b'|', _) => self.end(End::Pipe, 1),
                (b'<' | b'>', _) => self.redirection()?,
                _ => self.next_word()?,
            }
        }
        Some(())
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.script.get(self.at + ahead).copied()
    }

    fn end(&mut self, end: End, length: usize) {
        self.at += length;
        self.finish(end);
    }

    fn finish(&mut self, end: End) {
        let command = Command { end, ..std::mem::take(&mut self.command) };
        if !command.words.is_empty() || command.has_assignments || end != End::Sequence {
            self.commands.push(command);
        }
    }

    /// Passes over an operator and the word behind it.
    fn redirection(&mut self) -> Option<()> {
        if self.script[self.at..].starts_with(b"<<") {
            return None;
        }
        while matches!(self.peek(0), Some(b'<' | b'>' | b'&' | b'|')) {
            self.at += 1;
        }
        while matches!(self.peek(0), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        let start = self.at;
        self.word(&mut None)?;
        (self.at > start).then_some(())
    }

    fn next_word(&mut self) -> Option<()> {
        let offset = self.at;
        let mut literal = Some(Vec::new());
        self.word(&mut literal)?;
        let raw = &self.script[offset..self.at];
        let is_number = raw.iter().all(u8::is_ascii_digit);
        if is_number && matches!(self.peek(0), Some(b'<' | b'>')) {
            return Some(());
        }
        if self.command.words.is_empty() {
            if is_assignment(raw) {
                self.command.has_assignments = true;
                return Some(());
            }
            match reserved(raw) {
                Some(Reserved::Command) => {
                    self.is_list = false;
                    return Some(());
                }
                Some(Reserved::Words) => return None,
                None => {}
            }
        }
        if self.command.words.len() < WORDS {
            self.command.words.push(Word { offset, end: self.at, literal });
        }
        Some(())
    }

    /// Reads a word, and adds what it says to the literal unless the shell is to expand it; returns nothing if it does
    /// not end.
    fn word(&mut self, literal: &mut Option<Vec<u8>>) -> Option<()> {
        let start = self.at;
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' => break,
                b'\\' => {
                    let escaped = self.peek(1)?;
                    add(literal, &[escaped]);
                    self.at += 2;
                }
                b'\'' => {
                    let inside = &self.script[self.at + 1..];
                    let length = inside.iter().position(|byte| *byte == b'\'')?;
                    add(literal, &inside[..length]);
                    self.at += length + 2;
                }
                b'"' => self.double_quoted(literal)?,
                b'$' | b'`' => {
                    *literal = None;
                    self.expansion()?;
                }
                b'*' | b'?' | b'[' if !self.is_test_command(start) => {
                    *literal = None;
                    self.at += 1;
                }
                b'~' if self.at == start => {
                    *literal = None;
                    self.at += 1;
                }
                _ => {
                    add(literal, &[byte]);
                    self.at += 1;
                }
            }
        }
        Some(())
    }

    fn is_test_command(&self, start: usize) -> bool {
        self.at == start && self.peek(0) == Some(b'[') && matches!(self.peek(1), Some(b' ' | b'\t'))
    }

    fn double_quoted(&mut self, literal: &mut Option<Vec<u8>>) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek(0)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'$' | b'`' => {
                    *literal = None;
                    self.expansion()?;
                }
                byte => {
                    let is_escape = byte == b'\\' && matches!(self.peek(1)?, b'"' | b'\\' | b'$' | b'`');
                    self.at += usize::from(is_escape);
                    let byte = self.peek(0)?;
                    add(literal, &[byte]);
                    self.at += 1;
                }
            }
        }
    }

    /// Passes over what the shell expands, as far as brackets go; quotes in it are taken for what they are.
    fn expansion(&mut self) -> Option<()> {
        let is_backquote = self.peek(0) == Some(b'`');
        self.at += 1;
        if is_backquote {
            while self.peek(0)? != b'`' {
                self.at += if self.peek(0) == Some(b'\\') { 2 } else { 1 };
            }
            self.at += 1;
            return Some(());
        }
        if !matches!(self.peek(0), Some(b'(' | b'{')) {
            return Some(());
        }
        let mut depth = 0_usize;
        loop {
            match self.peek(0)? {
                b'(' | b'{' => depth += 1,
                b')' | b'}' => depth -= 1,
                b'\\' => self.at += 1,
                b'\'' => {
                    let inside = &self.script[self.at + 1..];
                    self.at += inside.iter().position(|byte| *byte == b'\'')? + 1;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

fn add(literal: &mut Option<Vec<u8>>, bytes: &[u8]) {
    if let Some(literal) = literal {
        literal.extend(bytes);
    }
}

fn is_assignment(raw: &[u8]) -> bool {
    let Some(equals) = raw.iter().position(|byte| *byte == b'=') else { return false };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    equals > 0 && !raw[0].is_ascii_digit() && raw[..equals].iter().all(is_name)
}

fn reserved(raw: &[u8]) -> Option<Reserved> {
    match raw {
        b"if" | b"then" | b"elif" | b"else" | b"fi" | b"while" | b"until" | b"do" | b"done" | b"{" | b"}"
        | b"!" => Some(Reserved::Command),
        b"for" | b"case" | b"esac" | b"in" | b"select" | b"function" | b"[[" | b"time" | b"coproc" => {
            Some(Reserved::Words)
        }
        _ => None,
    }
}

/// The longest argument that the kernel hands to a process, its end aside.
const MAX_LENGTH: usize = (128 << 10) - 1;

/// How many words of a command are kept: its name, `exec` ahead of it, and whether there are more.
const WORDS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the first words of each command, with `?` for what is expanded, and whether all was understood.
    fn told(script: &str) -> (String, bool) {
        let Script { commands, is_list } = read(script.as_bytes());
        let word = |word: &Word| {
            word.literal.as_ref().map_or("?".to_owned(), |it| String::from_utf8_lossy(it).into_owned())
        };
        let command = |command: &Command| {
            let words: Vec<_> = command.words.iter().map(word).collect();
            format!("{}{:?}", words.join(" "), command.end)
        };
        (commands.iter().map(command).collect::<Vec<_>>().join(" "), is_list)
    }

    #[test]
    fn commands_are_told_apart() {
        let cases = [
            ("exec sleep 5", "exec sleep 5Sequence"),
            ("a; b;", "aSequence bSequence"),
            ("a && b||c|d&", "aAnd bOr cPipe dBackground"),
            ("umask 077; exec 2>>/l; x -f >&2", "umask 077Sequence execSequence x -fSequence"),
            ("A=1 B='x y' c", "cSequence"),
            ("'/opt/my app'/run \"a b\"", "/opt/my app/run a bSequence"),
            ("\\run \"\\$x\" # no", "run $xSequence"),
            ("$X/run `a; b` \"$(c; d)\"", "? ? ?Sequence"),
            ("x ${A:-;} y#z", "x ? y#zSequence"),
            ("/opt/*/run", "?Sequence"),
            ("[ -f /x ] && y", "[ -f /xAnd ySequence"),
            ("", ""),
            ("# nothing", ""),
        ];
        for (script, expected) in cases {
            assert_eq!(told(script), (expected.to_owned(), true), "{script}");
        }
    }

    #[test]
    fn what_is_more_than_a_list_is_not_taken_for_one() {
        for script in [
            "if a; then b; fi",
            "while a; do b; done",
            "for x in a; do b; done",
            "case x in a) b;; esac",
            "{ a; }",
            "(a)",
            "f() { a; }; f",
            "! a",
            "a <<X",
            "a 'b",
            "a \"b",
            "a $(b",
            "a `b",
            "a \\",
            "a >",
            "a &> b",
            "[[ a ]]",
        ] {
            assert!(!told(script).1, "{script}");
        }
    }

    #[test]
    fn commands_within_conditions_are_seen() {
        assert_eq!(told("if a; then /b; fi").0, "aSequence /bSequence");
    }

    #[test]
    fn a_word_knows_its_place() {
        let script = read(b"cd /x && exec \"/a b\" c");
        let places: Vec<_> =
            script.commands.iter().flat_map(|command| &command.words).map(|word| word.offset).collect();
        assert_eq!(places, [0, 3, 9, 14, 21]);
    }
}
