//! The changes of programs, one after the other, as they happen.
//!
//! What a change is stands in `event`; showing it is the business of whoever subscribed.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use crate::connection::{Connection, Message};
use crate::error::ClientError;
use crate::event::{Event, ProgramStatus};
use crate::frame::CONNECTION_ID;
use crate::message::Response;

/// A subscription: an iterator that waits for the next event, and ends after the first error.
///
/// Whoever does not fetch events for long is cut off by the daemon, which keeps a limited number of bytes for each
/// client: the iterator then returns the events that were kept, and [`ClientError::Refused`] with the code
/// [`Limit`](crate::message::Code::Limit). A daemon that ends says [`Shutdown`](crate::message::Code::Shutdown).
/// Whoever wants to go on connects and subscribes again; dropping the subscription closes its connection. It keeps the
/// deadline of its client, and ends by [`ClientError::TimedOut`] when that comes, unless
/// [another](Self::set_deadline) is set.
///
/// To wait for other things as well, poll the descriptor ([`AsFd`]) and take the next event when it is readable; that
/// still waits if only a part of the event has come, or one that this version passes over.
///
/// # Example
///
/// ```
/// use procmgr_proto::client::Client;
/// use procmgr_proto::error::ClientError;
/// use procmgr_proto::event::Event;
/// # use std::io::Write;
/// # use std::os::unix::net::UnixStream;
/// # use procmgr_proto::codec::{encode_event, encode_response};
/// # use procmgr_proto::connection::Connection;
/// # use procmgr_proto::event::{Change, ProgramStatus, State};
/// # use procmgr_proto::message::{Code, Refusal, Response};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // As a rule: let client = Client::connect(Path::new("/var/run/procmgr"))?;
/// # let (ours, mut daemon) = UnixStream::pair()?;
/// # let web = |state, pid| ProgramStatus { name: b"web".to_vec(), state, pid, marks: vec![] };
/// # let programs = vec![web(State::Starting, None)];
/// # daemon.write_all(&encode_response(1, &Response::Subscribed { programs })?)?;
/// # let program = web(State::Running, Some(820));
/// # let change = Change { time: 1_772_357_400_125, program, ended: None, failure: None, by: None };
/// # daemon.write_all(&encode_event(1, &Event::Changed(change))?)?;
/// # let refusal = Refusal::new(Code::Shutdown, "the daemon ends");
/// # daemon.write_all(&encode_response(1, &Response::Refused(refusal))?)?;
/// # let client = Client::over(Connection::over(ours));
/// let subscription = client.subscribe()?;
/// for program in subscription.programs() {
///     println!("{} is {}", program.name.escape_ascii(), program.state);
/// }
/// for event in subscription {
///     match event {
///         Ok(Event::Changed(change)) => {
///             println!("{} is now {}", change.program.name.escape_ascii(), change.program.state);
///         }
///         // Of a later version of this crate.
///         Ok(_) => {}
///         Err(ClientError::Refused(refusal)) => println!("no more events: {}", refusal.code),
///         Err(error) => return Err(error.into()),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Subscription {
    connection: Connection,
    id: u32,
    programs: Vec<ProgramStatus>,
    has_ended: bool,
}

impl Subscription {
    pub(crate) fn new(connection: Connection, id: u32, programs: Vec<ProgramStatus>) -> Self {
        Self { connection, id, programs, has_ended: false }
    }

    /// Returns what the programs were when the subscription began, in the order of the configuration file. The first
    /// event is the first change after that.
    pub fn programs(&self) -> &[ProgramStatus] {
        &self.programs
    }

    /// Sets the instant until which events are waited for at the most; `None` is to wait as long as it takes.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.connection.set_deadline(deadline);
    }

    fn receive(&mut self) -> Result<Event, ClientError> {
        match self.connection.receive()? {
            (id, Message::Event(event)) if id == self.id => Ok(event),
            (id, Message::Response(Response::Refused(refusal))) if id == self.id || id == CONNECTION_ID => {
                Err(ClientError::Refused(refusal))
            }
            (id, _) => {
                Err(ClientError::Protocol(format!("expected an event of {}, got something of {id}", self.id)))
            }
        }
    }
}

impl Iterator for Subscription {
    type Item = Result<Event, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let event = self.receive();
        self.has_ended = event.is_err();
        Some(event)
    }
}

impl AsFd for Subscription {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}
