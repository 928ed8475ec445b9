//! Reads the files of vectors, as a client in any other language would.
//!
//! What the bytes mean is not known here.

use std::collections::HashSet;

pub(crate) const FRAMES: &str = include_str!("../../vectors/frames.txt");
pub(crate) const HOSTILE: &str = include_str!("../../vectors/hostile.txt");

/// A line of a file.
#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    /// What stands between the name and the equals sign.
    pub(crate) words: Vec<&'static str>,
    pub(crate) frame: Vec<u8>,
}

/// Returns the vectors of a file.
pub(crate) fn read(file: &'static str) -> Vec<Vector> {
    let lines = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| vector(line).unwrap_or_else(|| panic!("no vector: {line}"))).collect()
}

fn vector(line: &'static str) -> Option<Vector> {
    let (words, digits) = line.split_once(" = ")?;
    let mut words = words.split(' ');
    Some(Vector { name: words.next()?, words: words.collect(), frame: bytes(digits)? })
}

/// Returns the bytes that hexadecimal digits stand for.
pub(crate) fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digits: String = digits.split(' ').collect();
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[test]
fn in_a_file_every_name_and_every_frame_is_there_once() {
    for file in [FRAMES, HOSTILE] {
        let vectors = read(file);
        let names: HashSet<_> = vectors.iter().map(|vector| vector.name).collect();
        let frames: HashSet<_> = vectors.iter().map(|vector| &vector.frame).collect();
        assert_eq!((names.len(), frames.len()), (vectors.len(), vectors.len()));
    }
}
