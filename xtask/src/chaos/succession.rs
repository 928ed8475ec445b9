//! The daemons, one after the other: each is started, asked to do something with itself, and killed.
//!
//! When and why is not known here, nor whether their programs survive it.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::chaos::daemon::Daemon;
use crate::chaos::ledger::{FaultKind, Ledger};
use crate::chaos::scene::Scene;
use crate::chaos::wire::{Connection, Response};
use crate::wire::Request;

/// At most one daemon at a time.
pub(super) struct Succession<'a> {
    scene: &'a Scene,
    ledger: &'a Ledger,
    daemon: Option<Daemon>,
    pub(super) tally: Tally,
}

/// What has happened to daemons.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) kills: u64,
    pub(super) upgrades: u64,
    pub(super) reloads: u64,
    /// The longest time from the start of a successor until it has served.
    pub(super) longest: Duration,
}

impl<'a> Succession<'a> {
    /// Returns one without a daemon.
    pub(super) fn new(scene: &'a Scene, ledger: &'a Ledger) -> Self {
        Self { scene, ledger, daemon: None, tally: Tally::default() }
    }

    /// Makes the files that take turns as the executable.
    pub(super) fn prepare(&self) -> Result<(), String> {
        for number in 0..IMAGES {
            let copied = fs::copy(self.scene.executable(), self.image(number));
            copied.map_err(|error| format!("cannot copy the executable: {error}"))?;
        }
        Ok(())
    }

    /// Starts a daemon, and waits until it serves.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        let daemon = self.daemon.insert(Daemon::start(self.scene)?);
        daemon.wait_until_it_serves()?;
        self.ledger.set_serving(true);
        self.tally.longest = self.tally.longest.max(begin.elapsed());
        Ok(())
    }

    /// Starts a daemon, and does not wait for more than so long.
    pub(super) fn start_for(&mut self, time: Duration) -> Result<(), String> {
        self.daemon = Some(Daemon::start(self.scene)?);
        thread::sleep(time);
        Ok(())
    }

    /// Returns whether there is a daemon.
    pub(super) fn is_there(&self) -> bool {
        self.daemon.is_some()
    }

    /// Kills the daemon, and waits until it is gone.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        self.ledger.set_serving(false);
        self.tally.kills += 1;
        self.daemon.take().map_or(Ok(()), Daemon::kill)
    }

    /// Has the daemon executed anew, and from another file than before.
    pub(super) fn upgrade(&mut self) -> Result<(), String> {
        let image = self.put_in_place()?;
        match self.ask(Request::Upgrade) {
            Ok(Response::Done) if self.daemon.as_ref().is_some_and(|daemon| daemon.executes(&image)) => {}
            answer => {
                let text =
                    format!("an upgrade was answered by {answer:?}, and the other file is not executed");
                self.ledger.blame(FaultKind::Request, None, text);
            }
        }
        Ok(())
    }

    /// Kills the daemon so long after it was asked to be executed anew, whether it has been by then or not.
    pub(super) fn kill_amid_upgrade(&mut self, after: Duration) -> Result<(), String> {
        self.put_in_place()?;
        thread::scope(|scope| {
            // Whether it is answered is a question of time.
            scope.spawn(|| drop(Connection::ask_once(&self.scene.socket(), Request::Upgrade)));
            thread::sleep(after);
            self.ledger.set_serving(false);
            self.daemon.take().map_or(Ok(()), Daemon::kill)
        })?;
        self.tally.kills += 1;
        Ok(())
    }

    /// Has the daemon read its configuration again.
    pub(super) fn reload(&mut self) {
        self.tally.reloads += 1;
        let answer = self.ask(Request::Reload);
        if !matches!(answer, Ok(Response::Reloaded)) {
            self.ledger.blame(FaultKind::Request, None, format!("a reload was answered by {answer:?}"));
        }
    }

    /// Has the daemon end, and waits for that.
    pub(super) fn end(&mut self) -> Result<(), String> {
        let answer = self.ask(Request::Stop);
        if !matches!(answer, Ok(Response::Done)) {
            let text = format!("the daemon was asked to end, and answered {answer:?}");
            self.ledger.blame(FaultKind::Request, None, text);
        }
        self.daemon.take().map_or(Ok(()), Daemon::wait_for_end)
    }

    fn ask(&self, request: Request<'_>) -> std::io::Result<Response> {
        Connection::ask_once(&self.scene.socket(), request)
    }

    /// Puts another file in the place of the executable, and returns it.
    fn put_in_place(&mut self) -> Result<PathBuf, String> {
        let cannot = |error| format!("cannot replace the executable: {error}");
        self.tally.upgrades += 1;
        let (image, link) = (self.image(self.tally.upgrades % IMAGES), self.scene.path("procmgr.next"));
        fs::hard_link(&image, &link).map_err(cannot)?;
        fs::rename(&link, self.scene.executable()).map_err(cannot)?;
        Ok(image)
    }

    fn image(&self, number: u64) -> PathBuf {
        self.scene.path(&format!("procmgr.{number}"))
    }
}

/// How many files take turns as the executable.
const IMAGES: u64 = 2;
