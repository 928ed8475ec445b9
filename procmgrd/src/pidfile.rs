//! The file that tells the daemon's pid.
//!
//! It tells only; that there is one daemon is `listener`'s care.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use nix::fcntl::OFlag;

/// A PID file, removed when dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the file. A PID file that is there already is replaced: its daemon is gone, or has another socket.
    ///
    /// It is written under another name and then renamed, so that nobody reads half a number.
    ///
    /// # Errors
    /// If the system refuses, or if something else than a PID file is there: that may be dear to somebody.
    pub(crate) fn write(path: PathBuf) -> io::Result<Self> {
        match read(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return Err(io::Error::other("something else than a PID file is there")),
        }
        let mut draft = path.clone().into_os_string();
        draft.push(format!(".{}", process::id()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&draft)?;
            writeln!(file, "{}", process::id())?;
            fs::rename(&draft, &path)
        };
        write().inspect_err(|_| drop(fs::remove_file(&draft)))?;
        Ok(Self { path })
    }

    /// Takes a file that another image of this daemon has written.
    pub(crate) fn over(path: PathBuf) -> Self {
        Self { path }
    }

    /// Returns where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another daemon may have written it since; that one's is not ours to remove.
        if read(&self.path).is_ok_and(|pid| pid == Some(process::id())) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns the PID in a PID file; an empty one has none. Whatever else may be there, it is neither followed nor waited
/// for, and no more of it is read than a number has digits.
fn read(path: &Path) -> io::Result<Option<u32>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let other = || io::Error::from(io::ErrorKind::InvalidData);
    if !file.metadata()?.is_file() {
        return Err(other());
    }
    let mut text = String::new();
    File::take(file, LONGEST).read_to_string(&mut text)?;
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| other()),
    }
}

/// More than any PID has digits.
const LONGEST: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_pid_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        fs::write(&path, "1\n").unwrap();
        let file = PidFile::write(path.clone()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_file_of_another_daemon_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let file = PidFile::write(path.clone()).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn nothing_is_left_behind_where_it_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        fs::create_dir(&path).unwrap();
        assert!(PidFile::write(path).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn whatever_is_no_pid_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        for text in ["socket-path = /run/procmgr\n", "12 34", "-1", &"9".repeat(100)] {
            fs::write(&path, text).unwrap();
            let error = PidFile::write(path.clone()).unwrap_err();
            assert_eq!(error.to_string(), "something else than a PID file is there");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(PidFile::write(path.clone()).is_err());
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn an_empty_file_is_as_good_as_a_pid_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        fs::write(&path, "").unwrap();
        drop(PidFile::write(path.clone()).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn nothing_is_waited_for_when_something_has_taken_the_place_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let file = PidFile::write(path.clone()).unwrap();
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
