//! A child that tries whether the executable can take over, and what it has to say about it.
//!
//! What it tries is in `handover`; what follows from the outcome is not decided here.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use procmgr_config::Identity;
use procmgr_proto::message::ExitStatus;
use rustix::io::ioctl_fionbio;

use crate::activation::environment_of_others;
use crate::descriptors::DescriptorLimit;
use crate::fork::{Entry, Prepared};
use crate::places::FileId;
use crate::process;
use crate::supervisor::event::Pid;

/// A rehearsal that is under way.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    child: Pid,
    /// How it has ended, once it has.
    status: Option<ExitStatus>,
    says: PipeReader,
    said: Vec<u8>,
    deadline: Instant,
    edition: Edition,
}

/// Which file stands where the executable is, and when it was changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edition {
    file: FileId,
    length: u64,
    changed: (i64, i64),
}

impl Edition {
    /// Returns whether this is what stands there now.
    pub(crate) fn is_at(self, path: &Path) -> bool {
        Self::of(path).is_ok_and(|edition| edition == self)
    }

    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            file: FileId::from(&metadata),
            length: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// What has come of a rehearsal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pending,
    Ready,
    Failed { reason: String },
}

/// What a rehearsal says last that has succeeded. That it has ended well is not enough: so does `/bin/true`.
pub(crate) const READY: &str = "procmgr: ready to take over";

impl Rehearsal {
    /// Runs the executable as this daemon was run, with this variable in its environment beside.
    pub(crate) fn begin(
        executable: &Path,
        arguments: &[OsString],
        (variable, order): (&str, &str),
        limit: DescriptorLimit,
    ) -> io::Result<Self> {
        let edition = Edition::of(executable)?;
        let (says, writer) = io::pipe()?;
        ioctl_fionbio(&says, true)?;
        let mut command = Command::new(executable);
        command.args(arguments.iter().skip(1)).env_clear().envs(environment_of_others()).env(variable, order);
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let terminal = [null.into(), writer.try_clone()?.into(), writer.into()];
        let prepared = Prepared::new(&command, &Identity::default(), None, limit, &terminal, Entry::None)?;
        // Nobody waits here until it is executed, which may take as long as somebody likes whose descriptors it has.
        let process = prepared.bound_to_daemon().run_as_daemon().map_err(|(_, error)| error)?;
        let deadline = Instant::now() + PATIENCE;
        Ok(Self { child: process.pid, status: None, says, said: Vec::new(), deadline, edition })
    }

    /// Ends what it has left behind, if it has ended: that would keep the daemon's descriptors.
    pub(crate) fn clear_away(&self) {
        if process::is_dead(self.child) {
            process::kill_group(self.child);
        }
    }

    /// Takes note that a child has ended.
    pub(crate) fn take_note(&mut self, pid: Pid, status: ExitStatus) {
        if pid == self.child {
            self.status = Some(status);
        }
    }

    /// Takes in what there is to be heard. Returns whether there may be more some day.
    pub(crate) fn listen(&mut self) -> bool {
        let mut part = [0; 1024];
        for _ in 0..PARTS_PER_CALL {
            match self.says.read(&mut part) {
                Ok(0) => return false,
                Ok(count) => {
                    self.said.extend_from_slice(&part[..count]);
                    // The last words count.
                    let surplus = self.said.len().saturating_sub(MOST_SAID);
                    self.said.drain(..surplus);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Returns what has come of it. One that takes too long has failed.
    pub(crate) fn verdict(&mut self, now: Instant) -> Verdict {
        let Some(status) = self.status else {
            if now < self.deadline {
                return Verdict::Pending;
            }
            process::kill_group(self.child);
            let reason = format!("it was not ready within {} s", PATIENCE.as_secs());
            return Verdict::Failed { reason };
        };
        // All that a pipe can hold.
        for _ in 0..MOST_CALLS {
            self.listen();
        }
        let said = String::from_utf8_lossy(&self.said);
        let last_words = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        // It may be anybody's.
        let last_words = &last_words.replace(char::is_control, "?");
        match status {
            ExitStatus::Code(0) if last_words == READY => Verdict::Ready,
            _ if last_words.is_empty() => {
                Verdict::Failed { reason: format!("it has ended with {status} before it was ready") }
            }
            _ => {
                let last_words = last_words.strip_prefix("procmgr: ").unwrap_or(last_words);
                Verdict::Failed { reason: format!("it has ended with {status}: {last_words}") }
            }
        }
    }

    /// Returns what has rehearsed.
    pub(crate) fn edition(&self) -> Edition {
        self.edition
    }

    /// Returns when it takes too long.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl AsFd for Rehearsal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.says.as_fd()
    }
}

/// How long a rehearsal may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many parts of what it says are taken in at once: it may say more than anybody can listen to.
const PARTS_PER_CALL: usize = 16;

/// How often it has to be listened until nothing is left in a pipe, of 64 KiB.
const MOST_CALLS: usize = 8;

/// How much of what it says is kept.
const MOST_SAID: usize = 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn whatever_takes_the_place_of_an_executable_or_is_written_into_it_is_another_edition() {
        let folder = tempfile::tempdir().unwrap();
        let [link, file, other] = ["link", "file", "other"].map(|name| folder.path().join(name));
        for path in [&file, &other] {
            fs::write(path, "#!/bin/sh\n").unwrap();
        }
        symlink("file", &link).unwrap();
        let edition = Edition::of(&link).unwrap();
        fs::read(&link).unwrap();
        assert!(edition.is_at(&link) && edition.is_at(&file));
        assert!(!edition.is_at(&other));
        fs::rename(&other, &file).unwrap();
        assert!(!edition.is_at(&link));
        let edition = Edition::of(&link).unwrap();
        fs::write(&file, "#!/bin/sh\nexit 1\n").unwrap();
        assert!(!edition.is_at(&link));
        fs::remove_file(&file).unwrap();
        assert!(!edition.is_at(&link));
    }
}
