//! A client that sends one request at a time and waits for its answer.
//!
//! It shows nothing to a user and picks no exit code; whoever asked does.

mod process;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use crate::client::process::DaemonProcess;
use crate::connection::{Connection, Message};
use crate::details::{Permission, ProgramDetails, ProgramPreview};
use crate::error::{ClientError, ConnectError, is_hang_up, lost_or_failed};
use crate::frame::CONNECTION_ID;
use crate::message::{ExitStatus, Invocation, ProgramEntry, Request, Response};
use crate::stdio::StdioRef;
use crate::subscription::Subscription;

/// A client of the daemon, on a connection of its own.
///
/// Each call sends a request and waits for the answer, as long as that takes: a [`stop`](Self::invoke) of a program
/// waits for the program. Whoever wants to wait for a limited time only sets a [deadline](Self::set_deadline);
/// whoever wants to wait for other things as well uses a [`Connection`], and polls.
///
/// After [`ClientError::Refused`] and [`ClientError::TooLarge`] it serves on, unless what the daemon refused was the
/// connection itself. After any other error, [`ClientError::TimedOut`] for one, and after [`stop`](Self::stop), it is
/// of no more use. Dropping it while the daemon is at work changes nothing for the program: the action goes on.
///
/// # Example
///
/// ```
/// use procmgr_proto::client::Client;
/// use procmgr_proto::error::ClientError;
/// # use std::io::Write;
/// # use std::os::unix::net::UnixStream;
/// # use procmgr_proto::codec::encode_response;
/// # use procmgr_proto::connection::Connection;
/// # use procmgr_proto::message::{Code, ProgramEntry, Refusal, Response};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // As a rule: let mut client = Client::connect(Path::new("/var/run/procmgr"))?;
/// # let (ours, mut daemon) = UnixStream::pair()?;
/// # let tokens = vec![b"running".to_vec()];
/// # let programs = Response::Programs(vec![ProgramEntry { name: b"web".to_vec(), tokens }]);
/// # daemon.write_all(&encode_response(1, &programs)?)?;
/// # let refusal = Refusal::new(Code::Eperm, "only root and the user of the daemon may stop or reload it");
/// # daemon.write_all(&encode_response(2, &Response::Refused(refusal))?)?;
/// # let mut client = Client::over(Connection::over(ours));
/// for program in client.list()? {
///     println!("{}: {}", program.name.escape_ascii(), program.tokens.join(&b' ').escape_ascii());
/// }
/// match client.reload() {
///     Ok(remarks) => println!("{} remarks", remarks.len()),
///     Err(ClientError::Refused(refusal)) => {
///         eprintln!("refused, {}: {}", refusal.code, refusal.text.escape_ascii());
///     }
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Client {
    connection: Connection,
}

impl Client {
    /// Connects to the daemon that listens on the socket of that path.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(path: &Path) -> Result<Self, ConnectError> {
        Connection::connect(path).map(Self::over)
    }

    /// Connects as [`connect`](Self::connect) does, and waits until this instant at the most, which is then the
    /// [deadline](Self::set_deadline) of the client as well.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # use std::path::Path;
    /// use std::time::{Duration, Instant};
    ///
    /// use procmgr_proto::client::Client;
    /// use procmgr_proto::error::ClientError;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let deadline = Instant::now() + Duration::from_secs(5);
    /// let mut client = Client::connect_until(Path::new("/var/run/procmgr"), Some(deadline))?;
    /// match client.ping() {
    ///     Err(ClientError::TimedOut | ClientError::NotSentInTime) => println!("the daemon is slow today"),
    ///     answer => answer?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect_until(path: &Path, deadline: Option<Instant>) -> Result<Self, ConnectError> {
        Connection::connect_until(path, deadline).map(Self::over)
    }

    /// Takes a connection on which nothing is under way and nothing waits to be received.
    pub fn over(connection: Connection) -> Self {
        Self { connection }
    }

    /// Sets the instant until which all calls that follow wait at the most, all together; `None` is to wait as long
    /// as it takes, as in the beginning.
    ///
    /// From that instant on, each call fails, also where there would be nothing to wait for: by
    /// [`ClientError::NotSentInTime`] as long as the daemon has not got all of the request, which is then not carried
    /// out, and by [`ClientError::TimedOut`] after that. What was asked for by then goes on: a program that was to be
    /// stopped is still stopped.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.connection.set_deadline(deadline);
    }

    /// Asks whether the daemon answers. Anyone may.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn ping(&mut self) -> Result<(), ClientError> {
        let Response::Done = self.ask(&Request::Ping)? else { return Err(unsuitable("ping")) };
        Ok(())
    }

    /// Asks for the programs: in the order of the configuration file, then those that are gone from it and still run.
    /// Anyone may.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn list(&mut self) -> Result<Vec<ProgramEntry>, ClientError> {
        let Response::Programs(programs) = self.ask(&Request::List)? else { return Err(unsuitable("list")) };
        Ok(programs)
    }

    /// Asks the daemon to read its configuration again, and returns what it has to remark about it, a line each. For
    /// root and the daemon's own user.
    ///
    /// # Errors
    /// See [`ClientError`]; a configuration with errors is refused as [`Code::BadConf`](crate::message::Code::BadConf).
    pub fn reload(&mut self) -> Result<Vec<Vec<u8>>, ClientError> {
        let Response::Reloaded { remarks } = self.ask(&Request::Reload)? else {
            return Err(unsuitable("reload"));
        };
        Ok(remarks)
    }

    /// Asks the daemon to end, and returns when its process is gone, or 5 s after it has closed the connection: the
    /// process that the kernel names may be a manager that has lent its socket, and stays. For root and the daemon's
    /// own user. Programs go on, unless the configuration says otherwise.
    ///
    /// The connection is closed by then, and the client of no more use.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn stop(&mut self) -> Result<(), ClientError> {
        let process = DaemonProcess::behind(self.connection.stream());
        match self.ask(&Request::Stop) {
            // Without an answer, it has ended for another's sake.
            Ok(Response::Done) | Err(ClientError::Lost) => {}
            Err(ClientError::Send(error)) if is_hang_up(&error) => {}
            Ok(_) => return Err(unsuitable("stop")),
            Err(error) => return Err(error),
        }
        let deadline = self.connection.deadline();
        // The daemon keeps the connection until its end, which closes it.
        match deadline.drain(self.connection.stream()) {
            Err(error) if !is_hang_up(&error) => Err(lost_or_failed(error)),
            Ok(()) | Err(_) => process.wait(deadline).map_err(lost_or_failed),
        }
    }

    /// Asks the daemon to execute its executable anew, in place, and returns when the new one serves. For root and the
    /// daemon's own user. Its PID, children and connections stay, and so do requests under way: the client serves on.
    ///
    /// # Errors
    /// See [`ClientError`]; if the new executable cannot take over, that is refused as
    /// [`Code::Spawn`](crate::message::Code::Spawn), and the old one goes on as if nothing had been asked.
    pub fn upgrade(&mut self) -> Result<(), ClientError> {
        let Response::Done = self.ask(&Request::Upgrade)? else { return Err(unsuitable("upgrade")) };
        Ok(())
    }

    /// Asks for the programs, with what each has gone through; in the order of [`list`](Self::list). Anyone may.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn inspect(&mut self) -> Result<Vec<ProgramDetails>, ClientError> {
        let Response::Inspected(programs) = self.ask(&Request::Inspect)? else {
            return Err(unsuitable("inspect"));
        };
        Ok(programs)
    }

    /// Asks what a [`reload`](Self::reload) would change, and changes nothing. For root and the daemon's own user.
    ///
    /// # Errors
    /// See [`ClientError`]; a configuration with errors is refused as [`Code::BadConf`](crate::message::Code::BadConf).
    pub fn preview(&mut self) -> Result<Preview, ClientError> {
        let Response::Previewed { programs, remarks } = self.ask(&Request::Preview)? else {
            return Err(unsuitable("preview"));
        };
        Ok(Preview { programs, remarks })
    }

    /// Asks which actions the user of this process may perform, and on which programs: in the order of the
    /// configuration file, without programs of which that is none. Anyone may.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn permissions(&mut self) -> Result<Vec<Permission>, ClientError> {
        let Response::Permissions(permissions) = self.ask(&Request::Permissions)? else {
            return Err(unsuitable("permissions"));
        };
        Ok(permissions)
    }

    /// Asks for an action on a program, lends the three descriptors to its script, and waits as long as the action is
    /// to be waited for: [`protocol`](crate::protocol#invoke) tells how long that is.
    ///
    /// The daemon gets duplicates of the descriptors, which it closes once it has no use for them; the caller keeps its
    /// own. Whoever captures output through a pipe has to read it *while* this waits, or the script waits for the
    /// reader for ever.
    ///
    /// # Example
    ///
    /// ```
    /// # use std::io::Write;
    /// # use std::os::unix::net::UnixStream;
    /// # use procmgr_proto::client::Client;
    /// # use procmgr_proto::codec::encode_response;
    /// # use procmgr_proto::connection::Connection;
    /// # use procmgr_proto::message::Response;
    /// use std::fs::File;
    /// use std::os::fd::AsFd;
    ///
    /// use procmgr_proto::client::Outcome;
    /// use procmgr_proto::message::{ExitStatus, Invocation};
    /// use procmgr_proto::stdio::StdioRef;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (ours, mut daemon) = UnixStream::pair()?;
    /// # daemon.write_all(&encode_response(1, &Response::Exited(ExitStatus::Code(3)))?)?;
    /// # let mut client = Client::over(Connection::over(ours));
    /// let null = File::options().read(true).write(true).open("/dev/null")?;
    /// let silent = StdioRef { stdin: null.as_fd(), stdout: null.as_fd(), stderr: null.as_fd() };
    /// let (program, action) = (b"web".to_vec(), b"reload".to_vec());
    /// let invocation = Invocation { program, action, arguments: Vec::new() };
    ///
    /// let outcome = client.invoke(invocation, silent)?;
    ///
    /// assert_eq!(outcome, Outcome::Exited(ExitStatus::Code(3)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn invoke(&mut self, invocation: Invocation, stdio: StdioRef<'_>) -> Result<Outcome, ClientError> {
        match self.exchange(&Request::Invoke(invocation), &stdio.descriptors())?.1 {
            Response::Done => Ok(Outcome::Done),
            Response::Exited(status) => Ok(Outcome::Exited(status)),
            Response::Status { running } => Ok(Outcome::Status { running }),
            Response::Refused(_)
            | Response::Programs(_)
            | Response::Reloaded { .. }
            | Response::Subscribed { .. }
            | Response::Inspected(_)
            | Response::Previewed { .. }
            | Response::Permissions(_) => Err(unsuitable("invoke")),
        }
    }

    /// Asks to be told of each change of a program, and makes of the client a subscription, which keeps its
    /// connection. To make other requests meanwhile, use a second client, or a [`Connection`]. Anyone may.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn subscribe(mut self) -> Result<Subscription, ClientError> {
        let (id, response) = self.exchange(&Request::Subscribe, &[])?;
        let Response::Subscribed { programs } = response else { return Err(unsuitable("subscribe")) };
        Ok(Subscription::new(self.connection, id, programs))
    }

    fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        self.exchange(request, &[]).map(|(_, response)| response)
    }

    /// Sends the request and returns its id and its answer, which is no refusal: that becomes the error.
    fn exchange(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(u32, Response), ClientError> {
        match self.connection.send(request, descriptors) {
            Ok(id) => self.answer_to(id),
            // A daemon that refuses to read on says so and hangs up; its answer is there although we could not finish.
            Err(ClientError::Send(error)) if is_hang_up(&error) => {
                match self.answer_to(self.connection.last_id()) {
                    Err(ClientError::Lost) => Err(ClientError::Send(error)),
                    answer => answer,
                }
            }
            Err(error) => Err(error),
        }
    }

    fn answer_to(&mut self, id: u32) -> Result<(u32, Response), ClientError> {
        match self.connection.receive()? {
            (CONNECTION_ID, Message::Response(Response::Refused(refusal))) => {
                Err(ClientError::Refused(refusal))
            }
            (answered, _) if answered != id => {
                Err(ClientError::Protocol(format!("expected the answer to {id}, got {answered}")))
            }
            (_, Message::Response(Response::Refused(refusal))) => Err(ClientError::Refused(refusal)),
            (_, Message::Response(response)) => Ok((id, response)),
            (_, Message::Event(_)) => {
                Err(ClientError::Protocol("expected a response, got an event".to_owned()))
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

/// What a reload would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Every program that would be added, removed or changed, or that would run under an older definition, and no
    /// other.
    pub programs: Vec<ProgramPreview>,
    /// What the daemon has to remark about the file, a line each.
    pub remarks: Vec<Vec<u8>>,
}

/// How an action that was carried out has ended. There is no fourth way: the protocol answers invocations by these
/// three only.
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

fn unsuitable(request: &str) -> ClientError {
    ClientError::Protocol(format!("it does not suit the request {request}"))
}
