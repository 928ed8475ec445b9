//! Between the birth of a process and exec: it puts itself on record, becomes somebody else perhaps, and runs a script.
//!
//! What is to be run, and as whom, is prepared in `spawn`; what the record says, in `state`. In the child, only
//! async-signal-safe calls on memory that was there before.
#![expect(unsafe_code, reason = "clone, fork, and exec on prepared pointers")]

use std::cell::RefCell;
use std::ffi::{CString, OsStr};
use std::io::{self, PipeReader, PipeWriter, Read};
use std::iter::once;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::ptr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, clone};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{
    ForkResult, Gid, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, getppid, setgid,
    setgroups, setpgid, setuid, write,
};
use procmgr_config::Identity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::descriptors::{DescriptorLimit, close_all_but};
use crate::process;
use crate::signals::{Blocked, reset_in_child};
use crate::stat::Stat;
use crate::state::signature::Signature;
use crate::supervisor::event::{Pid, Process, Ticks};

/// How long a child may take from fork to exec. It takes a moment; but once it has become somebody else, that user can
/// stop it, and the daemon must not wait for as long as that user likes.
const PATIENCE: Duration = Duration::from_secs(2);

/// A script that is ready to be run.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    change: Change,
    limit: DescriptorLimit,
    terminal: &'a [OwnedFd; 3],
    entry: Entry<'a>,
    /// The daemon, if it is to be killed when that dies.
    bound_to: Option<nix::unistd::Pid>,
}

/// What a process puts on record of itself before anything else.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    /// Nothing: it is to be a control process.
    None,
    /// It is to be a main process, and nothing can be put on record now. It tells when it was started nevertheless.
    Impossible,
    /// This.
    Signature(Signature<'a>),
}

impl Entry<'_> {
    /// Returns how many bytes it adds to the records; `None` if there is to be none.
    pub(crate) fn length(&self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Impossible => Some(0),
            Self::Signature(signature) => Some(signature.length()),
        }
    }
}

/// What failed, and who was doing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is no child.
    Birth,
    Stdio,
    Identity,
    Folder,
    Exec,
}

/// Who and where a script is to be. What is `None` stays as it is.
#[derive(Debug)]
struct Change {
    gid: Option<Gid>,
    groups: Option<Vec<Gid>>,
    uid: Option<Uid>,
    folder: Option<CString>,
}

impl<'a> Prepared<'a> {
    /// Prepares a command, of which the program, the arguments and the environment count. The process
    /// makes its entry before anything else.
    pub(crate) fn new(
        command: &Command,
        identity: &Identity,
        folder: Option<&Path>,
        limit: DescriptorLimit,
        terminal: &'a [OwnedFd; 3],
        entry: Entry<'a>,
    ) -> io::Result<Self> {
        let text = |text: &OsStr| CString::new(text.as_bytes());
        let variable = |(name, value): (&OsStr, Option<&OsStr>)| {
            CString::new([name.as_bytes(), b"=", value.unwrap_or_default().as_bytes()].concat())
        };
        let groups = identity.groups.as_ref();
        Ok(Self {
            program: text(command.get_program())?,
            arguments: once(command.get_program())
                .chain(command.get_args())
                .map(text)
                .collect::<Result<_, _>>()?,
            environment: command.get_envs().map(variable).collect::<Result<_, _>>()?,
            change: Change {
                gid: identity.group().map(|gid| Gid::from_raw(gid.0)),
                groups: groups.map(|groups| groups.iter().map(|gid| Gid::from_raw(gid.0)).collect()),
                uid: identity.uid.map(|uid| Uid::from_raw(uid.0)),
                folder: folder.map(|folder| text(folder.as_os_str())).transpose()?,
            },
            limit,
            terminal,
            entry,
            bound_to: None,
        })
    }

    /// Has it killed when the daemon dies: it would keep what the next daemon needs.
    pub(crate) fn bound_to_daemon(self) -> Self {
        Self { bound_to: Some(getpid()), ..self }
    }

    /// Runs the script as the user that the daemon is. Returns when it has been executed.
    ///
    /// The child borrows our memory, and we stand still until it gives that back by exec: that takes the same time
    /// however large the daemon is, and nobody but the daemon's own user can make it last, or whoever serves the file
    /// system of its folder.
    ///
    /// # Errors
    /// The step that failed. The child is then dead, and will be reaped like any other.
    pub(crate) fn run_as_daemon(mut self) -> Result<Process, (Step, io::Error)> {
        let (argv, envp) = (pointers(&self.arguments), pointers(&self.environment));
        let (mut started, mut failure) = (NOT_ASKED, None);
        let blocked = Blocked::all().map_err(|errno| (Step::Birth, errno.into()))?;
        let child = Box::new(|| {
            started = self.sign();
            failure = Some(self.become_script(&argv, &envp, None));
            FAILED
        });
        let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
        let child = STACK.with_borrow_mut(|stack| {
            // SAFETY: the child has a stack of its own, and while it uses our memory this thread stands still; what it
            // does with it is what this thread could do, and other threads may go on meanwhile.
            unsafe { clone(child, stack, flags, Some(libc::SIGCHLD)) }
        });
        drop(blocked);
        let child = child.map_err(|errno| (Step::Birth, errno.into()))?;
        match failure {
            Some((step, errno)) => Err((step, errno.into())),
            None => Ok(Process { pid: Pid(child.as_raw()), started }),
        }
    }

    /// Runs the script as somebody else. Returns when it has been executed.
    ///
    /// # Errors
    /// The step that failed. The child is then killed, and will be reaped like any other.
    pub(crate) fn run_as_other(mut self) -> Result<Process, (Step, io::Error)> {
        let (argv, envp) = (pointers(&self.arguments), pointers(&self.environment));
        let failed = |error| (Step::Birth, error);
        let (reader, writer) = io::pipe().map_err(failed)?;
        // The child has our handlers and our pipe until it has reset them: a signal meant for it must not arrive
        // before.
        let blocked = Blocked::all().map_err(|errno| failed(errno.into()))?;
        // SAFETY: the child makes system calls on memory that is ready, and then ends or becomes another program.
        match unsafe { fork() }.map_err(|errno| failed(errno.into()))? {
            ForkResult::Child => {
                let Ticks(started) = self.sign();
                let _ = write(&writer, &started.to_le_bytes());
                let (step, errno) = self.become_script(&argv, &envp, Some(&writer));
                let [low, high] = (errno as i16).to_le_bytes();
                let _ = write(&writer, &[step as u8, low, high]);
                // SAFETY: after it, nothing of this process is run again.
                unsafe { libc::_exit(1) };
            }
            ForkResult::Parent { child } => {
                drop(writer);
                drop(blocked);
                let pid = Pid(child.as_raw());
                let outcome = outcome(reader).inspect_err(|_| process::kill(pid));
                outcome.map(|started| Process { pid, started })
            }
        }
    }

    /// Makes the entry about this process, and returns when it was started. From then on it is a main process, whatever
    /// becomes of the daemon.
    fn sign(&mut self) -> Ticks {
        match &mut self.entry {
            Entry::None => NOT_ASKED,
            Entry::Impossible => Stat::of_self().map_or(NOT_ASKED, |stat| stat.started),
            Entry::Signature(signature) => signature.sign().started,
        }
    }

    /// Becomes the script, or tells what failed.
    fn become_script(
        &self,
        argv: &[*const libc::c_char],
        envp: &[*const libc::c_char],
        kept: Option<&PipeWriter>,
    ) -> (Step, Errno) {
        if let Err(failure) = self.get_ready(kept) {
            return failure;
        }
        // SAFETY: both lists end with a null pointer, and what they point to lives as long as `self`.
        unsafe { libc::execve(self.program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        (Step::Exec, Errno::last())
    }

    /// The groups go first, since only root may change them, and the folder last: it is for the new user to enter.
    ///
    /// Whoever keeps a descriptor lets go of all others before: a user who stops this process, once it is that user's,
    /// would have the daemon's locks.
    fn get_ready(&self, kept: Option<&PipeWriter>) -> Result<(), (Step, Errno)> {
        let [stdin, stdout, stderr] = self.terminal;
        let first = |errno| (Step::Stdio, errno);
        let identity = |errno| (Step::Identity, errno);
        let own = nix::unistd::Pid::from_raw(0);
        setpgid(own, own).map_err(first)?;
        dup2_stdin(stdin).map_err(first)?;
        dup2_stdout(stdout).map_err(first)?;
        dup2_stderr(stderr).map_err(first)?;
        if let Some(kept) = kept {
            close_all_but(kept.as_fd());
        }
        self.limit.lower_for_good().map_err(first)?;
        let Change { gid, groups, uid, folder } = &self.change;
        gid.map_or(Ok(()), setgid).map_err(identity)?;
        groups.as_deref().map_or(Ok(()), setgroups).map_err(identity)?;
        uid.map_or(Ok(()), setuid).map_err(identity)?;
        folder.as_deref().map_or(Ok(()), chdir).map_err(|errno| (Step::Folder, errno))?;
        if let Some(daemon) = self.bound_to {
            set_pdeathsig(Signal::SIGKILL).map_err(identity)?;
            // It may have died before.
            if getppid() != daemon {
                return Err((Step::Exec, Errno::ESRCH));
            }
        }
        reset_in_child().map_err(identity)
    }
}

/// Returns the list that exec wants, ended by a null pointer.
fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain(once(ptr::null())).collect()
}

/// Waits until the child has executed the script, which closes its end of the pipe, or has said what failed. Returns
/// when it was started, by its own account.
fn outcome(mut reader: PipeReader) -> Result<Ticks, (Step, io::Error)> {
    let deadline = Instant::now() + PATIENCE;
    let mut message = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&reader, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err((Step::Exec, errno.into())),
            Ok(0) => return Err((Step::Identity, io::ErrorKind::TimedOut.into())),
            Ok(_) => {}
        }
        let mut part = [0; 11];
        match reader.read(&mut part) {
            Ok(0) => break,
            Ok(count) => message.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((Step::Exec, error)),
        }
    }
    let Some((started, failure)) = message.split_first_chunk::<8>() else {
        return Err((Step::Exec, io::Error::other("the process was killed at its birth")));
    };
    match *failure {
        [step, low, high, ..] => {
            let step = [Step::Stdio, Step::Identity, Step::Folder].into_iter().find(|it| *it as u8 == step);
            let error = io::Error::from_raw_os_error(i16::from_le_bytes([low, high]).into());
            Err((step.unwrap_or(Step::Exec), error))
        }
        // Closed without another word: it is the script now.
        _ => Ok(Ticks(u64::from_le_bytes(*started))),
    }
}

thread_local! {
    /// That of a child that borrows our memory. One will do, for its parent stands still meanwhile; and it is kept,
    /// since to clear one anew each time takes longer than all else that is done here.
    static STACK: RefCell<Vec<u8>> = RefCell::new(vec![0; STACK_SIZE]);
}

/// What such a child needs, in bytes: it is a few system calls deep.
const STACK_SIZE: usize = 64 * 1024;

/// The exit status of a child that could not become a script. Nobody asks for it.
const FAILED: isize = 1;

/// The start of a process that need not be known from all others.
const NOT_ASKED: Ticks = Ticks(0);

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use procmgr_config::{Definition, ProgramName, Rule};

    use super::*;
    use crate::state::store::Store;
    use crate::supervisor::memory::{Aim, Memory, Past, Running};

    fn running(main: Option<Process>) -> Memory {
        let definition = Arc::new(Definition::new(ProgramName::new(b"p"), Rule::default()));
        let (since, past) = (None, Past::default());
        Memory::Running(Running { main, former: None, since, definition, aim: Aim::Run, past })
    }

    fn reap(process: Process) -> nix::sys::wait::WaitStatus {
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(process.pid.0), None).unwrap()
    }

    type Run = for<'a> fn(Prepared<'a>) -> Result<Process, (Step, io::Error)>;

    const WAYS: [Run; 2] = [|prepared| prepared.run_as_daemon(), |prepared| prepared.run_as_other()];

    /// Runs a command in one of the ways, as nobody else, with a signature for this store.
    fn run(way: Run, command: &Command, store: &mut Store) -> Result<Process, (Step, io::Error)> {
        let null = || OwnedFd::from(File::open("/dev/null").unwrap());
        let terminal = [null(), null(), null()];
        let limit = DescriptorLimit::raise().unwrap();
        let signature = store.signature(&ProgramName::new(b"p"), &running(None));
        let length = signature.as_ref().map(Signature::length);
        let identity = Identity::default();
        let entry = signature.map_or(Entry::Impossible, Entry::Signature);
        let result = way(Prepared::new(command, &identity, None, limit, &terminal, entry).unwrap());
        if let Some(length) = length {
            store.signed(length, Instant::now());
        }
        result
    }

    fn store(folder: &Path) -> Store {
        let (mut store, _) = Store::open(folder.join("state"), Instant::now()).unwrap();
        store.write_all([].into_iter(), Instant::now());
        store
    }

    #[test]
    fn a_process_is_on_record_when_it_is_executed_and_as_what_it_is() {
        for way in WAYS {
            let folder = tempfile::tempdir().unwrap();
            let mut store = store(folder.path());
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "kill -STOP $$; exit 3"]);
            let process = run(way, &command, &mut store).unwrap();
            assert_eq!(Stat::of(process.pid).unwrap().started, process.started);
            assert!(!store.wants_all(Instant::now()), "it has signed");
            drop(store);
            let (_, reading) = Store::open(folder.path().join("state"), Instant::now()).unwrap();
            assert_eq!(reading.memories, [(ProgramName::new(b"p"), running(Some(process)))]);
            process::kill(process.pid);
            reap(process);
        }
    }

    #[test]
    fn a_process_that_cannot_be_put_on_record_tells_when_it_was_started() {
        for way in WAYS {
            let folder = tempfile::tempdir().unwrap();
            let (mut store, _) = Store::open(folder.path().join("state"), Instant::now()).unwrap();
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "kill -STOP $$"]);
            let process = run(way, &command, &mut store).unwrap();
            assert_eq!(Stat::of(process.pid).unwrap().started, process.started);
            process::kill(process.pid);
            reap(process);
        }
    }

    #[test]
    fn whoever_cannot_be_executed_is_told_and_was_on_record() {
        for way in WAYS {
            let folder = tempfile::tempdir().unwrap();
            let mut store = store(folder.path());
            let (step, error) = run(way, &Command::new("/nowhere/sh"), &mut store).unwrap_err();
            assert_eq!((step, error.kind()), (Step::Exec, io::ErrorKind::NotFound));
            drop(store);
            let (_, reading) = Store::open(folder.path().join("state"), Instant::now()).unwrap();
            assert_eq!(reading.memories.len(), 1);
        }
    }
}
