//! Where log lines go, and which: standard error, syslog, or, without `-l`, almost nothing.
//!
//! What is logged, and how weighty it is, is decided where it happens. `log` has five levels and we have seven: NOTE is
//! information with a target of its own.

use std::fmt::Display;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;
use std::{env, io, process};

use log::{LevelFilter, Log, Metadata, Record};
use nix::syslog::{self, Severity};
use procmgrd::journal::{CONFIG, NOTE};

use crate::log_stream::LogStream;
use crate::system_log::SystemLog;

/// How weighty a line is, the weightiest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Fatal,
    Critical,
    Error,
    Warn,
    Note,
    Info,
    Debug,
}

/// What the command line says about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogArgs {
    pub(crate) syslog: Option<Facility>,
    pub(crate) stderr: bool,
    /// The least weighty lines that are wanted.
    pub(crate) level: Level,
}

/// A part of the system that syslog knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facility(syslog::Facility);

/// The target of what ends the daemon.
const FATAL: &str = "procmgr::fatal";

/// Starts logging. Lines before that are lost.
pub(crate) fn init(args: LogArgs, is_in_foreground: bool) {
    let stamp = if is_in_foreground && is_journal() { Stamp::Priority } else { Stamp::Time };
    let stderr = match (args.stderr, args.syslog) {
        (false, Some(_)) => None,
        // What is wrong with the configuration concerns whoever starts the daemon.
        (false, None) if stamp == Stamp::Time => Some(stderr_logger(Stamp::None)),
        (true, _) | (false, None) => Some(stderr_logger(stamp)),
    };
    let system = args.syslog.map(|Facility(facility)| SystemLog::new(facility));
    let logger = Logger { args, stderr, system };
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

/// Logs what ends the daemon. Whoever has started it is told by other means.
pub(crate) fn fatal(error: &dyn Display) {
    log::error!(target: FATAL, "{error}");
}

struct Logger {
    args: LogArgs,
    stderr: Option<env_logger::Logger>,
    system: Option<SystemLog>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_logging = self.args.stderr || self.args.syslog.is_some();
        if is_logging { level(metadata) <= self.args.level } else { metadata.target() == CONFIG }
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if let Some(stderr) = self.stderr.as_ref().filter(|_| record.target() != FATAL) {
            stderr.log(record);
        }
        if let Some(system) = &self.system {
            system.write(level(record.metadata()).severity(), record.args().to_string().replace('\0', "\\0"));
        }
    }

    fn flush(&self) {
        if let Some(system) = &self.system {
            system.flush();
        }
    }
}

/// What stands before a line on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    /// Nothing: it is shown to a person.
    None,
    /// The time and the level.
    Time,
    /// The level in a form that the system's journal understands, which knows the time itself.
    Priority,
}

fn stderr_logger(stamp: Stamp) -> env_logger::Logger {
    env_logger::Builder::new()
        .filter_level(LevelFilter::Debug)
        .target(env_logger::Target::Pipe(Box::new(LogStream::new(io::stderr()))))
        .format(move |line, record| {
            let level = level(record.metadata());
            match stamp {
                Stamp::None => {}
                Stamp::Time => {
                    let time = humantime::format_rfc3339_millis(SystemTime::now());
                    write!(line, "{time} procmgr[{}] {}: ", process::id(), level.name())?;
                }
                Stamp::Priority => write!(line, "<{}>", level.severity() as i32)?,
            }
            writeln!(line, "{}", record.args())
        })
        .build()
}

/// Returns whether standard error is the system's journal.
fn is_journal() -> bool {
    let stream = env::var("JOURNAL_STREAM").unwrap_or_default();
    let numbers =
        stream.split_once(':').and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    let file = fs::metadata("/proc/self/fd/2").map(|metadata| (metadata.dev(), metadata.ino()));
    numbers.is_some_and(|numbers: (u64, u64)| file.is_ok_and(|file| file == numbers))
}

fn level(metadata: &Metadata<'_>) -> Level {
    match (metadata.level(), metadata.target()) {
        (log::Level::Error, FATAL) => Level::Fatal,
        (log::Level::Error, _) => Level::Error,
        (log::Level::Warn, _) => Level::Warn,
        (log::Level::Info, NOTE) => Level::Note,
        (log::Level::Info, _) => Level::Info,
        (log::Level::Debug | log::Level::Trace, _) => Level::Debug,
    }
}

impl Level {
    const NAMES: [(Self, &'static str); 7] = [
        (Self::Fatal, "FATAL"),
        (Self::Critical, "CRITICAL"),
        (Self::Error, "ERROR"),
        (Self::Warn, "WARN"),
        (Self::Note, "NOTE"),
        (Self::Info, "INFO"),
        (Self::Debug, "DEBUG"),
    ];

    /// Returns the level of that name, in capitals or not.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(level, _)| level)
    }

    fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    fn severity(self) -> Severity {
        match self {
            Self::Fatal => Severity::LOG_ALERT,
            Self::Critical => Severity::LOG_CRIT,
            Self::Error => Severity::LOG_ERR,
            Self::Warn => Severity::LOG_WARNING,
            Self::Note => Severity::LOG_NOTICE,
            Self::Info => Severity::LOG_INFO,
            Self::Debug => Severity::LOG_DEBUG,
        }
    }
}

impl Facility {
    const NAMES: [(&'static str, syslog::Facility); 16] = [
        ("auth", syslog::Facility::LOG_AUTH),
        ("daemon", syslog::Facility::LOG_DAEMON),
        ("kern", syslog::Facility::LOG_KERN),
        ("local0", syslog::Facility::LOG_LOCAL0),
        ("local1", syslog::Facility::LOG_LOCAL1),
        ("local2", syslog::Facility::LOG_LOCAL2),
        ("local3", syslog::Facility::LOG_LOCAL3),
        ("local4", syslog::Facility::LOG_LOCAL4),
        ("local5", syslog::Facility::LOG_LOCAL5),
        ("local6", syslog::Facility::LOG_LOCAL6),
        ("local7", syslog::Facility::LOG_LOCAL7),
        ("lpr", syslog::Facility::LOG_LPR),
        ("mail", syslog::Facility::LOG_MAIL),
        ("news", syslog::Facility::LOG_NEWS),
        ("user", syslog::Facility::LOG_USER),
        ("uucp", syslog::Facility::LOG_UUCP),
    ];

    /// Returns the facility of that name, in capitals or not.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let known = Self::NAMES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(_, facility)| Self(facility))
    }
}
