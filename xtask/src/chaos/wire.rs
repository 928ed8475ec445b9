//! Connections to the daemon, and its answers and events read by hand.
//!
//! What is asked for, and whether the answer is right, is not known here; how requests are written, in `crate::wire`.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::wire::{Request, receive};

/// A connection with one request at a time, or with a subscription.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    null: File,
}

/// What it answers, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Response {
    Refused {
        code: String,
        text: String,
    },
    Done,
    /// How a process has ended: as [`Event::ended`].
    Exited((u32, u8)),
    Status {
        is_running: bool,
    },
    Reloaded,
    Subscribed(Vec<Condition>),
}

/// What a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) pid: Option<u32>,
    pub(super) marks: Vec<String>,
}

/// What a program has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) condition: Condition,
    /// How its main process has ended, if it has: the kind of the end, and a number.
    pub(super) ended: Option<(u32, u8)>,
}

impl Connection {
    /// Connects. Whoever has to wait for far too long for an answer is told so, as [`io::ErrorKind::WouldBlock`].
    pub(super) fn open(socket: &Path) -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, null })
    }

    /// Asks for one thing only.
    pub(super) fn ask_once(socket: &Path, request: Request<'_>) -> io::Result<Response> {
        Self::open(socket)?.ask(request)
    }

    /// Waits for ever from now on.
    pub(super) fn be_patient(&self) -> io::Result<()> {
        self.stream.set_read_timeout(None)
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&mut self, request: Request<'_>) -> io::Result<Response> {
        let sent = request.send(&self.stream, &self.null);
        // Whoever is turned away finds the answer there, and nobody who takes what it sends.
        let (_, body) = receive(&self.stream).or_else(|error| sent.and(Err(error)))?;
        Reader(&body).response().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Waits for the next event of the subscription; `None` if the connection has come to its end.
    pub(super) fn event(&mut self) -> io::Result<Option<Event>> {
        match receive(&self.stream) {
            Ok((EVENT, body)) => {
                Reader(&body).event().map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
            }
            Ok(_) => Ok(None),
            Err(error) if is_end(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns whether a connection has ended because the daemon has.
pub(super) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Far longer than any request takes, whatever becomes of the daemon.
const PATIENCE: Duration = Duration::from_secs(20);

/// The kind of frames that nobody has asked for.
const EVENT: u8 = 3;

/// Takes values off the front of a body.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn response(&mut self) -> Option<Response> {
        Some(match self.u32()? {
            0 => Response::Refused { code: self.text()?, text: self.text()? },
            1 => Response::Done,
            2 => Response::Exited(self.exit_status()?),
            3 => Response::Status { is_running: self.bool()? },
            5 => Response::Reloaded,
            6 => Response::Subscribed(self.list(Self::condition)?),
            _ => return None,
        })
    }

    fn event(&mut self) -> Option<Event> {
        let (_changed, _time) = (self.u32()?, self.u64()?);
        let condition = self.condition()?;
        let ended = if self.bool()? { Some(self.exit_status()?) } else { None };
        Some(Event { condition, ended })
    }

    fn condition(&mut self) -> Option<Condition> {
        Some(Condition {
            name: self.text()?,
            state: self.text()?,
            pid: if self.bool()? { Some(self.u32()?) } else { None },
            marks: self.list(Self::text)?,
        })
    }

    fn exit_status(&mut self) -> Option<(u32, u8)> {
        Some((self.u32()?, self.u8()?))
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.u64()?).map(|_| item(self)).collect()
    }

    fn bool(&mut self) -> Option<bool> {
        self.u8().map(|byte| byte == 1)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.u64()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    #[test]
    fn responses_and_events_are_read_as_the_protocol_has_them() {
        let condition = [&text("web")[..], &text("running"), &[1, 7, 0, 0, 0], &[1, 0, 0, 0, 0, 0, 0, 0]];
        let condition = [&condition.concat()[..], &text("adopted")].concat();
        let expected = Condition {
            name: "web".to_owned(),
            state: "running".to_owned(),
            pid: Some(7),
            marks: vec!["adopted".to_owned()],
        };
        let subscribed = [&[6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..], &condition].concat();
        assert_eq!(Reader(&subscribed).response(), Some(Response::Subscribed(vec![expected.clone()])));
        let changed = [&[0; 12][..], &condition, &[1, 1, 0, 0, 0, 15, 0, 0]].concat();
        let event = Event { condition: expected, ended: Some((1, 15)) };
        assert_eq!(Reader(&changed).event(), Some(event));
        let refused = [&[0; 4][..], &text("BUSY"), &text("x")].concat();
        let refusal = Response::Refused { code: "BUSY".to_owned(), text: "x".to_owned() };
        assert_eq!(Reader(&refused).response(), Some(refusal));
        for length in 0..refused.len() {
            assert_eq!(Reader(&refused[..length]).response(), None, "{length}");
        }
    }
}
