//! Turns a script into a process: its shell, environment, terminal, identity and folder.
//!
//! The only room that creates processes for programs; why a script runs is not known here.
#![expect(unsafe_code, reason = "pre_exec, for ids that are taken in an order of our own")]

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::rc::Rc;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, chdir, getegid, geteuid, setgid, setgroups, setuid};
use procmgr_config::Identity;
use procmgr_proto::stdio::Stdio;

use crate::descriptors::DescriptorLimit;
use crate::signals::{Blocked, reset_in_child};
use crate::supervisor::event::{Pid, Spawn};

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
    /// daemon has none of them afterwards.
    pub(crate) fn spawn(&self, spawn: Spawn<Rc<Stdio>>) -> Result<Pid, SpawnError> {
        let folder = spawn.job.definition.cwd.clone();
        let identity = spawn.rule().identity.clone();
        let mut command = self.command(&spawn);
        self.connect(&mut command, spawn.stdio).map_err(SpawnError::Stdio)?;
        let child = if is_own(&identity) {
            if let Some(folder) = &folder {
                command.current_dir(folder);
            }
            // Neither ids nor closures: the standard library can do without a fork here, whatever the daemon's size.
            self.descriptor_limit
                .lowered(|| command.spawn())
                .map_err(|error| self.blame(error, folder.as_deref()))
        } else {
            self.spawn_as(&identity, folder.as_deref(), command)
        }?;
        // No process has a greater pid than the kernel's limit of 4 million.
        Ok(Pid(child.id().cast_signed()))
    }

    fn command(&self, spawn: &Spawn<Rc<Stdio>>) -> Command {
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
            .env("ACTION", spawn.job.action.name())
            .env("PID", spawn.main.map_or_else(String::new, |pid| pid.to_string()))
            .process_group(0);
        command
    }

    /// Connects the standard streams. All descriptors are opened here, before the limit on them is lowered.
    fn connect(&self, command: &mut Command, terminal: Option<Rc<Stdio>>) -> io::Result<()> {
        let Stdio { stdin, stdout, stderr } = match terminal {
            Some(terminal) => own(terminal)?,
            None => self.terminal_of_nobody()?,
        };
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        Ok(())
    }

    fn terminal_of_nobody(&self) -> io::Result<Stdio> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let stderr = io::stderr();
        let log = if self.is_in_foreground { stderr.as_fd() } else { null.as_fd() };
        let (stdout, stderr) = (log.try_clone_to_owned()?, log.try_clone_to_owned()?);
        Ok(Stdio { stdin: null.into(), stdout, stderr })
    }

    /// Runs a script as somebody else, which takes a fork.
    fn spawn_as(
        &self,
        identity: &Identity,
        folder: Option<&Path>,
        mut command: Command,
    ) -> Result<process::Child, SpawnError> {
        let change = Change::prepare(identity, folder).map_err(SpawnError::Identity)?;
        let limit = self.descriptor_limit;
        // SAFETY: the closure makes system calls on memory that was prepared, and neither allocates nor locks.
        unsafe {
            command.pre_exec(move || {
                change.make()?;
                limit.lower_for_good()?;
                Ok(reset_in_child()?)
            });
        }
        let _blocked = Blocked::all().map_err(|errno| SpawnError::Identity(errno.into()))?;
        command.spawn().map_err(|error| match Step::of(&error) {
            (Step::Identity, error) => SpawnError::Identity(error),
            (Step::Folder, error) => SpawnError::Folder(folder.map(PathBuf::from).unwrap_or_default(), error),
            (Step::Shell, error) => SpawnError::Shell(self.shell.clone(), error),
        })
    }

    /// Returns which of the two has failed, the folder or the shell: the system tells one error for both.
    fn blame(&self, error: io::Error, folder: Option<&Path>) -> SpawnError {
        let unusable = folder.filter(|folder| !fs::metadata(folder).is_ok_and(|metadata| metadata.is_dir()));
        match unusable {
            Some(folder) => SpawnError::Folder(folder.to_path_buf(), error),
            None => SpawnError::Shell(self.shell.clone(), error),
        }
    }
}

/// Takes the descriptors out, or duplicates them while another script of the same request needs them, too.
fn own(terminal: Rc<Stdio>) -> io::Result<Stdio> {
    Rc::try_unwrap(terminal).or_else(|shared| {
        let [stdin, stdout, stderr] = [&shared.stdin, &shared.stdout, &shared.stderr].map(OwnedFd::try_clone);
        Ok(Stdio { stdin: stdin?, stdout: stdout?, stderr: stderr? })
    })
}

/// Returns whether the daemon is that already. A daemon without privileges may name its own user in its
/// configuration; it could not take ids, but need not.
fn is_own(identity: &Identity) -> bool {
    let Identity { uid, gid, groups } = identity;
    let is_nobodys = uid.is_none() && gid.is_none() && groups.is_none();
    let is_ours = uid.is_none_or(|uid| uid.0 == geteuid().as_raw())
        && gid.is_none_or(|gid| gid.0 == getegid().as_raw());
    is_nobodys || (!geteuid().is_root() && is_ours)
}

/// All that has to be changed between fork and exec, prepared so that nothing has to be allocated there.
#[derive(Debug)]
struct Change {
    gid: Option<Gid>,
    groups: Option<Vec<Gid>>,
    uid: Option<Uid>,
    folder: Option<CString>,
}

impl Change {
    fn prepare(identity: &Identity, folder: Option<&Path>) -> io::Result<Self> {
        let groups = identity.groups.as_ref();
        Ok(Self {
            gid: identity.gid.map(|gid| Gid::from_raw(gid.0)),
            groups: groups.map(|groups| groups.iter().map(|gid| Gid::from_raw(gid.0)).collect()),
            uid: identity.uid.map(|uid| Uid::from_raw(uid.0)),
            folder: folder.map(|folder| CString::new(folder.as_os_str().as_bytes())).transpose()?,
        })
    }

    /// The groups go first, since only root may change them, and the folder last: it is for the new user to enter.
    fn make(&self) -> io::Result<()> {
        let identity = |errno| Step::Identity.mark(errno);
        self.gid.map_or(Ok(()), setgid).map_err(identity)?;
        self.groups.as_deref().map_or(Ok(()), setgroups).map_err(identity)?;
        self.uid.map_or(Ok(()), setuid).map_err(identity)?;
        self.folder.as_deref().map_or(Ok(()), chdir).map_err(|errno| Step::Folder.mark(errno))
    }
}

/// What a child was doing between fork and exec when it failed.
///
/// All that the standard library hands over to the parent is one number, the error's. Those of the system are small,
/// which leaves room for the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Shell,
    Identity,
    Folder,
}

impl Step {
    /// Greater than any error of the system.
    const UNIT: i32 = 0x1_0000;

    fn mark(self, errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(self as i32 * Self::UNIT + errno as i32)
    }

    /// Returns the step, and the error without its mark.
    fn of(error: &io::Error) -> (Self, io::Error) {
        let number = error.raw_os_error().unwrap_or(Errno::EINVAL as i32);
        let step = match number / Self::UNIT {
            step if step == Self::Identity as i32 => Self::Identity,
            step if step == Self::Folder as i32 => Self::Folder,
            _ => Self::Shell,
        };
        (step, io::Error::from_raw_os_error(number % Self::UNIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_error_tells_its_step_and_itself() {
        for (step, errno) in [(Step::Identity, Errno::EPERM), (Step::Folder, Errno::ENOENT)] {
            let (told, error) = Step::of(&step.mark(errno));
            assert_eq!((told, error.raw_os_error()), (step, Some(errno as i32)));
        }
        let (told, error) = Step::of(&io::Error::from(Errno::EACCES));
        assert_eq!((told, error.raw_os_error()), (Step::Shell, Some(Errno::EACCES as i32)));
    }
}
