//! The grammar of the command line; the only file that names clap.
//!
//! Which words there are is said in `options`, and in `sense` is judged which go together; what they mean to the daemon
//! or the client is not known here.

mod options;
mod sense;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches};
use procmgr_cli::{Command, Format};
use procmgrd::Autostart;

use crate::args::options::{CommandOption, OPTIONS, Takes, Told};
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

/// The words of a command line, as they are given.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line, not a state")]
struct Raw {
    config: Option<PathBuf>,
    log: Vec<String>,
    loglevel: Option<String>,
    pidfile: Option<PathBuf>,
    quiet: bool,
    timeout: Option<String>,
    idempotent: bool,
    daemon: bool,
    foreground: bool,
    autostart: Option<String>,
    test: bool,
    stop: bool,
    reload: bool,
    dry_run: bool,
    upgrade: bool,
    all: bool,
    null: bool,
    long: bool,
    check: bool,
    allowed: bool,
    watch: bool,
    json: bool,
    /// Program, action and arguments of the action.
    words: Vec<OsString>,
}

/// Reads the command line, the name of the program first.
pub(crate) fn parse(line: impl IntoIterator<Item = OsString>) -> Result<Args, Refused> {
    let matches = grammar().try_get_matches_from(line).map_err(|error| refused(&error))?;
    sense::judge(Raw::of(matches)).map_err(Refused::Usage)
}

/// Returns the words that there are. None of them has a help text, and no flag a default: building those would be most
/// of what a client does.
fn grammar() -> clap::Command {
    let option = |option: CommandOption| {
        let CommandOption { long, alias, short, takes } = option;
        let mut arg = Arg::new(long).long(long).short(short);
        if let Some(alias) = alias {
            arg = arg.alias(alias);
        }
        match takes {
            Takes::Nothing => arg.action(ArgAction::Set).num_args(0),
            Takes::NothingElse(Told::Help) => arg.action(ArgAction::Help),
            Takes::NothingElse(Told::Version) => arg.action(ArgAction::Version),
            Takes::Path(name) => arg.value_name(name).value_parser(ValueParser::path_buf()),
            Takes::Word(name) => arg.value_name(name),
            Takes::Words(name) => arg.value_name(name).action(ArgAction::Append),
            Takes::Number(name) => arg.value_name(name).allow_hyphen_values(true),
        }
    };
    // The first word ends our options: whatever follows belongs to the script.
    let words = Arg::new(WORDS).num_args(0..).trailing_var_arg(true).value_parser(ValueParser::os_string());
    clap::Command::new("procmgr")
        .version(defaults::VERSION)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .args(OPTIONS.into_iter().map(option))
        .arg(words)
}

impl Raw {
    fn of(mut matches: ArgMatches) -> Self {
        let is_given = |option| matches.contains_id(option);
        Self {
            quiet: is_given("quiet"),
            idempotent: is_given("idempotent"),
            daemon: is_given("daemon"),
            foreground: is_given("foreground"),
            test: is_given("test"),
            stop: is_given("stop"),
            reload: is_given("reload"),
            dry_run: is_given("dry-run"),
            upgrade: is_given("upgrade"),
            all: is_given("all"),
            null: is_given("null"),
            long: is_given("long"),
            check: is_given("check"),
            allowed: is_given("allowed"),
            watch: is_given("watch"),
            json: is_given("json"),
            config: matches.remove_one("config"),
            log: matches.remove_many("log").map(Iterator::collect).unwrap_or_default(),
            loglevel: matches.remove_one("loglevel"),
            pidfile: matches.remove_one("pidfile"),
            timeout: matches.remove_one("timeout"),
            autostart: matches.remove_one("autostart"),
            words: matches.remove_many(WORDS).map(Iterator::collect).unwrap_or_default(),
        }
    }
}

/// Returns what there is to tell: the help, the version, or the first line of what clap has to say, without its
/// preface.
fn refused(error: &clap::Error) -> Refused {
    match error.kind() {
        ErrorKind::DisplayHelp => Refused::Help(options::help()),
        ErrorKind::DisplayVersion => Refused::Help(format!("procmgr {}\n", defaults::VERSION)),
        _ => {
            let text = error.render().to_string();
            let reason = text.lines().next().unwrap_or_default();
            Refused::Usage(reason.strip_prefix("error: ").unwrap_or(reason).to_owned())
        }
    }
}

/// The name of what is no option.
const WORDS: &str = "words";
