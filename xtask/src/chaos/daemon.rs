//! The daemon: starting it, killing it, and waiting until it serves.
//!
//! When that happens, and what is asked of it, is not known here.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::chaos::scene::Scene;
use crate::chaos::wire::{Connection, Response};
use crate::wire::Request;

/// A daemon, killed when it is dropped.
pub(super) struct Daemon {
    process: Child,
    socket: PathBuf,
}

impl Daemon {
    /// Starts it, and does not wait for anything.
    pub(super) fn start(scene: &Scene) -> Result<Self, String> {
        let cannot = |error| format!("cannot start the daemon: {error}");
        let log = File::options().create(true).append(true).open(scene.log()).map_err(cannot)?;
        let mut command = Command::new(scene.executable());
        command.args(["-d", "-f", "-l", "stderr", "-L", "info", "-c"]).arg(scene.configuration());
        for name in ["NOTIFY_SOCKET", "JOURNAL_STREAM", "PROCMGR_SOCKET"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir(scene.folder());
        Ok(Self { process: command.spawn().map_err(cannot)?, socket: scene.socket() })
    }

    /// Waits until it answers.
    pub(super) fn wait_until_it_serves(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            let answer = Connection::ask_once(&self.socket, Request::Ping);
            if answer.is_ok_and(|answer| answer == Response::Done) {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("the daemon has ended, with {status}, instead of serving"));
            }
            if begin.elapsed() > PATIENCE {
                return Err("the daemon does not serve".to_owned());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns whether it executes this very file.
    pub(super) fn executes(&self, file: &Path) -> bool {
        let executed = fs::metadata(format!("/proc/{}/exe", self.process.id()));
        let is_same =
            |file: Metadata, executed: Metadata| (file.dev(), file.ino()) == (executed.dev(), executed.ino());
        executed.is_ok_and(|executed| fs::metadata(file).is_ok_and(|file| is_same(file, executed)))
    }

    /// Kills it, and waits until it is gone.
    pub(super) fn kill(mut self) -> Result<(), String> {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.map(drop).map_err(|error| format!("cannot kill the daemon: {error}"))
    }

    /// Waits until it has ended well.
    pub(super) fn wait_for_end(mut self) -> Result<(), String> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match self.process.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("the daemon has ended with {status}")),
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(format!("cannot wait for the daemon: {error}")),
            }
        }
        Err("the daemon does not end".to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Far longer than anything takes that is waited for here.
const PATIENCE: Duration = Duration::from_secs(30);
