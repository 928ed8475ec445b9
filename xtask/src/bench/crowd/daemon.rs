//! The daemon that is measured, and what it uses.
//!
//! What is asked of it is not known here.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::stage::Stage;

/// A daemon, killed when it is dropped.
pub(super) struct Daemon(Child);

/// What it uses at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Its resident memory in KiB.
    pub(super) memory: u64,
    pub(super) descriptors: usize,
}

impl Daemon {
    /// Starts it and waits until it serves.
    pub(super) fn start(stage: &Stage) -> Result<Self, String> {
        let log = File::create(stage.path("log")).map_err(|error| format!("cannot make the log: {error}"))?;
        let mut command = Command::new(stage.path("procmgr"));
        command.args(["-d", "-f", "-l", "stderr", "-c"]).arg(stage.path("procmgr.cfg"));
        for name in ["NOTIFY_SOCKET", "JOURNAL_STREAM"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir(stage.path(""));
        let daemon = Self(command.spawn().map_err(|error| format!("cannot start the daemon: {error}"))?);
        let begin = Instant::now();
        while UnixStream::connect(stage.path("socket")).is_err() {
            if begin.elapsed() > PATIENCE {
                return Err("the daemon does not serve".to_owned());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(daemon)
    }

    /// Returns what it uses now.
    pub(super) fn usage(&self) -> Result<Usage, String> {
        let folder = format!("/proc/{}", self.0.id());
        let failed = |error| format!("the daemon is gone: {error}");
        let status = fs::read_to_string(format!("{folder}/status")).map_err(failed)?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok());
        let descriptors = fs::read_dir(format!("{folder}/fd")).map_err(failed)?.count();
        Ok(Usage { memory: memory.ok_or("the daemon has no memory")?, descriptors })
    }

    /// Waits until it has no more descriptors than before, and returns what it uses then.
    pub(super) fn settle(&self, before: Usage) -> Result<Usage, String> {
        let begin = Instant::now();
        loop {
            let usage = self.usage()?;
            if usage.descriptors <= before.descriptors {
                return Ok(usage);
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("{} descriptors remain open", usage.descriptors));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Far longer than anything takes that is waited for here.
const PATIENCE: Duration = Duration::from_secs(30);
