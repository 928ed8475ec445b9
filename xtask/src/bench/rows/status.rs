//! Requests that need no script, `status` and `ping`: how many a second, and what a daemon does for each.

use std::path::Path;
use std::time::Duration;

use crate::bench::arena::{Arena, Contestant};
use crate::bench::asker::{End, Manner, Orders, ask};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::echo::{Echo, Labour};
use crate::bench::kernel::{pages_of_children, processor_time};
use crate::bench::samples::micros;

pub(super) fn measure_status(arena: &Arena) -> Result<Vec<Figure>, String> {
    // The daemon has to, since it serves whom it does not trust.
    let mut figures = measure(arena, "status", Labour::CloseAtOnce)?;
    figures.extend(measure(arena, "status", Labour::TakeCare)?);
    Ok(figures)
}

pub(super) fn measure_ping(arena: &Arena) -> Result<Vec<Figure>, String> {
    let mut figures = measure(arena, "ping", Labour::CloseAtOnce)?;
    figures.extend(measure(arena, "ping", Labour::TakeCare)?);
    Ok(figures)
}

fn measure(arena: &Arena, request: &str, labour: Labour) -> Result<Vec<Figure>, String> {
    let answer = Daemon::answer_of(arena, PLAN, request)?;
    let mut figures = Vec::new();
    for (manner, clients, words) in WAYS {
        let prepare = |contestant: Contestant<'_>| {
            Ok(match contestant {
                Contestant::Floor => Server::Floor(Echo::start(arena, request, &answer, labour, None)?),
                Contestant::Subject(subject) => Server::Daemon(Daemon::start(arena, subject, PLAN)?),
            })
        };
        let outcome = arena.contest(arena.extent.rounds, prepare, |server| {
            let end = End::After(arena.extent.slot);
            let socket = server.socket();
            let before = (processor_time(server.pid())?, pages_of_children(server.pid())?);
            let tally = ask(arena, Orders { socket, request, clients, manner, end, pause: Duration::ZERO })?;
            let time = processor_time(server.pid())?.saturating_sub(before.0);
            // Each has asked once before it counted.
            let requests = f64::from(tally.answers + clients);
            Ok([
                tally.rate(),
                micros(time) / requests,
                f64::from(pages_of_children(server.pid())? - before.1),
            ])
        })?;
        let requests =
            |what| outcome.figure_above(0, what, Unit::PerSecond).with_goal(Goal::AtLeastTimesFloor(0.8));
        match labour {
            Labour::TakeCare => {
                figures.push(requests(format!("requests, {words}, above a floor that takes care")));
            }
            Labour::CloseAtOnce | Labour::RunScript => figures.extend([
                requests(format!("requests, {words}")),
                outcome
                    .figure_above(1, format!("processor time, {words}"), Unit::Micros)
                    .with_goal(Goal::AtMost(25.0)),
                outcome
                    .figure(2, format!("pages for children, {words}"), Unit::Count)
                    .with_goal(Goal::AtMost(0.0)),
            ]),
        }
    }
    Ok(figures)
}

const WAYS: [(Manner, u32, &str); 4] = [
    (Manner::Keeping, 1, "1 client"),
    (Manner::Keeping, 4, "4 clients"),
    (Manner::Connecting, 1, "1 client, connecting anew"),
    (Manner::Connecting, 4, "4 clients, connecting anew"),
];

const PLAN: Plan<'_> = Plan { programs: 1, keys: "cmd-start = exec sleep 1000\nautostart = yes", first: "" };

/// Who answers.
enum Server {
    Floor(Echo),
    Daemon(Daemon),
}

impl Server {
    fn socket(&self) -> &Path {
        match self {
            Self::Floor(echo) => &echo.socket,
            Self::Daemon(daemon) => &daemon.socket,
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Floor(echo) => echo.pid(),
            Self::Daemon(daemon) => daemon.pid(),
        }
    }
}
