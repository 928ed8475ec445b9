//! The form of a record: a line with a checksum, a process in columns of fixed width, and a text.
//!
//! What the text says is not known here. Nothing here allocates once there is a line, so that a child may complete
//! its own between fork and exec. Scripts of packages look for processes in the columns, too: `packaging/shared.sh`.
//!
//! ```text
//! 5c2e1d40 0000004711 00000000000008812345 {"program":"web",...}
//! ```

use std::ops::Range;

use crate::supervisor::event::{Pid, Process, Ticks};

/// Returns a line, ended by a newline, that names this process, or none.
pub(crate) fn compose(process: Option<Process>, text: &[u8]) -> Vec<u8> {
    let mut line = vec![b' '; TEXT];
    line.reserve_exact(text.len() + 1);
    line.extend_from_slice(text);
    line.push(b'\n');
    complete(&mut line, process);
    line
}

/// Writes the process into a line, and makes its checksum right.
pub(crate) fn complete(line: &mut [u8], process: Option<Process>) {
    let (pid, Ticks(started)) = process.map_or((0, Ticks(0)), |it| (it.pid.0.unsigned_abs(), it.started));
    put(&mut line[PID], pid.into(), DECIMAL);
    put(&mut line[STARTED], started, DECIMAL);
    let checksum = crc32fast::hash(&line[PID.start..]);
    put(&mut line[CHECKSUM], checksum.into(), HEXADECIMAL);
}

/// Returns what a line says, without its newline; `None` if it is damaged.
pub(crate) fn parse(line: &[u8]) -> Option<(Option<Process>, &[u8])> {
    let (line, text) = (line.strip_suffix(b"\n")?, line.get(TEXT..line.len() - 1)?);
    let number = |range: Range<usize>, radix| {
        let digits = line.get(range)?;
        let are_digits = digits.iter().all(|digit| char::from(*digit).is_digit(radix));
        u64::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| are_digits)?, radix).ok()
    };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(line.get(PID.start..)?);
    hasher.update(b"\n");
    if number(CHECKSUM, 16)? != u64::from(hasher.finalize()) {
        return None;
    }
    let (pid, started) = (i32::try_from(number(PID, 10)?).ok()?, Ticks(number(STARTED, 10)?));
    Some(((pid != 0).then_some(Process { pid: Pid(pid), started }), text))
}

/// Writes a number into a column, with zeros in front.
fn put(column: &mut [u8], mut number: u64, Radix(radix): Radix) {
    for place in column.iter_mut().rev() {
        let digit = number % radix;
        *place = DIGITS[usize::from(digit.to_le_bytes()[0])];
        number /= radix;
    }
}

struct Radix(u64);

const DECIMAL: Radix = Radix(10);
const HEXADECIMAL: Radix = Radix(16);
const DIGITS: &[u8; 16] = b"0123456789abcdef";

const CHECKSUM: Range<usize> = 0..8;
const PID: Range<usize> = 9..19;
const STARTED: Range<usize> = 20..40;
const TEXT: usize = 41;

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Process = Process { pid: Pid(4711), started: Ticks(8_812_345) };

    #[test]
    fn a_line_says_what_it_was_composed_of() {
        for process in [None, Some(PROCESS), Some(Process { pid: Pid(i32::MAX), started: Ticks(u64::MAX) })] {
            for text in [&b""[..], b"{}", b"a \xff text"] {
                let line = compose(process, text);
                assert_eq!(parse(&line), Some((process, text)), "{}", line.escape_ascii());
            }
        }
    }

    #[test]
    fn a_line_can_be_read() {
        let line = compose(Some(PROCESS), b"{\"program\":\"web\"}");
        let line = String::from_utf8(line).unwrap();
        let (checksum, rest) = line.split_once(' ').unwrap();
        assert_eq!(rest, "0000004711 00000000000008812345 {\"program\":\"web\"}\n");
        assert_eq!(checksum, format!("{:08x}", crc32fast::hash(rest.as_bytes())));
    }

    #[test]
    fn a_line_is_completed_in_its_place() {
        let mut line = compose(None, b"text");
        let length = line.len();
        complete(&mut line, Some(PROCESS));
        assert_eq!((line.len(), parse(&line)), (length, Some((Some(PROCESS), &b"text"[..]))));
    }

    #[test]
    fn whatever_is_damaged_is_noticed() {
        let line = compose(Some(PROCESS), b"{\"program\":\"web\"}");
        for length in 0..line.len() {
            assert_eq!(parse(&line[..length]), None, "cut to {length}");
        }
        for place in 0..line.len() {
            for bit in 0..8 {
                let mut damaged = line.clone();
                damaged[place] ^= 1 << bit;
                let is_case_of_checksum = place < 8 && line[place].is_ascii_alphabetic() && bit == 5;
                let is_separator = place == 8;
                assert!(is_case_of_checksum || is_separator || parse(&damaged).is_none(), "{place} {bit}");
            }
        }
        assert_eq!(parse(b""), None);
        assert_eq!(parse(&[b'\n'; 100]), None);
        assert_eq!(parse(&vec![0xff; 1000]), None);
    }
}
