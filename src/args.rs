//! The grammar of the command line; the only file that names clap.
//!
//! Which of its words go together is judged in `sense`; what they mean to the daemon or the client is not known here.

mod sense;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};
use procmgr_cli::{Command, Format};
use procmgrd::Autostart;

use crate::defaults;
use crate::logging::LogArgs;

/// The usage line.
pub(crate) const USAGE: &str = "USAGE: procmgr [-h|-V] [-c FILE] [-l LOG] [-L LEVEL] [-P FILE] [-q] \
     [--timeout SECONDS] [--idempotent] [-d [-f] [-A GROUP]|-t|-s|-r [-n]|-u|-a [-0|--long]|--check|--allowed [-0]|--watch] \
     [--json] \
     [program action [args ...]]";

/// A command line that makes sense.
#[derive(Debug)]
pub(crate) struct Args {
    /// The configuration file, if one is named.
    pub(crate) config: Option<PathBuf>,
    pub(crate) log: LogArgs,
    pub(crate) mode: Mode,
}

/// What the process is to become.
#[derive(Debug)]
pub(crate) enum Mode {
    Daemon(DaemonArgs),
    Check(CheckArgs),
    Client(ClientArgs),
}

/// What concerns the daemon only.
#[derive(Debug)]
pub(crate) struct DaemonArgs {
    pub(crate) foreground: bool,
    pub(crate) autostart: Autostart,
    pub(crate) pidfile: Option<PathBuf>,
}

/// What concerns the check of a file only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckArgs {
    pub(crate) format: Format,
    pub(crate) is_quiet: bool,
}

/// What concerns the client only.
#[derive(Debug)]
pub(crate) struct ClientArgs {
    pub(crate) command: Command,
    pub(crate) is_quiet: bool,
    pub(crate) timeout: Option<Duration>,
}

/// Why there is nothing to be done.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The user wants to read this.
    Help(String),
    /// The command line makes no sense, for this reason.
    Usage(String),
}

/// An init-like process manager: named programs, rights per action, the caller's own standard streams
#[derive(Debug, Parser)]
#[command(
    name = "procmgr",
    version = defaults::VERSION,
    args_override_self = true,
    disable_help_subcommand = true,
    override_usage = "procmgr [OPTIONS] [PROGRAM ACTION [ARGS]...]"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line, not a state")]
struct Raw {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to log: a syslog facility, `stderr`, or, given twice, both
    #[arg(short, long, value_name = "LOG", action = clap::ArgAction::Append)]
    log: Vec<String>,
    /// What to log: DEBUG, INFO, NOTE, WARN, ERROR, CRITICAL or FATAL
    #[arg(short = 'L', long, value_name = "LEVEL", default_value = "NOTE")]
    loglevel: String,
    /// File that tells the daemon's PID
    #[arg(short = 'P', long, alias = "pid", value_name = "FILE")]
    pidfile: Option<PathBuf>,
    /// Tell nothing but errors (not with -d)
    #[arg(short, long)]
    quiet: bool,
    /// Wait no longer than that, such as 5 or 0.5; what was asked for goes on (not with -d)
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    timeout: Option<String>,
    /// Succeed if there is nothing to do: start of what runs, stop of what is down
    #[arg(long)]
    idempotent: bool,
    /// Start the daemon
    #[arg(short, long)]
    daemon: bool,
    /// Stay in the foreground (with -d)
    #[arg(short, long)]
    foreground: bool,
    /// Programs to start with the daemon: a group number, `yes` (group 1) or `no` (with -d)
    #[arg(short = 'A', long, value_name = "GROUP")]
    autostart: Option<String>,
    /// Check whether the daemon is running
    #[arg(short, long)]
    test: bool,
    /// Stop the daemon, and return when it is gone
    #[arg(short, long)]
    stop: bool,
    /// Have the daemon reload its configuration
    #[arg(short, long)]
    reload: bool,
    /// Only show what would change (with -r)
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Have the daemon execute its executable anew, in place
    #[arg(short, long)]
    upgrade: bool,
    /// List the programs
    #[arg(short, long)]
    all: bool,
    /// End names and words with NUL bytes (with -a or --allowed)
    #[arg(short = '0', long)]
    null: bool,
    /// Show a table: PID, since, restarts, last exit, next start (with -a)
    #[arg(long)]
    long: bool,
    /// Tell whatever is wrong or remarkable about the configuration file
    #[arg(long)]
    check: bool,
    /// List what you may do
    #[arg(long)]
    allowed: bool,
    /// Show each change of a program as it happens
    #[arg(long)]
    watch: bool,
    /// Show JSON, an object in each line (with -a, -t, -r -n, --check, --allowed or --watch)
    #[arg(long)]
    json: bool,
    /// Program, action and arguments of the action
    // The first word ends our options: whatever follows belongs to the script.
    #[arg(trailing_var_arg = true, hide = true)]
    words: Vec<OsString>,
}

/// Reads the command line, the name of the program first.
pub(crate) fn parse(line: impl IntoIterator<Item = OsString>) -> Result<Args, Refused> {
    let constants = format!(
        "Without -d, -t, -s, -r, -u, -a, --check, --allowed and --watch, the action is performed on the program.\n\n\
         Configuration file: -c, else $PROCMGR_CONFFILE, else {}\n\
         Socket: $PROCMGR_SOCKET (client only), else socket-path of the configuration, else {}\n\
         Shell of scripts: {}\nPATH of scripts: {}",
        defaults::CONFFILE,
        defaults::SOCKET,
        defaults::ACTION_SHELL,
        defaults::ACTION_PATH
    );
    let matches = Raw::command().after_help(constants).try_get_matches_from(line);
    let raw = matches.and_then(|matches| Raw::from_arg_matches(&matches)).map_err(|error| refused(&error))?;
    sense::judge(raw).map_err(Refused::Usage)
}

/// Returns what clap has to say: the help, or the first of its lines, without its preface.
fn refused(error: &clap::Error) -> Refused {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refused::Help(format!("{}\n", text.trim_end())),
        _ => {
            let reason = text.lines().next().unwrap_or_default();
            Refused::Usage(reason.strip_prefix("error: ").unwrap_or(reason).to_owned())
        }
    }
}
