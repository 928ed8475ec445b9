//! Turns a script into a process: its shell, environment, terminal, identity and folder.
//!
//! The only room that creates processes for programs; why a script runs is not known here.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::Instant;

use nix::unistd::{getegid, geteuid};
use procmgr_config::Identity;

use crate::custody::Charge;
use crate::descriptors::DescriptorLimit;
use crate::disposal::{self, Foreign};
use crate::fork::{Entry, Prepared, Step};
use crate::stat::Stat;
use crate::state::store::Store;
use crate::supervisor::event::{Process, Spawn, Ticks};

/// How scripts are run by this daemon.
#[derive(Debug)]
pub(crate) struct Spawner {
    /// The shell, by its absolute path.
    pub(crate) shell: PathBuf,
    /// The `PATH` of scripts.
    pub(crate) search_path: OsString,
    /// Whether what runs for nobody writes to the daemon's standard error, rather than nowhere.
    pub(crate) is_in_foreground: bool,
    pub(crate) descriptor_limit: DescriptorLimit,
}

/// Why a script could not be run.
#[derive(Debug)]
pub(crate) enum SpawnError {
    /// A descriptor could not be made ready.
    Stdio(io::Error),
    /// The user or the groups could not be taken.
    Identity(io::Error),
    /// The folder could not be entered.
    Folder(PathBuf, io::Error),
    /// The process could not be created, or the shell could not be executed.
    Shell(PathBuf, io::Error),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio(source) => write!(formatter, "cannot pass on a descriptor: {source}"),
            Self::Identity(source) => write!(formatter, "cannot take on its user and groups: {source}"),
            Self::Folder(folder, source) => {
                write!(formatter, "cannot enter {}: {source}", folder.as_os_str().as_bytes().escape_ascii())
            }
            Self::Shell(shell, source) => write!(formatter, "cannot execute {}: {source}", shell.display()),
        }
    }
}

impl Spawner {
    /// Runs a script. Returns when it has been executed, which means the shell: what it finds to do is its own affair.
    ///
    /// The client's descriptors go to the script; unless they are kept for another script of the same request, the
    /// daemon has none of them afterwards. A process that is to become a main process puts itself on record before.
    pub(crate) fn spawn(
        &self,
        mut spawn: Spawn<Rc<Foreign>>,
        store: &mut Store,
    ) -> Result<Process, SpawnError> {
        let terminal = match spawn.stdio.take() {
            Some(terminal) => own(terminal).map(|(terminal, charge)| (terminal, Some(charge))),
            None => self.terminal_of_nobody().map(|terminal| (terminal, None)),
        };
        let (terminal, charge) = terminal.map_err(SpawnError::Stdio)?;
        let result = self.run(&spawn, &terminal, store);
        disposal::later(terminal, charge);
        result
    }

    fn run(
        &self,
        spawn: &Spawn<Rc<Foreign>>,
        terminal: &[OwnedFd; 3],
        store: &mut Store,
    ) -> Result<Process, SpawnError> {
        let folder = spawn.job.definition.cwd.as_deref();
        let identity = &spawn.rule().terms.identity;
        let is_own = is_own(identity);
        let identity = if is_own { &Identity::default() } else { identity };
        let entry = match &spawn.memory {
            None => Entry::None,
            Some(memory) => {
                let signature = store.signature(&spawn.job.program, memory);
                signature.map_or(Entry::Impossible, Entry::Signature)
            }
        };
        let length = entry.length();
        let command = self.command(spawn);
        let prepared = Prepared::new(&command, identity, folder, self.descriptor_limit, terminal, entry);
        let result = prepared
            .map_err(|error| (Step::Birth, error))
            .and_then(|prepared| if is_own { prepared.run_as_daemon() } else { prepared.run_as_other() });
        match (length, &result) {
            // Where there is no child, nobody has put anything on record.
            (None, _) | (Some(_), Err((Step::Birth, _))) => {}
            (Some(length), _) => store.signed(length, Instant::now()),
        }
        let result = result.map(|process| if length.is_some() { told(process) } else { process });
        result.map_err(|(step, error)| match step {
            Step::Stdio => SpawnError::Stdio(error),
            Step::Identity => SpawnError::Identity(error),
            Step::Folder => SpawnError::Folder(folder.map(PathBuf::from).unwrap_or_default(), error),
            Step::Birth | Step::Exec => SpawnError::Shell(self.shell.clone(), error),
        })
    }

    fn command(&self, spawn: &Spawn<Rc<Foreign>>) -> Command {
        let script = spawn.rule().script.as_deref().unwrap_or_default();
        let mut command = Command::new(&self.shell);
        command
            .arg("-c")
            .arg(OsStr::from_bytes(script))
            .args(spawn.arguments.iter().map(|argument| OsStr::from_bytes(argument)))
            .env_clear()
            .env("PATH", &self.search_path)
            .env("SHELL", &self.shell)
            .env("PROGNAME", OsStr::from_bytes(spawn.job.program.as_bytes()))
            .env("ACTION", OsStr::from_bytes(spawn.job.action.name()))
            .env("PID", spawn.main.map_or_else(String::new, |pid| pid.to_string()));
        command
    }

    fn terminal_of_nobody(&self) -> io::Result<[OwnedFd; 3]> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let stderr = io::stderr();
        let log = if self.is_in_foreground { stderr.as_fd() } else { null.as_fd() };
        let (stdout, stderr) = (log.try_clone_to_owned()?, log.try_clone_to_owned()?);
        Ok([null.into(), stdout, stderr])
    }
}

/// Asks when a process was started that could not tell. It is a child that has not been reaped, and no other has its
/// PID.
fn told(process: Process) -> Process {
    match process.started {
        Ticks(0) => {
            let started = Stat::of(process.pid).map_or(Ticks(0), |stat| stat.started);
            Process { started, ..process }
        }
        Ticks(_) => process,
    }
}

/// Takes the descriptors out, or duplicates them while another script of the same request needs them, too.
fn own(terminal: Rc<Foreign>) -> io::Result<([OwnedFd; 3], Charge)> {
    let terminal = Rc::try_unwrap(terminal).or_else(|shared| shared.duplicate())?;
    let (descriptors, charge) = terminal.take();
    match <[OwnedFd; 3]>::try_from(descriptors) {
        Ok(terminal) => Ok((terminal, charge)),
        Err(others) => {
            disposal::later(others, Some(charge));
            Err(io::ErrorKind::InvalidInput.into())
        }
    }
}

/// Returns whether the daemon is that already. A daemon without privileges may name its own user in its
/// configuration; it could not take ids, but need not.
fn is_own(identity: &Identity) -> bool {
    let Identity { uid, groups, .. } = identity;
    let gid = identity.group();
    let is_nobodys = uid.is_none() && gid.is_none() && groups.is_none();
    let is_ours = uid.is_none_or(|uid| uid.0 == geteuid().as_raw())
        && gid.is_none_or(|gid| gid.0 == getegid().as_raw());
    is_nobodys || (!geteuid().is_root() && is_ours)
}
