//! The engine: one disturbance after the other, while clients act, and an inspection after each.
//!
//! Which disturbances, and how many, is said from outside. Whatever is found wrong ends it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use crate::chaos::cast::{self, Edition, Keeper, Trait};
use crate::chaos::client::Client;
use crate::chaos::identity::{Blow, Identity};
use crate::chaos::inspector::Inspector;
use crate::chaos::ledger::Ledger;
use crate::chaos::model::Action;
use crate::chaos::random::Random;
use crate::chaos::scene::Scene;
use crate::chaos::strangers::{Guise, Strangers};
use crate::chaos::succession::Succession;

/// Something that happens to the daemon or its programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The daemon is killed.
    Kill,
    /// It is killed, and so are its first successors, before or after they serve.
    KillTwice,
    /// It is killed, a program dies while there is none, and a stranger gets its PID.
    KillAndReuse,
    /// The daemon executes its executable anew, which is another file each time.
    Upgrade,
    /// It is killed amidst that.
    KillAmidUpgrade,
    /// The configuration is changed and read again.
    Reload,
    /// The configuration is changed, and the daemon is killed.
    KillAndChange,
}

/// All that is needed to disturb.
pub(super) struct Engine<'a> {
    scene: &'a Scene,
    ledger: &'a Ledger,
    strangers: &'a Strangers<'a>,
    random: Random,
    /// Whether PIDs are so few that they can be made to come again.
    are_pids_few: bool,
    pub(super) daemons: Succession<'a>,
    pub(super) inspector: Inspector<'a>,
    /// What the configuration says by now.
    edition: Edition,
    /// How many times a stranger got the PID of a program that had died while there was no daemon.
    pub(super) reuses: u64,
}

impl<'a> Engine<'a> {
    /// Returns an engine that has not begun yet.
    pub(super) fn new(
        scene: &'a Scene,
        ledger: &'a Ledger,
        strangers: &'a Strangers<'a>,
        random: Random,
        are_pids_few: bool,
    ) -> Self {
        Self {
            scene,
            ledger,
            strangers,
            random,
            are_pids_few,
            daemons: Succession::new(scene, ledger),
            inspector: Inspector::new(scene, ledger, strangers),
            edition: Edition::default(),
            reuses: 0,
        }
    }

    /// Starts the daemon, and waits until all is as it has to be in the beginning.
    pub(super) fn begin(&mut self) -> Result<(), String> {
        self.daemons.prepare()?;
        self.write_configuration()?;
        self.daemons.start()?;
        self.inspector.inspect(&self.edition)
    }

    /// Has something happen, after the clients have acted for a moment, and looks whether all is right.
    pub(super) fn disturb(&mut self, deed: Deed) -> Result<(), String> {
        thread::sleep(self.moment(LONGEST_LOAD));
        if self.random.once_in(3) {
            self.kill_programs()?;
        }
        match deed {
            Deed::KillAndReuse if self.are_pids_few => self.kill_and_reuse()?,
            Deed::Kill | Deed::KillAndReuse => self.daemons.kill()?,
            Deed::KillTwice => {
                self.daemons.kill()?;
                for _ in 0..=self.random.below(2) {
                    let moment = self.moment(LONGEST_BIRTH);
                    self.daemons.start_for(moment)?;
                    self.daemons.kill()?;
                }
            }
            Deed::Upgrade => self.daemons.upgrade()?,
            Deed::KillAmidUpgrade => {
                let moment = self.moment(LONGEST_UPGRADE);
                self.daemons.kill_amid_upgrade(moment)?;
            }
            Deed::Reload => {
                self.change_configuration()?;
                self.daemons.reload();
            }
            Deed::KillAndChange => {
                self.change_configuration()?;
                self.daemons.kill()?;
            }
        }
        if !self.daemons.is_there() {
            self.daemons.start()?;
        }
        self.inspector.inspect(&self.edition)
    }

    /// Follows what happens by a subscription, from now on.
    pub(super) fn watch(&mut self) -> Result<(), String> {
        self.inspector.watch()
    }

    /// Ends the subscription, after a last look at what it has told.
    pub(super) fn unwatch(&mut self) -> Result<(), String> {
        self.inspector.unwatch(&self.edition)
    }

    /// Waits until each program runs that is to.
    pub(super) fn see_them_come_back(&self) -> Result<(), String> {
        self.inspector.see_them_come_back(&self.edition)
    }

    /// Stops all programs and the daemon, after which nothing may live. Nobody else acts any more.
    pub(super) fn stop_all(&mut self) -> Result<(), String> {
        for (number, program) in self.ledger.programs.iter().enumerate() {
            let keeper = match program.keeper {
                Keeper::Client(keeper) => keeper,
                Keeper::All => 0,
            };
            let mut client = Client::new(self.ledger, self.scene.socket(), keeper, self.random.fork());
            client.ask(number, Action::Stop);
        }
        self.inspector.inspect(&self.edition)?;
        self.daemons.end()?;
        self.inspector.see_them_gone()
    }

    /// Kills the daemon, has a program die, and a stranger get its PID.
    fn kill_and_reuse(&mut self) -> Result<(), String> {
        let victim = self.victim();
        self.daemons.kill()?;
        let _halted = self.ledger.halt();
        if let Some((program, process)) = victim {
            self.kill_program(&program, process)?;
            wait_for_end(process)?;
            let guise = if self.random.once_in(3) { Guise::Thread } else { Guise::Process };
            self.reuses += u64::from(self.strangers.take_pid(process.pid, guise)?);
        }
        Ok(())
    }

    /// Writes another edition of the configuration: shared programs come and go, and any may be altered.
    fn change_configuration(&mut self) -> Result<(), String> {
        let mut edition = Edition::default();
        for (number, program) in self.ledger.programs.iter().enumerate() {
            if program.may_be_absent() && self.random.once_in(3) {
                edition.absent.insert(number);
            }
            if self.random.once_in(4) {
                edition.altered.insert(number);
            }
        }
        self.edition = edition;
        self.write_configuration()
    }

    fn write_configuration(&self) -> Result<(), String> {
        let folder = self.scene.folder().to_str().ok_or("the path of the folder is no text")?;
        let stage = cast::Stage { folder, mark: &self.scene.mark(), uid: self.scene.uid()? };
        let text = cast::configuration(&self.ledger.programs, &self.edition, &stage);
        let draft = self.scene.path("procmgr.cfg.next");
        // Whatever the umask: root's daemon trusts no file that others may write.
        fs::write(&draft, text)
            .and_then(|()| fs::set_permissions(&draft, Permissions::from_mode(0o644)))
            .and_then(|()| fs::rename(&draft, self.scene.configuration()))
            .map_err(|error| format!("cannot write the configuration: {error}"))
    }

    /// Kills a few processes of programs, as anybody could.
    fn kill_programs(&mut self) -> Result<(), String> {
        for _ in 0..=self.random.below(3) {
            if let Some((program, process)) = self.victim() {
                self.kill_program(&program, process)?;
            }
        }
        Ok(())
    }

    /// Chooses a process. One that may be about to take the place of another is spared: it would leave that to nobody.
    fn victim(&mut self) -> Option<(String, Identity)> {
        let living = self.inspector.living();
        let (name, process) = living.get(self.random.index(living.len().max(1)))?;
        let mut programs = self.ledger.programs.iter();
        let is_spared = programs.any(|it| it.name == *name && it.has(Trait::RestartScript));
        (!is_spared).then(|| (name.clone(), *process))
    }

    fn kill_program(&self, program: &str, process: Identity) -> Result<(), String> {
        let noted = self.ledger.diary.note_death(program, process);
        noted.and_then(|()| process.strike(Blow::Kill)).map_err(|error| format!("cannot kill: {error}"))
    }

    /// Returns a time up to one.
    fn moment(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.random.fraction())
    }
}

fn wait_for_end(process: Identity) -> Result<(), String> {
    let begin = Instant::now();
    while Identity::of(process.pid) == Some(process) {
        if begin.elapsed() > PATIENCE {
            return Err("a process that was killed does not end".to_owned());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Far longer than anything takes that is waited for here.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long clients act at the most before something happens.
const LONGEST_LOAD: Duration = Duration::from_millis(50);

/// How long after its start a daemon is killed at the latest that is to be killed soon.
const LONGEST_BIRTH: Duration = Duration::from_millis(20);

/// How long after an upgrade was asked for the daemon is killed at the latest.
const LONGEST_UPGRADE: Duration = Duration::from_millis(40);
