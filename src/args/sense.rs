//! Which words of the command line go together, and what they make.
//!
//! How they are written is not known here.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use procmgr_cli::{Command, Format, Goal, ListFormat, PermissionFormat};
use procmgr_config::Group;
use procmgr_proto::message::Invocation;
use procmgrd::Autostart;

use crate::args::{Args, CheckArgs, ClientArgs, DaemonArgs, Mode, Raw};
use crate::logging::{Facility, Level, LogArgs};

/// An option that says what is to be done. Without any, that is an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModeOption {
    Daemon,
    Test,
    Stop,
    Reload,
    Upgrade,
    All,
    Check,
    Allowed,
    Watch,
}

impl ModeOption {
    /// Returns the only one that is given, if one is.
    fn of(raw: &Raw) -> Result<Option<Self>, String> {
        let options = [
            (Self::Daemon, raw.daemon),
            (Self::Test, raw.test),
            (Self::Stop, raw.stop),
            (Self::Reload, raw.reload),
            (Self::Upgrade, raw.upgrade),
            (Self::All, raw.all),
            (Self::Check, raw.check),
            (Self::Allowed, raw.allowed),
            (Self::Watch, raw.watch),
        ];
        let mut given = options.into_iter().filter(|(_, is_given)| *is_given).map(|(option, _)| option);
        match (given.next(), given.next()) {
            (Some(one), Some(other)) => Err(exclusive(one.name(), other.name())),
            (option, _) => Ok(option),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Daemon => "-d",
            Self::Test => "-t",
            Self::Stop => "-s",
            Self::Reload => "-r",
            Self::Upgrade => "-u",
            Self::All => "-a",
            Self::Check => "--check",
            Self::Allowed => "--allowed",
            Self::Watch => "--watch",
        }
    }
}

/// Returns what the command line asks for, or why it makes no sense.
pub(super) fn judge(raw: Raw) -> Result<Args, String> {
    let option = ModeOption::of(&raw)?;
    if let (Some(option), Some(word)) = (option, raw.words.first()) {
        return Err(format!("{} takes no words, such as '{}'", option.name(), word.display()));
    }
    complain_of_strays(&raw, option)?;
    complain_of_contradictions(&raw)?;
    let log = log_args(&raw.log, raw.loglevel.as_deref().unwrap_or(LEVEL))?;
    let autostart = raw.autostart.map(|word| Group::parse(&word)).transpose()?;
    let timeout = raw.timeout.map(|word| seconds(&word)).transpose()?;
    let format = if raw.json { Format::Json } else { Format::Lines };
    let command = match option {
        Some(ModeOption::Daemon) => {
            let mode = Mode::Daemon(DaemonArgs {
                foreground: raw.foreground,
                autostart: autostart.map_or(Autostart::AsConfigured, Autostart::Only),
                pidfile: raw.pidfile,
            });
            return Ok(Args { config: raw.config, log, mode });
        }
        Some(ModeOption::Test) => Command::Test(format),
        Some(ModeOption::Stop) => Command::Stop,
        Some(ModeOption::Reload) if raw.dry_run => Command::Preview(format),
        Some(ModeOption::Reload) => Command::Reload,
        Some(ModeOption::Upgrade) => Command::Upgrade,
        Some(ModeOption::All) => Command::List(match format {
            Format::Json => ListFormat::Json,
            Format::Lines if raw.long => ListFormat::Table,
            Format::Lines if raw.null => ListFormat::NulTerminated,
            Format::Lines => ListFormat::Lines,
        }),
        Some(ModeOption::Check) => {
            let mode = Mode::Check(CheckArgs { format, is_quiet: raw.quiet });
            return Ok(Args { config: raw.config, log, mode });
        }
        Some(ModeOption::Allowed) => Command::Permissions(match format {
            Format::Json => PermissionFormat::Json,
            Format::Lines if raw.null => PermissionFormat::NulTerminated,
            Format::Lines => PermissionFormat::Lines,
        }),
        Some(ModeOption::Watch) => Command::Watch(format),
        None => {
            let invocation = invocation(raw.words)?;
            let goal = raw.idempotent.then(|| goal(&invocation)).transpose()?;
            Command::Invoke(invocation, goal)
        }
    };
    let mode = Mode::Client(ClientArgs { command, is_quiet: raw.quiet, timeout });
    Ok(Args { config: raw.config, log, mode })
}

/// Complains of options that mean nothing without another one that is not given.
fn complain_of_strays(raw: &Raw, option: Option<ModeOption>) -> Result<(), String> {
    use ModeOption::{All, Allowed, Check, Daemon, Reload, Test, Watch};
    let options: [(_, _, &[ModeOption]); 6] = [
        ("-f", raw.foreground, &[Daemon]),
        ("-A", raw.autostart.is_some(), &[Daemon]),
        ("-n", raw.dry_run, &[Reload]),
        ("-0", raw.null, &[All, Allowed]),
        ("--long", raw.long, &[All]),
        ("--json", raw.json, &[All, Test, Reload, Check, Allowed, Watch]),
    ];
    for (name, is_given, companions) in options {
        if is_given && !option.is_some_and(|option| companions.contains(&option)) {
            return Err(only_with(name, companions));
        }
    }
    if raw.json && option == Some(Reload) && !raw.dry_run {
        return Err("--json makes sense with -r only if -n is given, too".to_owned());
    }
    if raw.idempotent && option.is_some() {
        return Err(NOT_IDEMPOTENT.to_owned());
    }
    Ok(())
}

/// Complains of options that cannot be had at once.
fn complain_of_contradictions(raw: &Raw) -> Result<(), String> {
    let pairs = [
        (("-0", raw.null), ("--long", raw.long)),
        (("-0", raw.null), ("--json", raw.json)),
        (("--long", raw.long), ("--json", raw.json)),
        (("-d", raw.daemon), ("-q", raw.quiet)),
        (("-d", raw.daemon), ("--timeout", raw.timeout.is_some())),
        (("--check", raw.check), ("--timeout", raw.timeout.is_some())),
    ];
    match pairs.into_iter().find(|((_, one), (_, other))| *one && *other) {
        Some(((one, _), (other, _))) => Err(exclusive(one, other)),
        None => Ok(()),
    }
}

fn exclusive(one: &str, other: &str) -> String {
    format!("{one} and {other} exclude each other")
}

fn only_with(name: &str, companions: &[ModeOption]) -> String {
    let companions: Vec<&str> = companions.iter().map(|companion| companion.name()).collect();
    match companions.as_slice() {
        [companion] => format!("{name} makes sense with {companion} only"),
        _ => format!("{name} makes sense with one of {} only", companions.join(", ")),
    }
}

const NOT_IDEMPOTENT: &str = "--idempotent makes sense with the actions start and stop only";

/// Returns what an action is meant to achieve that need not be done twice.
fn goal(invocation: &Invocation) -> Result<Goal, String> {
    match invocation.action.as_slice() {
        b"start" => Ok(Goal::Running),
        b"stop" => Ok(Goal::Down),
        _ => Err(NOT_IDEMPOTENT.to_owned()),
    }
}

fn invocation(words: Vec<OsString>) -> Result<Invocation, String> {
    let mut words = words.into_iter().map(OsString::into_vec);
    match (words.next(), words.next()) {
        (Some(program), Some(action)) => Ok(Invocation { program, action, arguments: words.collect() }),
        (Some(program), None) => Err(format!("no action is given for program '{}'", program.escape_ascii())),
        (None, _) => Err("neither a mode nor a program and an action are given".to_owned()),
    }
}

/// The longest timeout, in seconds, which is also the longest delay of a configuration.
const LONGEST: u64 = 2_147_483_647;

/// Reads a number of seconds, such as `5` or `0.5`: decimal digits, with at most three behind a point.
fn seconds(word: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "--timeout takes a number of seconds from 0.001 to {LONGEST}, such as 5 or 0.5, not '{}'",
            word.escape_debug()
        )
    };
    let (whole, thousandths) = match word.split_once('.') {
        Some((whole, behind)) if (1..=3).contains(&behind.len()) => (whole, format!("{behind:0<3}")),
        Some(_) => return Err(wrong()),
        None => (word, "0".to_owned()),
    };
    // A sign is read by the standard library, too.
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(&thousandths) {
        return Err(wrong());
    }
    let (Ok(whole), Ok(thousandths)) = (whole.parse(), thousandths.parse()) else { return Err(wrong()) };
    let duration = Duration::from_secs(whole).saturating_add(Duration::from_millis(thousandths));
    let is_in_range = !duration.is_zero() && duration <= Duration::from_secs(LONGEST);
    is_in_range.then_some(duration).ok_or_else(wrong)
}

/// What is logged unless something else is asked for.
const LEVEL: &str = "NOTE";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_decimal_and_more_than_none() {
        for (word, milliseconds) in [
            ("5", 5000),
            ("0.5", 500),
            ("0.05", 50),
            ("0.001", 1),
            ("00010.250", 10_250),
            ("2147483647", 2_147_483_647_000),
        ] {
            assert_eq!(seconds(word), Ok(Duration::from_millis(milliseconds)), "{word}");
        }
    }

    #[test]
    fn what_is_no_number_of_seconds_in_range_is_an_error_that_says_which_are() {
        for word in [
            "",
            "0",
            "0.0",
            "0.000",
            "-1",
            "+1",
            "-0.5",
            "1.",
            ".5",
            ".",
            "1.2345",
            "0.0001",
            "1e3",
            "0x10",
            "inf",
            "nan",
            " 1",
            "1 ",
            "1s",
            "1,5",
            "1.-5",
            "1.+5",
            "1.5.5",
            "1\n",
            "٣",
            "2147483647.001",
            "2147483648",
            "18446744073709551616",
            "99999999999999999999999999",
        ] {
            let expected =
                "--timeout takes a number of seconds from 0.001 to 2147483647, such as 5 or 0.5, not '";
            assert!(seconds(word).is_err_and(|reason| reason.starts_with(expected)), "{word}");
        }
    }
}
