//! Clients that ask the same again and again, each waiting for its answer, and how many answers they get.
//!
//! Who answers is not known here: a daemon, or the floor.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::arena::Arena;
use crate::bench::player::{Player, READY};
use crate::wire::{self, Request};

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orders<'a> {
    pub(super) socket: &'a Path,
    /// `ping`, `reload`, or an action on the program `p0`.
    pub(super) request: &'a str,
    pub(super) clients: u32,
    pub(super) manner: Manner,
    pub(super) end: End,
    /// How long each waits before it asks again.
    pub(super) pause: Duration,
}

/// How they go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Over one connection.
    Keeping,
    /// Over a new connection each time.
    Connecting,
}

/// When they cease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    After(Duration),
    /// When each has had so many answers.
    Answers(u32),
    /// When they are dismissed.
    Dismissal,
}

/// What has come of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    /// How many answers there were.
    pub(super) answers: u32,
    /// How long it has taken until the last client had its last answer.
    pub(super) time: Duration,
    /// How long one has waited for an answer at the most.
    pub(super) longest: Duration,
}

/// Clients that ask until they are dismissed.
pub(super) struct Askers(Player);

impl Askers {
    /// Starts them. They wait for somebody to listen.
    pub(super) fn start(arena: &Arena, orders: Orders<'_>) -> Result<Self, String> {
        Player::start(&mut orders.command(arena)).map(Self)
    }

    /// Waits until each has had a first answer, which does not count.
    pub(super) fn wait_until_ready(&mut self) -> Result<(), String> {
        self.0.wait_until_ready()
    }

    /// Waits until they cease by themselves, or dismisses those that would not.
    pub(super) fn finish(self) -> Result<Tally, String> {
        let text = self.0.finish()?;
        let tally = text.lines().next_back().and_then(Tally::parse);
        tally.ok_or_else(|| format!("clients mumble: {text:?}"))
    }
}

/// Has clients ask until they cease by themselves.
pub(super) fn ask(arena: &Arena, orders: Orders<'_>) -> Result<Tally, String> {
    let mut askers = Askers::start(arena, orders)?;
    askers.wait_until_ready()?;
    askers.finish()
}

/// Returns what is answered to a request.
pub(super) fn answer(socket: &Path, request: &str) -> Result<Vec<u8>, String> {
    let mut buffer = [0; 4096];
    let mut ask = || -> io::Result<usize> {
        let stream = UnixStream::connect(socket)?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        exchange(&stream, &Question::new(request), &null, &mut buffer)
    };
    let length = ask().map_err(|error| format!("no answer to {request}: {error}"))?;
    Ok(buffer[..length].to_vec())
}

/// Returns how many bytes a request has.
pub(super) fn length(request: &str) -> usize {
    Question::new(request).frame.len()
}

/// Asks, and tells on standard output what has come of it.
pub(super) fn play(orders: &[&str]) -> Result<(), String> {
    let orders = Orders::parse(orders).ok_or_else(|| format!("clients do not understand {orders:?}"))?;
    let is_over = Arc::new(AtomicBool::new(false));
    let barrier = Arc::new(Barrier::new(orders.clients as usize + 1));
    let tally = thread::scope(|scope| {
        let clients = (0..orders.clients).map(|_| {
            let (is_over, barrier) = (Arc::clone(&is_over), Arc::clone(&barrier));
            scope.spawn(move || {
                client(orders, &barrier, &is_over).unwrap_or_else(|error| {
                    eprintln!("a client: {}: {error}", orders.request);
                    // The others may wait for this one.
                    process::exit(1);
                })
            })
        });
        let clients: Vec<_> = clients.collect();
        barrier.wait();
        println!("{READY}");
        if orders.end == End::Dismissal {
            let _ = io::stdin().read_to_end(&mut Vec::new());
            is_over.store(true, Ordering::Relaxed);
        }
        let tallies = clients.into_iter().map(|client| client.join().expect("clients do not panic"));
        tallies.reduce(Tally::and).expect("there is a client")
    });
    println!("{} {} {}", tally.answers, tally.time.as_nanos(), tally.longest.as_nanos());
    Ok(())
}

fn client(orders: Orders<'_>, barrier: &Barrier, is_over: &AtomicBool) -> io::Result<Tally> {
    let question = Question::new(orders.request);
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let mut buffer = [0; 4096];
    let mut stream = connect_at_last(orders.socket)?;
    exchange(&stream, &question, &null, &mut buffer)?;
    barrier.wait();
    let begin = Instant::now();
    let mut asked = begin;
    let mut tally = Tally { answers: 0, time: Duration::ZERO, longest: Duration::ZERO };
    loop {
        if orders.manner == Manner::Connecting {
            stream = UnixStream::connect(orders.socket)?;
        }
        exchange(&stream, &question, &null, &mut buffer)?;
        let answered = Instant::now();
        tally.answers += 1;
        tally.time = answered - begin;
        tally.longest = tally.longest.max(answered - asked);
        let is_done = match orders.end {
            End::After(time) => tally.time >= time,
            End::Answers(count) => tally.answers >= count,
            End::Dismissal => is_over.load(Ordering::Relaxed),
        };
        if is_done {
            return Ok(tally);
        }
        asked = answered;
        if !orders.pause.is_zero() {
            thread::sleep(orders.pause);
            asked = Instant::now();
        }
    }
}

/// Connects as soon as somebody listens.
fn connect_at_last(socket: &Path) -> io::Result<UnixStream> {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Err(_) if begin.elapsed() < PATIENCE => thread::sleep(Duration::from_micros(200)),
            result => return result,
        }
    }
}

/// A request in the form in which it is sent.
struct Question {
    frame: Vec<u8>,
    descriptors: usize,
}

impl Question {
    fn new(request: &str) -> Self {
        let request = match request {
            "ping" => Request::Ping,
            "reload" => Request::Reload,
            action => Request::Invoke { program: "p0", action },
        };
        Self { frame: request.frame(), descriptors: request.descriptors().into() }
    }
}

/// Asks, and returns how many bytes the answer has. A refusal is an error, and so is a script that has failed.
fn exchange(stream: &UnixStream, question: &Question, null: &File, buffer: &mut [u8]) -> io::Result<usize> {
    wire::send(stream, &question.frame, &[null.as_fd(); 3][..question.descriptors])?;
    let mut length = 0;
    loop {
        let count = (&mut &*stream).read(&mut buffer[length..])?;
        length += count;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if wire::length(&buffer[..length]).is_some_and(|whole| length >= whole) {
            break;
        }
    }
    let body = &buffer[wire::HEADER_LENGTH..length];
    let has_exited = body.starts_with(&EXITED);
    if body.starts_with(&REFUSED) || has_exited && body[EXITED.len()..] != [0; 5] {
        return Err(io::Error::other(String::from_utf8_lossy(body)));
    }
    Ok(length)
}

/// What the body of a refusal begins with, and that of the end of a script.
const REFUSED: [u8; 4] = [0; 4];
const EXITED: [u8; 4] = [2, 0, 0, 0];

impl Tally {
    /// Returns how many answers there were in a second.
    pub(super) fn rate(self) -> f64 {
        f64::from(self.answers) / self.time.as_secs_f64()
    }

    fn and(self, other: Self) -> Self {
        Self {
            answers: self.answers + other.answers,
            time: self.time.max(other.time),
            longest: self.longest.max(other.longest),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let answers = words.next()?.parse().ok()?;
        let mut time = || words.next()?.parse().ok().map(Duration::from_nanos);
        Some(Self { answers, time: time()?, longest: time()? })
    }
}

impl<'a> Orders<'a> {
    /// Returns the process of the clients.
    fn command(self, arena: &Arena) -> process::Command {
        let manner = match self.manner {
            Manner::Keeping => "keep",
            Manner::Connecting => "connect",
        };
        let (end, extent) = match self.end {
            End::After(time) => ("after", time.as_nanos()),
            End::Answers(count) => ("answers", count.into()),
            End::Dismissal => ("dismissal", 0),
        };
        let numbers = [self.clients.to_string(), extent.to_string(), self.pause.as_nanos().to_string()];
        let mut command = arena.role(&["ask", self.request, manner, end]);
        command.args(numbers).arg(self.socket);
        command
    }

    fn parse(words: &[&'a str]) -> Option<Self> {
        let &[request, manner, end, clients, extent, pause, socket] = words else { return None };
        let extent: u64 = extent.parse().ok()?;
        let manner = match manner {
            "keep" => Manner::Keeping,
            "connect" => Manner::Connecting,
            _ => return None,
        };
        let end = match end {
            "after" => End::After(Duration::from_nanos(extent)),
            "answers" => End::Answers(u32::try_from(extent).ok()?),
            "dismissal" => End::Dismissal,
            _ => return None,
        };
        let (clients, pause) = (clients.parse().ok()?, Duration::from_nanos(pause.parse().ok()?));
        Some(Self { socket: Path::new(socket), request, clients, manner, end, pause })
    }
}

/// Longer than any daemon needs to begin.
const PATIENCE: Duration = Duration::from_secs(60);
