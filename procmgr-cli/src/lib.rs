//! The client of procmgr: asks the daemon, shows what it answers, and turns it into an exit status.
//!
//! It is given the path of a socket; where that comes from, and the command line, are none of this crate's business.

mod connection;
pub mod json;
mod lists;
mod output;
mod preview;
mod reader;
mod table;
mod text;
mod time;
mod watch;

use std::path::Path;
use std::time::Duration;

use procmgr_proto::error::{ClientError, ConnectError};
use procmgr_proto::message::Invocation;

use crate::connection::Failure;

/// What a client can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Tells on standard output whether the daemon runs.
    Test(Format),
    /// Ends the daemon; returns when it is gone.
    Stop,
    /// Has the daemon read its configuration again.
    Reload,
    /// Tells on standard output what reading the configuration again would change.
    Preview(Format),
    /// Has the daemon execute its executable anew, in place; returns when the new one serves.
    Upgrade,
    /// Lists the programs on standard output.
    List(ListFormat),
    /// Lists on standard output what the user may do.
    Permissions(PermissionFormat),
    /// Shows each change of a program on standard output, for as long as the daemon runs.
    Watch(Format),
    /// Performs an action on a program, with this process's standard input, output and error. With a goal, it is done
    /// if that was reached before.
    Invoke(Invocation, Option<Goal>),
}

/// How programs are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// A line each, for people.
    Lines,
    /// Names and words, each ended by a NUL byte, for scripts.
    NulTerminated,
    /// A table, for people who want to know more.
    Table,
    /// A JSON object each, in a line of its own, for scripts.
    Json,
}

/// How the actions that the user may perform are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermissionFormat {
    /// A line for each program, for people.
    Lines,
    /// A program and an action, each ended by a NUL byte, for scripts.
    NulTerminated,
    /// A JSON object for each program, in a line of its own, for scripts.
    Json,
}

/// How anything else is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line each, for people.
    Lines,
    /// A JSON object each, in a line of its own, for scripts.
    Json,
}

/// What an action is to achieve, if it need not be done once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The program runs, and is to go on.
    Running,
    /// The program does not run.
    Down,
}

/// How a command is carried out, whatever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Whether nothing but errors is to be told.
    pub is_quiet: bool,
    /// How long the daemon is waited for; without one, as long as it takes.
    pub timeout: Option<Duration>,
    /// Whether states are told apart by colour, too.
    pub colours: Colours,
}

/// Whether colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Never.
    Never,
    /// Where standard output is a terminal.
    OnTerminals,
}

/// The exit status of an action that was not carried out, or of which nobody knows.
pub const NOT_CARRIED_OUT: u8 = 125;

/// The exit status of a command that the daemon has not answered in time. An action that it was not even asked for in
/// time is one that was not carried out.
pub const TIMED_OUT: u8 = 124;

/// The exit status of any other command that has failed.
pub const FAILED: u8 = 1;

/// Returns a text of which nothing can harm a terminal, and that is one line.
pub fn printable(text: &[u8]) -> String {
    text::printable(text)
}

/// Shows a text on standard output, such as the help. Returns the exit status.
pub fn show(text: &str) -> u8 {
    match reader::write(text.as_bytes()) {
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
        if self.is_action() { NOT_CARRIED_OUT } else { FAILED }
    }

    /// Asks the daemon at this socket in that manner, shows what there is to show, and returns the exit status.
    ///
    /// Waits as long as the daemon takes, or until the time is up. What was asked for by then goes on.
    pub fn run(self, socket: &Path, manner: Manner) -> u8 {
        let failure_status = self.failure_status();
        let lateness = self.lateness();
        let (consequence, unasked_status) = self.unasked();
        connection::perform(self, socket, manner).unwrap_or_else(|failure| match &failure {
            Failure::Client(ClientError::TimedOut) => {
                output::late(lateness);
                TIMED_OUT
            }
            Failure::Connect(ConnectError::TimedOut { .. }) | Failure::Client(ClientError::NotSentInTime) => {
                output::unasked(&failure, consequence);
                unasked_status
            }
            Failure::Client(ClientError::Refused(refusal)) => {
                output::refusal(refusal);
                failure_status
            }
            Failure::Output(error) => {
                output::unwritten(error);
                failure_status
            }
            Failure::Connect(_) | Failure::Client(_) => {
                output::error(&failure);
                failure_status
            }
        })
    }

    /// Returns what there is to add when the time is up before anything was asked, and the exit status.
    fn unasked(&self) -> (&'static str, u8) {
        if self.is_action() { ("; the action was not carried out", NOT_CARRIED_OUT) } else { ("", TIMED_OUT) }
    }

    /// Returns whether an action is asked for: of it is told apart whether it was carried out.
    fn is_action(&self) -> bool {
        match self {
            Self::Invoke(..) => true,
            Self::Test(_)
            | Self::Stop
            | Self::Reload
            | Self::Preview(_)
            | Self::Upgrade
            | Self::List(_)
            | Self::Permissions(_)
            | Self::Watch(_) => false,
        }
    }

    /// Returns what there is to say when the time is up.
    fn lateness(&self) -> &'static str {
        match self {
            Self::Invoke(..) => "not done in time; the action goes on",
            Self::Stop | Self::Reload | Self::Upgrade => "not done in time; what was asked for goes on",
            Self::Test(_) | Self::Preview(_) | Self::List(_) | Self::Permissions(_) => "no answer in time",
            Self::Watch(_) => "the time of the watch is up",
        }
    }
}
