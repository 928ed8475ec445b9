//! Every option of the command line, and the help that tells of them.
//!
//! How a command line is read is not known here, nor what an option leads to.

use std::path::PathBuf;

use crate::args::Raw;
use crate::defaults;

/// An option.
pub(super) struct CommandOption {
    /// Its long form, and its name.
    pub(super) long: &'static str,
    /// Another long form, of which the help does not tell.
    pub(super) alias: Option<&'static str>,
    pub(super) short: Option<char>,
    pub(super) takes: Takes,
}

/// What stands behind an option, by the name that the help has for it; and where it goes.
pub(super) enum Takes {
    /// Nothing: it is given or not.
    Nothing(fn(&mut Raw)),
    /// Nothing, and whatever comes behind it does not matter any more.
    NothingElse(Told),
    /// The path of a file.
    Path(&'static str, fn(&mut Raw, PathBuf)),
    /// A word.
    Word(&'static str, fn(&mut Raw, String)),
    /// A word that may begin with a hyphen.
    Number(&'static str, fn(&mut Raw, String)),
}

/// What is only told, instead of anything else.
#[derive(Clone, Copy)]
pub(super) enum Told {
    Help,
    Version,
}

/// All options, in the order of the help.
pub(super) const OPTIONS: [CommandOption; 24] = [
    CommandOption::new('c', "config", Takes::Path("FILE", |raw, path| raw.config = Some(path))),
    CommandOption::new('l', "log", Takes::Word("LOG", |raw, log| raw.log.push(log))),
    CommandOption::new('L', "loglevel", Takes::Word("LEVEL", |raw, level| raw.loglevel = Some(level))),
    CommandOption::new('P', "pidfile", Takes::Path("FILE", |raw, path| raw.pidfile = Some(path))).or("pid"),
    CommandOption::new('q', "quiet", Takes::Nothing(|raw| raw.quiet = true)),
    CommandOption::long("timeout", Takes::Number("SECONDS", |raw, seconds| raw.timeout = Some(seconds))),
    CommandOption::long("idempotent", Takes::Nothing(|raw| raw.idempotent = true)),
    CommandOption::new('d', "daemon", Takes::Nothing(|raw| raw.daemon = true)),
    CommandOption::new('f', "foreground", Takes::Nothing(|raw| raw.foreground = true)),
    CommandOption::new('A', "autostart", Takes::Word("GROUP", |raw, group| raw.autostart = Some(group))),
    CommandOption::new('t', "test", Takes::Nothing(|raw| raw.test = true)),
    CommandOption::new('s', "stop", Takes::Nothing(|raw| raw.stop = true)),
    CommandOption::new('r', "reload", Takes::Nothing(|raw| raw.reload = true)),
    CommandOption::new('n', "dry-run", Takes::Nothing(|raw| raw.dry_run = true)),
    CommandOption::new('u', "upgrade", Takes::Nothing(|raw| raw.upgrade = true)),
    CommandOption::new('a', "all", Takes::Nothing(|raw| raw.all = true)),
    CommandOption::new('0', "null", Takes::Nothing(|raw| raw.null = true)),
    CommandOption::long("long", Takes::Nothing(|raw| raw.long = true)),
    CommandOption::long("check", Takes::Nothing(|raw| raw.check = true)),
    CommandOption::long("allowed", Takes::Nothing(|raw| raw.allowed = true)),
    CommandOption::long("watch", Takes::Nothing(|raw| raw.watch = true)),
    CommandOption::long("json", Takes::Nothing(|raw| raw.json = true)),
    CommandOption::new('h', "help", Takes::NothingElse(Told::Help)),
    CommandOption::new('V', "version", Takes::NothingElse(Told::Version)),
];

impl CommandOption {
    /// Returns what the help has for what stands behind it, if something does.
    pub(super) fn value(&self) -> Option<&'static str> {
        match self.takes {
            Takes::Nothing(_) | Takes::NothingElse(_) => None,
            Takes::Path(name, _) | Takes::Word(name, _) | Takes::Number(name, _) => Some(name),
        }
    }

    const fn new(short: char, long: &'static str, takes: Takes) -> Self {
        Self { long, alias: None, short: Some(short), takes }
    }

    const fn long(long: &'static str, takes: Takes) -> Self {
        Self { long, alias: None, short: None, takes }
    }

    const fn or(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }
}

/// Returns the help.
pub(super) fn help() -> String {
    format!(
        "{HELP}\n\
         Configuration file: -c, else $PROCMGR_CONFFILE, else {}\n\
         Socket: $PROCMGR_SOCKET (client only), else socket-path of the configuration, else {}\n\
         Shell of scripts: {}\nPATH of scripts: {}\n",
        defaults::CONFFILE,
        defaults::SOCKET,
        defaults::ACTION_SHELL,
        defaults::ACTION_PATH
    )
}

/// What is the same in every build. Written out, for a client that shows no help has none to put together.
const HELP: &str = "\
An init-like process manager: named programs, rights per action, the caller's own standard streams

Usage: procmgr [OPTIONS] [PROGRAM ACTION [ARGS]...]

Options:
  -c, --config <FILE>      Configuration file
  -l, --log <LOG>          Where to log: a syslog facility, `stderr`, or, given twice, both
  -L, --loglevel <LEVEL>   What to log: DEBUG, INFO, NOTE, WARN, ERROR, CRITICAL or FATAL [default: NOTE]
  -P, --pidfile <FILE>     File that tells the daemon's PID
  -q, --quiet              Tell nothing but errors (not with -d)
      --timeout <SECONDS>  Wait no longer than that, say 5 or 0.5; what was asked for goes on (not with -d or --check)
      --idempotent         Succeed if there is nothing to do: start of what runs, stop of what is down
  -d, --daemon             Start the daemon
  -f, --foreground         Stay in the foreground (with -d)
  -A, --autostart <GROUP>  Programs to start with the daemon: a group number, `yes` (group 1) or `no` (with -d)
  -t, --test               Check whether the daemon is running
  -s, --stop               Stop the daemon, and return when it is gone
  -r, --reload             Have the daemon reload its configuration
  -n, --dry-run            Only show what would change (with -r)
  -u, --upgrade            Have the daemon execute its executable anew, in place
  -a, --all                List the programs
  -0, --null               End names and words with NUL bytes (with -a or --allowed)
      --long               Show a table: PID, since, restarts, last exit, next start (with -a)
      --check              Tell whatever is wrong or remarkable about the configuration file
      --allowed            List what you may do
      --watch              Show each change of a program as it happens
      --json               Show JSON, an object in each line (with -a, -t, -r -n, --check, --allowed or --watch)
  -h, --help               Print help
  -V, --version            Print version

Without -d, -t, -s, -r, -u, -a, --check, --allowed and --watch, the action is performed on the program.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_has_a_line_for_each_option_and_no_other() {
        let spelling = |option: &CommandOption| {
            let CommandOption { long, short, .. } = option;
            let short = short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
            match option.value() {
                None => format!("{short}--{long}"),
                Some(name) => format!("{short}--{long} <{name}>"),
            }
        };
        let expected: Vec<String> = OPTIONS.iter().map(spelling).collect();
        let lines = HELP.lines().filter(|line| line.trim_start().starts_with('-'));
        // What an option does stands in one column, two spaces behind the longest of them.
        let (found, column): (Vec<_>, Vec<_>) = lines.map(|line| line.split_at(27)).unzip();
        let found: Vec<_> = found.iter().map(|option| option["  ".len()..].trim_end()).collect();
        assert_eq!(found, expected);
        assert!(column.iter().all(|text| text.starts_with(char::is_alphabetic)), "{HELP}");
    }
}
