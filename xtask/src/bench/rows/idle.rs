//! A daemon of which nobody wants anything.

use std::mem;
use std::thread;
use std::time::Duration;

use crate::bench::arena::{Arena, Subject};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::kernel::{processor_time, switches};
use crate::bench::samples::micros;
use crate::bench::signs::Signs;

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let prepare = |subject: &Subject| {
        let mut signs = Signs::new(arena)?;
        let keys = format!("cmd-start = {}\nautostart = yes\nrestart-delay = 1", signs.script());
        let daemon = Daemon::start(arena, subject, Plan { programs: PROGRAMS, keys: &keys, first: "" })?;
        signs.gather(PROGRAMS)?;
        Ok(daemon)
    };
    let outcome = arena.contest_of_subjects(1, prepare, |daemon| {
        let usage = || Ok::<_, String>((switches(daemon.pid())?, processor_time(daemon.pid())?));
        let mut before = usage()?;
        for _ in 0..TIMES_TO_SETTLE {
            thread::sleep(SETTLING);
            let now = usage()?;
            if mem::replace(&mut before, now) == now {
                break;
            }
        }
        thread::sleep(arena.extent.idle);
        let after = usage()?;
        // Less than before means that a thread has ended, with what it has used.
        Ok([f64::from(after.0.abs_diff(before.0)), micros(after.1.abs_diff(before.1))])
    })?;
    let what = |what: &str| format!("{what} in {} s, {PROGRAMS} programs", arena.extent.idle.as_secs());
    Ok(vec![
        outcome.figure(0, what("context switches"), Unit::Count).with_goal(Goal::AtMost(0.0)),
        outcome.figure(1, what("processor time"), Unit::Micros).with_goal(Goal::AtMost(0.0)),
    ])
}

const PROGRAMS: u32 = 100;

/// How long, and how many times, it may take until nothing is left to do of what came with the start.
const SETTLING: Duration = Duration::from_secs(1);
const TIMES_TO_SETTLE: u32 = 20;
