//! The attackers: processes that want as many connections as they can get.
//!
//! What becomes of the others meanwhile is not asked here.

use std::io::{self, Read, Write};
use std::iter::Sum;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bench::player::READY;
use crate::wire::Request;

/// How an attacker goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Keeps connections, idle ones and ones with half a header, and replaces each that is cut off or turned away.
    Holding,
    /// Connects, sends something, leaves, and begins again.
    Storming,
    /// Sends requests without end over one connection, and fetches the answers.
    Asking,
}

impl Manner {
    /// Returns the word by which a process is told its manner.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Holding => "hold",
            Self::Storming => "storm",
            Self::Asking => "ask",
        }
    }
}

/// What attackers have done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// How many times they have connected.
    pub(super) connected: u64,
    /// How many connections the daemon has closed, as far as they know.
    pub(super) refused: u64,
    /// How many requests were answered.
    pub(super) answered: u64,
}

impl Tally {
    /// Returns it as a line of text.
    fn line(self) -> String {
        format!("{} {} {}", self.connected, self.refused, self.answered)
    }

    /// Reads such a line.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split_whitespace().map_while(|number| number.parse().ok());
        Some(Self { connected: numbers.next()?, refused: numbers.next()?, answered: numbers.next()? })
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, tally| Self {
            connected: sum.connected + tally.connected,
            refused: sum.refused + tally.refused,
            answered: sum.answered + tally.answered,
        })
    }
}

/// Attacks until standard input ends, and then tells on standard output how many connections there were.
pub(super) fn play(manner: &str, connections: &str, socket: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("an attacker cannot go on: {error}");
    let is_over_at_end_of_input = || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        IS_OVER.store(true, Ordering::Relaxed);
    };
    thread::spawn(is_over_at_end_of_input);
    let connections = connections.parse().map_err(|_| "the connections are no number")?;
    let tally = match manner {
        it if it == Manner::Holding.word() => hold(connections, socket),
        it if it == Manner::Storming.word() => storm(socket),
        _ => request(socket),
    };
    println!("{}", tally.map_err(failed)?.line());
    Ok(())
}

fn hold(count: usize, socket: &Path) -> io::Result<Tally> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let mut held = (0..count).map(|number| begin(number, socket)).collect::<io::Result<Vec<_>>>()?;
    let mut tally = Tally { connected: count as u64, ..Tally::default() };
    say_ready()?;
    while !is_over() {
        for number in ready(&held)? {
            let _ = (&held[number]).read(&mut [0; 256]);
            held[number] = begin(number, socket)?;
            tally.connected += 1;
            tally.refused += 1;
        }
    }
    Ok(tally)
}

/// Connects, and says nothing or half a header.
fn begin(number: usize, socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    if number.is_multiple_of(2) {
        // The daemon may have closed it already.
        let _ = (&stream).write(&Request::Ping.frame()[..8]);
    }
    Ok(stream)
}

/// Returns the numbers of those that the daemon has answered or closed.
fn ready(held: &[UnixStream]) -> io::Result<Vec<usize>> {
    let mut wanted: Vec<PollFd<'_>> = held.iter().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
    let tenth_of_a_second = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    poll(&mut wanted, Some(&tenth_of_a_second))?;
    let answered = wanted.iter().enumerate().filter(|(_, wanted)| !wanted.revents().is_empty());
    Ok(answered.map(|(number, _)| number).collect())
}

fn storm(socket: &Path) -> io::Result<Tally> {
    let ping = Request::Ping.frame();
    let pieces = [&b"GET / HTTP/1.1\r\n\r\n"[..], &ping[..8], &ping[..18], &ping];
    let mut tally = Tally::default();
    say_ready()?;
    for piece in pieces.iter().cycle() {
        if is_over() {
            break;
        }
        let stream = UnixStream::connect(socket)?;
        tally.connected += 1;
        tally.refused += u64::from((&stream).write(piece).is_err());
    }
    Ok(tally)
}

fn request(socket: &Path) -> io::Result<Tally> {
    let stream = UnixStream::connect(socket)?;
    let mut sender = stream.try_clone()?;
    say_ready()?;
    thread::spawn(move || {
        let pings = Request::Ping.frame().repeat(1000);
        while !is_over() && sender.write_all(&pings).is_ok() {}
        let _ = sender.shutdown(Shutdown::Write);
    });
    let answered = io::copy(&mut &stream, &mut io::sink())? / LENGTH_OF_ANSWER;
    Ok(Tally { connected: 1, answered, ..Tally::default() })
}

fn say_ready() -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{READY}")?;
    stdout.flush()
}

fn is_over() -> bool {
    IS_OVER.load(Ordering::Relaxed)
}

static IS_OVER: AtomicBool = AtomicBool::new(false);

/// How many bytes the answer to a ping has.
const LENGTH_OF_ANSWER: u64 = 20;
