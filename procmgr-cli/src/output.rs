//! What the user reads on standard error: remarks, refusals, and why there is no answer.
//!
//! Nothing is asked and nothing decided here.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write};

use procmgr_proto::message::Refusal;

use crate::text::printable;

/// Shows what the daemon remarks about its configuration.
pub(crate) fn remarks(remarks: &[Vec<u8>]) {
    for remark in remarks {
        complain(&printable(remark));
    }
}

/// Shows a refusal, which may be of several lines.
pub(crate) fn refusal(refusal: &Refusal) {
    let lines: Vec<String> = refusal.text.split(|byte| *byte == b'\n').map(printable).collect();
    complain(&format!("ERROR: ({}) {}", refusal.code, lines.join("\n")));
}

/// Shows why there is no answer.
pub(crate) fn error(error: &dyn Error) {
    let mut text = format!("ERROR: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    complain(&printable(text.as_bytes()));
}

/// Shows why nothing was asked in time, and what follows from that.
pub(crate) fn unasked(reason: &dyn Error, consequence: &str) {
    complain(&printable(format!("ERROR: {reason}{consequence}").as_bytes()));
}

/// Shows that the time is up.
pub(crate) fn late(lateness: &str) {
    complain(&format!("ERROR: {lateness}"));
}

/// Shows that an answer could not be written.
pub(crate) fn unwritten(cause: &io::Error) {
    complain(&format!("ERROR: cannot write to standard output: {cause}"));
}

/// Writes a line to standard error. If that does not take it, there is nobody to tell.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
