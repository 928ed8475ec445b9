//! A reload of many programs: how long it takes, and how long others wait for their answers meanwhile.

use std::time::Duration;

use crate::bench::arena::{Arena, Contestant};
use crate::bench::asker::{Askers, End, Manner, Orders, ask};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::tokens::Reader;
use crate::bench::samples::{Samples, millis};

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let plan = Plan { programs: arena.extent.many, keys: KEYS, first: "" };
    let example = Daemon::start(arena, arena.own(), plan)?;
    let prepare = |contestant: Contestant<'_>| match contestant {
        Contestant::Floor => Reader::start(arena, &example.configuration).map(Reads::Floor),
        Contestant::Subject(subject) => Daemon::start(arena, subject, plan).map(Reads::Daemon),
    };
    let outcome = arena.contest(arena.extent.rounds, prepare, |reads| match reads {
        Reads::Floor(reader) => {
            let times = (0..TIMES).map(|_| reader.read().map(millis)).collect::<Result<Samples, _>>()?;
            Ok([times.median(), f64::NAN])
        }
        Reads::Daemon(daemon) => {
            let orders = |request, end, pause| Orders {
                socket: &daemon.socket,
                request,
                clients: 1,
                manner: Manner::Connecting,
                end,
                pause,
            };
            let honest = orders("status", End::Dismissal, Duration::from_millis(1));
            let mut honest = Askers::start(arena, honest)?;
            honest.wait_until_ready()?;
            let tally = ask(arena, orders("reload", End::Answers(TIMES), Duration::ZERO))?;
            Ok([millis(tally.time) / f64::from(TIMES), millis(honest.finish()?.longest)])
        }
    })?;
    let count = arena.extent.many;
    Ok(vec![
        outcome
            .figure_above(0, format!("reload of {count}"), Unit::Millis)
            .with_goal(Goal::AtMostTimesFloor(2.0)),
        outcome
            .figure(1, format!("longest wait meanwhile, {count}"), Unit::Millis)
            .with_goal(Goal::AtMost(50.0)),
    ])
}

/// Who reads the file.
enum Reads {
    Floor(Reader),
    Daemon(Daemon),
}

/// How many times it is read in a round.
const TIMES: u32 = 5;

/// As much as programs have as a rule.
const KEYS: &str = "\
cmd-start = exec /usr/bin/some-daemon --foreground --config /etc/some-daemon.conf
cmd-reload = kill -HUP $PID
allow-uid = 1000
restart-delay = 5
autostart = no";
