//! Deaths: what follows the end of a main process, or the failure of a start.
//!
//! What somebody has asked for before is told next door, in `program`.

use std::mem;
use std::time::Duration;

use procmgr_config::{Definition, ProgramName};
use procmgr_proto::details::PastExit;
use procmgr_proto::message::{ExitStatus, Response};

use crate::supervisor::call::reply;
use crate::supervisor::event::{Effect, Job, Report, Restart, Timestamp};
use crate::supervisor::memory::Memory;
use crate::supervisor::program::Program;
use crate::supervisor::program::state::{Rest, State};

impl<S: Clone> Program<S> {
    /// Takes note that the main process has come to its end.
    pub(crate) fn main_exited(&mut self, now: Timestamp, status: ExitStatus, effects: &mut Vec<Effect<S>>) {
        let before = self.memory();
        match mem::replace(&mut self.state, State::Down(Rest::Idle)) {
            State::Up(run) => {
                self.past.last_exit = Some(PastExit { status, time: now.time });
                let lasted = run.since.map(|since| now.instant.saturating_duration_since(since.instant));
                let pid = run.main.pid;
                let report = |program, restart| Report::Ended { program, pid, status, restart };
                self.die(now, lasted, report, effects);
            }
            State::Stopping { run, waiting, next, rest, patience: _ } => {
                self.past.last_exit = Some(PastExit { status, time: now.time });
                let (program, pid) = (self.name.clone(), run.main.pid);
                effects.push(Effect::Report(Report::Ended { program, pid, status, restart: None }));
                effects.extend(waiting.into_iter().map(|caller| reply(caller, Response::Exited(status))));
                match next {
                    Some(call) => self.begin(now, *call, before, effects),
                    None => self.state = State::Down(rest),
                }
            }
            other @ (State::Down(_) | State::Starting { .. } | State::Backoff { .. }) => {
                debug_assert!(false, "{} has no main process", self.name);
                self.state = other;
            }
        }
    }

    /// Takes back a start that a client has asked for; one that nobody has asked for counts as a death.
    pub(super) fn start_failed(
        &mut self,
        now: Timestamp,
        job: &Job,
        reason: &str,
        effects: &mut Vec<Effect<S>>,
    ) {
        if job.caller.is_none() {
            let report = |program, retry| Report::StartFailed { program, reason: reason.to_owned(), retry };
            self.die(now, Some(Duration::ZERO), report, effects);
        } else if let State::Starting { before, .. } = &self.state {
            self.state = match &**before {
                Memory::Due { at, .. } => State::Backoff { until: *at },
                Memory::Stopped(_) => State::Down(Rest::Stopped),
                Memory::Failed(_) => State::Down(Rest::Failed),
                Memory::Nothing | Memory::Running(_) => State::Down(Rest::Idle),
            };
        }
    }

    /// Decides what follows a death that nobody has asked for, after a run that has lasted so long, if that is known.
    pub(super) fn die(
        &mut self,
        now: Timestamp,
        lasted: Option<Duration>,
        report: impl FnOnce(ProgramName, Option<Restart>) -> Report,
        effects: &mut Vec<Effect<S>>,
    ) {
        let sequel = match &self.definition {
            Some(definition) => sequel(definition, self.past.row, lasted),
            None => Sequel::Rest,
        };
        let restart = match sequel {
            Sequel::Restart(restart) => Some(restart),
            Sequel::Rest | Sequel::GiveUp => None,
        };
        effects.push(Effect::Report(report(self.name.clone(), restart)));
        self.state = match sequel {
            Sequel::Rest => State::Down(Rest::Idle),
            Sequel::Restart(Restart { delay, number }) => {
                self.past.restarts = self.past.restarts.saturating_add(1);
                self.past.row = number;
                State::Backoff { until: now + delay }
            }
            Sequel::GiveUp => {
                let (program, restarts) = (self.name.clone(), self.past.row);
                effects.push(Effect::Report(Report::GivenUp { program, restarts }));
                State::Down(Rest::Failed)
            }
        };
    }
}

/// What follows a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sequel {
    /// Nothing.
    Rest,
    Restart(Restart),
    /// There have been restarts enough.
    GiveUp,
}

/// Returns what follows a death after so many restarts in a row, the last of which has led to a run of that length.
///
/// A run is stable, and the row ends with it, if it has lasted as long as the longest pause that may be: what lives for
/// less would have been down for longer than up. Of a run of which it is not known how long it has lasted neither
/// good nor bad is thought.
fn sequel(definition: &Definition, row: u32, lasted: Option<Duration>) -> Sequel {
    let Some(first) = definition.restart_delay else { return Sequel::Rest };
    let longest = definition.restart_max_delay.filter(|longest| *longest > first).unwrap_or(first);
    let row = if lasted.is_some_and(|lasted| lasted >= longest) { 0 } else { row };
    if definition.restart_limit.is_some_and(|limit| row >= limit) {
        return Sequel::GiveUp;
    }
    let number = row.saturating_add(1);
    Sequel::Restart(Restart { delay: pause(first, longest, number), number })
}

/// Returns how long the pause is ahead of the restart of that number in a row: the pauses double, from the first up
/// to the longest one.
fn pause(first: Duration, longest: Duration, number: u32) -> Duration {
    let factor = 1_u32.checked_shl(number.saturating_sub(1));
    factor.and_then(|factor| first.checked_mul(factor)).map_or(longest, |pause| pause.min(longest))
}

#[cfg(test)]
mod tests {
    use procmgr_config::Rule;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn definition(delay: u64, longest: Option<u64>, limit: Option<u32>) -> Definition {
        let mut definition = Definition::new(ProgramName::new(b"game"), Rule::default());
        definition.restart_delay = Some(seconds(delay));
        definition.restart_max_delay = longest.map(seconds);
        definition.restart_limit = limit;
        definition
    }

    /// Returns the pauses in seconds ahead of so many restarts in a row.
    fn pauses(definition: &Definition, count: u32) -> Vec<u64> {
        let pause = |row| match sequel(definition, row, Some(Duration::ZERO)) {
            Sequel::Restart(Restart { delay, number }) if number == row + 1 => delay.as_secs(),
            other => panic!("{other:?}"),
        };
        (0..count).map(pause).collect()
    }

    #[test]
    fn the_pauses_double_up_to_the_longest_one() {
        assert_eq!(pauses(&definition(1, Some(60), None), 8), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses(&definition(5, Some(20), None), 4), [5, 10, 20, 20]);
        assert_eq!(pauses(&definition(7, Some(7), None), 3), [7, 7, 7]);
    }

    #[test]
    fn without_a_longest_one_all_pauses_are_the_same_and_none_is_shorter_than_the_first() {
        assert_eq!(pauses(&definition(5, None, None), 4), [5, 5, 5, 5]);
        assert_eq!(pauses(&definition(5, Some(2), None), 4), [5, 5, 5, 5]);
    }

    #[test]
    fn however_many_restarts_there_have_been_no_pause_is_out_of_bounds() {
        let most = u64::from(u32::MAX / 2);
        let definition = definition(1, Some(most), None);
        for (row, expected) in [(30, 1 << 30), (31, most), (32, most), (1000, most)] {
            let Sequel::Restart(restart) = sequel(&definition, row, Some(Duration::ZERO)) else {
                panic!("{row}")
            };
            assert_eq!(restart.delay, seconds(expected), "{row}");
        }
        let last = Restart { delay: seconds(most), number: u32::MAX };
        assert_eq!(sequel(&definition, u32::MAX, Some(Duration::ZERO)), Sequel::Restart(last));
        assert_eq!(pause(Duration::MAX, Duration::MAX, u32::MAX), Duration::MAX);
    }

    #[test]
    fn a_run_as_long_as_the_longest_pause_ends_the_row() {
        let first = |delay| Sequel::Restart(Restart { delay: seconds(delay), number: 1 });
        let fourth = |delay| Sequel::Restart(Restart { delay: seconds(delay), number: 4 });
        let almost = |time| seconds(time).checked_sub(Duration::from_nanos(1)).unwrap();
        for (definition, stable, next) in [
            (definition(5, None, None), 5, 5),
            (definition(5, Some(2), None), 5, 5),
            (definition(5, Some(60), None), 60, 40),
        ] {
            assert_eq!(sequel(&definition, 3, Some(almost(stable))), fourth(next));
            assert_eq!(sequel(&definition, 3, Some(seconds(stable))), first(5));
        }
    }

    #[test]
    fn after_as_many_restarts_in_a_row_as_there_may_be_it_is_given_up() {
        let definition = definition(5, None, Some(3));
        assert_eq!(pauses(&definition, 3), [5, 5, 5]);
        for row in [3, 4, u32::MAX] {
            assert_eq!(sequel(&definition, row, Some(Duration::ZERO)), Sequel::GiveUp);
        }
        let anew = Sequel::Restart(Restart { delay: seconds(5), number: 1 });
        assert_eq!(sequel(&definition, 3, Some(seconds(5))), anew);
    }

    #[test]
    fn a_run_of_unknown_length_neither_ends_the_row_nor_is_more_than_one_death() {
        let definition = definition(5, None, Some(3));
        let third = Sequel::Restart(Restart { delay: seconds(5), number: 3 });
        assert_eq!(sequel(&definition, 2, None), third);
        assert_eq!(sequel(&definition, 3, None), Sequel::GiveUp);
    }

    #[test]
    fn what_is_not_started_again_is_not_given_up_either() {
        let mut definition = definition(5, None, Some(1));
        definition.restart_delay = None;
        assert_eq!(sequel(&definition, 9, Some(Duration::ZERO)), Sequel::Rest);
    }
}
