//! Standard error as a stream for log lines, which never waits for whoever reads it.
//!
//! What the lines say, and which are written, is not known here.

use std::io::{self, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Writes lines to a stream as long as it takes them at once, and counts those that it does not take.
///
/// A daemon whose standard error is a pipe that nobody reads would otherwise stand still for all its clients. The
/// stream is not made non-blocking for that: it is shared with whoever started the daemon. A terminal that is stopped
/// can still make a line wait, for it takes a part of it only.
#[derive(Debug)]
pub(crate) struct LogStream<W> {
    stream: W,
    lost: u64,
}

impl<W: Write + AsFd> LogStream<W> {
    /// Takes a stream.
    pub(crate) fn new(stream: W) -> Self {
        Self { stream, lost: 0 }
    }

    fn is_ready(&self) -> bool {
        let mut wanted = [PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT)];
        poll(&mut wanted, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl<W: Write + AsFd> Write for LogStream<W> {
    /// Takes a line, whether or not it is written.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lost > 0 && self.is_ready() {
            writeln!(self.stream, "{} log lines are lost: nobody read them in time", self.lost)?;
            self.lost = 0;
        }
        if !self.is_ready() {
            self.lost += 1;
        } else if line.len() <= LONGEST_LINE {
            self.stream.write_all(line)?;
        } else {
            self.stream.write_all(&line[..LONGEST_LINE - CUT.len()])?;
            self.stream.write_all(CUT)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As much as a pipe that is ready takes without waiting.
const LONGEST_LINE: usize = 4096;

/// The end of a line that was longer.
const CUT: &[u8] = b"...\n";

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;

    fn pipe() -> (File, LogStream<File>) {
        let (reader, writer) = io::pipe().unwrap();
        (File::from(OwnedFd::from(reader)), LogStream::new(File::from(OwnedFd::from(writer))))
    }

    #[test]
    fn a_reader_that_does_not_read_stops_nobody_and_is_told_what_it_has_missed() {
        let (mut reader, mut log) = pipe();
        let line = [b'x'; 100];
        while log.lost < 3 {
            log.write_all(&line).unwrap();
        }
        let mut buffer = vec![0; 1 << 20];
        let read = reader.read(&mut buffer).unwrap();
        assert_eq!(read % line.len(), 0, "a line was cut");
        log.write_all(b"again\n").unwrap();
        let read = reader.read(&mut buffer).unwrap();
        let told = String::from_utf8_lossy(&buffer[..read]).into_owned();
        assert_eq!(told, "3 log lines are lost: nobody read them in time\nagain\n");
    }

    #[test]
    fn a_line_is_never_longer_than_what_is_taken_at_once() {
        let (mut reader, mut log) = pipe();
        log.write_all(&[b'x'; 10_000]).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let read = reader.read(&mut buffer).unwrap();
        assert_eq!(read, LONGEST_LINE);
        assert!(buffer[..read].ends_with(b"x...\n"));
    }
}
