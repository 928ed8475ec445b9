//! The grammar of the command line; the only file that names lexopt.
//!
//! Which words there are is said in `options`, and in `sense` is judged which go together; what they mean to the daemon
//! or the client is not known here.

mod options;
mod sense;

use std::ffi::{OsStr, OsString};
use std::iter;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser};
use procmgr_cli::{Command, Format};
use procmgrd::Autostart;

use crate::args::options::{CommandOption, OPTIONS, Takes, Told};
use crate::defaults;
use crate::logging::LogArgs;

/// The usage line.
pub(crate) const USAGE: &str = "USAGE: procmgr [-h|-V] [-c FILE] [-l LOG] [-L LEVEL] [-P FILE] [-q] \
     [--timeout SECONDS] [--idempotent] [-d [-f] [-A GROUP]|-t [--json]|-s|-r [-n [--json]]|-u|-a [-0|--long|--json]\
     |--check [--json]|--allowed [-0|--json]|--watch [--json]] \
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
#[derive(Debug, Default)]
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
    sense::judge(read(Parser::from_iter(line))?).map_err(Refused::Usage)
}

/// Reads options up to the first word. Of one that is given again the last one counts.
fn read(mut parser: Parser) -> Result<Raw, Refused> {
    let mut raw = Raw::default();
    while let Some(arg) = parser.next()? {
        let is_long = matches!(arg, Arg::Long(_));
        let option = match arg {
            Arg::Short(short) => {
                find(|option| option.short == Some(short), || format!("-{}", short.escape_debug()))?
            }
            Arg::Long(long) => find(
                |option| option.long == long || option.alias == Some(long),
                || format!("--{}", long.escape_debug()),
            )?,
            // The first word ends our options: whatever follows belongs to the script.
            Arg::Value(word) => {
                raw.words = iter::once(word).chain(parser.raw_args()?).collect();
                break;
            }
        };
        match option.takes {
            Takes::Nothing(set) => set(&mut raw),
            Takes::NothingElse(told) => {
                // The parser complains of a value when it is asked for what comes next, and here it never is. Behind
                // a short option that is more options, which do not matter.
                if let Some(value) = is_long.then(|| parser.optional_value()).flatten() {
                    let option = format!("--{}", option.long);
                    return Err(lexopt::Error::UnexpectedValue { option, value }.into());
                }
                return Err(Refused::Help(match told {
                    Told::Help => options::help(),
                    Told::Version => format!("procmgr {}\n", defaults::VERSION),
                }));
            }
            Takes::Path(_, set) => {
                let path = value(&mut parser, |next| !is_option(next)).filter(|path| !path.is_empty());
                set(&mut raw, path.ok_or_else(|| missing(option))?.into());
            }
            Takes::Word(_, set) => {
                let word = value(&mut parser, |next| !is_option(next));
                set(&mut raw, text(word.ok_or_else(|| missing(option))?)?);
            }
            Takes::Number(_, set) => {
                let number = value(&mut parser, |_| true);
                set(&mut raw, text(number.ok_or_else(|| missing(option))?)?);
            }
        }
    }
    Ok(raw)
}

fn find(
    is_meant: impl Fn(&CommandOption) -> bool,
    spelling: impl Fn() -> String,
) -> Result<&'static CommandOption, Refused> {
    let option = OPTIONS.iter().find(|option| is_meant(option));
    option.ok_or_else(|| Refused::Usage(format!("unexpected argument '{}' found", spelling())))
}

/// Returns what is joined to an option, or the next word if it may be meant.
fn value(parser: &mut Parser, may_be: impl Fn(&OsStr) -> bool) -> Option<OsString> {
    parser.optional_value().or_else(|| parser.raw_args().ok()?.next_if(may_be))
}

/// Returns whether a word is no value, where it stands behind an option that takes one.
fn is_option(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"-") && word != "-"
}

fn text(word: OsString) -> Result<String, Refused> {
    let told = |_| Refused::Usage("invalid UTF-8 was detected in one or more arguments".to_owned());
    word.into_string().map_err(told)
}

fn missing(option: &CommandOption) -> Refused {
    let (long, value) = (option.long, option.value().unwrap_or_default());
    Refused::Usage(format!("a value is required for '--{long} <{value}>' but none was supplied"))
}

impl From<lexopt::Error> for Refused {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(match error {
            lexopt::Error::UnexpectedValue { option, value } => {
                let value = value.to_string_lossy();
                format!(
                    "unexpected value '{}' for '{option}' found; no more were expected",
                    value.escape_debug()
                )
            }
            error => error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::path::Path;

    use super::*;

    /// Returns why a line makes no sense.
    fn complaint(line: &[&str]) -> String {
        match parse(["procmgr"].iter().chain(line).map(OsString::from)) {
            Err(Refused::Usage(reason)) => reason,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn whoever_writes_an_option_wrongly_is_told_what_is_wrong() {
        for (line, expected) in [
            (&["--nonsense"][..], "unexpected argument '--nonsense' found"),
            (&["--no-such=5"], "unexpected argument '--no-such' found"),
            (&["--tes"], "unexpected argument '--tes' found"),
            (&["-x"], "unexpected argument '-x' found"),
            (&["-tx"], "unexpected argument '-x' found"),
            (&["--two\nlines"], "unexpected argument '--two\\nlines' found"),
            (&["-xV"], "unexpected argument '-x' found"),
            (&["-c"], "a value is required for '--config <FILE>' but none was supplied"),
            (&["-c", "-t"], "a value is required for '--config <FILE>' but none was supplied"),
            (&["-c", "--", "-t"], "a value is required for '--config <FILE>' but none was supplied"),
            (&["-t", "--config="], "a value is required for '--config <FILE>' but none was supplied"),
            (&["-t", "-c", ""], "a value is required for '--config <FILE>' but none was supplied"),
            (&["-d", "--pid"], "a value is required for '--pidfile <FILE>' but none was supplied"),
            (&["-d", "-A", "-1"], "a value is required for '--autostart <GROUP>' but none was supplied"),
            (&["-t", "--timeout"], "a value is required for '--timeout <SECONDS>' but none was supplied"),
            (&["--test=1"], "unexpected value '1' for '--test' found; no more were expected"),
            (
                &["--test=two\nlines"],
                "unexpected value 'two\\nlines' for '--test' found; no more were expected",
            ),
            (&["-t=1"], "unexpected value '1' for '-t' found; no more were expected"),
            (&["--help=1"], "unexpected value '1' for '--help' found; no more were expected"),
            (&["--version="], "unexpected value '' for '--version' found; no more were expected"),
        ] {
            assert_eq!(complaint(line), expected, "{line:?}");
        }
    }

    #[test]
    fn what_comes_behind_help_and_version_does_not_matter() {
        for line in [&["-hx"][..], &["-Vx"], &["-h=1"], &["--help", "--nonsense"], &["--version", "-x"]] {
            let told = parse(["procmgr"].iter().chain(line).map(OsString::from));
            assert!(matches!(told, Err(Refused::Help(_))), "{line:?}: {told:?}");
        }
    }

    #[test]
    fn a_path_may_be_any_bytes_and_other_words_are_text() {
        let bytes = || OsString::from_vec(b"\xff".to_vec());
        let line = |option: &str| ["procmgr".into(), "-d".into(), option.into(), bytes()];
        let args = parse(line("-c")).unwrap();
        assert_eq!(args.config.as_deref(), Some(Path::new(&bytes())));
        assert!(matches!(parse(line("-l")), Err(Refused::Usage(reason)) if reason.contains("UTF-8")));
    }
}
