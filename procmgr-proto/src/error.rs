//! What can go wrong between a client and the daemon, told apart as far as it matters to whoever asked.
//!
//! Why a *message* is not understood stands beside the code that reads it, in `frame` and `codec`.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::connection::MAX_PATH;
use crate::frame::VERSION;
use crate::message::Refusal;

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is nothing at the path.
    Absent {
        /// Where the socket was looked for.
        path: PathBuf,
    },
    /// There is a socket, but nobody listens on it.
    Refused {
        /// The path of the socket.
        path: PathBuf,
    },
    /// This user may not use the socket, or not enter a directory on the way to it.
    NotPermitted {
        /// The path of the socket.
        path: PathBuf,
    },
    /// What is at the path is not a socket.
    NotSocket {
        /// The path.
        path: PathBuf,
    },
    /// No socket can have so long a path.
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// How many bytes it has.
        length: usize,
    },
    /// The daemon has not taken up the connection in time.
    TimedOut {
        /// The path of the socket.
        path: PathBuf,
    },
    /// Something else, which the source tells.
    Other {
        /// The path of the socket.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

impl ConnectError {
    pub(crate) fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Absent { path },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { path },
            io::ErrorKind::TimedOut => Self::TimedOut { path },
            // The kernel says the same of a socket without a listener and of a file that is none.
            io::ErrorKind::ConnectionRefused => match path.metadata() {
                Ok(metadata) if !metadata.file_type().is_socket() => Self::NotSocket { path },
                Ok(_) | Err(_) => Self::Refused { path },
            },
            _ => Self::Other { path, source },
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self {
            Self::Absent { path }
            | Self::Refused { path }
            | Self::NotPermitted { path }
            | Self::NotSocket { path }
            | Self::PathTooLong { path, .. }
            | Self::TimedOut { path }
            | Self::Other { path, .. } => path.display(),
        };
        write!(formatter, "cannot connect to {path}")?;
        match self {
            Self::Absent { .. } => formatter.write_str(": there is no such socket; does a daemon run?"),
            Self::Refused { .. } => formatter.write_str(": connection refused, nobody listens"),
            Self::NotPermitted { .. } => formatter.write_str(": not permitted"),
            Self::NotSocket { .. } => formatter.write_str(": is not a socket"),
            Self::PathTooLong { length, .. } => {
                write!(formatter, ": the path has {length} bytes, that of a socket at most {MAX_PATH}")
            }
            Self::TimedOut { .. } => formatter.write_str(": not taken up in time"),
            Self::Other { .. } => Ok(()),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Other { source, .. } => Some(source),
            Self::Absent { .. }
            | Self::Refused { .. }
            | Self::NotPermitted { .. }
            | Self::NotSocket { .. }
            | Self::PathTooLong { .. }
            | Self::TimedOut { .. } => None,
        }
    }
}

/// Why a request was not carried out, or why nobody knows.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The daemon refused it.
    Refused(Refusal),
    /// It is larger than a frame may be, and was not sent.
    TooLarge,
    /// It could not be sent.
    Send(io::Error),
    /// The daemon went away before it answered. What was under way may have happened or not.
    Lost,
    /// The answer could not be received.
    Receive(io::Error),
    /// The deadline has come before all of it was sent: it is not carried out.
    NotSentInTime,
    /// The deadline has come before the answer. The request was sent, and what was asked for goes on in the daemon.
    TimedOut,
    /// The daemon answered in this version, which this client does not understand.
    Version(u16),
    /// The daemon's answer makes no sense; the text says why.
    Protocol(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The text may quote what another user has chosen; a terminal shall not obey it.
            Self::Refused(Refusal { code, text }) => write!(formatter, "({code}) {}", text.escape_ascii()),
            Self::TooLarge => formatter.write_str("the request is too large"),
            Self::Send(_) => formatter.write_str("cannot send the request"),
            Self::Lost => formatter.write_str("the daemon went away before it answered"),
            Self::Receive(_) => formatter.write_str("cannot receive the answer"),
            Self::NotSentInTime => formatter.write_str("the daemon has not taken the request in time"),
            Self::TimedOut => formatter.write_str("the daemon has not answered in time"),
            Self::Version(version) => {
                write!(formatter, "the daemon answers in version {version} of the protocol, not in {VERSION}")
            }
            Self::Protocol(reason) => write!(formatter, "the daemon's answer makes no sense: {reason}"),
        }
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Send(source) | Self::Receive(source) => Some(source),
            Self::Refused(_)
            | Self::TooLarge
            | Self::Lost
            | Self::NotSentInTime
            | Self::TimedOut
            | Self::Version(_)
            | Self::Protocol(_) => None,
        }
    }
}

pub(crate) fn send_failed(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::TimedOut => ClientError::NotSentInTime,
        _ => ClientError::Send(error),
    }
}

pub(crate) fn lost_or_failed(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::TimedOut => ClientError::TimedOut,
        _ if is_hang_up(&error) => ClientError::Lost,
        _ => ClientError::Receive(error),
    }
}

/// Tells whether the peer has closed the connection. It is reset when the peer had not read everything.
pub(crate) fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::ConnectError;

    #[test]
    fn a_lack_of_rights_is_told_apart() {
        // The file system does not deny root anything, and tests may be run by root.
        let error = ConnectError::new(Path::new("/s"), io::ErrorKind::PermissionDenied.into());
        assert!(matches!(error, ConnectError::NotPermitted { .. }));
        assert_eq!(error.to_string(), "cannot connect to /s: not permitted");
    }
}
