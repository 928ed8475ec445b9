//! The client of procmgr: asks the daemon, shows what it answers, and turns it into an exit status.
//!
//! It is given the path of a socket; where that comes from, and the command line, are none of this crate's business.

mod connection;
mod json;
mod output;
mod watch;

use std::path::Path;

use procmgr_proto::error::ClientError;
use procmgr_proto::message::Invocation;

use crate::connection::Failure;

/// What a client can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Tells on standard output whether the daemon runs.
    Test,
    /// Ends the daemon; returns when it is gone.
    Stop,
    /// Has the daemon read its configuration again.
    Reload,
    /// Has the daemon execute its executable anew, in place; returns when the new one serves.
    Upgrade,
    /// Lists the programs on standard output.
    List(ListFormat),
    /// Shows each change of a program on standard output, for as long as the daemon runs.
    Watch(WatchFormat),
    /// Performs an action on a program, with this process's standard input, output and error.
    Invoke(Invocation),
}

/// How programs are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// A line each, for people.
    Lines,
    /// Names and words, each ended by a NUL byte, for scripts.
    NulTerminated,
}

/// How changes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFormat {
    /// A line each, for people.
    Lines,
    /// A JSON object each, in a line of its own, for scripts.
    Json,
}

/// The exit status of an action that was not carried out, or of which nobody knows.
pub const NOT_CARRIED_OUT: u8 = 125;

/// The exit status of any other command that has failed.
pub const FAILED: u8 = 1;

/// Shows a text on standard output, such as the help. Returns the exit status.
pub fn show(text: &str) -> u8 {
    match output::text(text) {
        Ok(()) => 0,
        Err(error) => {
            output::unwritten(&error);
            FAILED
        }
    }
}

impl Command {
    /// Returns the exit status for the case that the command cannot be carried out.
    pub fn failure_status(&self) -> u8 {
        match self {
            Self::Invoke(_) => NOT_CARRIED_OUT,
            Self::Test | Self::Stop | Self::Reload | Self::Upgrade | Self::List(_) | Self::Watch(_) => FAILED,
        }
    }

    /// Asks the daemon at this socket, shows what there is to show, and returns the exit status.
    ///
    /// Waits as long as the daemon takes.
    pub fn run(self, socket: &Path) -> u8 {
        let failure_status = self.failure_status();
        connection::perform(self, socket).unwrap_or_else(|failure| {
            match &failure {
                Failure::Client(ClientError::Refused(refusal)) => output::refusal(refusal),
                Failure::Output(error) => output::unwritten(error),
                Failure::Connect(_) | Failure::Client(_) => output::error(&failure),
            }
            failure_status
        })
    }
}
