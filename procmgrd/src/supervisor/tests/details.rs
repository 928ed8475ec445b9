//! What a program has gone through, for whoever asks.
//!
//! What lists and subscribers are told is tested in the other rooms.

use std::time::Duration;

use procmgr_config::Action::{Restart, Start, Stop};
use procmgr_proto::details::{PastExit, ProgramDetails};
use procmgr_proto::message::{ExitStatus, Response};

use crate::supervisor::event::{Effect, Event, Pid, Question};
use crate::supervisor::memory::Recollection;
use crate::supervisor::tests::{
    BERT, DELAY, MAIN, SCRIPT, SUCCESS, World, beginning, define, define_with_delay,
};

const CRASH: ExitStatus = ExitStatus::Signal(11);
const SECOND: Duration = Duration::from_secs(1);

/// When a world begins, in milliseconds since 1970.
const BEGINNING: u64 = 1_000_000;

impl World {
    /// Returns what whoever asks is told of the only program: since, restarts, last exit, next start.
    fn details(&mut self) -> (Option<u64>, u32, Option<PastExit>, Option<u64>) {
        let effects = self.question(BERT, Question::Inspect);
        let [Effect::Reply { response: Response::Inspected(programs), .. }] = effects.as_slice() else {
            panic!("{effects:?}");
        };
        let [ProgramDetails { since, restarts, last_exit, next_start, .. }] = programs.as_slice() else {
            panic!("{programs:?}");
        };
        (*since, *restarts, *last_exit, *next_start)
    }
}

fn exit(status: ExitStatus, time: u64) -> PastExit {
    PastExit { status, time }
}

#[test]
fn of_a_program_that_never_ran_there_is_nothing_to_tell() {
    assert_eq!(World::down(&define("game", &[Start])).details(), (None, 0, None, None));
}

#[test]
fn a_run_has_its_beginning_and_after_it_its_end() {
    assert_eq!(beginning().time, BEGINNING);
    let mut world = World::down(&define("game", &[Start]));
    world.pass(SECOND);
    let effects = world.request(1, "game", Start);
    world.spawned(effects, MAIN);
    world.pass(SECOND);
    assert_eq!(world.details(), (Some(BEGINNING + 1000), 0, None, None));
    world.request(1, "game", Stop);
    assert_eq!(world.details(), (Some(BEGINNING + 1000), 0, None, None));
    world.exited(MAIN, CRASH);
    world.pass(SECOND);
    assert_eq!(world.details(), (None, 0, Some(exit(CRASH, BEGINNING + 2000)), None));
}

#[test]
fn a_restart_script_begins_another_run_and_the_old_process_has_no_end() {
    let mut world = World::up(&define("game", &[Start, Restart]));
    world.pass(SECOND);
    world.request_and_spawn(1, "game", Restart);
    world.exited(MAIN, CRASH);
    assert_eq!(world.details(), (Some(BEGINNING + 1000), 0, None, None));
    assert_eq!(world.exited(SCRIPT, CRASH).len(), 1);
    assert_eq!(world.details(), (None, 0, Some(exit(CRASH, BEGINNING + 1000)), None));
}

#[test]
fn restarts_are_counted_until_somebody_asks_for_a_start_and_the_next_one_is_told() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    let delay = 5000;
    assert_eq!(world.details(), (None, 1, Some(exit(SUCCESS, BEGINNING)), Some(BEGINNING + delay)));
    let effects = world.pass(DELAY);
    world.spawned(effects, MAIN);
    assert_eq!(world.details(), (Some(BEGINNING + delay), 1, Some(exit(SUCCESS, BEGINNING)), None));
    // A stable run begins a new row, and yet it was a restart.
    world.pass(DELAY);
    world.exited(MAIN, CRASH);
    let end = BEGINNING + 2 * delay;
    assert_eq!(world.details(), (None, 2, Some(exit(CRASH, end)), Some(end + delay)));
    let effects = world.request(1, "game", Start);
    world.spawned(effects, Pid(7));
    assert_eq!(world.details(), (Some(end), 0, Some(exit(CRASH, end)), None));
}

#[test]
fn whatever_the_clock_on_the_wall_is_set_to_what_has_been_stays() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    let before = world.details();
    world.now.time = 7;
    assert_eq!(world.details(), before);
}

#[test]
fn another_daemon_tells_the_same() {
    let game = define_with_delay("game", &[Start]);
    let mut former = World::in_backoff(&game);
    let recollection = |world: &World, living| {
        let Some((program, memory)) = world.supervisor.memories().next() else { panic!("it is on record") };
        Event::Recalled { programs: vec![Recollection { program: program.clone(), memory, living }] }
    };
    let mut world = World::down(&game);
    world.tell(recollection(&former, None));
    assert_eq!(world.details(), former.details());

    let effects = former.pass(DELAY);
    former.spawned(effects, MAIN);
    let mut world = World::down(&game);
    world.tell(recollection(&former, Some(super::process(MAIN))));
    assert_eq!(world.details(), former.details());

    // It has ended, and nobody knows how and when.
    let mut world = World::down(&define("game", &[Start]));
    world.now = former.now + SECOND;
    world.tell(recollection(&former, None));
    assert_eq!(world.details(), (None, 1, Some(exit(ExitStatus::Unknown, BEGINNING + 6000)), None));
}
