//! A client that sends one request at a time and waits for its answer.
//!
//! It shows nothing to a user and picks no exit code; whoever asked does.

mod process;

use std::error::Error;
use std::fmt;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::client::process::DaemonProcess;
use crate::codec::{EncodeError, decode_response, encode_request};
use crate::frame::{CONNECTION_ID, HEADER_LENGTH, Header, Kind, VERSION};
use crate::message::{ExitStatus, Invocation, ProgramEntry, Refusal, Request, Response};
use crate::stdio::{self, StdioRef};

/// A connection to the daemon.
///
/// After [`ClientError::Refused`] and [`ClientError::TooLarge`] it serves on, unless what the daemon refused was the
/// connection itself. After any other error, and after [`stop`](Self::stop), it is of no more use. Dropping it while
/// the daemon is at work changes nothing for the program: the action goes on.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    last_id: u32,
}

impl Client {
    /// Connects to the daemon that listens on the socket of that path.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(path: &Path) -> Result<Self, ConnectError> {
        let length = path.as_os_str().len();
        if length > MAX_PATH {
            return Err(ConnectError::PathTooLong { path: path.to_owned(), length });
        }
        let stream = UnixStream::connect(path).map_err(|error| ConnectError::new(path, error))?;
        Ok(Self { stream, last_id: CONNECTION_ID })
    }

    /// Asks whether the daemon answers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn ping(&mut self) -> Result<(), ClientError> {
        let Response::Done = self.ask(&Request::Ping)? else { return Err(unsuitable("ping")) };
        Ok(())
    }

    /// Asks for the programs, in the order of the configuration file.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn list(&mut self) -> Result<Vec<ProgramEntry>, ClientError> {
        let Response::Programs(programs) = self.ask(&Request::List)? else { return Err(unsuitable("list")) };
        Ok(programs)
    }

    /// Asks the daemon to read its configuration again, and returns what it has to remark about it.
    ///
    /// # Errors
    /// See [`ClientError`]; a configuration with errors is refused as [`Code::BadConf`](crate::message::Code::BadConf).
    pub fn reload(&mut self) -> Result<Vec<Vec<u8>>, ClientError> {
        let Response::Reloaded { remarks } = self.ask(&Request::Reload)? else {
            return Err(unsuitable("reload"));
        };
        Ok(remarks)
    }

    /// Asks the daemon to end, and returns when its process is gone.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn stop(&mut self) -> Result<(), ClientError> {
        let process = DaemonProcess::behind(&self.stream);
        match self.ask(&Request::Stop) {
            // Without an answer, it has ended for another's sake.
            Ok(Response::Done) | Err(ClientError::Lost) => {}
            Err(ClientError::Send(error)) if is_hang_up(&error) => {}
            Ok(_) => return Err(unsuitable("stop")),
            Err(error) => return Err(error),
        }
        // The daemon keeps the connection until its end, which closes it.
        match io::copy(&mut self.stream, &mut io::sink()) {
            Err(error) if !is_hang_up(&error) => Err(ClientError::Receive(error)),
            Ok(_) | Err(_) => {
                process.wait();
                Ok(())
            }
        }
    }

    /// Asks for an action on a program, lends the three descriptors to its script, and waits as long as the action is
    /// to be waited for.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn invoke(&mut self, invocation: &Invocation, stdio: StdioRef<'_>) -> Result<Outcome, ClientError> {
        match self.exchange(&Request::Invoke(invocation.clone()), &stdio.descriptors())? {
            Response::Done => Ok(Outcome::Done),
            Response::Exited(status) => Ok(Outcome::Exited(status)),
            Response::Status { running } => Ok(Outcome::Status { running }),
            Response::Refused(_) | Response::Programs(_) | Response::Reloaded { .. } => {
                Err(unsuitable("invoke"))
            }
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        self.exchange(request, &[])
    }

    /// Sends the request and returns its answer, which is no refusal: that becomes the error.
    fn exchange(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Response, ClientError> {
        let id = self.last_id.checked_add(1).unwrap_or(CONNECTION_ID + 1);
        let frame = encode_request(id, request).map_err(|EncodeError::TooLong| ClientError::TooLarge)?;
        self.last_id = id;
        match stdio::send(&self.stream, &frame, descriptors) {
            Ok(()) => self.answer_to(id),
            // A daemon that refuses to read on says so and hangs up; its answer is there although we could not finish.
            Err(error) if is_hang_up(&error) => match self.answer_to(id) {
                Err(ClientError::Lost) => Err(ClientError::Send(error)),
                answer => answer,
            },
            Err(error) => Err(ClientError::Send(error)),
        }
    }

    fn answer_to(&mut self, id: u32) -> Result<Response, ClientError> {
        let (header, body) = self.receive()?;
        if header.kind != Kind::Response {
            return Err(ClientError::Protocol(format!("expected a response, got {:?}", header.kind)));
        }
        let response = decode_response(&body);
        let concerns_us =
            header.id == id || header.id == CONNECTION_ID && matches!(response, Ok(Response::Refused(_)));
        if !concerns_us {
            return Err(ClientError::Protocol(format!("expected the answer to {id}, got {}", header.id)));
        }
        match response {
            Ok(Response::Refused(refusal)) => Err(ClientError::Refused(refusal)),
            Ok(response) if header.version == VERSION || is_frozen(&response) => Ok(response),
            Err(error) if header.version == VERSION => Err(ClientError::Protocol(error.to_string())),
            Ok(_) | Err(_) => Err(ClientError::Version(header.version)),
        }
    }

    /// Receives a frame. A response brings no descriptors; should some come nevertheless, a plain read makes the kernel
    /// close them, so none can pile up here.
    fn receive(&mut self) -> Result<(Header, Vec<u8>), ClientError> {
        let mut header = [0; HEADER_LENGTH];
        self.stream.read_exact(&mut header).map_err(lost_or_failed)?;
        let header = Header::parse(&header).map_err(|error| ClientError::Protocol(error.to_string()))?;
        let mut body = vec![0; header.length as usize];
        self.stream.read_exact(&mut body).map_err(lost_or_failed)?;
        Ok((header, body))
    }
}

/// How an action that was carried out has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and there is no status.
    Done,
    /// The script, or the program that was stopped, has ended like this.
    Exited(ExitStatus),
    /// The answer to a `status` that has no script.
    Status {
        /// Whether the program has a process.
        running: bool,
    },
}

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
    /// Something else, which the source tells.
    Other {
        /// The path of the socket.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

impl ConnectError {
    fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Absent { path },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { path },
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
            | Self::Other { path, .. } => path.display(),
        };
        write!(formatter, "cannot connect to {path}")?;
        match self {
            Self::Absent { .. } => formatter.write_str(": there is no such socket"),
            Self::Refused { .. } => formatter.write_str(": connection refused, nobody listens"),
            Self::NotPermitted { .. } => formatter.write_str(": not permitted"),
            Self::NotSocket { .. } => formatter.write_str(": is not a socket"),
            Self::PathTooLong { length, .. } => {
                write!(formatter, ": the path has {length} bytes, that of a socket at most {MAX_PATH}")
            }
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
            | Self::PathTooLong { .. } => None,
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
            Self::Refused(_) | Self::TooLarge | Self::Lost | Self::Version(_) | Self::Protocol(_) => None,
        }
    }
}

fn lost_or_failed(error: io::Error) -> ClientError {
    if is_hang_up(&error) { ClientError::Lost } else { ClientError::Receive(error) }
}

/// Tells whether the peer has closed the connection. It is reset when the peer had not read everything.
fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Tells whether the response is the same in every version of the protocol.
fn is_frozen(response: &Response) -> bool {
    match response {
        Response::Refused(_) | Response::Done | Response::Programs(_) | Response::Reloaded { .. } => true,
        Response::Exited(_) | Response::Status { .. } => false,
    }
}

fn unsuitable(request: &str) -> ClientError {
    ClientError::Protocol(format!("it does not suit the request {request}"))
}

/// The longest path of a socket: what the kernel's `sun_path` holds beside the NUL at its end.
pub const MAX_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    use super::{Client, ClientError, ConnectError};

    #[test]
    fn a_lack_of_rights_is_told_apart() {
        // The file system does not deny root anything, and tests may be run by root.
        let error = ConnectError::new(Path::new("/s"), io::ErrorKind::PermissionDenied.into());
        assert!(matches!(error, ConnectError::NotPermitted { .. }));
        assert_eq!(error.to_string(), "cannot connect to /s: not permitted");
    }

    #[test]
    fn no_request_ever_has_the_id_of_the_connection() {
        let (stream, daemon) = UnixStream::pair().unwrap();
        let mut client = Client { stream, last_id: u32::MAX };
        drop(daemon);
        assert!(matches!(client.ping(), Err(ClientError::Send(_))));
        assert_eq!(client.last_id, 1);
    }
}
