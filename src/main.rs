//! The one executable: reads the command line, then becomes the daemon or the client.
//!
//! What either of them does is in their crates; here are only the words of the command line, the environment and the
//! exit status.

mod args;
mod check;
mod defaults;
mod executable;
mod log_stream;
mod logging;
mod system_log;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use procmgr_cli::{Colours, Manner};
use procmgr_config::diagnostic::Findings;
use procmgr_config::load::{self, LoadError};
use procmgrd::error::Error;
use procmgrd::journal;
use procmgrd::{Ending, Options};

use crate::args::{Args, ClientArgs, DaemonArgs, Mode};

/// The exit status of a command line that makes no sense.
const USAGE_ERROR: u8 = 2;

/// The exit status of a daemon that could not start or go on.
const DAEMON_FAILED: u8 = 1;

fn main() -> ExitCode {
    let Args { config, log, mode } = match args::parse(env::args_os()) {
        Ok(args) => args,
        Err(args::Refused::Help(text)) => return procmgr_cli::show(&text).into(),
        Err(args::Refused::Usage(reason)) => {
            complain(&format!("procmgr: {reason}\n{}", args::USAGE));
            return USAGE_ERROR.into();
        }
    };
    match mode {
        Mode::Daemon(daemon) => {
            logging::init(log, daemon.foreground);
            serve(config_path(config), daemon)
        }
        Mode::Check(args) => check::run(&config_path(config), args),
        Mode::Client(client) => ask(config, client),
    }
    .into()
}

fn serve(config: PathBuf, daemon: DaemonArgs) -> u8 {
    let options = Options {
        config,
        default_socket: defaults::SOCKET.into(),
        shell: defaults::ACTION_SHELL.into(),
        search_path: defaults::ACTION_PATH.into(),
        pidfile: daemon.pidfile,
        autostart: daemon.autostart,
        foreground: daemon.foreground,
        executable: executable::path(),
        arguments: env::args_os().collect(),
    };
    let status = match procmgrd::run(options) {
        Ok(Ending::Done) => 0,
        Ok(Ending::NotStarted) => DAEMON_FAILED,
        Err(error) => {
            if let Error::Config(error) = &error {
                show_findings(error);
            }
            complain(&format!("procmgr: {error}"));
            logging::fatal(&error);
            DAEMON_FAILED
        }
    };
    journal::finish();
    status
}

fn ask(config: Option<PathBuf>, client: ClientArgs) -> u8 {
    let ClientArgs { command, is_quiet, timeout } = client;
    match socket_path(config) {
        Ok(socket) => command.run(&socket, Manner { is_quiet, timeout, colours: colours() }),
        Err(error) => {
            show_findings(&error);
            complain(&format!("ERROR: {error}"));
            command.failure_status()
        }
    }
}

/// Returns whether colours are wanted, by the usual variables.
fn colours() -> Colours {
    let is_plain = variable("TERM").is_none_or(|terminal| terminal == "dumb");
    if is_plain || variable("NO_COLOR").is_some() { Colours::Never } else { Colours::OnTerminals }
}

fn show_findings(error: &LoadError) {
    for line in error.findings().into_iter().flat_map(Findings::lines) {
        complain(&line);
    }
}

/// Writes to standard error, with what a terminal might obey escaped: words of the command line and paths may hold
/// anything. If it does not take it, there is nobody to tell.
fn complain(text: &str) {
    let lines: Vec<String> = text.lines().map(|line| procmgr_cli::printable(line.as_bytes())).collect();
    let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
}

/// Finds the socket of the daemon, for a client. It need not be able to read the default configuration.
fn socket_path(config: Option<PathBuf>) -> Result<PathBuf, LoadError> {
    if let Some(socket) = variable("PROCMGR_SOCKET") {
        return Ok(socket.into());
    }
    let named = config.or_else(|| variable("PROCMGR_CONFFILE").map(PathBuf::from));
    let socket = match &named {
        Some(path) => load::socket_path(path)?,
        None => match load::socket_path(Path::new(defaults::CONFFILE)) {
            Err(LoadError::Unreadable { source, .. }) if is_out_of_reach(&source) => None,
            result => result?,
        },
    };
    Ok(socket.unwrap_or_else(|| defaults::SOCKET.into()))
}

fn is_out_of_reach(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

fn config_path(named: Option<PathBuf>) -> PathBuf {
    let named = named.or_else(|| variable("PROCMGR_CONFFILE").map(PathBuf::from));
    named.unwrap_or_else(|| defaults::CONFFILE.into())
}

/// Returns an environment variable; an empty one is as good as none.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
