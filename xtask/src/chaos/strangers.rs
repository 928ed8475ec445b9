//! Strangers: processes that are nobody's program, come and go all the time, and end by any signal that ends a process.
//!
//! Each ends well when its standard input does, so another end is somebody's doing. Whose PIDs they ought to have,
//! they are told.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::chaos::ledger::{FaultKind, Ledger};

/// A crowd of strangers.
pub(super) struct Strangers<'a> {
    ledger: &'a Ledger,
    folder: PathBuf,
    crowd: Mutex<Crowd>,
}

#[derive(Default)]
struct Crowd {
    members: Vec<Child>,
    thread: Option<Thread>,
    /// Who goes next.
    turn: usize,
    /// How many there have ever been.
    count: u64,
    /// How many of those had a PID that a program had had.
    successors: u64,
}

/// What has a PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guise {
    Process,
    /// A thread of this process has one, too, but is none.
    Thread,
}

/// A thread that does nothing until it is dropped.
struct Thread {
    pid: u32,
    /// The thread waits for its end.
    _life: Sender<()>,
}

impl<'a> Strangers<'a> {
    /// Gathers a crowd.
    pub(super) fn gather(ledger: &'a Ledger, folder: PathBuf) -> Result<Self, String> {
        let strangers = Self { ledger, folder, crowd: Mutex::default() };
        let mut crowd = strangers.crowd();
        for _ in 0..SIZE {
            let member = strangers.spawn(&mut crowd)?;
            crowd.members.push(member);
        }
        drop(crowd);
        Ok(strangers)
    }

    /// Has one after the other replaced, until all is over.
    pub(super) fn come_and_go(&self) {
        while !self.ledger.is_over() {
            if let Err(reason) = self.replace_one() {
                self.ledger.blame(FaultKind::Stranger, None, reason);
                return;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Has strangers come and go until one has this PID, but not for ever. Returns whether one has.
    pub(super) fn take_pid(&self, pid: u32, guise: Guise) -> Result<bool, String> {
        for _ in 0..MOST_ATTEMPTS {
            let is_there = match guise {
                Guise::Process => self.replace_one()? == Some(pid),
                Guise::Thread => self.replace_thread()? == pid,
            };
            if is_there {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Looks whether all of them live.
    pub(super) fn look(&self) -> Result<(), String> {
        for member in &mut self.crowd().members {
            let pid = member.id();
            if let Some(status) = member.try_wait().map_err(|error| cannot(&error))? {
                self.complain(pid, status);
            }
        }
        Ok(())
    }

    /// Sends all of them away.
    pub(super) fn disperse(&self) -> Result<(), String> {
        let mut crowd = self.crowd();
        crowd.thread = None;
        let members = std::mem::take(&mut crowd.members);
        drop(crowd);
        members.into_iter().try_for_each(|member| self.dismiss(member))
    }

    /// Returns how many there have been, and how many of those had a PID that a program had had.
    pub(super) fn count(&self) -> (u64, u64) {
        let crowd = self.crowd();
        (crowd.count, crowd.successors)
    }

    /// Replaces the oldest of the processes, and returns the PID of the new one.
    fn replace_one(&self) -> Result<Option<u32>, String> {
        let mut crowd = self.crowd();
        let turn = crowd.turn;
        if turn >= crowd.members.len() {
            return Ok(None);
        }
        let member = self.spawn(&mut crowd)?;
        let pid = member.id();
        let former = std::mem::replace(&mut crowd.members[turn], member);
        crowd.turn = (turn + 1) % SIZE;
        self.dismiss(former)?;
        Ok(Some(pid))
    }

    /// Replaces the thread, and returns the PID of the new one.
    fn replace_thread(&self) -> Result<u32, String> {
        let thread = Thread::start().map_err(|error| cannot(&error))?;
        let pid = thread.pid;
        self.crowd().thread = Some(thread);
        Ok(pid)
    }

    fn spawn(&self, crowd: &mut Crowd) -> Result<Child, String> {
        let mut command = Command::new("/bin/cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir(&self.folder);
        let member = command.spawn().map_err(|error| cannot(&error))?;
        crowd.count += 1;
        let pages = self.ledger.diary.read().map_err(|error| cannot(&error))?;
        crowd.successors += u64::from(pages.knows(member.id()));
        Ok(member)
    }

    fn dismiss(&self, mut member: Child) -> Result<(), String> {
        let pid = member.id();
        drop(member.stdin.take());
        let status = member.wait().map_err(|error| cannot(&error))?;
        if !status.success() {
            self.complain(pid, status);
        }
        Ok(())
    }

    fn complain(&self, pid: u32, status: ExitStatus) {
        let how = status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
        self.ledger.blame(FaultKind::Stranger, None, format!("the stranger {pid} has ended by {how}"));
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Thread {
    fn start() -> io::Result<Self> {
        let (life, end) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let body = move || {
            // Reads as `PID/task/PID`, the second one being that of the thread.
            let link = fs::read_link("/proc/thread-self");
            let pid = link.ok().and_then(|link| link.file_name()?.to_str()?.parse().ok());
            let _ = tell.send(pid);
            let _ = end.recv();
        };
        thread::Builder::new().spawn(body)?;
        let pid: Option<u32> = told.recv().ok().flatten();
        Ok(Self { pid: pid.ok_or(io::ErrorKind::NotFound)?, _life: life })
    }
}

fn cannot(error: &io::Error) -> String {
    format!("cannot keep strangers: {error}")
}

/// How many there are at a time.
const SIZE: usize = 40;

/// Several times as many as there are PIDs where PIDs are few.
const MOST_ATTEMPTS: usize = 1000;

/// How long each of them is the newest.
const PAUSE: Duration = Duration::from_millis(4);
