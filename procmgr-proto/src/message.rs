//! The words both sides speak: requests, responses, and what a refusal is called.
//!
//! How they become bytes is not said here but in `codec`; how bytes travel, in `frame` and `stdio`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::details::{Permission, ProgramDetails, ProgramPreview};
use crate::event::ProgramStatus;
use crate::names::travels_as_name;

/// What a client may ask of the daemon.
///
/// Variants are only ever appended: the position of a variant is its number on the wire. The first four are frozen,
/// so that a client of any version can find, list, reload and stop a daemon of any other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Request {
    /// Asks whether the daemon answers; answered by [`Response::Done`]. Anyone may ask.
    Ping,
    /// Asks for the programs; answered by [`Response::Programs`]. Anyone may ask.
    List,
    /// Asks the daemon to end; answered by [`Response::Done`] as its last act. For root and the daemon's own user.
    Stop,
    /// Asks the daemon to read its configuration again; answered by [`Response::Reloaded`]. For root and the daemon's
    /// own user.
    Reload,
    /// Asks for an action on a program and brings three descriptors: the standard input, output and error of the
    /// script. For whom the configuration allows it.
    Invoke(Invocation),
    /// Asks to be told of each change of a program from now on; answered by [`Response::Subscribed`], which is followed
    /// by events with the id of this request. A connection has one subscription at the most. Anyone may ask.
    Subscribe,
    /// Asks the daemon to execute its executable anew, in place, so that its PID, its children, its connections and the
    /// requests under way stay; answered by [`Response::Done`], once the new one serves. If that cannot take over, the
    /// request is refused by [`Code::Spawn`], and the old one goes on. For root and the daemon's own user.
    Upgrade,
    /// Asks for the programs, with what each has gone through; answered by [`Response::Inspected`]. Anyone may ask.
    Inspect,
    /// Asks what [`Request::Reload`] would change, and changes nothing; answered by [`Response::Previewed`]. For root
    /// and the daemon's own user.
    Preview,
    /// Asks which actions the asker may perform; answered by [`Response::Permissions`]. Anyone may ask.
    Permissions,
}

impl Request {
    /// How many variants there are; a greater variant number on the wire is a request of a later version.
    pub(crate) const VARIANTS: u32 = 10;

    /// Returns how many descriptors this request brings along.
    pub fn descriptors(&self) -> u8 {
        match self {
            Self::Ping
            | Self::List
            | Self::Stop
            | Self::Reload
            | Self::Subscribe
            | Self::Upgrade
            | Self::Inspect
            | Self::Preview
            | Self::Permissions => 0,
            Self::Invoke(_) => 3,
        }
    }
}

/// An action asked for on a program. The texts are the user's own and need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The name of the program: what follows `prog-` in its section.
    pub program: Vec<u8>,
    /// The name of the action: `start`, `restart`, `reload`, `signal`, `stop`, `status`, or any other to which the
    /// configuration gives a script. So a client hands on what its user says; one that there is not is refused by
    /// [`Code::NoAction`].
    pub action: Vec<u8>,
    /// The arguments of the script; the first one is its `$0`.
    pub arguments: Vec<Vec<u8>>,
}

/// What the daemon answers. Each request is answered once; a subscription may besides be ended by a refusal.
///
/// Variants are only ever appended; the first one is the same in every version of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Response {
    /// The request was not carried out. It has changed nothing, but for those of which [`Code::Cancelled`],
    /// [`Code::Shutdown`] and, for a restart, [`Code::Spawn`] tell that they were begun.
    Refused(Refusal),
    /// The request was carried out, and there is nothing to tell.
    Done,
    /// The script that the request ran, or the program that it ended, has come to its end.
    Exited(ExitStatus),
    /// The answer to a `status` that has no script: the client writes `running` or `not running` to its standard
    /// output and exits with 0 or 1.
    Status {
        /// Whether the program has a process.
        running: bool,
    },
    /// The programs, in the order of the configuration file.
    Programs(Vec<ProgramEntry>),
    /// The configuration was read and is in force.
    Reloaded {
        /// What the daemon has to remark about the file, a line each, ready to be shown.
        remarks: Vec<Vec<u8>>,
    },
    /// From now on the client is told of each change, until it or the daemon closes the connection. If the daemon ends
    /// the subscription, [`Response::Refused`] with the id of the request says why, and is the last thing that it says.
    Subscribed {
        /// What the programs are at this moment, in the order of the configuration file. The first event is the first
        /// change after it.
        programs: Vec<ProgramStatus>,
    },
    /// The programs, with what each has gone through, in the order of the configuration file.
    Inspected(Vec<ProgramDetails>),
    /// What a reload would change.
    Previewed {
        /// Every program that would be added, removed or changed, or that would run under an older definition, and no
        /// other: in the order of the new file, then those that are gone from it.
        programs: Vec<ProgramPreview>,
        /// What the daemon has to remark about the file, a line each, ready to be shown.
        remarks: Vec<Vec<u8>>,
    },
    /// What the asker may do, in the order of the configuration file. A program of which that is nothing is left out.
    Permissions(Vec<Permission>),
}

impl Response {
    /// How many variants there are; a greater variant number on the wire is a response of a later version.
    pub(crate) const VARIANTS: u32 = 10;
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The kind of the refusal, for machines.
    pub code: Code,
    /// The reason, for people: one line without a newline at its end, or, with [`Code::BadConf`], more. It may quote
    /// what a user has chosen, so a client escapes control characters before it shows the text on a terminal.
    pub text: Vec<u8>,
}

impl Refusal {
    /// Creates a refusal.
    pub fn new(code: Code, text: impl Into<Vec<u8>>) -> Self {
        Self { code, text: text.into() }
    }
}

/// The kind of a [`Refusal`]. On the wire it is its name, so that a client can show a kind that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
#[non_exhaustive]
pub enum Code {
    /// There is no such program.
    NoProg,
    /// There is no such action.
    NoAction,
    /// The peer may not perform this action.
    BadAuth,
    /// The peer may not command the daemon.
    Eperm,
    /// The state of the program does not allow the action: it is started already, or about to be. Or another upgrade is
    /// under way.
    Busy,
    /// The program does not run.
    NotRunning,
    /// There is no script for the action, and no default action either.
    NoCmd,
    /// The frame is not a message of this protocol, or its descriptors are not as announced.
    BadMsg,
    /// The request is not one that this daemon knows.
    BadCmd,
    /// The script could not be run, or the new executable of the daemon cannot take over.
    Spawn,
    /// Another request has made this one pointless.
    Cancelled,
    /// The configuration cannot be used; the one before it stays in force.
    BadConf,
    /// The version of the frame is not one that this daemon speaks; the header of the answer names the highest one.
    Version,
    /// The peer has used up what it may use.
    Limit,
    /// The daemon ended before the request was done.
    Shutdown,
    /// A code of a later version.
    Other(Vec<u8>),
}

impl Code {
    /// Every code that this version knows, with its name.
    const NAMES: [(Self, &'static str); 15] = [
        (Self::NoProg, "NOPROG"),
        (Self::NoAction, "NOACTION"),
        (Self::BadAuth, "BADAUTH"),
        (Self::Eperm, "EPERM"),
        (Self::Busy, "BUSY"),
        (Self::NotRunning, "NOTRUNNING"),
        (Self::NoCmd, "NOCMD"),
        (Self::BadMsg, "BADMSG"),
        (Self::BadCmd, "BADCMD"),
        (Self::Spawn, "SPAWN"),
        (Self::Cancelled, "CANCELLED"),
        (Self::BadConf, "BADCONF"),
        (Self::Version, "VERSION"),
        (Self::Limit, "LIMIT"),
        (Self::Shutdown, "SHUTDOWN"),
    ];
}

travels_as_name!(Code, such as "NOPROG");

/// How a process came to its end. On the wire each variant is a number and one byte, those of later versions too, so
/// that a client can read past one that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u8)", into = "(u32, u8)")]
#[non_exhaustive]
pub enum ExitStatus {
    /// It exited with this status.
    Code(u8),
    /// A signal of this number killed it.
    Signal(u8),
    /// It ended, and how is not known: the daemon had taken it over from one that was gone.
    Unknown,
}

impl From<(u32, u8)> for ExitStatus {
    fn from((variant, value): (u32, u8)) -> Self {
        match variant {
            0 => Self::Code(value),
            1 => Self::Signal(value),
            _ => Self::Unknown,
        }
    }
}

impl From<ExitStatus> for (u32, u8) {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Code(code) => (0, code),
            ExitStatus::Signal(signal) => (1, signal),
            ExitStatus::Unknown => (2, 0),
        }
    }
}

impl ExitStatus {
    /// Returns what a shell would have in `$?`: the status, or 128 and the number of the signal; 125 if it is not
    /// known.
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
            Self::Unknown => 125,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit status {code}"),
            Self::Signal(signal) => write!(formatter, "signal {signal}"),
            Self::Unknown => formatter.write_str("an unknown status"),
        }
    }
}

/// A program in [`Response::Programs`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramEntry {
    /// The name of the program.
    pub name: Vec<u8>,
    /// What it is in: `running` or `dead`, then any of `lingering`, `stopping`, `restarting`, `adopted`, `outdated`,
    /// `failed` and words of later versions. An `adopted` one was started by an earlier daemon and is no child of
    /// this one, which may be unable to learn its exit status. A `failed` one has died too often, and the daemon has
    /// given up starting it again.
    pub tokens: Vec<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn every_code_has_a_vector_and_a_line_in_the_document() {
        let vectors = include_str!("../vectors/frames.txt");
        let document = include_str!("../PROTOCOL.md");
        for (_, name) in Code::NAMES {
            let vector = format!("\nresponse/refused/{} = ", name.to_lowercase());
            assert!(vectors.contains(&vector), "{name}");
            assert!(document.contains(&format!("\n| `{name}` | ")), "{name}");
        }
    }
}
