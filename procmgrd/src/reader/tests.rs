//! Frames as they come out of a socket that was fed in every way a peer can think of.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use procmgr_config::Uid;
use procmgr_proto::codec::encode_request;
use procmgr_proto::frame::Header;
use procmgr_proto::message::{Invocation, Request};
use procmgr_proto::stdio::send;

use super::*;
use crate::clock::Clock;
use crate::custody::Ledger;
use crate::parcel::{Unpacker, hand_on};
use crate::reader::packed::PackedReader;

/// What a reader makes of what its peer sends.
struct Pair {
    peer: UnixStream,
    stream: UnixStream,
    reader: FrameReader,
}

impl Pair {
    fn new() -> Self {
        let (peer, stream) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { peer, stream, reader: FrameReader::new(Ledger::new(100, 1000).account(Uid(1))) }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.peer.write_all(bytes).unwrap();
    }

    fn send_with(&mut self, bytes: &[u8], descriptors: usize) {
        let null = File::open("/dev/null").unwrap();
        send(&self.peer, bytes, &vec![null.as_fd(); descriptors]).unwrap();
    }

    /// Goes on as the next image of the daemon does.
    fn upgrade(self) -> Self {
        let Self { peer, stream, reader } = self;
        let (packed, mut unpacker) = hand_on(reader, FrameReader::pack);
        let account = Ledger::new(100, 1000).account(Uid(1));
        Self { peer, stream, reader: FrameReader::unpack(packed, &mut unpacker, account).unwrap() }
    }

    /// Returns what the next call yields: `id: body length, descriptors`, a refusal, or how it ended.
    fn read(&mut self) -> String {
        let refused = |refusal: Refusal| format!("{} {}", refusal.code, refusal.text.escape_ascii());
        match self.reader.read(self.stream.as_fd()) {
            Ok(None) => "nothing".to_owned(),
            Ok(Some(Frame { id, content: Content::Body { body, descriptors } })) => {
                format!("{id}: {} bytes, {} descriptors", body.len(), descriptors.len())
            }
            Ok(Some(Frame { id, content: Content::Refused(refusal) })) => {
                format!("{id}: {}", refused(refusal))
            }
            Err(End::Closed) => "closed".to_owned(),
            Err(End::Broken { id, refusal }) => format!("{id}: broken, {}", refused(refusal)),
        }
    }
}

fn ping(id: u32) -> Vec<u8> {
    encode_request(id, &Request::Ping).unwrap()
}

fn invoke(id: u32) -> Vec<u8> {
    let invocation = Invocation { program: b"p".to_vec(), action: b"a".to_vec(), arguments: Vec::new() };
    encode_request(id, &Request::Invoke(invocation)).unwrap()
}

fn header(change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = Header { version: VERSION, kind: Kind::Request, descriptors: 0, id: 7, length: 4 };
    change(&mut header);
    header.to_bytes().to_vec()
}

#[test]
fn a_frame_is_the_same_however_it_is_cut() {
    let frame = [ping(1), ping(2)].concat();
    for cut in 1..frame.len() {
        let mut pair = Pair::new();
        let mut read = Vec::new();
        for part in [&frame[..cut], &frame[cut..]] {
            pair.send(part);
            read.extend([pair.read(), pair.read(), pair.read()].into_iter().filter(|it| it != "nothing"));
        }
        assert_eq!(read, ["1: 4 bytes, 0 descriptors", "2: 4 bytes, 0 descriptors"], "cut at {cut}");
    }
}

#[test]
fn descriptors_stay_with_their_frame_when_many_frames_wait() {
    let mut pair = Pair::new();
    pair.send(&ping(1));
    pair.send_with(&invoke(2), 3);
    pair.send(&ping(3));
    pair.send_with(&invoke(4), 3);
    let read = [pair.read(), pair.read(), pair.read(), pair.read(), pair.read()];
    assert_eq!(
        read,
        [
            "1: 4 bytes, 0 descriptors",
            "2: 30 bytes, 3 descriptors",
            "3: 4 bytes, 0 descriptors",
            "4: 30 bytes, 3 descriptors",
            "nothing"
        ]
    );
}

#[test]
fn descriptors_that_are_not_as_announced_are_refused_and_the_next_frame_is_read() {
    for (announced, sent) in [(0, 1), (3, 0), (3, 2), (2, 3), (253, 0)] {
        let mut pair = Pair::new();
        let frame = [header(|header| header.descriptors = announced), vec![0; 4]].concat();
        pair.send_with(&frame, sent);
        pair.send(&ping(8));
        let expected = format!("7: BADMSG {announced} descriptors were announced and {sent} came");
        assert_eq!([pair.read(), pair.read()], [expected, "8: 4 bytes, 0 descriptors".to_owned()]);
    }
}

#[test]
fn descriptors_in_the_middle_of_a_frame_end_the_connection() {
    let mut pair = Pair::new();
    pair.send(&ping(7)[..10]);
    assert_eq!(pair.read(), "nothing");
    pair.send_with(&ping(7)[10..], 1);
    assert_eq!(pair.read(), "0: broken, BADMSG descriptors came in the middle of a frame");
    let mut pair = Pair::new();
    pair.send(&ping(7)[..18]);
    assert_eq!(pair.read(), "nothing");
    pair.send_with(&ping(7)[18..], 1);
    assert_eq!(pair.read(), "7: broken, BADMSG descriptors came in the middle of a frame");
}

#[test]
fn descriptors_within_a_header_that_is_read_at_once_count_as_those_of_its_first_byte() {
    // The kernel does not tell which byte has brought them: a read goes on into a message with descriptors, and ends
    // behind it. They are of one client and of one frame in any case.
    let mut pair = Pair::new();
    pair.send(&ping(1));
    pair.send(&invoke(7)[..1]);
    pair.send_with(&invoke(7)[1..], 3);
    assert_eq!([pair.read(), pair.read()], ["1: 4 bytes, 0 descriptors", "7: 30 bytes, 3 descriptors"]);
}

#[test]
fn descriptors_that_come_in_two_parts_end_the_connection() {
    for cut in 1..HEADER_LENGTH {
        let mut pair = Pair::new();
        pair.send_with(&invoke(7)[..cut], 1);
        pair.send_with(&invoke(7)[cut..], 2);
        assert_eq!(
            pair.read(),
            "0: broken, BADMSG descriptors came in the middle of a frame",
            "cut at {cut}"
        );
    }
}

#[test]
fn more_descriptors_than_any_request_has_are_closed_at_once_and_the_next_frame_is_read() {
    let mut pair = Pair::new();
    let frame = header(|header| (header.descriptors, header.length) = (253, 4));
    pair.send_with(&frame, 253);
    assert_eq!(pair.read(), "nothing");
    assert_eq!((pair.reader.arrived, pair.reader.descriptors.len()), (253, 0));
    pair.send(&[0; 4]);
    pair.send(&ping(8));
    assert_eq!(pair.read(), "7: BADMSG 253 descriptors came, and no request has more than 3");
    assert_eq!(pair.read(), "8: 4 bytes, 0 descriptors");
}

#[test]
fn another_version_is_refused_as_such_whatever_its_descriptors() {
    for (announced, sent) in [(0, 4), (3, 2), (4, 4)] {
        let mut pair = Pair::new();
        let frame = header(|header| (header.version, header.descriptors) = (2, announced));
        pair.send_with(&[frame, vec![0; 4]].concat(), sent);
        assert_eq!(pair.read(), "7: VERSION version 2 is not known here, 1 is the highest one");
    }
}

#[test]
fn the_id_of_the_connection_is_none_of_a_request() {
    let mut pair = Pair::new();
    pair.send(&ping(0));
    assert_eq!(pair.read(), "0: BADMSG 0 is no id of a request");
}

#[test]
fn another_version_is_refused_and_its_body_passed_over() {
    let mut pair = Pair::new();
    let length = 100_000;
    pair.send(&header(|header| (header.version, header.length) = (9, length)));
    pair.send(&vec![b'x'; 100_000]);
    pair.send(&ping(8));
    assert_eq!(pair.read(), "7: VERSION version 9 is not known here, 1 is the highest one");
    assert_eq!(pair.read(), "8: 4 bytes, 0 descriptors");
}

#[test]
fn the_memory_for_a_body_grows_with_what_has_come() {
    let mut pair = Pair::new();
    pair.send(&header(|header| header.length = 4 << 20));
    assert_eq!(pair.read(), "nothing");
    assert!(pair.reader.buffered() <= CHUNK, "{} bytes for a header", pair.reader.buffered());
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let too_long = header(|header| header.length = (4 << 20) + 1);
    let response = header(|header| header.kind = Kind::Response);
    let mut unknown_kind = header(|_| {});
    unknown_kind[6] = 9;
    let cases = [
        (b"GET / HTTP/1.1\r\n".to_vec(), "0: broken, BADMSG"),
        (too_long, "7: broken, LIMIT"),
        (unknown_kind, "7: broken, BADMSG"),
        ([response, vec![0; 4]].concat(), "7: BADMSG only requests are taken here"),
    ];
    for (bytes, expected) in cases {
        let mut pair = Pair::new();
        pair.send(&bytes);
        let read = pair.read();
        assert!(read.starts_with(expected), "{read}");
    }
}

#[test]
fn a_peer_that_closes_amidst_a_frame_is_told_so() {
    let mut pair = Pair::new();
    pair.send(&ping(7)[..17]);
    pair.peer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(pair.read(), "7: broken, BADMSG the frame is cut short");
    let mut pair = Pair::new();
    pair.peer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(pair.read(), "closed");
}

#[test]
fn a_frame_goes_on_where_it_stopped_wherever_that_was() {
    let frame = invoke(7);
    for cut in 1..frame.len() {
        let mut pair = Pair::new();
        pair.send_with(&frame[..cut], 3);
        assert_eq!(pair.read(), "nothing", "cut at {cut}");
        let mut pair = pair.upgrade();
        assert!(pair.reader.is_amidst());
        pair.send(&frame[cut..]);
        pair.send(&ping(8));
        let expected = ["7: 30 bytes, 3 descriptors", "8: 4 bytes, 0 descriptors"];
        assert_eq!([pair.read(), pair.read()], expected, "cut at {cut}");
    }
}

/// Version, kind, how many bytes, what comes before, and the name of the case.
type Case<'a> = (u16, u8, usize, &'a dyn Fn(&mut Pair), &'a str);

#[test]
fn what_is_wrong_with_half_a_frame_stays_wrong() {
    let cut_short = |pair: &mut Pair| pair.peer.shutdown(std::net::Shutdown::Write).unwrap();
    let rest = |pair: &mut Pair| pair.send(&[0; 4]);
    let more = |pair: &mut Pair| pair.send_with(&[0; 4], 1);
    let cases: [Case<'_>; 5] = [
        (1, 0, 0, &cut_short, "7: broken, BADMSG the frame is cut short"),
        (1, 0, 0, &more, "7: broken, BADMSG descriptors came in the middle of a frame"),
        (1, 2, 3, &rest, "7: BADMSG 2 descriptors were announced and 3 came"),
        (1, 9, 9, &rest, "7: BADMSG 9 descriptors came, and no request has more than 3"),
        (2, 0, 0, &rest, "7: VERSION version 2 is not known here, 1 is the highest one"),
    ];
    for (version, announced, sent, go_on, expected) in cases {
        let mut pair = Pair::new();
        let header = header(|it| (it.version, it.descriptors, it.length) = (version, announced, 8));
        pair.send_with(&[header, vec![0; 4]].concat(), sent);
        assert_eq!([pair.read(), pair.read()], ["nothing", "nothing"]);
        let mut pair = pair.upgrade();
        go_on(&mut pair);
        assert_eq!(pair.read(), expected);
    }
}

#[test]
fn descriptors_that_the_kernel_has_dropped_are_missed_after_an_upgrade_too() {
    let mut pair = Pair::new();
    pair.send(&header(|_| {}));
    assert_eq!(pair.read(), "nothing");
    pair.reader.has_lost_descriptors = true;
    let mut pair = pair.upgrade();
    pair.send(&[0; 4]);
    assert_eq!(pair.read(), "7: LIMIT the daemon has no room for more descriptors");
}

#[test]
fn half_a_frame_that_makes_no_sense_is_refused() {
    const HEADER: &str =
        "PMGR\\u0001\\u0000\\u0001\\u0000\\u0007\\u0000\\u0000\\u0000\\u0004\\u0000\\u0000\\u0000";
    let unpack = |header: &str, body: &str, descriptors: &str| {
        let text = format!(
            "{{\"header\":\"{header}\",\"body\":{body},\"descriptors\":{descriptors},\
             \"arrived\":0,\"has_lost_descriptors\":false}}"
        );
        let packed = serde_json::from_str::<PackedReader>(&text).unwrap();
        let mut unpacker = Unpacker::new(Clock::now());
        FrameReader::unpack(packed, &mut unpacker, Ledger::new(100, 1000).account(Uid(1)))
    };
    let body = |bytes: &str, missing: u64| format!("{{\"bytes\":\"{bytes}\",\"missing\":{missing}}}");
    unpack("", "null", "[]").unwrap();
    unpack(HEADER, &body("xy", 2), "[]").unwrap();
    for (header, body, descriptors) in [
        (HEADER, "null".to_owned(), "[]"),
        ("PMGR", body("xy", 2), "[]"),
        ("xxxxxxxxxxxxxxxx", body("xy", 2), "[]"),
        ("xxxxxxxxxxxxxxxxx", "null".to_owned(), "[]"),
        (HEADER, body("xyz", 2), "[]"),
        (HEADER, body("x", 2), "[]"),
        (HEADER, body("wxyz", 0), "[]"),
        (HEADER, body("", u64::MAX), "[]"),
        ("", "null".to_owned(), "[2]"),
        ("", "null".to_owned(), "[-1]"),
    ] {
        assert!(unpack(header, &body, descriptors).is_err(), "{header} {body} {descriptors}");
    }
}
