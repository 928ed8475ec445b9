//! Restarts after a death: how much later than the configured delay the program is back.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::bench::arena::{Arena, Contestant};
use crate::bench::asker::{Askers, End, Manner, Orders};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::echo::{Echo, Labour};
use crate::bench::floor::spawner::Swarm;
use crate::bench::samples::{Samples, millis};
use crate::bench::signs::{Sign, Signs};

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    let answer = Daemon::answer_of(arena, Plan { programs: 1, keys: "", first: "" }, ASKED)?;
    for (clients, words) in [(0, "alone"), (4, "while 4 clients ask")] {
        let prepare = |contestant: Contestant<'_>| prepare(arena, contestant, &answer);
        let outcome =
            arena.contest(arena.extent.long_rounds, prepare, |mortal| mortal.measure(arena, clients))?;
        figures.extend([
            outcome.figure_above(0, format!("p50, {words}"), Unit::Millis).with_goal(Goal::AtMost(2.0)),
            outcome.figure_above(1, format!("p99, {words}"), Unit::Millis).with_goal(Goal::AtMost(5.0)),
        ]);
    }
    Ok(figures)
}

/// What comes to life again and again, and the signs of it.
enum Mortal {
    /// Shells that are spawned one at a time, without any death, and a server that has nothing to do with them.
    Floor(Swarm, Signs, Echo),
    Programs(Daemon, Signs, HashMap<u32, Sign>),
}

fn prepare(arena: &Arena, contestant: Contestant<'_>, answer: &[u8]) -> Result<Mortal, String> {
    let mut signs = Signs::new(arena)?;
    match contestant {
        Contestant::Floor => {
            let swarm = Swarm::start(arena, &signs.script())?;
            Ok(Mortal::Floor(swarm, signs, Echo::start(arena, ASKED, answer, Labour::TakeCare)?))
        }
        Contestant::Subject(subject) => {
            let keys = format!("cmd-start = {}\nrestart-delay = 1\nautostart = yes", signs.script());
            let daemon = Daemon::start(arena, subject, Plan { programs: PROGRAMS, keys: &keys, first: "" })?;
            let living = signs.gather(PROGRAMS)?.into_iter().map(|sign| (sign.program, sign)).collect();
            Ok(Mortal::Programs(daemon, signs, living))
        }
    }
}

impl Mortal {
    /// Returns the delay that half of the restarts do not exceed, and that of 99 of 100.
    fn measure(&mut self, arena: &Arena, clients: u32) -> Result<[f64; 2], String> {
        let socket = match self {
            Self::Floor(_, _, echo) => &echo.socket,
            Self::Programs(daemon, _, _) => &daemon.socket,
        };
        let (manner, end, pause) = (Manner::Keeping, End::Dismissal, Duration::ZERO);
        let orders = Orders { socket, request: ASKED, clients, manner, end, pause };
        let mut askers = (clients > 0).then(|| Askers::start(arena, orders)).transpose()?;
        askers.iter_mut().try_for_each(Askers::wait_until_ready)?;
        let samples = match self {
            Self::Floor(swarm, signs, _) => births(arena, swarm, signs)?,
            Self::Programs(_, signs, living) => restarts(arena, signs, living)?,
        };
        askers.map(Askers::finish).transpose()?;
        Ok([samples.median(), samples.percentile(99)])
    }
}

/// Returns how long shells take from the wish to the first sign of life.
fn births(arena: &Arena, swarm: &mut Swarm, signs: &mut Signs) -> Result<Samples, String> {
    let birth = |_| {
        let begin = Instant::now();
        swarm.spawn(1)?;
        loop {
            if let Some(sign) = signs.wait(Duration::from_secs(1))?.first() {
                thread::sleep(BETWEEN);
                return Ok(millis(sign.seen - begin));
            }
            if begin.elapsed() > PATIENCE {
                return Err("a shell gives no sign of life".to_owned());
            }
        }
    };
    (0..arena.extent.deaths).map(birth).collect()
}

/// Kills one program after the other, each not before it is back for a while, and returns how much longer than their delay
/// each has stayed away.
fn restarts(arena: &Arena, signs: &mut Signs, living: &mut HashMap<u32, Sign>) -> Result<Samples, String> {
    let mut samples = Samples::new();
    let mut killed: HashMap<u32, Instant> = HashMap::new();
    let (mut kills, mut next) = (0, Instant::now());
    let begin = next;
    while kills < arena.extent.deaths || !killed.is_empty() {
        if kills < arena.extent.deaths && next <= Instant::now() {
            let program = kills % PROGRAMS;
            if let Some(sign) = living.remove(&program) {
                killed.insert(program, Instant::now());
                kill_process(sign.pid, Signal::KILL)
                    .map_err(|error| format!("cannot kill a program: {error}"))?;
                kills += 1;
            }
            next += BETWEEN;
        }
        for sign in signs.wait(next.saturating_duration_since(Instant::now()).min(BETWEEN))? {
            if let Some(death) = killed.remove(&sign.program) {
                samples.push(millis(sign.seen.saturating_duration_since(death)) - millis(DELAY));
            }
            living.insert(sign.program, sign);
        }
        if begin.elapsed() > PATIENCE {
            return Err("a program does not come back".to_owned());
        }
    }
    Ok(samples)
}

/// What clients ask meanwhile.
const ASKED: &str = "status";
/// So many that each is back before its turn comes again.
const PROGRAMS: u32 = 150;
/// The delay is no multiple of it, so that no program comes back just when another one is killed.
const BETWEEN: Duration = Duration::from_millis(14);
/// As it is configured.
const DELAY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
