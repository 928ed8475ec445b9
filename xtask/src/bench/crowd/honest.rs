//! The honest client: a user who asks for `status` again and again, and how long each time took.
//!
//! What else goes on meanwhile is not known here.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::crowd::crew::role;
use crate::bench::crowd::figures::Answer;
use crate::bench::crowd::figures::{Samples, Way};
use crate::stage::Stage;
use crate::wire::{Request, receive};

/// Has a process of that user ask so many times in each way, or for so long.
pub(super) fn ask(stage: &Stage, count: u32, time: Duration, uid: Option<u32>) -> Result<Samples, String> {
    let mut command = role(stage, uid);
    command.args(["honest", &count.to_string(), &time.as_secs().to_string()]).arg(stage.path("socket"));
    command.env("PROCMGR_SOCKET", stage.path("socket")).env_remove("PROCMGR_CONFFILE");
    let failed = |error: io::Error| format!("cannot run the honest client: {error}");
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(failed)?;
    if !output.status.success() {
        return Err("the honest client was left alone".to_owned());
    }
    Samples::parse(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| "the honest client mumbles".to_owned())
}

/// Asks in each way by turns, and tells on standard output how long it took.
pub(super) fn play(count: &str, seconds: &str, socket: &Path) -> Result<(), String> {
    let count: u32 = count.parse().map_err(|_| "the samples are no number")?;
    let time = Duration::from_secs(seconds.parse().map_err(|_| "the time is no number")?);
    let null = File::options().read(true).write(true).open("/dev/null").map_err(|error| error.to_string())?;
    let begin = Instant::now();
    for _ in 0..count {
        for way in Way::ALL {
            let start = Instant::now();
            let answer = match way {
                Way::Request => request(socket, &null),
                Way::Client => run(Command::new("./procmgr").args(["p", "status"])),
                Way::Floor => run(&mut Command::new("/bin/true")),
            };
            let answer = answer.map_err(|error| format!("the honest client: {way}: {error}"))?;
            println!("{}", Samples::line(way, start.elapsed(), answer));
        }
        if begin.elapsed() > time {
            break;
        }
    }
    Ok(())
}

fn request(socket: &Path, null: &File) -> io::Result<Answer> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Whoever is turned away finds the answer there, and nobody who takes what it sends.
    let sent = Request::Invoke { program: "p", action: "status" }.send(&stream, null);
    let (_, body) = receive(&stream).or_else(|error| sent.and(Err(error)))?;
    Ok(if body.starts_with(&REFUSED) { Answer::Refused } else { Answer::Served })
}

fn run(command: &mut Command) -> io::Result<Answer> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    // A program that does not run has the status 1.
    Ok(if status.code().is_some_and(|code| code <= 1) { Answer::Served } else { Answer::Refused })
}

/// Longer than any honest client ought to wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the body of a refusal begins with.
const REFUSED: [u8; 4] = [0; 4];
