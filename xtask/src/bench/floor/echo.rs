//! The floor of a request: a server that takes so many bytes, with descriptors that it closes, and sends others back.
//!
//! Like any server that knows whom it serves it asks for the credentials of each peer. Of what comes it looks at nothing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rustix::event::epoll;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, listen, recvmsg, send};

use crate::bench::arena::Arena;
use crate::bench::asker;
use crate::bench::player::{Player, READY};

/// A process that serves.
pub(in crate::bench) struct Echo {
    player: Player,
    pub(in crate::bench) socket: PathBuf,
}

/// Where a server closes what comes with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Closing {
    /// Before it answers. Whoever has sent something that takes its time keeps everybody waiting.
    AtOnce,
    /// In another thread, after the answer, so that nobody else has to wait.
    Elsewhere,
}

impl Closing {
    const ALL: [Self; 2] = [Self::AtOnce, Self::Elsewhere];

    fn word(self) -> &'static str {
        match self {
            Self::AtOnce => "at-once",
            Self::Elsewhere => "elsewhere",
        }
    }
}

impl Echo {
    /// Starts a server that answers to each request of this kind what a daemon has answered.
    pub(in crate::bench) fn start(
        arena: &Arena,
        request: &str,
        answer: &[u8],
        closing: Closing,
    ) -> Result<Self, String> {
        let socket = arena.stage.path(&format!("{}.socket", arena.new_name()));
        let mut digits = String::new();
        answer.iter().try_for_each(|byte| write!(digits, "{byte:02x}")).map_err(|error| error.to_string())?;
        let length = asker::length(request).to_string();
        let mut command = arena.role(&["floor", "echo", closing.word(), &length, &digits]);
        let mut player = Player::start(command.arg(&socket))?;
        player.wait_until_ready()?;
        Ok(Self { player, socket })
    }

    /// Returns its PID, for what the kernel tells of it.
    pub(in crate::bench) fn pid(&self) -> u32 {
        self.player.pid()
    }
}

/// Serves until standard input ends.
pub(super) fn play(closing: &str, length: &str, answer: &str, socket: &Path) -> Result<(), String> {
    let closing = Closing::ALL.into_iter().find(|known| known.word() == closing);
    let closing = closing.ok_or("nothing is closed like that")?;
    let length = length.parse().map_err(|_| "the length is no number")?;
    let byte = |at: usize| answer.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let answer: Option<Vec<u8>> = (0..answer.len()).step_by(2).map(byte).collect();
    serve(socket, length, &answer.ok_or("the answer is no number")?, closing)
        .map_err(|error| format!("the echo cannot go on: {error}"))
}

/// A peer, and how many bytes of its request are there.
struct Peer {
    stream: UnixStream,
    received: usize,
}

fn serve(socket: &Path, length: usize, answer: &[u8], closing: Closing) -> io::Result<()> {
    let closer = (closing == Closing::Elsewhere).then(closer);
    let listener = UnixListener::bind(socket)?;
    listen(&listener, QUEUE)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let stdin = io::stdin();
    let watch = |descriptor: BorrowedFd<'_>| {
        let number = u64::try_from(descriptor.as_raw_fd()).unwrap_or(u64::MAX);
        epoll::add(&epoll, descriptor, epoll::EventData::new_u64(number), epoll::EventFlags::IN)
    };
    watch(stdin.as_fd())?;
    watch(listener.as_fd())?;
    let (of_stdin, of_listener) = (number(&stdin), number(&listener));
    println!("{READY}");
    let mut peers: HashMap<u64, Peer> = HashMap::new();
    let mut events = [MaybeUninit::uninit(); 64];
    loop {
        let (ready, _) = epoll::wait(&epoll, &mut events, None)?;
        for event in ready {
            let of_event = event.data.u64();
            if of_event == of_stdin {
                return Ok(());
            } else if of_event == of_listener {
                while let Ok((stream, _)) = listener.accept() {
                    socket_peercred(&stream)?;
                    watch(stream.as_fd())?;
                    peers.insert(number(&stream), Peer { stream, received: 0 });
                }
            } else if let Some(peer) = peers.get_mut(&of_event)
                && !peer.serve(length, answer, closer.as_ref())
            {
                peers.remove(&of_event);
            }
        }
    }
}

impl Peer {
    /// Receives what there is, and answers what is complete. Returns whether more may come.
    fn serve(&mut self, length: usize, answer: &[u8], closer: Option<&Sender<OwnedFd>>) -> bool {
        let mut buffer = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = recvmsg(&self.stream, &mut [IoSliceMut::new(&mut buffer)], &mut control, flags);
        let Ok(received) = received else { return false };
        let descriptors = control.drain().filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        let mut descriptors = descriptors.flatten();
        if closer.is_none() {
            descriptors.by_ref().for_each(drop);
        }
        self.received += received.bytes;
        while self.received >= length {
            self.received -= length;
            if send(&self.stream, answer, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).is_err() {
                return false;
            }
        }
        // Whatever has not been closed before.
        if let Some(closer) = closer {
            descriptors.by_ref().for_each(|it| drop(closer.send(it)));
        }
        received.bytes > 0
    }
}

/// Starts a thread that closes whatever it is sent.
fn closer() -> Sender<OwnedFd> {
    let (closer, garbage) = channel();
    thread::spawn(move || garbage.into_iter().for_each(drop));
    closer
}

fn number(descriptor: &impl AsRawFd) -> u64 {
    u64::try_from(descriptor.as_raw_fd()).unwrap_or(u64::MAX)
}

/// How many may wait to be accepted, as with the daemon.
const QUEUE: i32 = 64;
