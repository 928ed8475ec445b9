//! Who reads standard output, and writing to it: a person at a terminal, a script, or nobody.
//!
//! What they are shown is not known here.

use std::io::{self, IsTerminal, Write};

use rustix::termios::tcgetwinsize;
use signal_hook::consts::SIGPIPE;
use signal_hook::low_level::emulate_default_handler;

use crate::{Colours, Manner};

/// Who is shown the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Nobody wants them.
    Nobody,
    /// They go to a file or to another process, and names as they are.
    Script,
    /// They go to a terminal, which nothing that others have chosen must command.
    Person(Terminal),
}

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// How wide it is, if it says so.
    pub(crate) columns: Option<usize>,
    pub(crate) has_colours: bool,
}

impl Reader {
    /// Finds out who reads standard output.
    pub(crate) fn of_stdout(manner: Manner) -> Self {
        let stdout = io::stdout();
        if manner.is_quiet {
            return Self::Nobody;
        }
        if !stdout.is_terminal() {
            return Self::Script;
        }
        let size = tcgetwinsize(&stdout).ok();
        Self::Person(Terminal {
            // A serial line does not know its size, and says 0.
            columns: size.map(|size| size.ws_col.into()).filter(|columns| *columns > 0),
            has_colours: match manner.colours {
                Colours::OnTerminals => true,
                Colours::Never => false,
            },
        })
    }

    /// Shows what has been put into words already.
    pub(crate) fn show(self, words: &[u8]) -> io::Result<()> {
        match self {
            Self::Nobody => Ok(()),
            Self::Script | Self::Person(_) => write(words),
        }
    }

    /// Returns how many columns there are, if there are only so many.
    pub(crate) fn columns(self) -> Option<usize> {
        match self {
            Self::Nobody | Self::Script => None,
            Self::Person(terminal) => terminal.columns,
        }
    }

    /// Tells whether control characters have to be escaped.
    pub(crate) fn is_person(self) -> bool {
        match self {
            Self::Nobody | Self::Script => false,
            Self::Person(_) => true,
        }
    }
}

/// Writes to standard output. Ends the process, as it does any filter, if nobody is at the other end.
pub(crate) fn write(words: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout();
    let result = stdout.write_all(words).and_then(|()| stdout.flush());
    if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        end_for_want_of_readers();
    }
    result
}

/// Ends the process by SIGPIPE. The standard library has it ignored, for a server's sake; a shell expects a filter to
/// end by it, without a word.
pub(crate) fn end_for_want_of_readers() {
    // It fails only for signals that it does not know.
    let _ = emulate_default_handler(SIGPIPE);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Reader, Terminal};

    /// Somebody at a terminal of no known width, which has no colours.
    pub(crate) const PERSON: Reader = Reader::Person(Terminal { columns: None, has_colours: false });
}
