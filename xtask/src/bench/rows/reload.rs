//! A reload of many programs: how long it takes, and how long others wait for their answers meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use crate::bench::arena::{Arena, Contestant};
use crate::bench::asker::{Askers, End, Manner, Orders, answer};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::tokens::Reader;
use crate::bench::samples::{Samples, millis};

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let plan = Plan { programs: arena.extent.many, keys: KEYS, first: "" };
    let example = Daemon::start(arena, arena.own(), plan)?;
    let prepare = |contestant: Contestant<'_>| match contestant {
        Contestant::Floor => Reader::start(arena, &example.configuration).map(Reads::Floor),
        Contestant::Subject(subject) => {
            let start = || Daemon::start(arena, subject, plan);
            Ok(Reads::Daemons { steady: start()?, changed: start()? })
        }
    };
    let outcome = arena.contest(arena.extent.rounds, prepare, |reads| match reads {
        Reads::Floor(reader) => {
            let times = (0..TIMES).map(|_| reader.read().map(millis)).collect::<Result<Samples, _>>()?;
            Ok([times.median(), f64::NAN, times.median(), f64::NAN])
        }
        Reads::Daemons { steady, changed } => {
            let [same, wait] = reloads(arena, steady, |_| Ok(()))?;
            let [time, wait_then] = reloads(arena, changed, change)?;
            Ok([same, wait, time, wait_then])
        }
    })?;
    let mut figures = Vec::new();
    for (number, words) in [(0, "nothing changed"), (2, "each changed")] {
        let words = format!("{}, {words}", arena.extent.many);
        let time = outcome.figure_above(number, format!("reload of {words}"), Unit::Millis);
        let wait = outcome.figure(number + 1, format!("longest wait meanwhile, {words}"), Unit::Millis);
        figures.extend([time.with_goal(Goal::AtMostTimesFloor(2.0)), wait.with_goal(Goal::AtMost(50.0))]);
    }
    Ok(figures)
}

/// Has the file read again and again, each time after something was done to it. Returns how long that takes, and how
/// long somebody else waits for an answer at the most.
fn reloads(
    arena: &Arena,
    daemon: &Daemon,
    before: impl Fn(&Daemon) -> Result<(), String>,
) -> Result<[f64; 2], String> {
    let (manner, end, pause) = (Manner::Connecting, End::Dismissal, Duration::from_millis(1));
    let honest = Orders { socket: &daemon.socket, request: "status", clients: 1, manner, end, pause };
    let mut honest = Askers::start(arena, honest)?;
    honest.wait_until_ready()?;
    let mut times = Samples::new();
    for _ in 0..TIMES {
        before(daemon)?;
        let asked = Instant::now();
        answer(&daemon.socket, "reload")?;
        times.push(millis(asked.elapsed()));
    }
    Ok([times.median(), millis(honest.finish()?.longest)])
}

/// Changes a key of every program, there and back again.
fn change(daemon: &Daemon) -> Result<(), String> {
    let [one, other] = DELAYS;
    let failed = |error| format!("cannot change the file: {error}");
    let text = fs::read_to_string(&daemon.configuration).map_err(failed)?;
    let [from, to] = if text.contains(one) { [one, other] } else { [other, one] };
    fs::write(&daemon.configuration, text.replace(from, to)).map_err(failed)
}

/// Who reads the file.
enum Reads {
    Floor(Reader),
    /// One whose file is never changed, and one whose file always is: that one takes longer from then on, whatever is
    /// changed.
    Daemons {
        steady: Daemon,
        changed: Daemon,
    },
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

/// As they are in the file, the first one at the beginning.
const DELAYS: [&str; 2] = ["restart-delay = 5", "restart-delay = 6"];
