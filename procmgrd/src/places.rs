//! Where files are, and which file it is that is there.
//!
//! What is in them is not known here.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Which file it is, as long as it is there, whatever its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Asks which file an open one is.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::from(&metadata))
    }

    /// Asks which file is at this path; a link is one by itself.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|metadata| Self::from(&metadata))
    }

    /// Returns whether it is the one that somebody finds at this path.
    pub(crate) fn is_at(self, path: &Path) -> bool {
        Self::at(path).is_ok_and(|there| there == self)
    }
}

impl From<&Metadata> for FileId {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Returns the path with something behind it: what belongs to a socket is beside it.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(ending);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_another_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other, link] = ["file", "other", "link"].map(|name| folder.path().join(name));
        let file = File::create(&path).unwrap();
        let id = FileId::of(&file).unwrap();
        assert!(id.is_at(&path) && !id.is_at(&other));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(!id.is_at(&link));
        File::create(&other).unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(!id.is_at(&path));
    }

    #[test]
    fn what_is_beside_a_path_has_all_of_its_name() {
        assert_eq!(beside(Path::new("/run/a.socket"), ".lock"), Path::new("/run/a.socket.lock"));
    }
}
