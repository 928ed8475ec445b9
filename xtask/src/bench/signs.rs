//! Signs of life: what processes write into a FIFO as the first thing that they do.
//!
//! Whose processes they are is not known here.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::arena::Arena;

/// Where signs come in.
pub(super) struct Signs {
    path: PathBuf,
    fifo: File,
    /// The beginning of a line.
    rest: Vec<u8>,
}

/// That a process has begun to run its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sign {
    /// The number of its program.
    pub(super) program: u32,
    pub(super) pid: Pid,
    pub(super) seen: Instant,
}

impl Signs {
    pub(super) fn new(arena: &Arena) -> Result<Self, String> {
        let path = arena.stage.path(&format!("{}.signs", arena.new_name()));
        let failed = |error: io::Error| format!("cannot make a FIFO: {error}");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).map_err(|error| failed(error.into()))?;
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        // Open for writing as well, so that it has no end when nobody else writes.
        let fifo = File::options().read(true).write(true).custom_flags(nonblocking).open(&path);
        Ok(Self { path, fifo: fifo.map_err(failed)?, rest: Vec::new() })
    }

    /// Returns a script that gives a sign of life and then does nothing for a long time.
    pub(super) fn script(&self) -> String {
        format!("echo \"$PROGNAME $$\" >{}; exec sleep 1000", self.path.display())
    }

    /// Waits until there are signs, or for so long.
    pub(super) fn wait(&mut self, time: Duration) -> Result<Vec<Sign>, String> {
        let failed = |error: io::Error| format!("cannot see signs of life: {error}");
        let time = Timespec::try_from(time).map_err(|error| error.to_string())?;
        poll(&mut [PollFd::new(&self.fifo, PollFlags::IN)], Some(&time))
            .map_err(|error| failed(error.into()))?;
        let seen = Instant::now();
        let mut buffer = vec![0; 1 << 16];
        match (&self.fifo).read(&mut buffer) {
            Ok(count) => self.rest.extend(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(error)),
        }
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        let signs = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let signs = signs.map(|line| parse(line, seen));
        signs.collect::<Option<_>>().ok_or_else(|| "signs of life that nobody understands".to_owned())
    }

    /// Waits for signs of so many processes. Looks only so often, to disturb little.
    pub(super) fn gather(&mut self, count: u32) -> Result<Vec<Sign>, String> {
        let begin = Instant::now();
        let mut signs = Vec::new();
        while signs.len() < count as usize {
            signs.extend(self.wait(Duration::from_secs(1))?);
            if begin.elapsed() > PATIENCE {
                return Err(format!("{} of {count} processes have given a sign of life", signs.len()));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(signs)
    }
}

fn parse(line: &[u8], seen: Instant) -> Option<Sign> {
    let (name, pid) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let pid = Pid::from_raw(pid.parse().ok()?)?;
    Some(Sign { program: name.strip_prefix('p')?.parse().ok()?, pid, seen })
}

/// Kills those that gave signs and still work in this folder: a daemon that is not ours may have left them.
pub(super) fn end(signs: &[Sign], folder: &Path) {
    for Sign { pid, .. } in signs {
        let cwd = std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
        if cwd.is_ok_and(|cwd| cwd == folder) {
            let _ = kill_process(*pid, Signal::KILL);
        }
    }
}

/// Much longer than all of them take.
const PATIENCE: Duration = Duration::from_secs(300);
