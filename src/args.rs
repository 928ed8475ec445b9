//! The grammar of the command line; the only file that names clap.
//!
//! What the words mean to the daemon or the client is not known here.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};
use procmgr_cli::{Command, ListFormat, WatchFormat};
use procmgr_config::Group;
use procmgr_proto::message::Invocation;
use procmgrd::Autostart;

use crate::defaults;
use crate::logging::{Facility, Level, LogArgs};

/// The usage line.
pub(crate) const USAGE: &str = "USAGE: procmgr [-h|-V] [-c FILE] [-l LOG] [-L LEVEL] [-P FILE] \
     [-d [-f] [-A GROUP]|-t|-s|-r|-u|-a [-0]|--watch [--json]] [program action [args ...]]";

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
    Client(Command),
}

/// What concerns the daemon only.
#[derive(Debug)]
pub(crate) struct DaemonArgs {
    pub(crate) foreground: bool,
    pub(crate) autostart: Autostart,
    pub(crate) pidfile: Option<PathBuf>,
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
    version,
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
    /// Have the daemon execute its executable anew, in place
    #[arg(short, long)]
    upgrade: bool,
    /// List the programs
    #[arg(short, long)]
    all: bool,
    /// End names and words with NUL bytes (with -a)
    #[arg(short = '0', long)]
    null: bool,
    /// Show each change of a program as it happens
    #[arg(long)]
    watch: bool,
    /// Show JSON, an object in each line (with --watch)
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
        "Without -d, -t, -s, -r, -u, -a and --watch, the action is performed on the program.\n\n\
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
    judge(raw).map_err(Refused::Usage)
}

fn judge(raw: Raw) -> Result<Args, String> {
    let modes = [
        ("-d", raw.daemon),
        ("-t", raw.test),
        ("-s", raw.stop),
        ("-r", raw.reload),
        ("-u", raw.upgrade),
        ("-a", raw.all),
        ("--watch", raw.watch),
    ];
    let mut modes = modes.into_iter().filter(|(_, is_given)| *is_given).map(|(mode, _)| mode);
    let mode = modes.next();
    if let (Some(one), Some(other)) = (mode, modes.next()) {
        return Err(format!("{one} and {other} exclude each other"));
    }
    if let (Some(mode), Some(word)) = (mode, raw.words.first()) {
        return Err(format!("{mode} takes no words, such as '{}'", word.display()));
    }
    for (option, is_given, of) in [
        ("-f", raw.foreground, "-d"),
        ("-A", raw.autostart.is_some(), "-d"),
        ("-0", raw.null, "-a"),
        ("--json", raw.json, "--watch"),
    ] {
        if is_given && mode != Some(of) {
            return Err(format!("{option} makes sense with {of} only"));
        }
    }
    let autostart = raw.autostart.map(|word| Group::parse(&word)).transpose()?;
    let mode = match mode {
        Some("-d") => Mode::Daemon(DaemonArgs {
            foreground: raw.foreground,
            autostart: autostart.map_or(Autostart::AsConfigured, Autostart::Only),
            pidfile: raw.pidfile,
        }),
        Some("-t") => Mode::Client(Command::Test),
        Some("-s") => Mode::Client(Command::Stop),
        Some("-r") => Mode::Client(Command::Reload),
        Some("-u") => Mode::Client(Command::Upgrade),
        Some("--watch") => {
            Mode::Client(Command::Watch(if raw.json { WatchFormat::Json } else { WatchFormat::Lines }))
        }
        Some(_) => {
            Mode::Client(Command::List(if raw.null { ListFormat::NulTerminated } else { ListFormat::Lines }))
        }
        None => Mode::Client(Command::Invoke(invocation(raw.words)?)),
    };
    Ok(Args { config: raw.config, log: log_args(&raw.log, &raw.loglevel)?, mode })
}

fn invocation(words: Vec<OsString>) -> Result<Invocation, String> {
    let mut words = words.into_iter().map(OsString::into_vec);
    match (words.next(), words.next()) {
        (Some(program), Some(action)) => Ok(Invocation { program, action, arguments: words.collect() }),
        (Some(program), None) => Err(format!("no action is given for program '{}'", program.escape_ascii())),
        (None, _) => Err("neither a mode nor a program and an action are given".to_owned()),
    }
}

fn log_args(logs: &[String], level: &str) -> Result<LogArgs, String> {
    let level = Level::parse(level).ok_or_else(|| format!("there is no log level '{level}'"))?;
    let mut args = LogArgs { syslog: None, stderr: false, level };
    for log in logs {
        if log == "stderr" {
            args.stderr = true;
        } else {
            let facility = Facility::parse(log).ok_or_else(|| format!("there is no log '{log}'"))?;
            if args.syslog.replace(facility).is_some_and(|other| other != facility) {
                return Err("only one syslog facility can be given".to_owned());
            }
        }
    }
    Ok(args)
}

/// Returns what clap has to say: the help, or the first of its lines, without its preface.
fn refused(error: &clap::Error) -> Refused {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refused::Help(text),
        _ => {
            let reason = text.lines().next().unwrap_or_default();
            Refused::Usage(reason.strip_prefix("error: ").unwrap_or(reason).to_owned())
        }
    }
}
