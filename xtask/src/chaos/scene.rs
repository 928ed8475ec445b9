//! Where it is played: the folder, and what is where in it.
//!
//! What is played is not known here.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::chaos::census::Mark;

/// The folder of the stage, as the processes see it that play there.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    folder: PathBuf,
}

impl Scene {
    /// Finds itself in a folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// Makes what programs write to, whoever they are.
    pub(super) fn prepare<'a>(&self, programs: impl Iterator<Item = &'a str>) -> Result<(), String> {
        let cannot = |error| format!("cannot prepare the folder: {error}");
        fs::create_dir(self.path("locks")).map_err(cannot)?;
        let locks = programs.map(|program| self.lock(program));
        for path in locks.chain([self.diary()]) {
            fs::write(&path, "").map_err(cannot)?;
            fs::set_permissions(&path, Permissions::from_mode(0o666)).map_err(cannot)?;
        }
        Ok(())
    }

    /// Returns a file in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns who plays.
    pub(super) fn uid(&self) -> Result<u32, String> {
        let folder = self.folder.metadata();
        folder.map(|folder| folder.uid()).map_err(|error| format!("cannot look at the folder: {error}"))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns what the daemon executes, and executes anew.
    pub(super) fn executable(&self) -> PathBuf {
        self.path("procmgr")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.path("socket")
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.path("procmgr.cfg")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path("log")
    }

    pub(super) fn diary(&self) -> PathBuf {
        self.path("diary")
    }

    /// Returns what the processes of a program hold, one at a time.
    pub(super) fn lock(&self, program: &str) -> PathBuf {
        self.path("locks").join(program)
    }

    /// Returns what tells processes of this stage from those of another one.
    pub(super) fn mark(&self) -> Mark {
        Mark::new(&self.folder.file_name().unwrap_or_default().to_string_lossy())
    }
}
