//! Clients of other times: one that is ahead of the daemon, and one that knows only what never changes.
//!
//! Neither uses our client; they write the bytes that the protocol's document names.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use procmgr_proto::stdio;

use crate::harness::{DEADLINE, Sandbox, allowing_us};

/// A client that writes and reads bytes.
struct Client(UnixStream);

impl Client {
    fn connect(sandbox: &Sandbox) -> Self {
        let stream = UnixStream::connect(sandbox.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(stream)
    }

    /// Sends a frame and returns the version, the id and the body of what comes back.
    fn ask(&mut self, frame: &[u8]) -> (u16, u32, Vec<u8>) {
        self.0.write_all(frame).unwrap();
        self.answer()
    }

    fn answer(&mut self) -> (u16, u32, Vec<u8>) {
        let mut header = [0; 16];
        self.0.read_exact(&mut header).unwrap();
        assert_eq!((&header[..4], header[6], header[7]), (&b"PMGR"[..], 2, 0), "a response");
        let number = |at: usize| u32::from_le_bytes(*header[at..].first_chunk().unwrap());
        let mut body = vec![0; number(12) as usize];
        self.0.read_exact(&mut body).unwrap();
        (u16::from_le_bytes([header[4], header[5]]), number(8), body)
    }
}

fn frame(version: u16, descriptors: u8, id: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    let head = [&b"PMGR"[..], &version.to_le_bytes(), &[1, descriptors]].concat();
    [&head[..], &id.to_le_bytes(), &length.to_le_bytes(), body].concat()
}

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text].concat()
}

#[test]
fn a_client_of_a_future_version_is_told_ours_and_goes_on_in_it() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-signal = cat; exit 7\n"));
    let mut client = Client::connect(&sandbox);
    // In its version, requests have another form, and four descriptors.
    let (input, mut words) = std::io::pipe().unwrap();
    let (mut output, result) = std::io::pipe().unwrap();
    let of_its_time = frame(2, 4, 70, &[0xee; 5000]);
    stdio::send(&client.0, &of_its_time, &[input.as_fd(), result.as_fd(), result.as_fd(), input.as_fd()])
        .unwrap();
    let (version, id, body) = client.answer();
    assert_eq!((version, id), (1, 70));
    assert!(body.starts_with(&[&[0; 4][..], &text(b"VERSION")].concat()), "{}", body.escape_ascii());

    // So it says it in ours, on the same connection.
    let invoke = [&4_u32.to_le_bytes()[..], &text(b"p"), &text(b"signal"), &[0; 8]].concat();
    stdio::send(&client.0, &frame(1, 3, 71, &invoke), &[input.as_fd(), result.as_fd(), result.as_fd()])
        .unwrap();
    words.write_all(b"as of old").unwrap();
    drop((input, words, result));
    assert_eq!(client.answer(), (1, 71, vec![2, 0, 0, 0, 0, 0, 0, 0, 7]));
    let mut said = String::new();
    output.read_to_string(&mut said).unwrap();
    assert_eq!(said, "as of old");
}

#[test]
fn a_client_that_knows_only_the_frozen_part_finds_lists_reloads_and_stops_the_daemon() {
    let mut sandbox = Sandbox::with_daemon("[prog-p]\n");
    let mut client = Client::connect(&sandbox);
    assert_eq!(client.ask(b"PMGR\x01\0\x01\0\x01\0\0\0\x04\0\0\0\0\0\0\0"), (1, 1, vec![1, 0, 0, 0]));

    let one = [4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let dead = [&text(b"p")[..], &[1, 0, 0, 0, 0, 0, 0, 0], &text(b"dead")].concat();
    let list = b"PMGR\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x01\0\0\0";
    assert_eq!(client.ask(list), (1, 2, [&one[..], &dead].concat()));

    sandbox.configure("nonsense = 1\n");
    let (version, id, body) = client.ask(b"PMGR\x01\0\x01\0\x03\0\0\0\x04\0\0\0\x03\0\0\0");
    assert_eq!((version, id), (1, 3));
    assert_eq!(body[..12], [5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert!(body[20..].ends_with(b"warning: unknown key \"nonsense\""), "{}", body.escape_ascii());

    assert_eq!(client.ask(b"PMGR\x01\0\x01\0\x04\0\0\0\x04\0\0\0\x02\0\0\0"), (1, 4, vec![1, 0, 0, 0]));
    assert_eq!(client.0.read(&mut [0]).unwrap(), 0, "the daemon closes the connection at its end");
    sandbox.wait_for_daemon();
}
