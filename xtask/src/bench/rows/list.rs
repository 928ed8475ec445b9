//! `procmgr -a` as a whole process: how much longer it takes where there are many programs.

use std::process::Stdio;

use crate::bench::arena::{Arena, Subject};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::trivial;
use crate::bench::samples::{Samples, millis};

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let prepare = |subject: &Subject| {
        let sizes = [1, arena.extent.many];
        let lists = sizes.map(|programs| {
            let daemon =
                Daemon::start(arena, subject, Plan { programs, keys: "cmd-start = exit 0", first: "" })?;
            let mut command = arena.client(&subject.executable);
            command.arg("-a").env("PROCMGR_CONFFILE", &daemon.configuration);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            Ok::<_, String>((daemon, command))
        });
        let [one, many] = lists;
        Ok([one?, many?])
    };
    let outcome = arena.contest_of_subjects(arena.extent.rounds, prepare, |lists| {
        let mut samples = [const { Samples::new() }; 2];
        for _ in 0..arena.extent.processes {
            for ((_, command), samples) in lists.iter_mut().zip(&mut samples) {
                samples.push(millis(trivial::time(command)?));
            }
        }
        let [one, many] = samples.each_ref().map(Samples::median);
        Ok([one, many, many - one])
    })?;
    let what = format!("-a of {} programs", arena.extent.many);
    Ok(vec![
        outcome.figure(1, format!("{what}, against one"), Unit::Millis).above(outcome.own(0)),
        outcome.figure(2, format!("{what}, beyond one"), Unit::Millis).with_goal(Goal::AtMost(10.0)),
    ])
}
