//! A connection to the daemon: requests out, answers and events in, as many under way as one likes.
//!
//! Which answer suits which request is not judged here but by whoever asked; `client` does so for one at a time.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use crate::codec::{DecodeError, EncodeError, decode_event, decode_response, encode_request};
use crate::deadline::Deadline;
use crate::error::{ClientError, ConnectError, lost_or_failed, send_failed};
use crate::event::Event;
use crate::frame::{CONNECTION_ID, HEADER_LENGTH, Header, Kind, VERSION};
use crate::message::{Request, Response};

/// A connection to the daemon, on which several requests may be under way at once.
///
/// Sending and receiving wait for the daemon, until the [deadline](Self::set_deadline) if there is one. Whoever wants
/// to wait for other things as well polls the descriptor ([`AsFd`]) and receives when it is readable. Dropping the
/// connection while requests are under way changes nothing for them: they are carried out.
///
/// # Example
///
/// ```
/// use procmgr_proto::connection::{Connection, Message};
/// use procmgr_proto::message::{Invocation, Request};
/// use procmgr_proto::stdio::StdioRef;
/// # use std::io::Write;
/// # use std::os::unix::net::UnixStream;
/// # use procmgr_proto::codec::encode_response;
/// # use procmgr_proto::message::{ExitStatus, Response};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // As a rule: let mut connection = Connection::connect(Path::new("/var/run/procmgr"))?;
/// # let (ours, mut daemon) = UnixStream::pair()?;
/// # daemon.write_all(&encode_response(2, &Response::Exited(ExitStatus::Signal(15)))?)?;
/// # daemon.write_all(&encode_response(1, &Response::Exited(ExitStatus::Code(0)))?)?;
/// # let mut connection = Connection::over(ours);
/// for program in ["web", "db"] {
///     let (program, action) = (program.into(), b"stop".to_vec());
///     let request = Request::Invoke(Invocation { program, action, arguments: vec![] });
///     connection.send(&request, &StdioRef::of_process().descriptors())?;
/// }
/// // Whichever ends first is told first.
/// for _ in 0..2 {
///     if let (id, Message::Response(response)) = connection.receive()? {
///         println!("the answer to request {id} is {response:?}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    last_id: u32,
    deadline: Deadline,
}

/// What the daemon has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// The answer to the request of that id. With the id [`CONNECTION_ID`] it is a refusal of the connection as a
    /// whole.
    Response(Response),
    /// Something that the subscription of that id tells.
    Event(Event),
}

impl Connection {
    /// Connects to the daemon that listens on the socket of that path.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(path: &Path) -> Result<Self, ConnectError> {
        Self::connect_until(path, None)
    }

    /// Connects as [`connect`](Self::connect) does, and waits until this instant at the most, which is then the
    /// [deadline](Self::set_deadline) of the connection as well. A connection has to wait while too many others do.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect_until(path: &Path, deadline: Option<Instant>) -> Result<Self, ConnectError> {
        let length = path.as_os_str().len();
        if length > MAX_PATH {
            return Err(ConnectError::PathTooLong { path: path.to_owned(), length });
        }
        let deadline = Deadline(deadline);
        let stream = deadline.connect(path).map_err(|error| ConnectError::new(path, error))?;
        Ok(Self { deadline, ..Self::over(stream) })
    }

    /// Takes a stream that is connected to the daemon and on which nothing has been said, whether it is a blocking one
    /// or not.
    pub fn over(stream: UnixStream) -> Self {
        Self { stream, last_id: CONNECTION_ID, deadline: Deadline(None) }
    }

    /// Sets the instant until which everything that follows waits at the most, all together; `None` is to wait as long
    /// as it takes, as in the beginning.
    ///
    /// From that instant on, sending fails by [`ClientError::NotSentInTime`] and receiving by
    /// [`ClientError::TimedOut`], also where there would be nothing to wait for. The connection is of no more use
    /// then, as half a frame may be under way in either direction.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = Deadline(deadline);
    }

    /// Sends a request with the descriptors that it brings, of which the daemon gets duplicates; the caller keeps its
    /// own. Returns the id that the answer will bear.
    ///
    /// They have to be as many as [`Request::descriptors`] says, or the daemon refuses the request. Ids count up from
    /// 1.
    ///
    /// The daemon reads no more requests while 64 of this connection are under way, or while answers wait to be
    /// received: whoever sends on and on without receiving waits for ever, and is cut off in the end.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`], after which the connection serves on; [`ClientError::Send`], after which nothing
    /// more can be sent. Why the daemon has hung up may be there to be received even then.
    /// [`ClientError::NotSentInTime`], after which the request is not carried out, as the daemon has not got all of it.
    pub fn send(&mut self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<u32, ClientError> {
        let id = self.last_id.checked_add(1).unwrap_or(CONNECTION_ID + 1);
        let frame = encode_request(id, request).map_err(|EncodeError::TooLong| ClientError::TooLarge)?;
        self.last_id = id;
        match self.deadline.send(&self.stream, &frame, descriptors) {
            Ok(()) => Ok(id),
            Err(error) => Err(send_failed(error)),
        }
    }

    /// Waits for the next answer or event, and returns it with the id of its request. Events of a kind that this
    /// version does not know are passed over.
    ///
    /// # Errors
    /// See [`ClientError`]; a refusal is none here. After an error the connection is of no more use, and is to be
    /// dropped, which closes it.
    pub fn receive(&mut self) -> Result<(u32, Message), ClientError> {
        loop {
            let (header, body) = self.receive_frame()?;
            let message = match header.kind {
                Kind::Response => {
                    understand(&header, decode_response(&body), is_frozen).map(Message::Response)
                }
                Kind::Event => match decode_event(&body) {
                    Err(DecodeError::UnknownVariant(_)) if header.version == VERSION => continue,
                    event => understand(&header, event, |_| false).map(Message::Event),
                },
                Kind::Request => Err(ClientError::Protocol("the daemon asks us something".to_owned())),
            };
            return Ok((header.id, message?));
        }
    }

    pub(crate) fn last_id(&self) -> u32 {
        self.last_id
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Receives a frame. It brings no descriptors; should some come nevertheless, none can pile up here.
    fn receive_frame(&mut self) -> Result<(Header, Vec<u8>), ClientError> {
        let mut header = [0; HEADER_LENGTH];
        self.deadline.read_exact(&self.stream, &mut header).map_err(lost_or_failed)?;
        let header = Header::parse(&header).map_err(|error| ClientError::Protocol(error.to_string()))?;
        let mut body = vec![0; header.length as usize];
        self.deadline.read_exact(&self.stream, &mut body).map_err(lost_or_failed)?;
        Ok((header, body))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Returns the message of a frame, if it is written in a version that we know or is the same in all of them.
fn understand<M>(
    header: &Header,
    message: Result<M, DecodeError>,
    is_frozen: impl FnOnce(&M) -> bool,
) -> Result<M, ClientError> {
    match message {
        Ok(message) if header.version == VERSION || is_frozen(&message) => Ok(message),
        Err(error) if header.version == VERSION => Err(ClientError::Protocol(error.to_string())),
        Ok(_) | Err(_) => Err(ClientError::Version(header.version)),
    }
}

/// Tells whether the response is the same in every version of the protocol.
fn is_frozen(response: &Response) -> bool {
    match response {
        Response::Refused(_) | Response::Done | Response::Programs(_) | Response::Reloaded { .. } => true,
        Response::Exited(_)
        | Response::Status { .. }
        | Response::Subscribed { .. }
        | Response::Inspected(_)
        | Response::Previewed { .. }
        | Response::Permissions(_) => false,
    }
}

/// The longest path of a socket: what the kernel's `sun_path` holds beside the NUL at its end.
pub const MAX_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_ever_has_the_id_of_the_connection() {
        let (stream, daemon) = UnixStream::pair().unwrap();
        let mut connection = Connection { last_id: u32::MAX, ..Connection::over(stream) };
        drop(daemon);
        assert!(matches!(connection.send(&Request::Ping, &[]), Err(ClientError::Send(_))));
        assert_eq!(connection.last_id, 1);
    }
}
