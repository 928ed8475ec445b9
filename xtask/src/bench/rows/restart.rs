//! Restarts after a death: how much later than the configured delay the program is back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::bench::arena::{Arena, Contestant};
use crate::bench::asker::{Askers, End, Manner, Orders};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::echo::{Echo, Labour};
use crate::bench::floor::keeper::Kept;
use crate::bench::samples::{Samples, millis};
use crate::bench::signs::{Sign, Signs};

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    let answer = Daemon::answer_of(arena, Plan { programs: 1, keys: "", first: "" }, ASKED)?;
    for (clients, words) in [(0, "alone"), (4, "while 4 clients ask")] {
        let prepare = |contestant: Contestant<'_>| Mortals::start(arena, contestant, &answer);
        let outcome =
            arena.contest(arena.extent.long_rounds, prepare, |mortals| mortals.measure(arena, clients))?;
        figures.extend([
            outcome.figure_above(0, format!("p50, {words}"), Unit::Millis).with_goal(Goal::AtMost(2.0)),
            outcome.figure_above(1, format!("p99, {words}"), Unit::Millis).with_goal(Goal::AtMost(5.0)),
        ]);
    }
    Ok(figures)
}

/// Programs that come to life again and again, and the signs of it.
struct Mortals {
    keeper: Keeper,
    signs: Signs,
    living: HashMap<u32, Sign>,
}

/// Who keeps them alive.
enum Keeper {
    Floor(Echo),
    Daemon(Daemon),
}

impl Mortals {
    fn start(arena: &Arena, contestant: Contestant<'_>, answer: &[u8]) -> Result<Self, String> {
        let mut signs = Signs::new(arena)?;
        let script = signs.script();
        let keeper = match contestant {
            Contestant::Floor => {
                let kept = Kept { programs: PROGRAMS, delay: DELAY, script: &script };
                Keeper::Floor(Echo::start(arena, ASKED, answer, Labour::CloseAtOnce, Some(kept))?)
            }
            Contestant::Subject(subject) => {
                let keys = format!("cmd-start = {script}\nrestart-delay = 1\nautostart = yes");
                let plan = Plan { programs: PROGRAMS, keys: &keys, first: "" };
                Keeper::Daemon(Daemon::start(arena, subject, plan)?)
            }
        };
        let living = signs.gather(PROGRAMS)?.into_iter().map(|sign| (sign.program, sign)).collect();
        Ok(Self { keeper, signs, living })
    }

    /// Returns the delay that half of the restarts do not exceed, and that of 99 of 100.
    fn measure(&mut self, arena: &Arena, clients: u32) -> Result<[f64; 2], String> {
        let socket = match &self.keeper {
            Keeper::Floor(echo) => &echo.socket,
            Keeper::Daemon(daemon) => &daemon.socket,
        };
        let (manner, end, pause) = (Manner::Keeping, End::Dismissal, Duration::ZERO);
        let orders = Orders { socket, request: ASKED, clients, manner, end, pause };
        let mut askers = (clients > 0).then(|| Askers::start(arena, orders)).transpose()?;
        askers.iter_mut().try_for_each(Askers::wait_until_ready)?;
        let samples = restarts(arena, &mut self.signs, &mut self.living)?;
        askers.map(Askers::finish).transpose()?;
        Ok([samples.median(), samples.percentile(99)])
    }
}

/// Kills one program after the other, each not before it is back for a while, and returns how much longer than their
/// delay each has stayed away.
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
