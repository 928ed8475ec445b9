//! Tells what each program is, and then each change, as it happens.
//!
//! Usage: `watch`. The socket is that of `PROCMGR_SOCKET`, or `/var/run/procmgr`.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use procmgr_proto::client::Client;
use procmgr_proto::event::{Change, Event, ProgramStatus};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let socket = env::var_os("PROCMGR_SOCKET").unwrap_or_else(|| "/var/run/procmgr".into());
    let subscription = Client::connect(&PathBuf::from(socket))?.subscribe()?;
    for program in subscription.programs() {
        println!("{}", describe(program));
    }
    // Ends by an error: the daemon has ended, or we were too slow.
    for event in subscription {
        // There are no others yet. A later version of this crate may know some.
        if let Event::Changed(change) = event? {
            println!("{}", tell(&change));
        }
    }
    Ok(())
}

fn describe(program: &ProgramStatus) -> String {
    let ProgramStatus { name, state, pid, marks } = program;
    let pid = pid.map_or(String::new(), |pid| format!(" as {pid}"));
    let marks =
        if marks.is_empty() { String::new() } else { format!(", {}", marks.join(&b' ').escape_ascii()) };
    format!("{}: {state}{pid}{marks}", name.escape_ascii())
}

fn tell(change: &Change) -> String {
    let Change { time, program, ended, failure, by } = change;
    let ended = ended.map_or(String::new(), |status| format!("; ended with {status}"));
    let failure = failure.as_deref().map_or(String::new(), |reason| format!("; {}", reason.escape_ascii()));
    let by = by.map_or(String::new(), |by| format!("; by process {} of user {}", by.pid, by.uid));
    format!("{}.{:03} {}{ended}{failure}{by}", time / 1000, time % 1000, describe(program))
}
