//! The folder of state: who may write in it, that one daemon alone does, and its one file.
//!
//! What is in the file is not known here.

use std::fmt;
use std::fs::{DirBuilder, File, remove_dir};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, open, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::lock::with_patience;
use crate::parcel::{Packer, Slot, Unpacker};
use crate::places::FileId;

/// A folder that this daemon alone writes in. That ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    directory: File,
    maker: Maker,
}

/// Who has made a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Maker {
    ThisDaemon,
    Somebody,
}

/// A [`Folder`] on its way to the next image of the daemon.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct PackedFolder {
    directory: Slot,
    maker: Maker,
}

/// Why a folder cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// Another daemon writes in it.
    Taken,
    /// It, or what is in it, is not this daemon's alone.
    NotOurs(&'static str),
    /// The system refuses.
    System(io::Error),
}

/// Whether a daemon that has the folder is given a moment to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    None,
    AMoment,
}

impl Folder {
    /// Opens a folder, and makes it if it is not there.
    pub(crate) fn open(path: &Path, patience: Patience) -> Result<Self, Unusable> {
        let maker = match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => Maker::ThisDaemon,
            // Where nothing can be made there may be something nevertheless.
            Err(_) if path.exists() => Maker::Somebody,
            Err(error) => return Err(Unusable::System(error)),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = File::from(open(path, flags, Mode::empty())?);
        if !is_ours(&directory)? {
            return Err(Unusable::NotOurs("the folder is not this user's alone"));
        }
        let take = || match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            result => result.map(Some),
        };
        with_patience(take, || patience == Patience::None)?.ok_or(Unusable::Taken)?;
        Ok(Self { path: path.to_path_buf(), directory, maker })
    }

    /// Takes a folder that another image of this daemon has opened, and has still.
    pub(crate) fn unpack(packed: PackedFolder, path: PathBuf, unpacker: &mut Unpacker) -> io::Result<Self> {
        let PackedFolder { directory, maker } = packed;
        Ok(Self { path, directory: unpacker.take(directory)?.into(), maker })
    }

    /// Packs the folder, which goes on to be this daemon's alone for whoever has the descriptor.
    pub(crate) fn pack<'a>(&'a self, packer: &mut Packer<'a>) -> PackedFolder {
        PackedFolder { directory: packer.descriptor(self.directory.as_fd()), maker: self.maker }
    }

    /// Opens the file for reading; `None` if there is none.
    pub(crate) fn read(&self) -> Result<Option<File>, Unusable> {
        // Whatever else may be there is neither followed nor waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(&self.directory, NAME, flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            result => {
                let file = File::from(result?);
                if !is_ours(&file)? {
                    return Err(Unusable::NotOurs("the file of records is not this user's alone"));
                }
                if !file.metadata()?.is_file() {
                    return Err(Unusable::NotOurs("the file of records is none"));
                }
                Ok(Some(file))
            }
        }
    }

    /// Makes a new file, to be appended to; it is the file when it is [`published`](Self::publish).
    pub(crate) fn draft(&self) -> io::Result<File> {
        match unlinkat(&self.directory, DRAFT, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.directory, DRAFT, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// Puts the draft in the place of the file, at one stroke.
    pub(crate) fn publish(&self) -> io::Result<()> {
        Ok(renameat(&self.directory, DRAFT, &self.directory, NAME)?)
    }

    /// Removes the file, and the folder too, if this process has made it and nothing else is in it.
    pub(crate) fn remove(self) {
        let _ = unlinkat(&self.directory, NAME, AtFlags::empty());
        if self.maker == Maker::ThisDaemon {
            let _ = remove_dir(&self.path);
        }
    }

    /// Returns where the folder is to be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where the file is to be.
    pub(crate) fn file_path(&self) -> PathBuf {
        self.path.join(NAME)
    }

    /// Returns whether this file is what the next daemon finds, and whether it will take it.
    pub(crate) fn is_sound(&self, file: &File) -> bool {
        let is_in_place = FileId::of(file).is_ok_and(|file| file.is_at(&self.file_path()));
        is_in_place && [&self.directory, file].into_iter().all(|it| is_ours(it).unwrap_or(false))
    }
}

/// Returns whether a file or folder is this user's alone: whoever else may write in here could have the daemon run
/// whatever they like.
fn is_ours(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    Ok(metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0)
}

impl From<Errno> for Unusable {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => formatter.write_str("another daemon keeps its state there"),
            Self::NotOurs(what) => formatter.write_str(what),
            Self::System(error) => error.fmt(formatter),
        }
    }
}

const NAME: &str = "programs";
const DRAFT: &str = "programs.new";
