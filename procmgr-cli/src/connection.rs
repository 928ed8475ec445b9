//! One command, asked of the daemon.
//!
//! How an answer looks to the user is not decided here but in `lists`, `table`, `preview` and `json`.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Instant;

use procmgr_proto::client::{Client, Outcome, Preview};
use procmgr_proto::error::{ClientError, ConnectError};
use procmgr_proto::message::{Code, Invocation, Refusal};
use procmgr_proto::stdio::StdioRef;

use crate::reader::Reader;
use crate::table::table;
use crate::{
    Command, FAILED, Format, Goal, ListFormat, Manner, PermissionFormat, json, lists, output, preview, watch,
};

/// Why a command could not be carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    Connect(ConnectError),
    Client(ClientError),
    /// The daemon has answered, but standard output does not take it.
    Output(io::Error),
}

/// Carries out a command. Returns the exit status.
pub(crate) fn perform(command: Command, socket: &Path, manner: Manner) -> Result<u8, Failure> {
    let deadline = manner.timeout.map(|timeout| Instant::now() + timeout);
    let reader = Reader::of_stdout(manner);
    let tell = |remarks: &[Vec<u8>]| {
        if !manner.is_quiet {
            output::remarks(remarks);
        }
    };
    if let Command::Test(format) = command {
        return test(socket, deadline, format, reader);
    }
    let mut client = Client::connect_until(socket, deadline)?;
    match command {
        Command::Test(_) => client.ping()?,
        Command::Stop => client.stop()?,
        Command::Reload => tell(&client.reload()?),
        Command::Preview(format) => {
            let Preview { programs, remarks } = client.preview()?;
            tell(&remarks);
            reader.show(&match format {
                Format::Lines => preview::lines(&programs, reader),
                Format::Json => json::lists::previews(&programs),
            })?;
        }
        Command::Upgrade => client.upgrade()?,
        Command::List(format) => reader.show(&match format {
            ListFormat::Lines => lists::programs(&client.list()?, reader),
            ListFormat::NulTerminated => lists::nul_terminated(&client.list()?),
            ListFormat::Table => table(&client.inspect()?, reader),
            ListFormat::Json => json::lists::details(&client.inspect()?),
        })?,
        Command::Permissions(format) => {
            let permissions = client.permissions()?;
            reader.show(&match format {
                PermissionFormat::Lines => lists::permissions(&permissions, reader),
                PermissionFormat::NulTerminated => lists::nul_terminated_permissions(&permissions),
                PermissionFormat::Json => json::lists::permissions(&permissions),
            })?;
        }
        Command::Watch(format) => {
            watch::follow(client.subscribe()?, deadline, format, reader)?;
            return Ok(FAILED);
        }
        Command::Invoke(invocation, goal) => return invoke(&mut client, invocation, goal, reader),
    }
    Ok(0)
}

/// Has an action performed. Returns its exit status.
fn invoke(
    client: &mut Client,
    invocation: Invocation,
    goal: Option<Goal>,
    reader: Reader,
) -> Result<u8, Failure> {
    let program = invocation.program.clone();
    match client.invoke(invocation, StdioRef::of_process()) {
        Ok(Outcome::Done) => Ok(0),
        Ok(Outcome::Exited(status)) => Ok(status.shell_code()),
        Ok(Outcome::Status { running }) => tell_whether_running(running, Format::Lines, reader),
        Err(ClientError::Refused(refusal)) => match goal {
            Some(goal) if is_reached(goal, &refusal, client, &program)? => Ok(0),
            Some(_) | None => Err(ClientError::Refused(refusal).into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Tells whether an action was refused only because there is nothing to do.
fn is_reached(
    goal: Goal,
    refusal: &Refusal,
    client: &mut Client,
    program: &[u8],
) -> Result<bool, ClientError> {
    match (goal, &refusal.code) {
        (Goal::Down, Code::NotRunning) => Ok(true),
        // Who is about to end is in the way of a start, too, and does not go on.
        (Goal::Running, Code::Busy) => {
            let programs = match client.list() {
                Ok(programs) => programs,
                // Whatever the program does, the action is refused and does not go on.
                Err(ClientError::TimedOut | ClientError::NotSentInTime) => return Ok(false),
                Err(error) => return Err(error),
            };
            let goes_on = |tokens: &[Vec<u8>]| {
                let has = |word: &[u8]| tokens.iter().any(|token| token == word);
                has(b"running") && !has(b"stopping") && !has(b"restarting")
            };
            Ok(programs.iter().any(|entry| entry.name == program && goes_on(&entry.tokens)))
        }
        (Goal::Down | Goal::Running, _) => Ok(false),
    }
}

/// Finds out whether a daemon answers. That none does is an answer, too.
fn test(socket: &Path, deadline: Option<Instant>, format: Format, reader: Reader) -> Result<u8, Failure> {
    match Client::connect_until(socket, deadline) {
        Ok(mut client) => {
            client.ping()?;
            tell_whether_running(true, format, reader)
        }
        Err(ConnectError::Absent { .. } | ConnectError::Refused { .. }) => {
            tell_whether_running(false, format, reader)
        }
        Err(error) => Err(error.into()),
    }
}

/// Shows whether something runs: a program or the daemon. Returns the exit status that says the same.
fn tell_whether_running(is_running: bool, format: Format, reader: Reader) -> Result<u8, Failure> {
    reader.show(&match format {
        Format::Json => json::running(is_running),
        Format::Lines if is_running => b"running\n".to_vec(),
        Format::Lines => b"not running\n".to_vec(),
    })?;
    Ok(if is_running { 0 } else { FAILED })
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
