//! Between fork and exec: a process that becomes somebody else before it runs a script.
//!
//! What is to be run, and as whom, is prepared in `spawn`. In the child, only async-signal-safe calls on memory that was
//! there before.
#![expect(unsafe_code, reason = "fork, and exec on prepared pointers")]

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::iter::once;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::ptr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{
    ForkResult, Gid, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, setgid, setgroups, setpgid,
    setuid,
};
use procmgr_config::Identity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::descriptors::DescriptorLimit;
use crate::process;
use crate::signals::{Blocked, reset_in_child};
use crate::supervisor::event::Pid;

/// How long a child may take from fork to exec. It takes a moment; but once it has become somebody else, that user can
/// stop it, and the daemon must not wait for as long as that user likes.
const PATIENCE: Duration = Duration::from_secs(2);

/// A script that is ready to be run as somebody else.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    change: Change,
    limit: DescriptorLimit,
    terminal: &'a [OwnedFd; 3],
}

/// What a child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
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
    /// Prepares a command, of which the program, the arguments and the environment count.
    pub(crate) fn new(
        command: &Command,
        identity: &Identity,
        folder: Option<&Path>,
        limit: DescriptorLimit,
        terminal: &'a [OwnedFd; 3],
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
                gid: identity.gid.map(|gid| Gid::from_raw(gid.0)),
                groups: groups.map(|groups| groups.iter().map(|gid| Gid::from_raw(gid.0)).collect()),
                uid: identity.uid.map(|uid| Uid::from_raw(uid.0)),
                folder: folder.map(|folder| text(folder.as_os_str())).transpose()?,
            },
            limit,
            terminal,
        })
    }

    /// Runs the script. Returns when it has been executed.
    ///
    /// # Errors
    /// The step that failed. The child is then killed, and will be reaped like any other.
    pub(crate) fn run(&self) -> Result<Pid, (Step, io::Error)> {
        let argv: Vec<*const libc::c_char> = pointers(&self.arguments);
        let envp: Vec<*const libc::c_char> = pointers(&self.environment);
        let failed = |error| (Step::Exec, error);
        let (reader, writer) = io::pipe().map_err(failed)?;
        // The child has our handlers and our pipe until it has reset them: a signal meant for it must not arrive before.
        let blocked = Blocked::all().map_err(|errno| failed(errno.into()))?;
        // SAFETY: the child makes system calls on memory that is ready, and then ends or becomes another program.
        match unsafe { fork() }.map_err(|errno| failed(errno.into()))? {
            ForkResult::Child => {
                let (step, errno) = self.become_script(&argv, &envp);
                let [low, high] = (errno as i16).to_le_bytes();
                let message = [step as u8, low, high];
                // SAFETY: the message is as long as it is said to be. After it, nothing of this process is run again.
                unsafe {
                    libc::write(writer.as_raw_fd(), message.as_ptr().cast(), message.len());
                    libc::_exit(127);
                }
            }
            ForkResult::Parent { child } => {
                drop(writer);
                drop(blocked);
                let pid = Pid(child.as_raw());
                outcome(reader).map(|()| pid).inspect_err(|_| process::kill(pid))
            }
        }
    }

    /// Becomes the script, or tells what failed.
    fn become_script(&self, argv: &[*const libc::c_char], envp: &[*const libc::c_char]) -> (Step, Errno) {
        if let Err(failure) = self.get_ready() {
            return failure;
        }
        // SAFETY: both lists end with a null pointer, and what they point to lives as long as `self`.
        unsafe { libc::execve(self.program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        (Step::Exec, Errno::last())
    }

    /// The groups go first, since only root may change them, and the folder last: it is for the new user to enter.
    fn get_ready(&self) -> Result<(), (Step, Errno)> {
        let [stdin, stdout, stderr] = self.terminal;
        let first = |errno| (Step::Stdio, errno);
        let identity = |errno| (Step::Identity, errno);
        let own = nix::unistd::Pid::from_raw(0);
        setpgid(own, own).map_err(first)?;
        dup2_stdin(stdin).map_err(first)?;
        dup2_stdout(stdout).map_err(first)?;
        dup2_stderr(stderr).map_err(first)?;
        self.limit.lower_for_good().map_err(first)?;
        let Change { gid, groups, uid, folder } = &self.change;
        gid.map_or(Ok(()), setgid).map_err(identity)?;
        groups.as_deref().map_or(Ok(()), setgroups).map_err(identity)?;
        uid.map_or(Ok(()), setuid).map_err(identity)?;
        folder.as_deref().map_or(Ok(()), chdir).map_err(|errno| (Step::Folder, errno))?;
        reset_in_child().map_err(identity)
    }
}

/// Returns the list that exec wants, ended by a null pointer.
fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain(once(ptr::null())).collect()
}

/// Waits until the child has executed the script, which closes its end of the pipe, or has said what failed.
fn outcome(reader: PipeReader) -> Result<(), (Step, io::Error)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&reader, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err((Step::Exec, errno.into())),
            Ok(0) => return Err((Step::Identity, io::ErrorKind::TimedOut.into())),
            Ok(_) => break,
        }
    }
    let mut message = [0; 3];
    match File::from(OwnedFd::from(reader)).read_exact(&mut message) {
        Ok(()) => {
            let [step, low, high] = message;
            let step = [Step::Stdio, Step::Identity, Step::Folder].into_iter().find(|it| *it as u8 == step);
            let error = io::Error::from_raw_os_error(i16::from_le_bytes([low, high]).into());
            Err((step.unwrap_or(Step::Exec), error))
        }
        // Closed without a word: it is the script now.
        Err(_) => Ok(()),
    }
}
