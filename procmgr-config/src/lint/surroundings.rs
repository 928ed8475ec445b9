//! What a check has to know of the system around the file: its users, what stands at a path, and as whom the daemon
//! runs.
//!
//! It is asked for here, or made up by tests; what follows from it is not known here.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::makedev;
use nix::unistd::geteuid;

use crate::accounts::Database;
use crate::{Gid, Uid};

/// The system, as far as a check asks for it.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// As whom the daemon would run.
    pub daemon: Uid,
    /// Where relative paths begin.
    pub folder: PathBuf,
    /// Its users and groups.
    pub database: Database,
    /// Tells what stands at a path, without following a link there.
    pub look_at: fn(&Path) -> io::Result<Facts>,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What kind of thing it is.
    pub form: Form,
    /// Whose it is.
    pub owner: Uid,
    /// Its group.
    pub group: Gid,
    /// Its permissions, and no more of its mode.
    pub mode: u32,
}

/// What kind of thing stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A folder.
    Folder,
    /// A symbolic link to that path.
    Link(PathBuf),
    /// The null device, which everybody may write and nobody ever reads from.
    Null,
    /// Anything else.
    Other,
}

impl Surroundings {
    /// Takes the system as it is, and the daemon as one of whoever runs this process.
    ///
    /// # Errors
    /// If there is no working directory any more.
    pub fn of_system() -> io::Result<Self> {
        Ok(Self {
            daemon: Uid(geteuid().as_raw()),
            folder: std::env::current_dir()?,
            database: Database::OF_SYSTEM,
            look_at,
        })
    }
}

/// Asks for no more than the properties: nothing is opened, and nobody waited for.
fn look_at(path: &Path) -> io::Result<Facts> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(Facts {
        form: form(path, &metadata)?,
        owner: Uid(metadata.uid()),
        group: Gid(metadata.gid()),
        mode: metadata.mode() & 0o7777,
    })
}

fn form(path: &Path, metadata: &Metadata) -> io::Result<Form> {
    let kind = metadata.file_type();
    Ok(if kind.is_symlink() {
        Form::Link(fs::read_link(path)?)
    } else if kind.is_dir() {
        Form::Folder
    } else if kind.is_char_device() && metadata.rdev() == makedev(1, 3) {
        Form::Null
    } else {
        Form::Other
    })
}
