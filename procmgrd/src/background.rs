//! Leaves the starter's session and goes on in the background.
//!
//! The starter waits until the daemon can serve, so that after `procmgr -d` a client finds it.
#![expect(unsafe_code, reason = "fork")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

/// Which process has come back from [`detach`].
#[derive(Debug)]
pub(crate) enum Detached {
    /// The one that was started. The other one is ready, or has ended before it was and has said why.
    Starter { is_ready: bool },
    /// The new one, the leader of a new session.
    Background(Readiness),
}

/// The promise to tell the starter. Dropping it tells that the daemon will not serve.
#[derive(Debug)]
pub(crate) struct Readiness {
    pipe: File,
}

impl Readiness {
    /// Lets go of the starter's working directory and standard streams, then tells it that the daemon serves.
    pub(crate) fn announce(mut self) -> io::Result<()> {
        chdir(Path::new("/"))?;
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        match self.pipe.write_all(&[0]) {
            // The starter was killed while it waited. The daemon that it has started serves all the same.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

/// Forks. To be called before there is any thread.
pub(crate) fn detach() -> io::Result<Detached> {
    let (read, write) = io::pipe()?;
    // SAFETY: no thread has been started yet, so no lock can be held in the child that nobody would release.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(read);
            setsid()?;
            Ok(Detached::Background(Readiness { pipe: File::from(std::os::fd::OwnedFd::from(write)) }))
        }
        ForkResult::Parent { child } => {
            drop(write);
            let mut told = Vec::new();
            let mut read = read;
            read.read_to_end(&mut told)?;
            let is_ready = !told.is_empty();
            if !is_ready {
                // What it has to say is to be read before the starter's prompt.
                let _ = waitpid(child, None);
            }
            Ok(Detached::Starter { is_ready })
        }
    }
}
