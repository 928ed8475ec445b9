//! What ends the daemon, or keeps it from starting.
//!
//! What goes wrong with one client or one program is not here: that is a value, answered on the spot.

use std::fmt;
use std::io;
use std::path::PathBuf;

use procmgr_config::load::LoadError;
use procmgr_proto::connection::MAX_PATH;

/// Why the daemon cannot start or go on.
#[derive(Debug)]
pub enum Error {
    /// The configuration cannot be used. Its findings, if there are any, are to be shown line by line.
    Config(LoadError),
    /// Another daemon has this socket.
    AlreadyRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// Another daemon keeps its state in this folder.
    StateTaken {
        /// The folder.
        folder: PathBuf,
    },
    /// Something else than a socket that nobody uses is where the socket is to be.
    Occupied {
        /// Where the socket was to be.
        socket: PathBuf,
        /// What is there.
        by: &'static str,
    },
    /// A system manager has handed over something that is not the socket that clients connect to.
    Useless {
        /// What is wrong with it.
        reason: String,
    },
    /// The path of the socket is longer than the kernel takes.
    SocketPathTooLong {
        /// The path.
        socket: PathBuf,
    },
    /// Something that the daemon cannot do without does not work.
    System {
        /// What was attempted.
        attempt: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Returns a function that says what was attempted when the system refused it.
    pub(crate) fn system<E: Into<io::Error>>(attempt: impl Into<String>) -> impl FnOnce(E) -> Self {
        let attempt = attempt.into();
        |source| Self::System { attempt, source: source.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(formatter),
            Self::AlreadyRunning { socket } => {
                write!(formatter, "a daemon is running already at {}", socket.display())
            }
            Self::StateTaken { folder } => {
                write!(formatter, "another daemon keeps its state in {}", folder.display())
            }
            Self::Occupied { socket, by } => {
                write!(formatter, "cannot create socket {}: {by} is there", socket.display())
            }
            Self::Useless { reason } => {
                write!(formatter, "cannot use what the system manager has handed over: {reason}")
            }
            Self::SocketPathTooLong { socket } => write!(
                formatter,
                "cannot create socket {}: the path has {} bytes, and at most {MAX_PATH} are possible",
                socket.display(),
                socket.as_os_str().len()
            ),
            Self::System { attempt, source } => write!(formatter, "cannot {attempt}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::System { source, .. } => Some(source),
            Self::AlreadyRunning { .. }
            | Self::StateTaken { .. }
            | Self::Occupied { .. }
            | Self::Useless { .. }
            | Self::SocketPathTooLong { .. } => None,
        }
    }
}
