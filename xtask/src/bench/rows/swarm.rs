//! Many programs that begin at once: when the daemon starts, and when all of them have died.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::bench::arena::{Arena, Contestant};
use crate::bench::asker::{Askers, End, Manner, Orders};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::echo::{Echo, Labour};
use crate::bench::floor::spawner::Swarm;
use crate::bench::kernel::memory;
use crate::bench::samples::millis;
use crate::bench::signs::{self, Sign, Signs};

pub(super) fn measure_autostart(arena: &Arena) -> Result<Vec<Figure>, String> {
    let plan = Plan { programs: 1, keys: "cmd-start = exit 0", first: "" };
    let answer = Daemon::answer_of(arena, plan, "status")?;
    let mut outcomes = Vec::new();
    for count in [arena.extent.some, arena.extent.many] {
        let prepare = |contestant: Contestant<'_>| Ok(contestant.subject().cloned());
        outcomes.push(arena.contest(arena.extent.long_rounds, prepare, |subject| {
            let mut signs = Signs::new(arena)?;
            match subject {
                None => floor_of_autostart(arena, count, &answer, &mut signs),
                Some(subject) => {
                    let keys = format!("cmd-start = {}\nautostart = yes", signs.script());
                    let plan = Plan { programs: count, keys: &keys, first: "" };
                    let begin = Instant::now();
                    let daemon = Daemon::begin(arena, subject, plan)?;
                    let askers = Askers::start(arena, honest(&daemon.socket))?;
                    let living = signs.gather(count)?;
                    let time = last(&living) - begin;
                    let tally = askers.finish()?;
                    let memory = memory(daemon.pid())?;
                    drop(daemon);
                    signs::end(&living, &arena.folder());
                    Ok([millis(time), millis(tally.longest), memory])
                }
            }
        })?);
    }
    let [some, many] = &outcomes[..] else { return Err("a count is missing".to_owned()) };
    let mut figures = Vec::new();
    for (outcome, count) in [(some, arena.extent.some), (many, arena.extent.many)] {
        let time = outcome.figure_above(0, format!("autostart of {count}"), Unit::Millis);
        let wait = outcome.figure_above(1, format!("longest wait meanwhile, {count}"), Unit::Millis);
        figures.extend([time.with_goal(Goal::AtMostTimesFloor(1.1)), wait.with_goal(Goal::AtMost(50.0))]);
    }
    let words = format!("autostart of {}, against {}", arena.extent.many, arena.extent.some);
    let growth = many.figure(0, words, Unit::Millis).above(some.own(0));
    figures.push(growth.with_goal(Goal::AtMostTimesFloor(11.0)));
    figures.push(many.figure(2, format!("memory with {} that run", arena.extent.many), Unit::KiB));
    Ok(figures)
}

fn floor_of_autostart(
    arena: &Arena,
    count: u32,
    answer: &[u8],
    signs: &mut Signs,
) -> Result<[f64; 3], String> {
    let echo = Echo::start(arena, "status", answer, Labour::CloseAtOnce, None)?;
    let askers = Askers::start(arena, honest(&echo.socket))?;
    let begin = Instant::now();
    let mut swarm = Swarm::start(arena, &signs.script())?;
    swarm.spawn(count)?;
    let time = last(&signs.gather(count)?) - begin;
    let tally = askers.finish()?;
    swarm.finish()?;
    Ok([millis(time), millis(tally.longest), f64::NAN])
}

/// Returns what an honest client does: it asks now and then.
fn honest(socket: &std::path::Path) -> Orders<'_> {
    let (request, manner, end) = ("status", Manner::Connecting, End::Dismissal);
    Orders { socket, request, clients: 1, manner, end, pause: Duration::from_millis(2) }
}

pub(super) fn measure_deaths(arena: &Arena) -> Result<Vec<Figure>, String> {
    let count = arena.extent.many;
    let prepare = |contestant: Contestant<'_>| Ok(contestant.subject().cloned());
    let outcome = arena.contest(arena.extent.long_rounds, prepare, |subject| {
        let mut signs = Signs::new(arena)?;
        match subject {
            None => {
                let mut swarm = Swarm::start(arena, &signs.script())?;
                swarm.spawn(count)?;
                signs.gather(count)?;
                let begin = Instant::now();
                swarm.kill_and_spawn(DELAY)?;
                let time = last(&signs.gather(count)?) - begin;
                swarm.finish()?;
                Ok([millis(time) - millis(DELAY)])
            }
            Some(subject) => {
                let keys = format!("cmd-start = {}\nautostart = yes\nrestart-delay = 1", signs.script());
                let daemon = Daemon::begin(arena, subject, Plan { programs: count, keys: &keys, first: "" })?;
                let living = signs.gather(count)?;
                let begin = Instant::now();
                for Sign { pid, .. } in &living {
                    kill_process(*pid, Signal::KILL)
                        .map_err(|error| format!("cannot kill a program: {error}"))?;
                }
                let living = signs.gather(count)?;
                drop(daemon);
                signs::end(&living, &arena.folder());
                Ok([millis(last(&living) - begin) - millis(DELAY)])
            }
        }
    })?;
    let figure = outcome.figure_above(0, format!("{count} are back, beyond the delay"), Unit::Millis);
    Ok(vec![figure.with_goal(Goal::AtMostTimesFloor(1.2))])
}

fn last(signs: &[Sign]) -> Instant {
    signs.iter().map(|sign| sign.seen).max().expect("at least one sign was waited for")
}

/// As it is configured.
const DELAY: Duration = Duration::from_secs(1);
