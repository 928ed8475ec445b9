//! The file that tells the daemon's pid.
//!
//! It tells only; that there is one daemon is `listener`'s care.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process;

/// A PID file, removed when dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the file. One that is there already is replaced: its daemon is gone, or has another socket.
    ///
    /// It is written under another name and then renamed, so that nobody reads half a number, and a link that
    /// somebody has put in its place is replaced rather than followed.
    pub(crate) fn write(path: PathBuf) -> io::Result<Self> {
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
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another daemon may have written it since; that one's is not ours to remove.
        let is_ours =
            fs::read_to_string(&self.path).is_ok_and(|text| text.trim() == process::id().to_string());
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

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
}
