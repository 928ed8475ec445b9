//! `procmgr p0 status` as a whole process: what scripts of operators wait for.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::bench::arena::{Arena, Contestant};
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::trivial::{self, Deed};
use crate::bench::samples::{Samples, micros};
use crate::stage::Linking;

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let [dynamic, linked] =
        [Linking::Dynamic, Linking::Static].map(|linking| trivial::compile(arena, Deed::Nothing, linking));
    let programs = [Path::new(trivial::DYNAMIC).to_owned(), linked?, dynamic?];
    let static_build = arena.static_build()?;
    let prepare = |contestant: Contestant<'_>| match contestant {
        Contestant::Floor => {
            let commands = programs.each_ref().map(|program| Some(arena.client(program)));
            Ok(Runner { _daemons: Vec::new(), commands })
        }
        Contestant::Subject(subject) => {
            let one = Daemon::start(arena, subject, plan(1))?;
            let many = Daemon::start(arena, subject, plan(arena.extent.many))?;
            let linked = static_build.as_ref().filter(|_| subject.name == arena.own().name);
            let commands = [
                Some(status(arena, &subject.executable, &one)),
                Some(status(arena, &subject.executable, &many)),
                linked.map(|executable| status(arena, executable, &one)),
            ];
            Ok(Runner { _daemons: vec![one, many], commands })
        }
    };
    let outcome = arena.contest(arena.extent.rounds, prepare, |runner| runner.run(arena.extent.processes))?;
    let many = format!("status with {} programs, against one", arena.extent.many);
    let mut figures = vec![
        outcome
            .figure_above(0, "status, against a dynamic `true`", Unit::Micros)
            .with_goal(Goal::AtMostTimesFloor(1.3)),
        outcome.figure(1, many, Unit::Micros).above(outcome.own(0)).with_goal(Goal::AtMostTimesFloor(1.1)),
    ];
    let of_nothing =
        |number, what| Figure::new(what, Unit::Micros, outcome.floor(number)).above(outcome.floor(0));
    figures.extend([
        of_nothing(2, "a program in Rust that does nothing, against a dynamic `true`"),
        of_nothing(1, "the same, linked statically, against a dynamic `true`"),
    ]);
    if static_build.is_some() {
        let of_static = |what: &str| Figure::new(what, Unit::Micros, outcome.own(2));
        figures.extend([
            of_static("static build, against a dynamic `true`")
                .above(outcome.floor(0))
                .with_goal(Goal::AtMostTimesFloor(1.0)),
            of_static("static build, against a static `true`").above(outcome.floor(1)),
        ]);
    }
    Ok(figures)
}

fn plan(programs: u32) -> Plan<'static> {
    Plan { programs, keys: "cmd-start = exec sleep 1000", first: "autostart = yes" }
}

fn status(arena: &Arena, executable: &Path, daemon: &Daemon) -> Command {
    let mut command = arena.client(executable);
    command.args(["p0", "status"]).env("PROCMGR_CONFFILE", &daemon.configuration);
    command
}

/// Who runs commands, each in its turn.
struct Runner {
    /// Those that are asked.
    _daemons: Vec<Daemon>,
    commands: [Option<Command>; 3],
}

impl Runner {
    /// Returns how long each takes.
    fn run(&mut self, times: u32) -> Result<[f64; 3], String> {
        let mut samples = [const { Samples::new() }; 3];
        for _ in 0..times {
            for (command, samples) in self.commands.iter_mut().zip(&mut samples) {
                if let Some(command) = command {
                    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                    samples.push(micros(trivial::time(command)?));
                }
            }
        }
        Ok(samples.each_ref().map(Samples::median))
    }
}
