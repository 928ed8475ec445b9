//! An action with a script that does nothing: how many a second.

use std::time::Duration;

use crate::bench::arena::{Arena, Contestant};
use crate::bench::asker::{End, Manner, Orders, ask};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::spawner;

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for clients in [1, 4, 64] {
        let prepare = |contestant: Contestant<'_>| match contestant {
            Contestant::Floor => Ok(None),
            Contestant::Subject(subject) => Daemon::start(arena, subject, PLAN).map(Some),
        };
        let outcome = arena.contest(arena.extent.rounds, prepare, |daemon| {
            let rate = match daemon {
                None => spawner::scripts(arena, clients, arena.extent.slot)?,
                Some(Daemon { socket, .. }) => {
                    let end = End::After(arena.extent.slot);
                    let manner = Manner::Keeping;
                    ask(
                        arena,
                        Orders { socket, request: "work", clients, manner, end, pause: Duration::ZERO },
                    )?
                    .rate()
                }
            };
            Ok([rate])
        })?;
        let what = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        let figure = outcome.figure_above(0, format!("scripts, {what}"), Unit::PerSecond);
        figures.push(figure.with_goal(Goal::AtLeastTimesFloor(0.9)));
    }
    Ok(figures)
}

/// The action is one of the program's own, so its script is run in any state.
const PLAN: Plan<'_> = Plan { programs: 1, keys: "cmd-work = exit 0", first: "" };
