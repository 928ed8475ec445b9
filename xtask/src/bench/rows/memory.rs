//! The memory of the daemon: at the beginning, with many programs, and after it has done much.

use std::thread;
use std::time::{Duration, Instant};

use crate::bench::arena::{Arena, Subject};
use crate::bench::asker::{End, Manner, Orders, ask};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::trivial::{self, Deed};
use crate::bench::kernel::{children, mapped_memory, memory, written_memory};
use crate::bench::player::Player;
use crate::bench::samples::Samples;
use crate::stage::Linking;

pub(super) fn measure_size(arena: &Arena) -> Result<Vec<Figure>, String> {
    let many = arena.extent.many;
    let prepare = |subject: &Subject| Ok(subject.clone());
    let autostarted = format!("{KEYS}\nautostart = yes");
    let outcome = arena.contest_of_subjects(arena.extent.long_rounds, prepare, |subject| {
        let start = |programs, keys| Daemon::start(arena, subject, Plan { programs, keys, first: "" });
        // One after the other, for what both share would count as a half of each.
        let [base, full] = [1, many].map(|programs| {
            let daemon = start(programs, KEYS)?;
            let pid = daemon.pid();
            Ok::<_, String>((memory(pid)?, written_memory(pid)?, mapped_memory(pid)?))
        });
        let [running_base, running_full] = [1, many].map(|programs| {
            let daemon = start(programs, &autostarted)?;
            wait_for_children(daemon.pid(), programs)?;
            // Of the C library, which they share with it, the less would count the more of them there are.
            written_memory(daemon.pid())
        });
        let ((base, written, mapped), (full, ..)) = (base?, full?);
        let each = |base, full| (full - base) / f64::from(many - 1);
        Ok([base, each(base, full), each(running_base?, running_full?), written, mapped])
    })?;
    let bare = trivial::compile(arena, Deed::Wait, Linking::Dynamic)?;
    let bare = (0..arena.extent.long_rounds).map(|_| {
        let mut player = Player::start(&mut arena.client(&bare))?;
        player.wait_until_ready()?;
        memory(player.pid())
    });
    let bare = bare.collect::<Result<Samples, String>>()?;
    let of_each = |number, words| {
        let figure = outcome.figure(number, format!("for each of {many} programs {words}"), Unit::KiB);
        figure.with_goal(Goal::AtMost(0.6))
    };
    Ok(vec![
        outcome.figure(0, "with one program", Unit::KiB).with_goal(Goal::AtMost(400.0)),
        of_each(1, "that are down"),
        of_each(2, "that run"),
        outcome.figure(3, "with one program, written to", Unit::KiB),
        outcome.figure(4, "with one program, mapped from files", Unit::KiB),
        Figure::new("of a program in Rust that waits", Unit::KiB, bare),
    ])
}

/// Waits until it has so many.
fn wait_for_children(pid: u32, count: u32) -> Result<(), String> {
    let begin = Instant::now();
    while children(pid)?.len() < count as usize {
        if begin.elapsed() > PATIENCE {
            return Err(format!("process {pid} does not start {count} programs"));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

pub(super) fn measure_growth(arena: &Arena) -> Result<Vec<Figure>, String> {
    let prepare =
        |subject: &Subject| Daemon::start(arena, subject, Plan { programs: 100, keys: KEYS, first: "" });
    let outcome = arena.contest_of_subjects(1, prepare, |daemon| {
        let requests = |request, count| {
            let (socket, manner, end) = (&*daemon.socket, Manner::Keeping, End::Answers(count));
            ask(arena, Orders { socket, request, clients: 1, manner, end, pause: Duration::ZERO })
        };
        let mut growth = [0.0; 2];
        for (growth, (request, count)) in
            growth.iter_mut().zip([("work", arena.extent.scripts), ("reload", arena.extent.reloads)])
        {
            // What is there from the first times on is no growth.
            requests(request, (count / 10).max(arena.extent.reloads))?;
            let before = written_memory(daemon.pid())?;
            requests(request, count)?;
            *growth = written_memory(daemon.pid())? - before;
        }
        Ok(growth)
    })?;
    let (scripts, reloads) = (arena.extent.scripts, arena.extent.reloads);
    Ok(vec![
        outcome.figure(0, format!("growth by {scripts} scripts"), Unit::KiB).with_goal(Goal::AtMost(0.0)),
        outcome.figure(1, format!("growth by {reloads} reloads"), Unit::KiB).with_goal(Goal::AtMost(0.0)),
    ])
}

const KEYS: &str = "cmd-start = exec sleep 1000\ncmd-work = exit 0";
/// Much longer than all of them take.
const PATIENCE: Duration = Duration::from_secs(300);
