//! `PROTOCOL.md` against the vectors: its dumps are theirs, and every message has one.

use procmgr_proto::frame::VERSION;

use crate::messages::number;
use crate::vectors::{FRAMES, Vector, bytes, read};

const DOCUMENT: &str = include_str!("../../PROTOCOL.md");

/// A dump in the document.
#[derive(Debug)]
struct Dump {
    name: &'static str,
    frame: Vec<u8>,
}

/// Returns the dumps: code blocks whose first line is the name of a vector.
fn dumps() -> Vec<Dump> {
    let blocks = DOCUMENT.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix("text\n")).map(dump).collect()
}

fn dump(block: &'static str) -> Dump {
    let mut lines = block.lines();
    let name = lines.next().expect("a dump begins with a name");
    // Two blanks end the bytes of a line and begin what they mean.
    let digits = lines.map(|line| line.split("  ").next().unwrap_or(line));
    let frame =
        digits.flat_map(|digits| bytes(digits).unwrap_or_else(|| panic!("no bytes in {name}: {digits}")));
    Dump { name, frame: frame.collect() }
}

fn vectors() -> Vec<Vector> {
    read(FRAMES)
}

#[test]
fn every_dump_is_the_vector_of_its_name() {
    for dump in dumps() {
        let vector = vectors().into_iter().find(|vector| vector.name == dump.name);
        assert_eq!(vector.map(|vector| vector.frame), Some(dump.frame), "{}", dump.name);
    }
}

#[test]
fn every_message_has_a_dump() {
    let of = |frame: &[u8]| (frame[6], number(frame));
    let dumped: Vec<_> = dumps().iter().map(|dump| of(&dump.frame)).collect();
    for vector in vectors() {
        assert!(dumped.contains(&of(&vector.frame)), "no dump of the message of {}", vector.name);
    }
}

#[test]
fn the_version_is_the_one_that_the_document_describes() {
    assert!(DOCUMENT.contains(&format!("This is version {VERSION}.")));
}
