//! The engine: one disturbance after the other, while clients act, and an inspection after each.
//!
//! Which disturbances, and how many, is said from outside. Whatever is found wrong ends it.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::RwLockWriteGuard;
use std::thread;
use std::time::{Duration, Instant};

use crate::chaos::cast::{self, Edition, Trait};
use crate::chaos::census::{Census, Mark};
use crate::chaos::client::Client;
use crate::chaos::daemon::Daemon;
use crate::chaos::identity::{Blow, Identity};
use crate::chaos::inspection::{View, judge};
use crate::chaos::ledger::{FaultKind, Ledger};
use crate::chaos::model::{Action, Belief};
use crate::chaos::random::Random;
use crate::chaos::scene::Scene;
use crate::chaos::strangers::{Guise, Strangers};
use crate::chaos::watch::Watch;
use crate::chaos::wire::{Connection, Request, Response};

/// Something that happens to the daemon or its programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The daemon is killed.
    Kill,
    /// It is killed, and its successor as well, before or after that serves.
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

/// What has been done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) kills: u64,
    pub(super) upgrades: u64,
    pub(super) reloads: u64,
    pub(super) inspections: u64,
    /// How many times a stranger had the PID of a program that had died while there was no daemon.
    pub(super) reuses: u64,
    pub(super) events: u64,
    /// The longest time from the death of a daemon until its successor has served.
    pub(super) longest: Duration,
}

/// All that is needed to disturb.
pub(super) struct Engine<'a> {
    scene: &'a Scene,
    mark: Mark,
    ledger: &'a Ledger,
    strangers: &'a Strangers<'a>,
    random: Random,
    is_root: bool,
    /// Whether PIDs are so few that they can be made to come again.
    are_pids_few: bool,
    daemon: Option<Daemon>,
    edition: Edition,
    watch: Option<Watch>,
    /// What lived when it was looked at last.
    living: Vec<(String, Identity)>,
    pub(super) tally: Tally,
}

impl<'a> Engine<'a> {
    /// Starts the daemon, and waits until all is as it has to be in the beginning.
    pub(super) fn start(
        scene: &'a Scene,
        ledger: &'a Ledger,
        strangers: &'a Strangers<'a>,
        random: Random,
        (is_root, are_pids_few): (bool, bool),
    ) -> Result<Self, String> {
        let mut engine = Self {
            scene,
            mark: scene.mark(),
            ledger,
            strangers,
            random,
            is_root,
            are_pids_few,
            daemon: None,
            edition: Edition::default(),
            watch: None,
            living: Vec::new(),
            tally: Tally::default(),
        };
        for number in 0..IMAGES {
            fs::copy(scene.path("procmgr"), engine.image(number)).map_err(|error| error.to_string())?;
        }
        engine.write_configuration()?;
        engine.start_daemon()?;
        engine.inspect()?;
        Ok(engine)
    }

    /// Has something happen, after the clients have acted for a moment, and looks whether all is right.
    pub(super) fn disturb(&mut self, deed: Deed) -> Result<(), String> {
        thread::sleep(Duration::from_micros(self.random.below(LONGEST_LOAD)));
        if self.random.once_in(3) {
            self.kill_programs()?;
        }
        match deed {
            Deed::KillAndReuse if self.are_pids_few => self.kill_and_reuse()?,
            Deed::Kill | Deed::KillAndReuse => self.kill()?,
            Deed::KillTwice => {
                self.kill_daemon()?;
                for _ in 0..=self.random.below(2) {
                    self.daemon = Some(Daemon::start(self.scene)?);
                    thread::sleep(Duration::from_micros(self.random.below(LONGEST_BIRTH)));
                    self.kill_daemon()?;
                }
                self.start_daemon()?;
            }
            Deed::Upgrade => self.upgrade()?,
            Deed::KillAmidUpgrade => self.kill_amid_upgrade()?,
            Deed::Reload => {
                self.change_configuration()?;
                self.reload();
            }
            Deed::KillAndChange => {
                self.change_configuration()?;
                self.kill()?;
            }
        }
        self.inspect()
    }

    /// Follows what happens by a subscription, from now on.
    pub(super) fn watch(&mut self) -> Result<(), String> {
        let _halted = self.ledger.halt();
        let pages = self.ledger.diary.read().map_err(|error| error.to_string())?;
        let names = self.ledger.programs.iter().map(|program| program.name.clone());
        let births = names.map(|name| (pages.births(&name).len(), name)).map(|(count, name)| (name, count));
        let watch = Watch::begin(&self.scene.socket(), births.collect());
        self.watch = Some(watch.map_err(|error| format!("cannot subscribe: {error}"))?);
        Ok(())
    }

    /// Ends the subscription, after a last look at what it has told.
    pub(super) fn unwatch(&mut self) -> Result<(), String> {
        self.inspect()?;
        let Some(watch) = self.watch.take() else { return Ok(()) };
        self.tally.events += watch.events();
        let _halted = self.ledger.halt();
        let pages = self.ledger.diary.read().map_err(|error| error.to_string())?;
        for program in &self.ledger.programs {
            if !watch.has_told(&program.name, pages.births(&program.name)) {
                let text = "it was born more often than a subscriber was told".to_owned();
                self.ledger.blame(FaultKind::Event, Some(&program.name), text);
            }
        }
        drop(pages);
        self.verdict()
    }

    /// Waits until each program runs that is to be started again after its death.
    pub(super) fn see_them_come_back(&mut self) -> Result<(), String> {
        let _halted = self.ledger.halt();
        let is_awaited = |number: &usize| {
            let is_present = !self.edition.absent.contains(number);
            let runs = self.ledger.entry(*number).belief == Belief::Running;
            is_present && runs && self.ledger.programs[*number].has(Trait::RestartDelay)
        };
        let mut awaited: Vec<usize> = (0..self.ledger.programs.len()).filter(is_awaited).collect();
        let begin = Instant::now();
        while !awaited.is_empty() && begin.elapsed() < PATIENCE {
            let census = Census::take(&self.mark).map_err(|error| error.to_string())?;
            awaited.retain(|number| census.of(&self.ledger.programs[*number].name).is_empty());
            thread::sleep(PAUSE);
        }
        for number in awaited {
            let text = "it does not come back after its death".to_owned();
            self.ledger.blame(FaultKind::Lost, Some(&self.ledger.programs[number].name), text);
        }
        self.verdict()
    }

    /// Stops all programs and the daemon, after which nothing may live. Nobody else acts any more.
    pub(super) fn stop_all(&mut self) -> Result<(), String> {
        let socket = self.scene.socket();
        for (number, program) in self.ledger.programs.iter().enumerate() {
            let keeper = match program.keeper {
                cast::Keeper::Client(keeper) => keeper,
                cast::Keeper::All => 0,
            };
            let mut client = Client::new(self.ledger, socket.clone(), keeper, Random::new(0));
            client.ask(number, Action::Stop);
        }
        self.inspect()?;
        let census = Census::take(&self.mark).map_err(|error| error.to_string())?;
        for (program, process) in census.all() {
            let text = format!("it was stopped, and lives: {process:?}");
            self.ledger.blame(FaultKind::Lost, Some(program), text);
        }
        let answer = Connection::open(&socket, PATIENCE).and_then(|mut it| it.ask(Request::Stop));
        if !matches!(answer, Ok(Response::Done)) {
            let text = format!("the daemon was asked to end, and answered {answer:?}");
            self.ledger.blame(FaultKind::Request, None, text);
        }
        self.daemon.take().map_or(Ok(()), Daemon::wait_for_end)?;
        self.verdict()
    }

    fn kill(&mut self) -> Result<(), String> {
        self.kill_daemon()?;
        self.start_daemon()
    }

    fn kill_daemon(&mut self) -> Result<(), String> {
        self.ledger.set_serving(false);
        self.tally.kills += 1;
        self.daemon.take().map_or(Ok(()), Daemon::kill)
    }

    fn start_daemon(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        let daemon = self.daemon.insert(Daemon::start(self.scene)?);
        daemon.wait_until_it_serves()?;
        self.ledger.set_serving(true);
        self.tally.longest = self.tally.longest.max(begin.elapsed());
        Ok(())
    }

    fn kill_and_reuse(&mut self) -> Result<(), String> {
        let victim = self.victim();
        self.kill_daemon()?;
        let halted = self.ledger.halt();
        if let Some((program, process)) = victim {
            self.kill_program(&program, process)?;
            wait_until(|| Identity::of(process.pid) != Some(process))?;
            let guise = if self.random.once_in(3) { Guise::Thread } else { Guise::Process };
            self.tally.reuses += u64::from(self.strangers.take_pid(process.pid, guise)?);
        }
        drop::<RwLockWriteGuard<'_, ()>>(halted);
        self.start_daemon()
    }

    fn upgrade(&mut self) -> Result<(), String> {
        self.tally.upgrades += 1;
        let image = self.put_in_place()?;
        let answer =
            Connection::open(&self.scene.socket(), PATIENCE).and_then(|mut it| it.ask(Request::Upgrade));
        if !matches!(answer, Ok(Response::Done)) {
            let text = format!("an upgrade was answered by {answer:?}");
            self.ledger.blame(FaultKind::Request, None, text);
        } else if !self.daemon.as_ref().is_some_and(|daemon| daemon.executes(&image)) {
            let text = "the daemon says that it has executed the new file, and has not".to_owned();
            self.ledger.blame(FaultKind::Request, None, text);
        }
        Ok(())
    }

    fn kill_amid_upgrade(&mut self) -> Result<(), String> {
        self.put_in_place()?;
        let socket = self.scene.socket();
        let request = thread::spawn(move || {
            // Whether it is answered is a question of time.
            let _ = Connection::open(&socket, PATIENCE).and_then(|mut it| it.ask(Request::Upgrade));
        });
        thread::sleep(Duration::from_micros(self.random.below(LONGEST_UPGRADE)));
        self.kill()?;
        request.join().map_err(|_| "a client has panicked".to_owned())
    }

    /// Puts another file in the place of the executable, and returns it.
    fn put_in_place(&mut self) -> Result<std::path::PathBuf, String> {
        let cannot = |error| format!("cannot replace the executable: {error}");
        let image = self.image(self.tally.upgrades % IMAGES);
        let link = self.scene.path("procmgr.next");
        fs::hard_link(&image, &link).map_err(cannot)?;
        fs::rename(&link, self.scene.path("procmgr")).map_err(cannot)?;
        // A file stays where it is if it is renamed to a link of its own.
        let _ = fs::remove_file(&link);
        Ok(image)
    }

    fn image(&self, number: u64) -> std::path::PathBuf {
        self.scene.path(&format!("procmgr.{number}"))
    }

    fn reload(&mut self) {
        self.tally.reloads += 1;
        let answer =
            Connection::open(&self.scene.socket(), PATIENCE).and_then(|mut it| it.ask(Request::Reload));
        if !matches!(answer, Ok(Response::Reloaded)) {
            self.ledger.blame(FaultKind::Request, None, format!("a reload was answered by {answer:?}"));
        }
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
        let stage = cast::Stage { folder, mark: &self.mark, is_root: self.is_root };
        let text = cast::configuration(&self.ledger.programs, &self.edition, &stage);
        let draft = self.scene.path("procmgr.cfg.next");
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

    /// Chooses a process. One that takes the place of another is spared: it would leave that to nobody.
    fn victim(&mut self) -> Option<(String, Identity)> {
        let is_replacing = |name: &str| {
            self.ledger.programs.iter().any(|it| it.name == name && it.has(Trait::RestartScript))
        };
        let (name, process) = self.living.get(self.random.index(self.living.len().max(1)))?;
        (!is_replacing(name)).then(|| (name.clone(), *process))
    }

    fn kill_program(&self, program: &str, process: Identity) -> Result<(), String> {
        let noted = self.ledger.diary.note_death(program, process);
        noted.and_then(|()| process.strike(Blow::Kill)).map_err(|error| format!("cannot kill: {error}"))
    }

    /// Holds all accounts against each other while nobody acts, as soon as nothing is under way.
    fn inspect(&mut self) -> Result<(), String> {
        let _halted = self.ledger.halt();
        self.tally.inspections += 1;
        let begin = Instant::now();
        let view = loop {
            let view = View::take(&self.scene.socket(), || Census::take(&self.mark));
            let view = view.map_err(|error| format!("cannot look at the programs: {error}"))?;
            let pages = self.ledger.diary.read().map_err(|error| error.to_string())?;
            let discords = view.discords(&self.ledger.programs, &self.edition, &pages);
            let untold = self.watch.as_ref().map_or(Vec::new(), |watch| watch.differences(&view.conditions));
            if discords.is_empty() && untold.is_empty() {
                judge(self.ledger, &view, &pages);
                break view;
            }
            if begin.elapsed() > PATIENCE {
                for discord in discords {
                    self.ledger.blame(discord.kind, Some(&discord.program), discord.text);
                }
                for (program, text) in untold {
                    self.ledger.blame(FaultKind::Event, Some(&program), text);
                }
                break view;
            }
            drop(pages);
            thread::sleep(PAUSE);
        };
        self.living = view.census.all().map(|(name, process)| (name.to_owned(), process)).collect();
        // In an order that depends on the seed alone, as far as that is possible.
        self.living.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        self.strangers.look()?;
        self.verdict()
    }

    /// Fails if anything has been found wrong.
    fn verdict(&self) -> Result<(), String> {
        let pages = self.ledger.diary.read().map_err(|error| error.to_string())?;
        let mut known: HashMap<String, usize> = HashMap::new();
        for note in &pages.complaints {
            *known.entry(note.to_string()).or_default() += 1;
        }
        for note in known.keys() {
            self.ledger.blame(FaultKind::Duplicate, note.split(' ').nth(1), note.clone());
        }
        for complaint in self.watch.iter().flat_map(Watch::complaints) {
            self.ledger.blame(FaultKind::Event, None, complaint);
        }
        match self.ledger.faults().len() {
            0 => Ok(()),
            1 => Err("1 promise is broken".to_owned()),
            count => Err(format!("{count} promises are broken")),
        }
    }
}

fn wait_until(mut condition: impl FnMut() -> bool) -> Result<(), String> {
    let begin = Instant::now();
    while !condition() {
        if begin.elapsed() > PATIENCE {
            return Err("a process that was killed does not end".to_owned());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Far longer than anything takes that is waited for here.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait before it is looked again.
const PAUSE: Duration = Duration::from_millis(2);

/// For how many microseconds clients act at the most before something happens.
const LONGEST_LOAD: u64 = 50_000;

/// How many microseconds after its start a daemon is killed at the latest, if it is to be killed soon.
const LONGEST_BIRTH: u64 = 20_000;

/// How many microseconds after an upgrade was asked for a daemon is killed at the latest.
const LONGEST_UPGRADE: u64 = 40_000;

/// How many files take turns as the executable.
const IMAGES: u64 = 2;
