//! A client that writes frames by hand, and what is asserted of a daemon that has to do with one.
//!
//! Knows how to send anything; what is sent is in the tests.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use procmgr_proto::client::Client;
use procmgr_proto::codec::{decode_response, encode_request};
use procmgr_proto::frame::{HEADER_LENGTH, Header, Kind, VERSION};
use procmgr_proto::message::{Code, Invocation, Request, Response};
use procmgr_proto::stdio;

use crate::harness::{DEADLINE, Sandbox, allowing_us, wait_until};

/// A client that sends what it likes.
pub(super) struct Wire {
    pub(super) stream: UnixStream,
}

impl Wire {
    pub(super) fn connect(sandbox: &Sandbox) -> Self {
        Self::to(&sandbox.socket())
    }

    pub(super) fn to(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream }
    }

    #[track_caller]
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.send_with(bytes, &[]);
    }

    /// Sends bytes, the first of which carries the descriptors.
    #[track_caller]
    pub(super) fn send_with(&mut self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        stdio::send(&self.stream, bytes, descriptors).unwrap();
    }

    /// Returns the next answer and its id.
    #[track_caller]
    pub(super) fn receive(&mut self) -> (u32, Response) {
        let header = self.receive_header();
        (header.id, self.receive_body(header))
    }

    #[track_caller]
    pub(super) fn receive_header(&mut self) -> Header {
        let mut header = [0; HEADER_LENGTH];
        self.stream.read_exact(&mut header).unwrap();
        Header::parse(&header).unwrap()
    }

    #[track_caller]
    pub(super) fn receive_body(&mut self, header: Header) -> Response {
        decode_response(&self.receive_bytes(header)).unwrap()
    }

    #[track_caller]
    pub(super) fn receive_bytes(&mut self, header: Header) -> Vec<u8> {
        let mut body = vec![0; header.length as usize];
        self.stream.read_exact(&mut body).unwrap();
        body
    }

    #[track_caller]
    pub(super) fn expect_refusal(&mut self, id: u32, code: &Code, text: &str) {
        let (answered, response) = self.receive();
        let Response::Refused(refusal) = response else { panic!("not refused: {response:?}") };
        let reason = String::from_utf8_lossy(&refusal.text);
        assert_eq!((answered, &refusal.code), (id, code), "{reason}");
        assert!(reason.contains(text), "{reason}");
    }

    /// Asserts that the daemon goes on to serve this connection.
    #[track_caller]
    pub(super) fn expect_service(&mut self) {
        self.send(&encode_request(99, &Request::Ping).unwrap());
        assert_eq!(self.receive(), (99, Response::Done));
    }

    /// Asserts that the daemon has closed this connection.
    #[track_caller]
    pub(super) fn expect_end(&mut self) {
        match self.stream.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the connection is not closed: {other:?}"),
        }
    }
}

/// Asserts that somebody else is answered, and without having to wait for a deadline of others.
#[track_caller]
pub(super) fn is_served(sandbox: &Sandbox) {
    let begin = Instant::now();
    let mut client = Client::connect(&sandbox.socket()).unwrap();
    client.ping().unwrap();
    assert!(begin.elapsed() < PROMPT, "an honest client has waited for {:?}", begin.elapsed());
}

/// Asserts that the daemon serves as before, and has no more descriptors.
#[track_caller]
pub(super) fn is_unharmed(sandbox: &Sandbox, descriptors: usize) {
    is_served(sandbox);
    wait_until("all descriptors are closed", || sandbox.descriptors_of_idle_daemon() == descriptors);
}

/// What a daemon has while nobody asks anything of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calm {
    descriptors: usize,
    /// In KiB, without what is shared with its executable and with others.
    memory: u64,
}

impl Calm {
    /// Takes note of what a daemon has after a rehearsal of what it is to withstand: heap and threads have been in use
    /// then, and keep some room for the next time.
    #[track_caller]
    pub(super) fn after(sandbox: &Sandbox, rehearse: impl FnOnce()) -> Self {
        let descriptors = sandbox.descriptors_of_idle_daemon();
        rehearse();
        is_unharmed(sandbox, descriptors);
        Self { descriptors, memory: sandbox.daemon_statistic("RssAnon") }
    }

    /// Asserts that the daemon serves as before, and has no more than that, but for some slack in its memory.
    #[track_caller]
    pub(super) fn is_restored(self, sandbox: &Sandbox) {
        is_unharmed(sandbox, self.descriptors);
        let memory = || sandbox.daemon_statistic("RssAnon");
        eprintln!("memory: {} KiB before, {} KiB after", self.memory, memory());
        wait_until(&format!("memory returns to {} KiB", self.memory), || memory() <= self.memory + SLACK);
    }
}

/// Makes an attack several times, and asserts that those after the first one leave neither descriptors nor memory
/// behind: whatever is lost in each of them adds up, whatever is kept to be used again does not.
#[track_caller]
pub(super) fn withstands(sandbox: &Sandbox, mut attack: impl FnMut()) {
    let calm = Calm::after(sandbox, &mut attack);
    for _ in 0..REPETITIONS {
        attack();
        calm.is_restored(sandbox);
    }
}

/// How much more memory a daemon may have after an attack, in KiB: the stacks of threads that have closed
/// descriptors, which are kept for the next ones, tables that had to grow once more, and a heap whose pieces lie in
/// another order.
const SLACK: u64 = 3 << 10;

const REPETITIONS: usize = 2;

/// Starts a daemon in which whoever runs the tests may do everything.
pub(super) fn daemon(config: &str) -> Sandbox {
    daemon_with(config, &["-l", "stderr", "-L", "DEBUG"])
}

/// Starts such a daemon with these options.
///
/// Its heap gives back what is free at its end: glibc would keep up to 16 MiB more after the first long request that
/// it has freed, or nothing, as chance has laid the pieces, and nobody could tell that from a leak.
pub(super) fn daemon_with(config: &str, options: &[&str]) -> Sandbox {
    let mut sandbox = Sandbox::new(&allowing_us(config));
    let mut command = sandbox.command();
    command.args(["-d", "-f"]).args(options).env("MALLOC_TRIM_THRESHOLD_", "131072");
    sandbox.run_daemon(command);
    sandbox
}

pub(super) fn invocation(program: &[u8], action: &[u8]) -> Request {
    let (program, action) = (program.to_vec(), action.to_vec());
    Request::Invoke(Invocation { program, action, arguments: Vec::new() })
}

pub(super) fn request_header(id: u32) -> Header {
    Header { version: VERSION, kind: Kind::Request, descriptors: 0, id, length: 0 }
}

/// Returns a request frame of any body, which announces so many descriptors.
pub(super) fn frame(id: u32, body: &[u8], descriptors: usize) -> Vec<u8> {
    let (descriptors, length) = (u8::try_from(descriptors).unwrap(), u32::try_from(body.len()).unwrap());
    let header = Header { descriptors, length, ..request_header(id) };
    [&header.to_bytes()[..], body].concat()
}

pub(super) fn null() -> OwnedFd {
    File::options().read(true).write(true).open("/dev/null").unwrap().into()
}

/// How long an honest client may wait at the most, whatever others do. Less than any deadline that the daemon has set
/// for those, and far more than it takes.
pub(super) const PROMPT: Duration = Duration::from_secs(8);

/// A program with scripts of all kinds.
pub(super) const PROGRAM: &str =
    "[prog-p]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\ncmd-signal = cat; exit 3\n";
