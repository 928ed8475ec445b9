//! `cargo xtask chaos`: kills and upgrades the daemon again and again under load, and looks whether anything gets lost.
//!
//! How much of what happens is said here, and what came of it is told. What happens and what has to hold is said below.
//! Nothing that is found is the daemon's own account alone: processes are counted in `/proc`, note their births by
//! themselves, and hold a lock that only one of a program can have.

mod cast;
mod census;
mod client;
mod daemon;
mod diary;
mod engine;
mod identity;
mod inspection;
mod inspector;
mod ledger;
mod model;
mod namespace;
mod part;
mod random;
mod scene;
mod strangers;
mod succession;
mod verdict;
mod watch;
mod wire;

use std::env;
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::chaos::client::Client;
use crate::chaos::diary::Diary;
use crate::chaos::engine::{Deed, Engine};
use crate::chaos::ledger::Ledger;
use crate::chaos::random::Random;
use crate::chaos::scene::Scene;
use crate::chaos::strangers::Strangers;
use crate::stage::{Profile, Stage};

/// Builds procmgr and plays, in a world of few PIDs if that can be had.
///
/// # Errors
/// Whatever was found wrong, or keeps it from being looked for.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let Options { plan, profile, seed } = Options::parse(options)?;
    let stage = Stage::build(profile)?;
    stage.open_to_others()?;
    println!("seed {seed}");
    let (executable, folder) = (stage.path("xtask"), stage.path(""));
    let orders = [seed, plan.kills, plan.upgrades, plan.deeds].map(|number| number.to_string());
    let mut command = match namespace::enter(&executable, &folder, stage.is_root()?) {
        Ok(mut command) => {
            command.args(["chaos", "role", "init"]);
            command
        }
        Err(reason) => {
            println!("PIDs are as many as ever, and hardly come again: {reason}");
            let mut command = Command::new(&executable);
            command.args(["chaos", "role", "play", "many"]).current_dir(&folder);
            command
        }
    };
    let status = command.args(orders).status().map_err(|error| format!("cannot play: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("chaos: something is wrong; the seed was {seed}")) }
}

/// Plays one of the roles, in a process of its own.
///
/// # Errors
/// Whatever keeps it from playing on.
pub(crate) fn role(orders: &[&str]) -> Result<(), String> {
    match orders {
        ["init", orders @ ..] => {
            let pids = if namespace::make_pids_few() { "few" } else { "many" };
            let executable = env::current_exe().map_err(|error| error.to_string())?;
            let mut command = Command::new(executable);
            command.args(["chaos", "role", "play", pids]).args(orders);
            let status = namespace::look_after(&mut command).map_err(|error| error.to_string())?;
            process::exit(status)
        }
        ["play", pids, seed, kills, upgrades, deeds] => {
            let number = |text: &str| text.parse().map_err(|_| format!("{text} is no number"));
            let plan = Plan { kills: number(kills)?, upgrades: number(upgrades)?, deeds: number(deeds)? };
            play(number(seed)?, plan, *pids == "few")
        }
        ["program", mark, program, life] => part::live(mark, program, life, None),
        ["program", mark, program, life, former] => part::live(mark, program, life, Some(former)),
        ["end", mark, program, pid] => part::end(mark, program, pid),
        _ => Err(format!("there is no such role: {orders:?}")),
    }
}

/// How much happens.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// How many times the daemon is killed, under load.
    kills: u64,
    /// How many times it is upgraded, under load.
    upgrades: u64,
    /// How many times something of all that can happen does.
    deeds: u64,
}

const FULL: Plan = Plan { kills: 1000, upgrades: 200, deeds: 300 };

/// Enough to see that it works.
const QUICK: Plan = Plan { kills: 60, upgrades: 15, deeds: 30 };

struct Options {
    plan: Plan,
    profile: Profile,
    seed: u64,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut options =
            Self { plan: FULL, profile: Profile::Release, seed: u64::from(time.subsec_nanos()) };
        let mut words = words.iter();
        let mut kills = None;
        while let Some(word) = words.next() {
            match *word {
                "--quick" => (options.plan, options.profile) = (QUICK, Profile::Dev),
                "--seed" => options.seed = number(words.next().ok_or("--seed needs a number")?)?,
                option if option.starts_with('-') => return Err(format!("there is no option {option}")),
                text => kills = Some(number(text)?),
            }
        }
        options.plan.kills = kills.unwrap_or(options.plan.kills);
        Ok(options)
    }
}

/// Plays, and tells what came of it.
fn play(seed: u64, plan: Plan, are_pids_few: bool) -> Result<(), String> {
    give_up_after(LONGEST_RUN);
    let folder = env::current_dir().map_err(|error| error.to_string())?;
    let scene = Scene::new(&folder);
    let mut random = Random::new(seed);
    let programs = cast::gather(PROGRAMS, CLIENTS, &mut random);
    scene.prepare(programs.iter().map(|program| program.name.as_str()))?;
    let diary = Diary::open(scene.diary()).map_err(|error| error.to_string())?;
    let ledger = Ledger::new(programs, diary);
    let strangers = Strangers::gather(&ledger, folder)?;
    let mut engine = Engine::new(&scene, &ledger, &strangers, random.fork(), are_pids_few);
    let outcome = thread::scope(|scope| {
        let _ending = ledger.ending();
        scope.spawn(|| strangers.come_and_go());
        engine.begin()?;
        for number in 0..CLIENTS {
            let client = Client::new(&ledger, scene.socket(), number, random.fork());
            scope.spawn(|| client.work());
        }
        perform(&mut engine, plan, &mut random)
    });
    let outcome = outcome.and_then(|()| engine.stop_all()).and_then(|()| strangers.disperse());
    verdict::tell(&ledger, &engine, &strangers)?;
    if outcome.is_err() || !ledger.faults().is_empty() {
        verdict::tell_faults(&ledger, &scene, seed)?;
    }
    outcome
}

/// Has all happen, part by part.
fn perform(engine: &mut Engine<'_>, plan: Plan, random: &mut Random) -> Result<(), String> {
    eprintln!("{} kills ...", plan.kills);
    let mut part = 0;
    while engine.daemons.tally.kills < plan.kills {
        engine.disturb(*random.choose(&KILLS))?;
        if engine.daemons.tally.kills / THOROUGHLY > part {
            part = engine.daemons.tally.kills / THOROUGHLY;
            eprintln!("{} kills done", engine.daemons.tally.kills);
            engine.see_them_come_back()?;
        }
    }
    eprintln!("{} upgrades ...", plan.upgrades);
    engine.watch()?;
    for _ in 0..plan.upgrades {
        engine.disturb(Deed::Upgrade)?;
    }
    engine.unwatch()?;
    eprintln!("{} deeds of all kinds ...", plan.deeds);
    for _ in 0..plan.deeds {
        engine.disturb(*random.choose(&ALL))?;
    }
    engine.see_them_come_back()
}

/// By which deeds the daemon is killed, each as often as it stands here.
const KILLS: [Deed; 10] = [
    Deed::Kill,
    Deed::Kill,
    Deed::Kill,
    Deed::Kill,
    Deed::Kill,
    Deed::Kill,
    Deed::Kill,
    Deed::KillTwice,
    Deed::KillTwice,
    Deed::KillAndReuse,
];

/// What can happen at all.
const ALL: [Deed; 8] = [
    Deed::Kill,
    Deed::KillTwice,
    Deed::KillAndReuse,
    Deed::Upgrade,
    Deed::Upgrade,
    Deed::KillAmidUpgrade,
    Deed::Reload,
    Deed::KillAndChange,
];

/// Ends this process when it has taken far too long, which ends the others as well: somebody waits for what never
/// comes.
fn give_up_after(time: Duration) {
    thread::spawn(move || {
        thread::sleep(time);
        eprintln!("no end after {time:?}");
        process::exit(1);
    });
}

const PROGRAMS: usize = 100;

const CLIENTS: usize = 4;

/// After how many kills it is waited for programs that are to come back.
const THOROUGHLY: u64 = 100;

/// Much longer than all takes.
const LONGEST_RUN: Duration = Duration::from_secs(45 * 60);
