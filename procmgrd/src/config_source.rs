//! Where the configuration of this daemon comes from, the first time and every time after.
//!
//! What it says is `procmgr-config`'s to tell, what follows from it the supervisor's.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use procmgr_config::OnExit;
use procmgr_config::load::{LoadError, Loaded, Writers, load};

use crate::places::beside;

/// The file of the configuration, and what goes for it while the daemon runs.
#[derive(Debug)]
pub(crate) struct ConfigSource {
    /// The file, by its absolute path.
    path: PathBuf,
    /// The socket of a configuration that names none.
    default_socket: PathBuf,
    writers: Writers,
    /// Where relative paths in the file begin: the folder in which the daemon was started.
    base: PathBuf,
}

impl ConfigSource {
    /// Names the file. Relative paths, of the file and in it, are taken from `base`.
    pub(crate) fn new(path: &Path, default_socket: PathBuf, base: PathBuf) -> Self {
        // Its scripts run as the daemon: whoever may write it is root, too.
        let writers = if geteuid().is_root() { Writers::Root } else { Writers::Anybody };
        Self { path: base.join(path), default_socket, writers, base }
    }

    /// Returns where relative paths begin.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Reads the file.
    pub(crate) fn load(&self) -> Result<Loaded, LoadError> {
        let mut loaded = load(&self.path, &self.default_socket, self.writers)?;
        let config = &mut loaded.config;
        config.socket_path = self.base.join(&config.socket_path);
        config.state_path = Some(match &config.state_path {
            Some(path) => self.base.join(path),
            None => beside(&config.socket_path, ".state"),
        });
        if process::id() == INIT {
            config.on_exit = OnExit::Stop;
        }
        for definition in &mut config.programs {
            if let Some(folder) = definition.cwd.as_ref().filter(|folder| folder.is_relative()) {
                let folder = self.base.join(folder);
                Arc::make_mut(definition).cwd = Some(folder.into());
            }
        }
        Ok(loaded)
    }
}

/// The first process of a system or container. When it ends, the kernel kills all others: better they end before.
const INIT: u32 = 1;

/// Returns how long programs may take to end when this daemon does, if their definitions do not say it; `None` waits for
/// them without end. Whoever ends a container is not patient for long.
pub(crate) fn patience() -> Option<Duration> {
    (process::id() == INIT).then_some(Duration::from_secs(10))
}
