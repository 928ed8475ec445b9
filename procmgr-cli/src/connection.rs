//! One command, asked of the daemon.
//!
//! How an answer looks to the user is not decided here but in `output`.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use procmgr_proto::client::{Client, Outcome};
use procmgr_proto::error::{ClientError, ConnectError};
use procmgr_proto::stdio::StdioRef;

use crate::{Command, FAILED, output, watch};

/// Why a command could not be carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    Connect(ConnectError),
    Client(ClientError),
    /// The daemon has answered, but standard output does not take it.
    Output(io::Error),
}

/// Carries out a command. Returns the exit status.
pub(crate) fn perform(command: Command, socket: &Path) -> Result<u8, Failure> {
    if let Command::Test = command {
        return test(socket);
    }
    let mut client = Client::connect(socket)?;
    match command {
        Command::Test => client.ping()?,
        Command::Stop => client.stop()?,
        Command::Reload => output::remarks(&client.reload()?),
        Command::Upgrade => client.upgrade()?,
        Command::List(format) => output::programs(&client.list()?, format)?,
        Command::Watch(format) => {
            watch::follow(client.subscribe()?, format)?;
            // Nobody reads on: there is nothing to complain about, nor is it what was asked for.
            return Ok(FAILED);
        }
        Command::Invoke(invocation) => {
            return match client.invoke(invocation, StdioRef::of_process())? {
                Outcome::Done => Ok(0),
                Outcome::Exited(status) => Ok(status.shell_code()),
                Outcome::Status { running } => {
                    output::is_running(running)?;
                    Ok(if running { 0 } else { FAILED })
                }
            };
        }
    }
    Ok(0)
}

/// Finds out whether a daemon answers. That none does is an answer, too.
fn test(socket: &Path) -> Result<u8, Failure> {
    match Client::connect(socket) {
        Ok(mut client) => {
            client.ping()?;
            output::is_running(true)?;
            Ok(0)
        }
        Err(ConnectError::Absent { .. } | ConnectError::Refused { .. }) => {
            output::is_running(false)?;
            Ok(FAILED)
        }
        Err(error) => Err(error.into()),
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(formatter),
            Self::Client(error) => error.fmt(formatter),
            Self::Output(_) => formatter.write_str("cannot write to standard output"),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(error) => error.source(),
            Self::Client(error) => error.source(),
            Self::Output(error) => Some(error),
        }
    }
}
