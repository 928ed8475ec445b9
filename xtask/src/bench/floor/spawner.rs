//! The floor of scripts: a process that runs shells by `posix_spawn` and waits for them, and does nothing besides.
//!
//! For whom, and what becomes of it, is not asked here: the one that is asked is an `echo`.

use std::io::{self, BufRead};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use crate::bench::arena::Arena;
use crate::bench::player::{Player, READY};

/// Runs scripts that do nothing, so many at once, for so long, and returns how many it were in a second.
pub(in crate::bench) fn scripts(arena: &Arena, at_once: u32, time: Duration) -> Result<f64, String> {
    let words = ["floor", "scripts", &at_once.to_string(), &time.as_nanos().to_string()];
    let line = Player::start(&mut arena.role(&words))?.finish()?;
    line.trim_end().parse().map_err(|_| format!("the spawner mumbles: {line:?}"))
}

/// A process that has many children.
pub(in crate::bench) struct Swarm(Player);

impl Swarm {
    /// Starts it, for children that run this script.
    pub(in crate::bench) fn start(arena: &Arena, script: &str) -> Result<Self, String> {
        let mut player = Player::start(&mut arena.role(&["floor", "swarm", script]))?;
        player.wait_until_ready()?;
        Ok(Self(player))
    }

    /// Has it spawn so many children, as fast as it can.
    pub(in crate::bench) fn spawn(&mut self, count: u32) -> Result<(), String> {
        self.0.tell(&format!("spawn {count}"))
    }

    /// Has it kill all its children, collect them, and spawn as many so long after it was told.
    pub(in crate::bench) fn kill_and_spawn(&mut self, delay: Duration) -> Result<(), String> {
        self.0.tell(&format!("again {}", delay.as_nanos()))
    }

    /// Ends it and its children.
    pub(in crate::bench) fn finish(self) -> Result<(), String> {
        self.0.finish().map(drop)
    }
}

/// Runs scripts, and tells on standard output how many it were in a second.
pub(super) fn play_scripts(at_once: &str, time: &str) -> Result<(), String> {
    let at_once: u32 = at_once.parse().map_err(|_| "the number at once is no number")?;
    let time = Duration::from_nanos(time.parse().map_err(|_| "the time is no number")?);
    let rate = run_scripts(at_once, time).map_err(|error| failed(&error))?;
    println!("{rate}");
    Ok(())
}

fn run_scripts(at_once: u32, time: Duration) -> io::Result<f64> {
    let mut shell = shell("exit 0", "work");
    let begin = Instant::now();
    let (mut running, mut done) = (0, 0);
    while running > 0 || done == 0 {
        while running < at_once && begin.elapsed() < time {
            shell.spawn()?;
            running += 1;
        }
        wait(WaitOptions::empty())?;
        running -= 1;
        done += 1;
    }
    Ok(f64::from(done) / begin.elapsed().as_secs_f64())
}

/// Spawns and kills as it is told on standard input.
pub(super) fn play_swarm(script: &str) -> Result<(), String> {
    let mut shell = shell(script, "start");
    println!("{READY}");
    let mut swarm = Vec::new();
    for line in io::stdin().lock().lines() {
        let told = Instant::now();
        let line = line.map_err(|error| failed(&error))?;
        let done = match line.split_once(' ') {
            Some(("spawn", count)) => spawn(&mut shell, count.parse().unwrap_or(0)),
            Some(("again", delay)) => {
                let count = swarm.len();
                kill(&swarm).and_then(|()| {
                    let delay = Duration::from_nanos(delay.parse().unwrap_or(0));
                    thread::sleep(delay.saturating_sub(told.elapsed()));
                    spawn(&mut shell, count)
                })
            }
            _ => return Err(format!("the spawner does not understand {line:?}")),
        };
        swarm = done.map_err(|error| failed(&error))?;
    }
    kill(&swarm).map_err(|error| failed(&error))
}

fn spawn(shell: &mut Command, count: usize) -> io::Result<Vec<Pid>> {
    (0..count).map(|_| shell.spawn().map(|child| Pid::from_child(&child))).collect()
}

fn kill(swarm: &[Pid]) -> io::Result<()> {
    for pid in swarm {
        kill_process(*pid, Signal::KILL)?;
    }
    for _ in swarm {
        wait(WaitOptions::empty())?;
    }
    Ok(())
}

/// Returns a shell as procmgr runs it, with as much in its environment.
pub(super) fn shell(script: &str, action: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(script).stdin(Stdio::null()).stdout(Stdio::null());
    shell.env_clear().env("PATH", PATH).env("SHELL", "/bin/sh");
    shell.env("PROGNAME", "p0").env("ACTION", action).env("PID", "");
    shell
}

fn failed(error: &io::Error) -> String {
    format!("the spawner cannot go on: {error}")
}

/// The one that is built into procmgr.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
