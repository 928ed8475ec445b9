//! Asks whether the daemon answers, and for its programs.
//!
//! Usage: `list`. The socket is that of `PROCMGR_SOCKET`, or `/var/run/procmgr`.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use procmgr_proto::client::Client;

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
    let mut client = Client::connect(&PathBuf::from(socket))?;
    client.ping()?;
    // Both requests go over the same connection, one after the other.
    for program in client.list()? {
        // Names and tokens are bytes, and a terminal shall not obey them.
        println!("{}: {}", program.name.escape_ascii(), program.tokens.join(&b' ').escape_ascii());
    }
    Ok(())
}
