//! The floor of a restart: programs that are started anew so long after they have died, and nothing besides.
//!
//! Who waits for their ends, and for whom else, is not known here.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::bench::floor::spawner;
use crate::bench::floor::watch::Watch;

/// What is kept alive.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Kept<'a> {
    /// How many programs there are: `p0`, `p1` and so on.
    pub(in crate::bench) programs: u32,
    /// How long each is dead.
    pub(in crate::bench) delay: Duration,
    pub(in crate::bench) script: &'a str,
}

/// Keeps programs alive. They are killed when it is dropped.
pub(super) struct Keeper {
    script: String,
    delay: Duration,
    /// By the descriptors that tell of their ends.
    living: HashMap<u64, Life>,
    /// When each is to live again, in this order, for all are dead as long.
    dead: VecDeque<(Instant, u32)>,
}

struct Life {
    program: u32,
    process: Child,
    end: OwnedFd,
}

impl<'a> Kept<'a> {
    /// Returns what `parse` understands.
    pub(super) fn words(self) -> [String; 3] {
        [self.programs.to_string(), self.delay.as_nanos().to_string(), self.script.to_owned()]
    }

    pub(super) fn parse([programs, delay, script]: [&'a str; 3]) -> Option<Self> {
        let delay = Duration::from_nanos(delay.parse().ok()?);
        Some(Self { programs: programs.parse().ok()?, delay, script })
    }
}

impl Keeper {
    /// Starts all of them.
    pub(super) fn new(kept: Kept<'_>, watch: &Watch) -> io::Result<Self> {
        let (script, delay) = (kept.script.to_owned(), kept.delay);
        let mut keeper = Self { script, delay, living: HashMap::new(), dead: VecDeque::new() };
        (0..kept.programs).try_for_each(|program| keeper.start(program, watch))?;
        Ok(keeper)
    }

    /// Takes note of an end, if that is what this descriptor tells of. Returns whether it is.
    pub(super) fn bury(&mut self, number: u64, watch: &Watch) -> io::Result<bool> {
        let Some(mut life) = self.living.remove(&number) else { return Ok(false) };
        watch.remove(&life.end)?;
        life.process.wait()?;
        self.dead.push_back((Instant::now() + self.delay, life.program));
        Ok(true)
    }

    /// Returns how long it is until the next one is to live again, if one is dead.
    pub(super) fn time_left(&self) -> Option<Duration> {
        self.dead.front().map(|(due, _)| due.saturating_duration_since(Instant::now()))
    }

    /// Starts those whose time has come.
    pub(super) fn revive(&mut self, watch: &Watch) -> io::Result<()> {
        while self.time_left().is_some_and(|left| left.is_zero())
            && let Some((_, program)) = self.dead.pop_front()
        {
            self.start(program, watch)?;
        }
        Ok(())
    }

    fn start(&mut self, program: u32, watch: &Watch) -> io::Result<()> {
        let mut shell = spawner::shell(&self.script, "start");
        let process = shell.env("PROGNAME", format!("p{program}")).spawn()?;
        let (number, end) = watch.add_end_of(&process)?;
        self.living.insert(number, Life { program, process, end });
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        for life in self.living.values_mut() {
            let _ = life.process.kill();
            let _ = life.process.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::floor::watch::NO_EVENTS;

    #[test]
    fn whoever_dies_lives_again_after_the_delay_and_not_before() {
        let watch = Watch::new().unwrap();
        let kept = Kept { programs: 2, delay: Duration::from_millis(200), script: "exec sleep 1000" };
        let mut keeper = Keeper::new(kept, &watch).unwrap();
        assert_eq!((keeper.living.len(), keeper.time_left()), (2, None));
        let number = *keeper.living.keys().next().unwrap();
        let life = keeper.living.get_mut(&number).unwrap();
        let program = life.program;
        life.process.kill().unwrap();
        let killed = Instant::now();
        let ready = |time| watch.wait(&mut NO_EVENTS.clone(), time).unwrap().collect::<Vec<_>>();
        assert_eq!(ready(None), [number]);
        assert!(keeper.bury(number, &watch).unwrap());
        assert!(!keeper.bury(number, &watch).unwrap(), "it is dead already");
        while keeper.living.len() == 1 {
            assert_eq!(ready(keeper.time_left()), [0; 0]);
            keeper.revive(&watch).unwrap();
        }
        assert!(killed.elapsed() >= kept.delay);
        let mut programs: Vec<u32> = keeper.living.values().map(|life| life.program).collect();
        programs.sort_unstable();
        assert_eq!((programs, keeper.time_left()), (vec![0, 1], None), "{program} is back");
    }
}
