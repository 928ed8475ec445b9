//! Keeps the records: appends to them, writes them anew, and notices when they cannot be written any more.
//!
//! What is to be on record is told from outside, each time it changes and, for writing anew, all at once.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use procmgr_config::ProgramName;

use crate::clock::Clock;
use crate::error::Error;
use crate::journal;
use crate::poll::{Interest, Poller, Source};
use crate::state::folder::{Folder, Patience, Unusable};
use crate::state::header::{self, Life};
use crate::state::reading::{self, Reading};
use crate::state::signature::Signature;
use crate::state::{line, stored::StoredProgram};
use crate::supervisor::memory::Memory;

/// The records of this daemon.
///
/// Where they cannot be written, nothing is written until they can be written anew, which is tried from time to time:
/// nobody tells when a disk is not full any more.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    clock: Clock,
    /// Where they are; `None` as long as the folder cannot be used.
    folder: Option<Folder>,
    /// The file; `None` while it does not say all.
    log: Option<Log>,
    retry: Retry,
    /// Tells when the file or the folder is removed or moved. Without it, that is never noticed.
    watch: Option<Inotify>,
    /// Lets a child that signs have a descriptor where there is none left.
    spare: Option<File>,
}

#[derive(Debug)]
struct Log {
    file: File,
    length: u64,
    /// How long it was when it was written anew.
    length_of_all: u64,
}

/// When it is tried again to write all.
#[derive(Debug)]
struct Retry {
    at: Instant,
    /// How long after a failure.
    pause: Duration,
    /// Whether it was told that it does not work.
    is_told: bool,
}

impl Store {
    /// Opens the records, and reads what an earlier daemon has left there.
    ///
    /// # Errors
    /// Only if another daemon keeps its state there. If the folder cannot be used this is told, and the daemon goes on
    /// without.
    pub(crate) fn open(path: PathBuf, now: Instant) -> Result<(Self, Reading), Error> {
        let folder = match Folder::open(&path, Patience::AMoment) {
            Err(Unusable::Taken) => return Err(Error::StateTaken { folder: path }),
            result => result.inspect_err(|error| journal::state_unwritable(&path, error)).ok(),
        };
        let mut store = Self::over(path, folder, now);
        store.retry.is_told = store.folder.is_none();
        let reading = store.read();
        Ok((store, reading))
    }

    /// Takes records that another image of this daemon has kept; `None` if it could not. They have to be written anew.
    pub(crate) fn over(path: PathBuf, folder: Option<Folder>, now: Instant) -> Self {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        Self {
            clock: Clock::now(),
            folder,
            log: None,
            retry: Retry { at: now, pause: FIRST_PAUSE, is_told: false },
            watch: watch.inspect_err(|error| journal::state_unwatched(&path, error)).ok(),
            spare: File::open("/dev/null").ok(),
            path,
        }
    }

    /// Puts a change on record.
    pub(crate) fn remember(&mut self, program: &ProgramName, memory: &Memory, now: Instant) {
        let line = self.compose(program, memory);
        let Some(log) = &mut self.log else { return };
        match append(&log.file, &line) {
            Ok(()) => log.length += length(&line),
            // Perhaps it can be written anew.
            Err(_) => self.begin_anew(now),
        }
    }

    /// Returns what a process needs to put itself on record as the main process; `None` while nothing can be written.
    /// When it has had the chance to, [`Store::signed`] is to be called.
    pub(crate) fn signature(&self, program: &ProgramName, memory: &Memory) -> Option<Signature<'_>> {
        let (log, spare) = (self.log.as_ref()?, self.spare.as_ref()?);
        let (stored, _) = StoredProgram::new(program, memory, self.clock);
        let text = serde_json::to_vec(&stored).ok()?;
        Some(Signature::new(log.file.as_fd(), spare.as_fd(), &text))
    }

    /// Sees whether a process has put itself on record by a signature of this length; one of 0 it did not have.
    pub(crate) fn signed(&mut self, signature: usize, now: Instant) {
        let Some(log) = &mut self.log else { return };
        let expected = log.length + u64::try_from(signature).unwrap_or(u64::MAX);
        if signature > 0 && log.file.metadata().is_ok_and(|metadata| metadata.len() == expected) {
            log.length = expected;
        } else {
            self.begin_anew(now);
        }
    }

    /// Takes note that something has happened to the file or the folder.
    pub(crate) fn look(&mut self, now: Instant) {
        if let Some(watch) = &self.watch {
            // What has happened is seen below; the events only have to be taken out.
            let _ = watch.read_events();
        }
        let is_sound = match (&self.folder, &self.log) {
            (Some(folder), Some(log)) => folder.is_sound(&log.file),
            _ => return,
        };
        if !is_sound {
            // The folder may be another one, too.
            self.folder = None;
            self.begin_anew(now);
        }
    }

    /// Returns whether all is to be written anew, because it has to be or because that saves much.
    pub(crate) fn wants_all(&self, now: Instant) -> bool {
        match &self.log {
            Some(log) => log.length > 2 * log.length_of_all + ROOM_TO_GROW,
            None => self.retry.at <= now,
        }
    }

    /// Writes all anew: what is to be on record of each program.
    pub(crate) fn write_all<'a>(
        &mut self,
        memories: impl Iterator<Item = (&'a ProgramName, Memory)>,
        now: Instant,
    ) {
        match self.try_to_write_all(memories) {
            Ok(log) => {
                self.log = Some(log);
                self.watch_anew();
                if self.retry.is_told {
                    journal::state_written(&self.path);
                }
                self.retry = Retry { at: now, pause: FIRST_PAUSE, is_told: false };
            }
            Err(error) => {
                // A file that has only grown too long is still true.
                if self.log.is_none() && !self.retry.is_told {
                    journal::state_unwritable(&self.path, &error);
                }
                if let Some(log) = &mut self.log {
                    log.length_of_all = log.length;
                }
                let Retry { at, pause, is_told } = &mut self.retry;
                (*at, *is_told) = (now + *pause, *is_told || self.log.is_none());
                *pause = (2 * *pause).min(LONGEST_PAUSE);
            }
        }
    }

    /// Removes the records, for there is nothing to be remembered.
    pub(crate) fn remove(self) {
        if let Some(folder) = self.folder {
            folder.remove();
        }
    }

    /// Returns when [`Store::wants_all`] will say so for another reason than a change, if ever.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.log.is_none().then_some(self.retry.at)
    }

    /// Has the poller tell when something happens to the file or the folder; [`Store::look`] is to be called then.
    pub(crate) fn register(&self, poller: &Poller) -> io::Result<()> {
        self.watch.as_ref().map_or(Ok(()), |watch| poller.add(watch, Source::State, Interest::READABLE))
    }

    /// Returns where the records are, or are to be.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Returns the folder, for another image of this daemon.
    pub(crate) fn folder(&self) -> Option<&Folder> {
        self.folder.as_ref()
    }

    /// Returns what was left on record. What cannot be used is told, and that is all.
    fn read(&self) -> Reading {
        let Some(folder) = &self.folder else { return Reading::default() };
        let file = folder.file_path();
        let reading = match folder.read() {
            Ok(None) => return Reading::default(),
            Err(error) => Err(error.to_string()),
            Ok(Some(opened)) => Life::present()
                .map_err(|error| error.to_string())
                .and_then(|life| reading::read(opened, &life, self.clock)),
        };
        match reading {
            Ok(reading) => {
                if reading.damaged > 0 {
                    journal::records_damaged(&file, reading.damaged);
                }
                reading
            }
            Err(reason) => {
                journal::records_unusable(&file, &reason);
                Reading::default()
            }
        }
    }

    fn try_to_write_all<'a>(
        &mut self,
        memories: impl Iterator<Item = (&'a ProgramName, Memory)>,
    ) -> Result<Log, Unusable> {
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => Folder::open(&self.path, Patience::None)?,
        };
        let folder = self.folder.insert(folder);
        let file = folder.draft()?;
        let header = header::compose(&Life::present()?);
        let mut length_of_all = length(&header);
        let mut writer = BufWriter::new(&file);
        writer.write_all(&header)?;
        for (program, memory) in memories {
            let line = compose(program, &memory, self.clock);
            writer.write_all(&line)?;
            length_of_all += length(&line);
        }
        writer.flush()?;
        drop(writer);
        folder.publish()?;
        if self.spare.is_none() {
            self.spare = File::open("/dev/null").ok();
        }
        Ok(Log { file, length: length_of_all, length_of_all })
    }

    fn compose(&self, program: &ProgramName, memory: &Memory) -> Vec<u8> {
        compose(program, memory, self.clock)
    }

    /// Takes what is on record for wrong: all is to be written anew.
    pub(crate) fn begin_anew(&mut self, now: Instant) {
        self.log = None;
        self.retry.at = now;
    }

    /// Watches the file that is there now, and its folder.
    fn watch_anew(&self) {
        let (Some(watch), Some(folder)) = (&self.watch, &self.folder) else { return };
        // An open file is not deleted but loses its last link: a change of attributes.
        let flags = AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_DONT_FOLLOW;
        for path in [folder.path(), &folder.file_path()] {
            if let Err(error) = watch.add_watch(path, flags) {
                journal::state_unwatched(path, &error);
            }
        }
    }
}

/// Returns the line about a program.
fn compose(program: &ProgramName, memory: &Memory, clock: Clock) -> Vec<u8> {
    let (stored, main) = StoredProgram::new(program, memory, clock);
    line::compose(main, &serde_json::to_vec(&stored).expect("texts and numbers can be JSON"))
}

/// Appends a line as a whole, or fails.
fn append(mut file: &File, line: &[u8]) -> io::Result<()> {
    loop {
        match file.write(line) {
            Ok(count) if count == line.len() => return Ok(()),
            Ok(_) => return Err(io::ErrorKind::StorageFull.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn length(line: &[u8]) -> u64 {
    u64::try_from(line.len()).unwrap_or(u64::MAX)
}

/// How much longer than twice as long the file may become before it is written anew.
const ROOM_TO_GROW: u64 = 256 * 1024;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(64);

#[cfg(test)]
mod tests;
