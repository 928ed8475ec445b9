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
    measure(arena, "status")
}

pub(super) fn measure_ping(arena: &Arena) -> Result<Vec<Figure>, String> {
    measure(arena, "ping")
}

fn measure(arena: &Arena, request: &str) -> Result<Vec<Figure>, String> {
    let answer = Daemon::answer_of(arena, PLAN, request)?;
    let mut figures = Vec::new();
    for (manner, clients, words) in WAYS {
        let prepare = |contestant: Contestant<'_>| match contestant {
            Contestant::Floor => {
                let start = |labour| Echo::start(arena, request, &answer, labour, None);
                // The daemon has to take care, since it serves whom it does not trust.
                Ok(Server::Floors { at_once: start(Labour::CloseAtOnce)?, careful: start(Labour::TakeCare)? })
            }
            Contestant::Subject(subject) => Daemon::start(arena, subject, PLAN).map(Server::Daemon),
        };
        let asked = |socket: &Path, pid| {
            let end = End::After(arena.extent.slot);
            let before = (processor_time(pid)?, pages_of_children(pid)?);
            let tally = ask(arena, Orders { socket, request, clients, manner, end, pause: Duration::ZERO })?;
            let time = processor_time(pid)?.saturating_sub(before.0);
            // Each has asked once before it counted.
            let requests = f64::from(tally.answers + clients);
            let pages = f64::from(pages_of_children(pid)? - before.1);
            Ok::<_, String>([tally.rate(), micros(time) / requests, pages])
        };
        let outcome = arena.contest(arena.extent.rounds, prepare, |server| match server {
            Server::Floors { at_once, careful } => {
                let [rate, time, pages] = asked(&at_once.socket, at_once.pid())?;
                let [careful_rate, ..] = asked(&careful.socket, careful.pid())?;
                Ok([rate, time, pages, careful_rate])
            }
            Server::Daemon(daemon) => {
                let [rate, time, pages] = asked(&daemon.socket, daemon.pid())?;
                Ok([rate, time, pages, rate])
            }
        })?;
        let requests = |number, what| {
            let figure = outcome.figure_above(number, what, Unit::PerSecond);
            figure.with_goal(Goal::AtLeastTimesFloor(0.8))
        };
        figures.extend([
            requests(0, format!("requests, {words}")),
            requests(3, format!("requests, {words}, above a floor that takes care")),
            outcome
                .figure_above(1, format!("processor time, {words}"), Unit::Micros)
                .with_goal(Goal::AtMost(25.0)),
            outcome
                .figure(2, format!("pages for children, {words}"), Unit::Count)
                .with_goal(Goal::AtMost(0.0)),
        ]);
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
    /// Each in its turn.
    Floors {
        at_once: Echo,
        careful: Echo,
    },
    Daemon(Daemon),
}
