//! The daemon is killed while a process is between its birth and exec, at each step of that process.
//!
//! What the daemon does before and after is in `requests`.

use nix::unistd::Pid;

use crate::faults::requests::{started, stopped};
use crate::faults::stage::Stage;
use crate::faults::sweep::{After, OTHER, PROGRAM, WITH_RESTART, hold, with};
use crate::faults::tracer::{Stop, Tracee, Whose, may_trace, pauses, waits_for_events};
use crate::harness::{ask, is_root, wait_until};

/// A birth that the daemon is killed during.
#[derive(Clone, Copy)]
struct Birth {
    config: &'static str,
    /// Brings [`PROGRAM`] into the state in which it is asked for.
    prepare: fn(&mut Stage),
    request: [&'static str; 2],
}

/// What becomes of the process when the daemon is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    GoesOn,
    Dies,
}

impl Birth {
    /// Kills a daemon at each stop of the process.
    fn sweep(&self, fate: Fate, test: &str) {
        if !may_trace(test) {
            return;
        }
        let mut stage = Stage::new(self.config);
        stage.launch();
        stage.settle(&[]);
        stage.invoke(OTHER, "start");
        let stops = self.play(&mut stage, usize::MAX, Fate::GoesOn);
        for stop in 0..stops {
            assert_eq!(self.play(&mut stage, stop, fate), stop, "each has the same steps");
        }
        eprintln!("{test}: killed at each of {stops} stops");
    }

    /// Plays it once, and kills the daemon after so many stops of the process, or when that has executed its script.
    /// Returns how many there were.
    fn play(&self, stage: &mut Stage, stops: usize, fate: Fate) -> usize {
        let (before, mut daemon) = hold(stage, self.prepare, Whose::ItsAndItsChildrens);
        let client = ask(&stage.sandbox, &self.request);
        let pid = loop {
            if let Stop::HasChild(pid) = daemon.step() {
                break pid;
            }
        };
        let mut process = Tracee::born(pid);
        daemon.release();
        let mut count = 0;
        while count < stops && process.step() != Stop::Executed {
            count += 1;
        }
        stage.kill_daemon_at(format!("{fate:?}: killed after {count} stops of {pid}, {}", process.place()));
        let dead = match fate {
            Fate::GoesOn => {
                let_next_daemon_come(stage, process, pid);
                None
            }
            Fate::Dies => {
                let dead = process.kill();
                stage.launch();
                Some(dead)
            }
        };

        let after = After::of(stage, vec![client], before);
        drop(dead);
        after.was_told(0, 125);
        let (expected, births) = match fate {
            Fate::GoesOn => (Some(pid.as_raw().unsigned_abs()), 1),
            Fate::Dies => (after.pid_before(PROGRAM), 0),
        };
        assert_eq!((after.pid_now(PROGRAM), after.births), (expected, births), "{after}");
        count
    }
}

/// Starts the next daemon. As long as the process has what makes a daemon the only one, it has to wait; once the
/// process has let go of that, it is on record.
fn let_next_daemon_come(stage: &mut Stage, process: Tracee, pid: Pid) {
    stage.launch();
    let daemon = stage.daemon();
    wait_until("the next daemon waits", || {
        stage.assert_daemon_lives();
        pauses(daemon) || waits_for_events(daemon)
    });
    if waits_for_events(daemon) {
        let programs = stage.programs().unwrap();
        let program = programs.iter().find(|program| program.name == PROGRAM.as_bytes()).unwrap();
        assert_eq!(program.pid, Some(pid.as_raw().unsigned_abs()));
    }
    process.release();
}

const START: Birth = Birth { config: with!(""), prepare: stopped, request: ["p", "start"] };

/// It becomes somebody else on its way.
const START_AS_OTHER: Birth = Birth {
    config: with!("suid-start = 12345\nsgid-start = 12345\n"),
    prepare: stopped,
    request: ["p", "start"],
};

/// Until it is executed, another one is the main process.
const RESTART: Birth = Birth { config: WITH_RESTART, prepare: started, request: ["p", "restart"] };

#[test]
fn a_process_that_is_about_to_be_executed_is_taken_over() {
    START.sweep(Fate::GoesOn, "a_process_that_is_about_to_be_executed_is_taken_over");
}

#[test]
fn a_process_that_is_about_to_become_another_users_is_taken_over() {
    let test = "a_process_that_is_about_to_become_another_users_is_taken_over";
    if is_root(test) {
        START_AS_OTHER.sweep(Fate::GoesOn, test);
    }
}

#[test]
fn a_process_that_is_about_to_follow_another_is_taken_over() {
    RESTART.sweep(Fate::GoesOn, "a_process_that_is_about_to_follow_another_is_taken_over");
}

#[test]
fn a_program_whose_process_dies_before_it_is_executed_is_down() {
    START.sweep(Fate::Dies, "a_program_whose_process_dies_before_it_is_executed_is_down");
}

#[test]
fn a_program_whose_process_dies_before_it_is_another_users_is_down() {
    let test = "a_program_whose_process_dies_before_it_is_another_users_is_down";
    if is_root(test) {
        START_AS_OTHER.sweep(Fate::Dies, test);
    }
}

#[test]
fn a_program_goes_on_if_the_process_that_was_to_follow_dies() {
    RESTART.sweep(Fate::Dies, "a_program_goes_on_if_the_process_that_was_to_follow_dies");
}
