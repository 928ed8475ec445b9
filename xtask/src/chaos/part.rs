//! What programs of the configuration do, and their scripts: each is a process of its own.
//!
//! Who starts and ends them is not known here. A process of a program holds the lock of that program for as long as it
//! lives, which the kernel takes from it at its end, however it ends. So it is noticed at any time, and not only when
//! somebody looks, if there are two.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::Path;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::chaos::census::Mark;
use crate::chaos::diary::{self, Note, Word};
use crate::chaos::identity::{Blow, Identity, end_if};
use crate::chaos::scene::Scene;

/// Lives as a process of a program, until somebody ends it or its life is over: so many milliseconds, or for ever.
/// With a PID, it first ends the process that was the program before, and waits for that.
pub(super) fn live(mark: &str, program: &str, life: &str, former: Option<&str>) -> Result<(), String> {
    let scene = Scene::new(Path::new("."));
    let cannot = |error: io::Error| format!("{program} cannot live: {error}");
    let process = Identity::own().map_err(cannot)?;
    let note = |word| diary::write(&scene.diary(), &Note { word, program: program.to_owned(), process });
    let lock = File::options().write(true).open(scene.lock(program)).map_err(cannot)?;
    let is_alone = match former {
        Some(former) => replace(&lock, &Mark::new(mark), &scene, program, former),
        None => try_to_lock(&lock),
    };
    if !is_alone.map_err(cannot)? {
        note(if former.is_some() { Word::Stuck } else { Word::Twice }).map_err(cannot)?;
    }
    sign(&lock).map_err(cannot)?;
    note(Word::Born).map_err(cannot)?;
    if let Ok(milliseconds) = life.parse() {
        thread::sleep(Duration::from_millis(milliseconds));
        return note(Word::Died).map_err(cannot);
    }
    loop {
        thread::park();
    }
}

/// Ends a process of a program, if it is one.
pub(super) fn end(mark: &str, program: &str, pid: &str) -> Result<(), String> {
    strike(&Mark::new(mark), program, pid).map_err(|error| format!("cannot end {program}: {error}"))
}

/// Ends whoever is the program, and waits for that. Returns whether it was in time.
fn replace(lock: &File, mark: &Mark, scene: &Scene, program: &str, former: &str) -> io::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while !try_to_lock(lock)? {
        if deadline < Instant::now() {
            return Ok(false);
        }
        strike(mark, program, former)?;
        // The former one may have been about to replace another one in its turn.
        strike(mark, program, &fs::read_to_string(scene.lock(program))?)?;
        thread::sleep(Duration::from_millis(2));
    }
    Ok(true)
}

fn strike(mark: &Mark, program: &str, pid: &str) -> io::Result<()> {
    let Some(pid) = pid.trim().parse().ok().filter(|pid| *pid != process::id()) else { return Ok(()) };
    end_if(pid, Blow::Term, || is_of(mark, program, pid))
}

/// Returns whether a process is one of a program. Amidst exec it has no command line for a moment.
fn is_of(mark: &Mark, program: &str, pid: u32) -> bool {
    for _ in 0..20 {
        match mark.program_of(pid) {
            Some(name) => return name == program,
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
    false
}

fn try_to_lock(lock: &File) -> io::Result<bool> {
    match flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        result => Ok(result.map(|()| true)?),
    }
}

/// Writes into the lock who has it.
fn sign(mut lock: &File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(process::id().to_string().as_bytes())
}

/// Far longer than a process needs to end that was asked to.
const PATIENCE: Duration = Duration::from_secs(10);
