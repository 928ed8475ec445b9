//! An action with a script that does nothing: how many a second.

use std::path::Path;
use std::time::Duration;

use crate::bench::arena::{Arena, Contestant};
use crate::bench::asker::{End, Manner, Orders, Tally, ask};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::echo::{Echo, Labour};
use crate::bench::floor::spawner;

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let answer = Daemon::answer_of(arena, PLAN, REQUEST)?;
    let mut figures = Vec::new();
    for clients in [1, 4, 64] {
        let prepare = |contestant: Contestant<'_>| {
            Ok(match contestant {
                Contestant::Floor => {
                    Runner::Floor(Echo::start(arena, REQUEST, &answer, Labour::RunScript, None)?)
                }
                Contestant::Subject(subject) => Runner::Daemon(Daemon::start(arena, subject, PLAN)?),
            })
        };
        let asked = |socket: &Path| {
            let (end, manner) = (End::After(arena.extent.slot), Manner::Keeping);
            let orders = Orders { socket, request: REQUEST, clients, manner, end, pause: Duration::ZERO };
            ask(arena, orders).map(Tally::rate)
        };
        let outcome = arena.contest(arena.extent.rounds, prepare, |runner| match runner {
            Runner::Floor(echo) => {
                Ok([asked(&echo.socket)?, spawner::scripts(arena, clients, arena.extent.slot)?])
            }
            Runner::Daemon(daemon) => asked(&daemon.socket).map(|rate| [rate, rate]),
        })?;
        let words = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        let scripts = |number, what| {
            let figure = outcome.figure_above(number, what, Unit::PerSecond);
            figure.with_goal(Goal::AtLeastTimesFloor(0.9))
        };
        figures.push(scripts(1, format!("scripts, {words}")));
        figures.push(scripts(0, format!("scripts, {words}, above a floor that is asked")));
    }
    Ok(figures)
}

/// Who runs scripts. Those of the floor are run for somebody, and then for nobody.
enum Runner {
    Floor(Echo),
    Daemon(Daemon),
}

const REQUEST: &str = "work";

/// The action is one of the program's own, so its script is run in any state.
const PLAN: Plan<'_> = Plan { programs: 1, keys: "cmd-work = exit 0", first: "" };
