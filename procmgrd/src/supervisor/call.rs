//! Who has asked for something, what they gave for it, and how they are answered.
//!
//! What the answer is, is decided in `program`.

use procmgr_proto::message::{Code, Refusal, Response};

use crate::supervisor::event::{Caller, Effect};

/// For whom a script runs, with what arguments and on whose terminal.
#[derive(Clone, Debug)]
pub(crate) struct Call<S> {
    pub(crate) caller: Option<Caller>,
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) stdio: Option<S>,
}

impl<S> Call<S> {
    /// Creates the call of a client.
    pub(crate) fn new(caller: Caller, arguments: Vec<Vec<u8>>, stdio: S) -> Self {
        Self { caller: Some(caller), arguments, stdio: Some(stdio) }
    }

    /// Refuses it; nobody need not be told.
    pub(crate) fn refuse(&self, code: Code, text: String, effects: &mut Vec<Effect<S>>) {
        effects.extend(self.caller.map(|caller| refuse(caller, code, text)));
    }

    /// Creates the call that nobody makes: a start by the daemon's own.
    pub(crate) fn of_nobody() -> Self {
        Self { caller: None, arguments: Vec::new(), stdio: None }
    }
}

/// Answers a request with a refusal.
pub(crate) fn refuse<S>(caller: Caller, code: Code, text: impl Into<Vec<u8>>) -> Effect<S> {
    reply(caller, Response::Refused(Refusal::new(code, text)))
}

/// Answers a request.
pub(crate) fn reply<S>(caller: Caller, response: Response) -> Effect<S> {
    Effect::Reply { caller, response }
}

/// Returns a name that a client has chosen, escaped, and cut where it is longer than any name has a reason to be: it
/// goes into answers and into the log, and nobody shall fill either.
pub(crate) fn shown(name: &[u8]) -> String {
    match name.split_at_checked(LONGEST_SHOWN) {
        None | Some((_, [])) => name.escape_ascii().to_string(),
        Some((start, _)) => format!("{}...", start.escape_ascii()),
    }
}

const LONGEST_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_escaped_and_cut_before_it_is_shown() {
        assert_eq!(shown(b"a\x1b[2J"), "a\\x1b[2J");
        assert_eq!(shown(&[b'x'; 64]), "x".repeat(64));
        assert_eq!(shown(&vec![b'x'; 1 << 20]), "x".repeat(64) + "...");
    }
}
