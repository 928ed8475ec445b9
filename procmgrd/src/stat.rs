//! What the kernel tells about a process in `/proc/PID/stat`.
//!
//! Whose process it is, is not known here. Nothing here allocates, so that a child may ask between fork and exec.

use std::ffi::CStr;
use std::io::Write;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{getpid, read};

use crate::supervisor::event::{Pid, Ticks};

/// A few of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) started: Ticks,
    /// How it has ended, as `wait` would tell it; `None` as long as it lives, or where we may not know.
    pub(crate) wait_status: Option<i32>,
}

impl Stat {
    /// Asks for this process.
    pub(crate) fn of_self() -> nix::Result<Self> {
        let (pid, stat) = Self::at(c"/proc/self/stat")?;
        // Where `/proc` is that of another PID namespace, it is another process that it tells of by a number of ours.
        if pid == Pid(getpid().as_raw()) { Ok(stat) } else { Err(Errno::ENOENT) }
    }

    /// Asks for a process. Unless something keeps the pid from being given to another one, the answer may be about
    /// that.
    pub(crate) fn of(pid: Pid) -> nix::Result<Self> {
        Self::of_self()?;
        let mut path = [0; 32];
        write!(&mut path[..], "/proc/{pid}/stat\0").map_err(|_| Errno::ENAMETOOLONG)?;
        Self::at(CStr::from_bytes_until_nul(&path).map_err(|_| Errno::ENAMETOOLONG)?).map(|(_, stat)| stat)
    }

    fn at(path: &CStr) -> nix::Result<(Pid, Self)> {
        let file = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let mut buffer = [0; LONGEST];
        let count = read(file, &mut buffer)?;
        Self::parse(&buffer[..count]).ok_or(Errno::EBADMSG)
    }

    /// The name of the process comes second, in parentheses, and may hold whatever a name may hold.
    fn parse(line: &[u8]) -> Option<(Pid, Self)> {
        let pid = line.split(|byte| *byte == b' ').next()?;
        let pid = std::str::from_utf8(pid).ok()?.parse().ok()?;
        let end_of_name = line.iter().rposition(|byte| *byte == b')')?;
        let mut words = line[end_of_name + 1..].trim_ascii().split(|byte| *byte == b' ');
        let is_dead = matches!(words.next()?, b"Z" | b"X");
        // What follows is numbered from the fourth on.
        let mut number = |skipped: usize| std::str::from_utf8(words.nth(skipped)?).ok();
        let started = number(STARTED - 4)?.parse().ok()?;
        let wait_status = number(EXIT_CODE - STARTED - 1).and_then(|code| code.parse().ok());
        Some((Pid(pid), Self { started: Ticks(started), wait_status: wait_status.filter(|_| is_dead) }))
    }
}

/// The numbers of the fields, as proc(5) counts them.
const STARTED: usize = 22;
const EXIT_CODE: usize = 52;

/// More than the line ever has: 52 numbers and a name.
const LONGEST: usize = 2048;

#[cfg(test)]
mod tests {
    use std::process::{self, Command};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_process_is_told_the_same_about_itself_by_both_ways() {
        let own = Stat::of_self().unwrap();
        assert_eq!(Stat::of(Pid(process::id().cast_signed())), Ok(own));
        assert_eq!(own.wait_status, None);
    }

    #[test]
    fn a_dead_child_tells_how_it_has_ended() {
        let mut child = Command::new("/bin/sh").args(["-c", "exit 7"]).spawn().unwrap();
        let pid = Pid(child.id().cast_signed());
        for _ in 0..10_000 {
            if Stat::of(pid).unwrap().wait_status.is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(Stat::of(pid).unwrap().wait_status, Some(7 << 8));
        child.wait().unwrap();
        assert_eq!(Stat::of(pid), Err(Errno::ENOENT));
    }

    #[test]
    fn a_name_cannot_lead_astray() {
        let line = |name: &str| {
            let numbers: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
            format!("7 ({name}) Z {}\n", numbers.join(" "))
        };
        let expected = Some((Pid(7), Stat { started: Ticks(22), wait_status: Some(52) }));
        for name in ["sh", "a b", ") R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22", "(", ""] {
            assert_eq!(Stat::parse(line(name).as_bytes()), expected, "{name}");
        }
        for line in [
            "",
            "7",
            "7 (sh",
            "7 (sh)",
            "7 (sh) R 1 2",
            "x (sh) R 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22",
            "7 (sh) R 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 x",
        ] {
            assert_eq!(Stat::parse(line.as_bytes()), None, "{line}");
        }
    }
}
