//! The floor of a request: a server that takes so many bytes, with descriptors, and sends others back.
//!
//! Like any server that knows whom it serves it asks for the credentials of each peer. Of what comes it looks at
//! nothing: what it does with the descriptors is settled beforehand, and the same for all.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, listen, recvmsg, send};

use crate::bench::arena::Arena;
use crate::bench::asker;
use crate::bench::floor::keeper::{Keeper, Kept};
use crate::bench::floor::spawner;
use crate::bench::floor::watch::{NO_EVENTS, Watch};
use crate::bench::player::{Player, READY};
use crate::wire::HEADER_LENGTH;

/// A process that serves.
pub(in crate::bench) struct Echo {
    player: Player,
    pub(in crate::bench) socket: PathBuf,
}

/// What a server does with the descriptors of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Labour {
    /// Closes them before it answers. Whoever has sent something that takes its time keeps everybody waiting.
    CloseAtOnce,
    /// Closes them in another thread, so that nobody else has to wait, which is woken when nobody waits for an answer;
    /// and receives the header and the body of a request apart, so that none of the next one can come with it.
    TakeCare,
    /// Lends them to a shell that does nothing, and answers at its end.
    RunScript,
}

impl Labour {
    const ALL: [Self; 3] = [Self::CloseAtOnce, Self::TakeCare, Self::RunScript];

    fn word(self) -> &'static str {
        match self {
            Self::CloseAtOnce => "close-at-once",
            Self::TakeCare => "take-care",
            Self::RunScript => "run-script",
        }
    }
}

impl Echo {
    /// Starts a server that answers to each request of this kind what a daemon has answered, and may keep programs
    /// alive.
    pub(in crate::bench) fn start(
        arena: &Arena,
        request: &str,
        answer: &[u8],
        labour: Labour,
        kept: Option<Kept<'_>>,
    ) -> Result<Self, String> {
        let socket = arena.stage.path(&format!("{}.socket", arena.new_name()));
        let mut digits = String::new();
        answer.iter().try_for_each(|byte| write!(digits, "{byte:02x}")).map_err(|error| error.to_string())?;
        let length = asker::length(request).to_string();
        let mut command = arena.role(&["floor", "echo", labour.word(), &length, &digits]);
        command.arg(&socket).args(kept.map(Kept::words).into_iter().flatten());
        let mut player = Player::start(&mut command)?;
        player.wait_until_ready()?;
        Ok(Self { player, socket })
    }

    /// Returns its PID, for what the kernel tells of it.
    pub(in crate::bench) fn pid(&self) -> u32 {
        self.player.pid()
    }
}

/// Serves until standard input ends.
pub(super) fn play(orders: &[&str]) -> Result<(), String> {
    let misunderstood = || format!("the echo does not understand {orders:?}");
    let [labour, length, answer, socket, kept @ ..] = orders else { return Err(misunderstood()) };
    let labour = Labour::ALL.into_iter().find(|known| known.word() == *labour);
    let byte = |at: usize| answer.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let bytes: Option<Vec<u8>> = (0..answer.len()).step_by(2).map(byte).collect();
    let (Some(labour), Ok(length), Some(answer)) = (labour, length.parse(), bytes) else {
        return Err(misunderstood());
    };
    let kept = match *kept {
        [] => None,
        [programs, delay, script] => Some(Kept::parse([programs, delay, script]).ok_or_else(misunderstood)?),
        _ => return Err(misunderstood()),
    };
    let failed = |error: io::Error| format!("the echo cannot go on: {error}");
    let mut server = Server::new(socket.as_ref(), length, answer, labour).map_err(failed)?;
    server.keeper = kept.map(|kept| Keeper::new(kept, &server.watch)).transpose().map_err(failed)?;
    server.serve().map_err(failed)
}

struct Server {
    watch: Watch,
    listener: UnixListener,
    length: usize,
    answer: Vec<u8>,
    labour: Labour,
    closer: Sender<Vec<OwnedFd>>,
    /// What is to be closed, but not yet.
    garbage: Vec<OwnedFd>,
    /// By their descriptors.
    peers: HashMap<u64, Peer>,
    /// By those that tell of their ends.
    scripts: HashMap<u64, Script>,
    keeper: Option<Keeper>,
}

/// A peer, and how many bytes of its request are there.
struct Peer {
    stream: UnixStream,
    received: usize,
}

/// A shell that runs, and for whom.
struct Script {
    process: Child,
    end: OwnedFd,
    of_peer: u64,
}

impl Server {
    fn new(socket: &Path, length: usize, answer: Vec<u8>, labour: Labour) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        listen(&listener, QUEUE)?;
        listener.set_nonblocking(true)?;
        let (watch, peers, scripts) = (Watch::new()?, HashMap::new(), HashMap::new());
        let (closer, garbage) = (closer(), Vec::new());
        Ok(Self { watch, listener, length, answer, labour, closer, garbage, peers, scripts, keeper: None })
    }

    fn serve(mut self) -> io::Result<()> {
        let of_stdin = self.watch.add(&io::stdin())?;
        let of_listener = self.watch.add(&self.listener)?;
        println!("{READY}");
        let mut events = NO_EVENTS;
        loop {
            let has_garbage = !self.garbage.is_empty();
            let time_left = self.keeper.as_ref().and_then(Keeper::time_left);
            let time_left = if has_garbage { Some(Duration::ZERO) } else { time_left };
            let all_ready = self.watch.wait(&mut events, time_left)?;
            if has_garbage && (all_ready.len() == 0 || self.garbage.len() >= MUCH) {
                let _ = self.closer.send(mem::take(&mut self.garbage));
            }
            for ready in all_ready {
                if ready == of_stdin {
                    return Ok(());
                } else if ready == of_listener {
                    self.accept()?;
                } else if let Some(script) = self.scripts.remove(&ready) {
                    self.finish(script)?;
                } else if !self.bury(ready)? {
                    self.receive(ready)?;
                }
            }
            if let Some(keeper) = &mut self.keeper {
                keeper.revive(&self.watch)?;
            }
        }
    }

    fn bury(&mut self, number: u64) -> io::Result<bool> {
        self.keeper.as_mut().map_or(Ok(false), |keeper| keeper.bury(number, &self.watch))
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            socket_peercred(&stream)?;
            self.peers.insert(self.watch.add(&stream)?, Peer { stream, received: 0 });
        }
        Ok(())
    }

    /// Receives what there is, and sees to what is complete.
    fn receive(&mut self, of_peer: u64) -> io::Result<()> {
        let Some(peer) = self.peers.get_mut(&of_peer) else { return Ok(()) };
        let mut buffer = [0; 4096];
        let mut spaces = [[MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))]; 2];
        let [mut control, mut no_control] = spaces.each_mut().map(|space| RecvAncillaryBuffer::new(space));
        let piece = if self.labour == Labour::TakeCare { HEADER_LENGTH } else { buffer.len() };
        let Some(mut bytes) = receive(&peer.stream, &mut buffer[..piece], &mut control) else {
            return Ok(());
        };
        if bytes == 0 {
            self.dismiss(of_peer);
            return Ok(());
        }
        if self.labour == Labour::TakeCare {
            bytes += receive(&peer.stream, &mut buffer[..self.length - piece], &mut no_control).unwrap_or(0);
        }
        let descriptors = control.drain().filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        let mut descriptors = descriptors.flatten();
        peer.received += bytes;
        let requests = peer.received / self.length;
        peer.received %= self.length;
        match self.labour {
            Labour::CloseAtOnce => {
                descriptors.by_ref().for_each(drop);
                (0..requests).for_each(|_| self.answer(of_peer));
            }
            Labour::TakeCare => {
                (0..requests).for_each(|_| self.answer(of_peer));
                self.garbage.extend(descriptors.by_ref());
            }
            Labour::RunScript => {
                while let (Some(stdin), Some(stdout), Some(stderr)) =
                    (descriptors.next(), descriptors.next(), descriptors.next())
                {
                    self.run([stdin, stdout, stderr], of_peer)?;
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, [stdin, stdout, stderr]: [OwnedFd; 3], of_peer: u64) -> io::Result<()> {
        let process = spawner::shell("exit 0", "work").stdin(stdin).stdout(stdout).stderr(stderr).spawn()?;
        let (number, end) = self.watch.add_end_of(&process)?;
        self.scripts.insert(number, Script { process, end, of_peer });
        Ok(())
    }

    fn finish(&mut self, mut script: Script) -> io::Result<()> {
        self.watch.remove(&script.end)?;
        script.process.wait()?;
        self.answer(script.of_peer);
        Ok(())
    }

    /// Whoever does not take the answer at once is no longer served.
    fn answer(&mut self, of_peer: u64) {
        if let Some(peer) = self.peers.get(&of_peer)
            && send(&peer.stream, &self.answer, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).is_err()
        {
            self.dismiss(of_peer);
        }
    }

    fn dismiss(&mut self, of_peer: u64) {
        if let Some(peer) = self.peers.remove(&of_peer) {
            let _ = self.watch.remove(&peer.stream);
        }
    }
}

/// Returns how many bytes have come, 0 if no more will ever come, and nothing if there are none as yet.
fn receive(stream: &UnixStream, buffer: &mut [u8], control: &mut RecvAncillaryBuffer<'_>) -> Option<usize> {
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    match recvmsg(stream, &mut [IoSliceMut::new(buffer)], control, flags) {
        Err(Errno::AGAIN) => None,
        result => Some(result.map_or(0, |received| received.bytes)),
    }
}

/// Starts a thread that closes whatever it is sent.
fn closer() -> Sender<Vec<OwnedFd>> {
    let (closer, garbage) = channel();
    thread::spawn(move || garbage.into_iter().for_each(drop));
    closer
}

/// How many descriptors are enough for a thread to be woken for, though somebody waits for an answer.
const MUCH: usize = 96;

/// How many may wait to be accepted, as with the daemon.
const QUEUE: i32 = 64;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;
    use crate::wire;

    #[test]
    fn a_floor_that_runs_scripts_answers_each_at_its_end_and_to_its_peer() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let mut server = Server::new(&socket, 4, b"done".to_vec(), Labour::RunScript).unwrap();
        let null = File::open("/dev/null").unwrap();
        let mut peers = [(); 2].map(|()| UnixStream::connect(&socket).unwrap());
        for peer in &peers {
            wire::send(peer, b"work", &[null.as_fd(); 3]).unwrap();
        }
        server.accept().unwrap();
        let numbers: Vec<u64> = server.peers.keys().copied().collect();
        // The second time there is nothing, which is no reason to part.
        for &number in numbers.iter().chain(&numbers) {
            server.receive(number).unwrap();
        }
        assert_eq!((server.scripts.len(), server.peers.len()), (2, 2), "both run at once");
        for peer in &peers {
            peer.set_nonblocking(true).unwrap();
            assert!((&mut &*peer).read(&mut [0; 4]).is_err(), "nobody is answered before the end");
        }
        let scripts: Vec<Script> = server.scripts.drain().map(|(_, script)| script).collect();
        for script in scripts {
            server.finish(script).unwrap();
        }
        for peer in &mut peers {
            let mut answer = [0; 4];
            peer.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"done");
        }
    }
}
