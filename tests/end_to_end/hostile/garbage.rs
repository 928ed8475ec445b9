//! Garbage: bytes that chance has made up, for a minute.
//!
//! What a certain frame is answered with is told elsewhere; here, that nobody else notices, and that nothing stays.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use procmgr_proto::codec::encode_request;
use procmgr_proto::frame::MAX_DESCRIPTORS;
use procmgr_proto::message::Request;
use procmgr_proto::stdio;

use crate::harness::Sandbox;
use crate::hostile::wire::{Calm, PROMPT, Wire, daemon_with, invocation, is_served, null, request_header};

/// One of the named long tests. Its first half minute is for the heap to find its level, or no leak could be told
/// from it; and what chance hits rarely takes many tries. The others run meanwhile.
#[test]
fn a_minute_of_garbage_keeps_nobody_waiting_and_leaves_nothing_behind() {
    const DURATION: Duration = Duration::from_secs(60);
    let config = "[prog-p]\ncmd-start = exec sleep 1000\ncmd-signal = exit 3\ncmd-status = exit $#\nrestart-delay = 1\n\
                  [prog-honest]\ncmd-signal = echo $1; exit $2\n";
    let mut sandbox = daemon_with(config, &[]);
    let mut seeds = Random::seeded();
    // What a heap keeps grows for a while, for no two rounds need the same.
    let calm = Calm::after(&sandbox, || play(&sandbox, &mut seeds, DURATION / 2));
    play(&sandbox, &mut seeds, DURATION / 2);
    calm.is_restored(&sandbox);
    assert_eq!(sandbox.terminate_daemon().code(), Some(0));
}

/// Has hostile clients talk for some time, while an honest one asks for something again and again.
fn play(sandbox: &Sandbox, seeds: &mut Random, duration: Duration) {
    const THREADS: usize = 3;
    let end = Instant::now() + duration;
    let (mut honest, mut slowest) = (0, Duration::ZERO);
    let hostile: u64 = thread::scope(|scope| {
        let talk = |random| move || talk_garbage(sandbox, random, end);
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(talk(Random(seeds.next())))).collect();
        while Instant::now() < end {
            let begin = Instant::now();
            is_served(sandbox);
            let output = sandbox.client(&["honest", "signal", "name", "hello", "7"]);
            assert_eq!((output.code, output.stdout.as_str()), (7, "hello\n"), "{}", output.stderr);
            honest += 1;
            slowest = slowest.max(begin.elapsed());
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    eprintln!("{hostile} hostile connections, {honest} honest clients, the slowest took {slowest:?}");
    assert!(slowest < PROMPT, "an honest client has waited for {slowest:?}");
    let _ = sandbox.client(&["p", "stop"]);
}

/// Sends garbage over one connection after the other until the time is over. Returns how many there were.
fn talk_garbage(sandbox: &Sandbox, mut random: Random, end: Instant) -> u64 {
    let null = null();
    let mut connections = 0;
    while Instant::now() < end {
        connections += 1;
        let garbage = garbage(&mut random);
        let mut wire = Wire::connect(sandbox);
        let mut rest = garbage.as_slice();
        while !rest.is_empty() {
            let count = if random.one_in(3) { random.below(rest.len()) + 1 } else { rest.len() };
            let descriptors = match random.below(8) {
                0 => random.below(5),
                1 => random.below(MAX_DESCRIPTORS + 1),
                _ => 3,
            };
            // The daemon has hung up, as is its right.
            if stdio::send(&wire.stream, &rest[..count], &vec![null.as_fd(); descriptors]).is_err() {
                break;
            }
            rest = &rest[count..];
        }
        match random.below(4) {
            // It vanishes at once.
            0 => {}
            // It waits for some answer. Whoever has subscribed would wait for the end in vain.
            choice if choice == 1 || asks(&garbage, SUBSCRIBE) => {
                let _ = wire.stream.set_read_timeout(Some(Duration::from_millis(20)));
                let _ = wire.stream.read(&mut [0; 1024]);
            }
            // It reads to the end.
            _ => {
                let _ = wire.stream.shutdown(Shutdown::Write);
                let end = wire.stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
                assert_ne!(end, Err(ErrorKind::WouldBlock), "this never ends: {garbage:?}");
            }
        }
        // The pace leaves the processor to the tests that run beside this one.
        thread::sleep(Duration::from_millis(2));
    }
    connections
}

/// Makes up what one connection says: frames with flipped bits, frames of wild headers, or mere noise.
fn garbage(random: &mut Random) -> Vec<u8> {
    loop {
        let mut bytes = Vec::new();
        for _ in 0..=random.below(4) {
            let mut piece = match random.below(6) {
                0 => (0..random.below(200)).map(|_| random.byte()).collect(),
                1 => {
                    let mut header = request_header(u32::from(random.byte())).to_bytes().to_vec();
                    header[6 + random.below(10)] = random.byte();
                    header.extend((0..random.below(100)).map(|_| random.byte()));
                    header
                }
                _ => valid_frame(random),
            };
            for _ in 0..random.below(4) {
                let position = random.below(piece.len() + 1).min(piece.len().saturating_sub(1));
                if let Some(byte) = piece.get_mut(position) {
                    *byte ^= 1 << random.below(8);
                }
            }
            piece.truncate(if random.one_in(8) { random.below(piece.len() + 1) } else { piece.len() });
            bytes.append(&mut piece);
        }
        // A request to stop the daemon would be no garbage: whoever runs the tests may do that.
        if !asks(&bytes, STOP) {
            return bytes;
        }
    }
}

/// Returns whether a frame may be in there that has nothing but this number of a request.
fn asks(garbage: &[u8], request: u8) -> bool {
    garbage.windows(8).any(|window| window == [4, 0, 0, 0, request, 0, 0, 0])
}

const STOP: u8 = 2;
const SUBSCRIBE: u8 = 5;

fn valid_frame(random: &mut Random) -> Vec<u8> {
    let action: &[u8] =
        [&b"start"[..], b"stop", b"restart", b"signal", b"status", b"reload"][random.below(6)];
    let request = match random.below(8) {
        0 => Request::Ping,
        1 => Request::List,
        2 => Request::Reload,
        _ => invocation(b"p", action),
    };
    encode_request(u32::from(random.byte()) + 1, &request).unwrap()
}

/// A source of random numbers that can be repeated: splitmix64.
pub(super) struct Random(u64);

impl Random {
    /// Begins with the time, and tells it.
    pub(super) fn seeded() -> Self {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        eprintln!("seed {seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap() % limit
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}
