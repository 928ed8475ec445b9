//! Kills the daemon at one moment after the other, and has each next one show that nothing is lost.
//!
//! What is asked of the daemon, and what has to have come of it, is not known here.

use std::fmt;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::unistd::Pid;
use procmgr_proto::event::ProgramStatus;

use crate::faults::stage::Stage;
use crate::faults::tracer::{Tracee, Whose, is_asleep, may_trace};
use crate::harness::{Output, answer, ask, wait_until};

/// The program that something happens to.
pub(super) const PROGRAM: &str = "p";

/// A program that runs all the time, and that nobody asks anything of.
pub(super) const OTHER: &str = "other";

/// Returns the configuration of both programs, with these keys of [`PROGRAM`] beside its start script.
macro_rules! with {
    ($keys:literal) => {
        with!($keys, $crate::faults::stage::lasting!())
    };
    ($keys:literal, $start:expr) => {
        concat!("[prog-other]\n", $crate::faults::stage::lasting!(), "[prog-p]\n", $keys, $start)
    };
}
pub(super) use with;

/// The configuration of both programs, where [`PROGRAM`] is restarted by a script that becomes its main process.
pub(super) const WITH_RESTART: &str =
    with!("cmd-restart = echo $$ >> @/births-$PROGNAME; kill $PID; exec sleep 1000 > /dev/null 2>&1\n");

/// Something that the daemon is killed in the midst of.
#[derive(Clone, Copy)]
pub(super) struct Scenario {
    pub(super) config: &'static str,
    /// Brings the programs into the state in which it begins.
    pub(super) prepare: fn(&mut Stage),
    pub(super) cause: Cause,
    /// What has to have come of it, whenever the daemon was killed.
    pub(super) verify: fn(&After),
}

/// What has the daemon do something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    /// The words of clients, one after the other.
    Requests(&'static [&'static [&'static str]]),
    /// The main process of [`PROGRAM`] dies, and it is over when another one has been born.
    Death,
}

/// What there is after a daemon was killed, and the next one has settled.
#[derive(Debug)]
pub(super) struct After {
    /// What the clients were told.
    answers: Vec<Output>,
    /// What the daemon listed before it all began.
    before: Vec<ProgramStatus>,
    /// What the next daemon lists.
    now: Vec<ProgramStatus>,
    /// How many times the start script of [`PROGRAM`] has begun in between.
    pub(super) births: usize,
    /// When the daemon was killed, and what was logged.
    log: String,
}

impl Scenario {
    /// Plays it as often as the daemon has stops in it, and kills the daemon at each of them in turn. Each next
    /// daemon is the one of the next run.
    pub(super) fn sweep(&self, test: &str) {
        self.sweep_by(1, test);
    }

    /// The same by several threads at once, for a scenario in which there is much waiting.
    pub(super) fn sweep_by(&self, threads: usize, test: &str) {
        if !may_trace(test) {
            return;
        }
        let stops = self.play(&mut self.stage(), usize::MAX);
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut stage = self.stage();
                    let mine = || next.fetch_add(1, Ordering::Relaxed);
                    std::iter::repeat_with(mine).take_while(|stop| *stop <= stops).for_each(|stop| {
                        self.play(&mut stage, stop);
                    });
                });
            }
        });
        eprintln!("{test}: killed at each of {stops} stops");
    }

    fn stage(&self) -> Stage {
        let mut stage = Stage::new(self.config);
        stage.launch();
        stage.settle(&[]);
        stage.invoke(OTHER, "start");
        stage
    }

    /// Plays it once, and kills the daemon after so many stops, or when it is over. Returns how many there were.
    fn play(&self, stage: &mut Stage, stops: usize) -> usize {
        let (before, mut daemon) = hold(stage, self.prepare, Whose::Its);
        let mut clients = self.cause.happen(stage, &before);
        let mut count = 0;
        while count < stops && daemon.step_unless(|| self.cause.is_over(&mut clients, stage)).is_some() {
            count += 1;
        }
        stage.kill_daemon_at(format!("killed after {count} stops, {}", daemon.place()));
        stage.launch();
        (self.verify)(&After::of(stage, clients, before));
        count
    }
}

impl Cause {
    /// Lets it happen, and come to the daemon as a whole before that goes on. Returns the clients.
    fn happen(self, stage: &mut Stage, before: &[ProgramStatus]) -> Vec<Child> {
        match self {
            Self::Requests(requests) => {
                let ask = |words: &&[&str]| {
                    let client = ask(&stage.sandbox, words);
                    let pid = Pid::from_raw(client.id().cast_signed());
                    wait_until("the client waits for the answer", || is_asleep(pid));
                    client
                };
                requests.iter().map(ask).collect()
            }
            Self::Death => {
                let pid = pid_of(before, PROGRAM).expect("it runs");
                stage.kill(pid);
                Vec::new()
            }
        }
    }

    fn is_over(self, clients: &mut [Child], stage: &Stage) -> bool {
        match self {
            Self::Requests(_) => clients.iter_mut().all(|client| client.try_wait().unwrap().is_some()),
            Self::Death => stage.births(PROGRAM) > 0,
        }
    }
}

impl After {
    /// Waits until the next daemon has settled, and sees what there is, and that nothing has happened to [`OTHER`].
    pub(super) fn of(stage: &mut Stage, clients: Vec<Child>, before: Vec<ProgramStatus>) -> Self {
        let answers = clients.into_iter().map(answer).collect();
        let now = stage.settle(&[]);
        let (births, log) = (stage.births(PROGRAM), stage.last_words());
        let after = Self { answers, before, now, births, log };
        assert!(after.pid_now(OTHER).is_some(), "{after}");
        assert_eq!(after.pid_now(OTHER), after.pid_before(OTHER), "{after}");
        after
    }

    /// Returns the main process of a program before it all.
    pub(super) fn pid_before(&self, program: &str) -> Option<u32> {
        pid_of(&self.before, program)
    }

    /// Returns the main process of a program now.
    pub(super) fn pid_now(&self, program: &str) -> Option<u32> {
        pid_of(&self.now, program)
    }

    /// Returns whether the client was told that all is done, by this exit status. If not, it must have been told that
    /// the daemon went away, by that one.
    pub(super) fn was_told(&self, done: i32, lost: i32) -> bool {
        self.was_one_told(0, done, lost)
    }

    /// The same of one of the clients.
    pub(super) fn was_one_told(&self, client: usize, done: i32, lost: i32) -> bool {
        let Output { code, stderr, .. } = &self.answers[client];
        let is_done = (*code, stderr.as_str()) == (done, "");
        assert!(is_done || (*code, stderr.as_str()) == (lost, LOST), "{self}");
        is_done
    }
}

impl fmt::Display for After {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answers, before, now, births, log } = self;
        writeln!(formatter, "{births} births; the clients: {answers:?}")?;
        writeln!(formatter, "before: {before:?}\nnow: {now:?}\n{log}")
    }
}

/// Brings the programs into a state, and stops the daemon, which has nothing to do then, right before it waits for
/// events. Returns what it lists.
pub(super) fn hold(stage: &mut Stage, prepare: fn(&mut Stage), whose: Whose) -> (Vec<ProgramStatus>, Tracee) {
    prepare(stage);
    let programs = stage.settle(&[]);
    stage.forget_births(PROGRAM);
    stage.wait_until_idle();
    let mut daemon = Tracee::seize(stage.daemon(), whose);
    daemon.interrupt();
    while !daemon.is_about_to_wait() {
        daemon.step();
    }
    (programs, daemon)
}

fn pid_of(programs: &[ProgramStatus], name: &str) -> Option<u32> {
    programs.iter().find(|program| program.name == name.as_bytes())?.pid
}

const LOST: &str = "ERROR: the daemon went away before it answered\n";
