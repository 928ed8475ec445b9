//! `cargo xtask bench crowd`: how long honest clients wait for `status` while others crowd the socket.
//!
//! What is measured in which situation, and what is made of it. Who attacks, who asks and how it is told is said below.

mod attacker;
mod crew;
mod daemon;
mod figures;
mod honest;

use std::time::Duration;

use crate::bench::crowd::attacker::Manner;
use crate::bench::crowd::crew::Crew;
use crate::bench::crowd::daemon::Daemon;
use crate::bench::crowd::figures::{Row, Table, Way};
use crate::bench::give_up_after;
use crate::stage::{Profile, Stage};

/// Builds procmgr as it is installed, measures each scenario, and tells the figures.
///
/// # Errors
/// If something could not be measured, or a client was left without an answer. Times are figures and no errors, unless
/// `--strict` is among the options.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    if let Some(unknown) = options.iter().find(|option| !["--quick", "--strict"].contains(*option)) {
        return Err(format!("there is no option {unknown}"));
    }
    give_up_after(LONGEST_RUN);
    let extent = if options.contains(&"--quick") { QUICK } else { FULL };
    let stage = Stage::build(Profile::Release)?;
    stage.open_to_others()?;
    let uids = Uids::of(&stage)?;
    stage.put("procmgr.cfg", &uids.configuration())?;
    let daemon = Daemon::start(&stage)?;
    let mut table = Table::default();
    for scenario in SCENARIOS {
        if scenario.users > 1 && !uids.are_many {
            println!("{}: skipped, for only root can be several users", scenario.name);
        } else {
            eprintln!("{} ...", scenario.name);
            table.add(measure(scenario, &stage, &daemon, extent, uids)?);
        }
    }
    print!("{table}");
    if !uids.are_many {
        println!("The honest client was the same user as the attackers, for only root can be several users.");
    }
    let is_strict = options.contains(&"--strict");
    if options.contains(&"--quick") && !is_strict {
        println!("These are too few to judge by.");
        return Ok(());
    }
    let verdict = table.judge(GOAL);
    println!("{verdict}");
    if is_strict && !verdict.is_good() {
        return Err("the goal is missed".to_owned());
    }
    Ok(())
}

/// Plays one of the roles of the benchmark, in a process of its own.
///
/// # Errors
/// Whatever keeps it from playing on.
pub(crate) fn play(orders: &[&str]) -> Result<(), String> {
    match orders {
        ["attacker", manner, connections, socket] => attacker::play(manner, connections, socket.as_ref()),
        ["honest", samples, seconds, socket] => honest::play(samples, seconds, socket.as_ref()),
        _ => Err(format!("there is no such role: {orders:?}")),
    }
}

/// Much longer than all scenarios take, with the build ahead of them.
const LONGEST_RUN: Duration = Duration::from_secs(15 * 60);

/// How long 99 of 100 honest clients may wait for `status`.
const GOAL: Duration = Duration::from_millis(50);

/// Who attacks, and how.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    name: &'static str,
    manner: Option<Manner>,
    users: u32,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario { name: "nobody attacks", manner: None, users: 0 },
    Scenario { name: "held by one user", manner: Some(Manner::Holding), users: 1 },
    Scenario { name: "held by ten users", manner: Some(Manner::Holding), users: 10 },
    Scenario { name: "storm of one user", manner: Some(Manner::Storming), users: 1 },
    Scenario { name: "storm of ten users", manner: Some(Manner::Storming), users: 10 },
    Scenario { name: "requests sent ahead", manner: Some(Manner::Asking), users: 1 },
];

/// How much is done for each scenario.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// How many connections the attackers keep up, all together.
    connections: u32,
    /// How many times the honest client asks, in each way.
    samples: u32,
    /// How long it asks at the most.
    time: Duration,
}

const FULL: Extent = Extent { connections: 10_000, samples: 1000, time: Duration::from_secs(18) };

/// Enough to see that it works; the figures mean little.
const QUICK: Extent = Extent { connections: 2_000, samples: 20, time: Duration::from_secs(5) };

/// Who is who.
#[derive(Clone, Copy, Debug)]
struct Uids {
    /// Whether each can be another one, or all have to be the caller.
    are_many: bool,
}

impl Uids {
    fn of(stage: &Stage) -> Result<Self, String> {
        Ok(Self { are_many: stage.is_root()? })
    }

    /// Returns the honest client; `None` is the caller.
    fn honest(self) -> Option<u32> {
        self.are_many.then_some(NOBODY_ELSE)
    }

    /// Returns the attacker of a number.
    fn attacker(self, number: u32) -> Option<u32> {
        self.are_many.then_some(NOBODY_ELSE + 1 + number)
    }

    fn configuration(self) -> String {
        let honest = self.honest().map_or_else(|| "@UID".to_owned(), |uid| uid.to_string());
        format!("socket-path = @FOLDER/socket\nallow-uid = {honest}\n[prog-p]\ncmd-start = exec sleep 1000\n")
    }
}

/// Users whom hardly a system knows, from this one on.
const NOBODY_ELSE: u32 = 64_100;

/// Has the honest client ask while the attackers attack.
fn measure(
    scenario: Scenario,
    stage: &Stage,
    daemon: &Daemon,
    extent: Extent,
    uids: Uids,
) -> Result<Row, String> {
    let before = daemon.usage()?;
    let mut crew = Crew::new(stage);
    if let Some(manner) = scenario.manner {
        crew.gather(manner, scenario.users, extent.connections, uids)?;
    }
    let samples = honest::ask(stage, extent.samples, extent.time, uids.honest())?;
    let amidst = daemon.usage()?;
    let tally = crew.dismiss()?;
    let after = daemon.settle(before)?;
    for way in Way::ALL {
        if samples.of(way).next().is_none() {
            return Err(format!("{}: no answer to {way} in time", scenario.name));
        }
    }
    Ok(Row { name: scenario.name, samples, tally, before, amidst, after })
}
