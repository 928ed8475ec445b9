//! Every option of the command line, and the help that tells of them.
//!
//! How a command line is read is not known here, nor what an option does.

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

/// What stands behind an option, by the name that the help has for it.
pub(super) enum Takes {
    /// Nothing: it is given or not.
    Nothing,
    /// Nothing, and whatever comes behind it does not matter any more.
    NothingElse(Told),
    /// The path of a file.
    Path(&'static str),
    /// A word.
    Word(&'static str),
    /// A word, each time that it is given.
    Words(&'static str),
    /// A word that may begin with a hyphen.
    Number(&'static str),
}

/// What is only told, instead of anything else.
#[derive(Clone, Copy)]
pub(super) enum Told {
    Help,
    Version,
}

/// All options, in the order of the help.
pub(super) const OPTIONS: [CommandOption; 24] = [
    CommandOption::new('c', "config", Takes::Path("FILE")),
    CommandOption::new('l', "log", Takes::Words("LOG")),
    CommandOption::new('L', "loglevel", Takes::Word("LEVEL")),
    CommandOption::new('P', "pidfile", Takes::Path("FILE")).or("pid"),
    CommandOption::new('q', "quiet", Takes::Nothing),
    CommandOption::long("timeout", Takes::Number("SECONDS")),
    CommandOption::long("idempotent", Takes::Nothing),
    CommandOption::new('d', "daemon", Takes::Nothing),
    CommandOption::new('f', "foreground", Takes::Nothing),
    CommandOption::new('A', "autostart", Takes::Word("GROUP")),
    CommandOption::new('t', "test", Takes::Nothing),
    CommandOption::new('s', "stop", Takes::Nothing),
    CommandOption::new('r', "reload", Takes::Nothing),
    CommandOption::new('n', "dry-run", Takes::Nothing),
    CommandOption::new('u', "upgrade", Takes::Nothing),
    CommandOption::new('a', "all", Takes::Nothing),
    CommandOption::new('0', "null", Takes::Nothing),
    CommandOption::long("long", Takes::Nothing),
    CommandOption::long("check", Takes::Nothing),
    CommandOption::long("allowed", Takes::Nothing),
    CommandOption::long("watch", Takes::Nothing),
    CommandOption::long("json", Takes::Nothing),
    CommandOption::new('h', "help", Takes::NothingElse(Told::Help)),
    CommandOption::new('V', "version", Takes::NothingElse(Told::Version)),
];

impl CommandOption {
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
      --timeout <SECONDS>  Wait no longer than that, such as 5 or 0.5; what was asked for goes on (not with -d)
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
            let CommandOption { long, short, takes, .. } = option;
            let short = short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
            match takes {
                Takes::Nothing | Takes::NothingElse(_) => format!("{short}--{long}"),
                Takes::Path(name) | Takes::Word(name) | Takes::Words(name) | Takes::Number(name) => {
                    format!("{short}--{long} <{name}>")
                }
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
