//! The shells themselves: what each offers at the end of a line, and what it makes of keys that are pressed.
//!
//! What they should offer is not known here.

use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::pty::openpty;

use crate::harness::{DEADLINE, Sandbox, installed, procmgr, run, wait_until};

/// The folder of the scripts under test.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/completions");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Bash,
    Zsh,
    Fish,
}

/// A shell that knows the completions, and would not survive an error where it can be told so.
pub(super) struct Shell<'a> {
    pub(super) name: Name,
    path: PathBuf,
    sandbox: &'a Sandbox,
    variables: Vec<(String, String)>,
}

/// Returns each shell that is installed, and says of the others that the test is skipped for them.
pub(super) fn shells<'a>(test: &str, sandbox: &'a Sandbox) -> Vec<Shell<'a>> {
    let folder = sandbox.path("bin");
    if !folder.exists() {
        fs::create_dir(&folder).unwrap();
        let executable = fs::canonicalize(procmgr().get_program()).unwrap();
        symlink(executable, folder.join("procmgr")).unwrap();
    }
    let names = [(Name::Bash, "bash"), (Name::Zsh, "zsh"), (Name::Fish, "fish")];
    let found = names.into_iter().filter_map(|(name, file)| {
        let path = installed(file);
        if path.is_none() {
            eprintln!("skipped: {test} needs {file} for a part of it");
        }
        Some(Shell { name, path: path?, sandbox, variables: Vec::new() })
    });
    found.collect()
}

impl Shell<'_> {
    /// Has the shell know a variable of the environment. Without one, it knows the configuration of the sandbox.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Returns what is offered at the end of a line, sorted. Nothing must be said beside it.
    #[track_caller]
    pub(super) fn offers(&self, line: &str) -> Vec<String> {
        let offered = match self.name {
            Name::Bash => self.told(&["--norc", "-euc", BASH_OFFERS, SCRIPTS, line]),
            Name::Fish => self.told(&["--no-config", "-c", FISH_OFFERS, SCRIPTS, line]),
            Name::Zsh => {
                let shown = self.result("offers", &format!("{ZSH}\n{ZSH_OFFERS}"), &format!("{line}\t\x18"));
                assert_eq!(shown.said, "", "{self} {line:?}");
                shown.result
            }
        };
        let words = offered.lines().map(|word| word.split('\t').next().unwrap_or_default().to_owned());
        let mut words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
        words.sort();
        words.dedup();
        words
    }

    fn told(&self, arguments: &[&str]) -> String {
        let output = run(self.command(&self.path).args(arguments));
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{self} {arguments:?}");
        output.stdout
    }

    /// Returns the words that the shell hands over to `procmgr` when these keys are pressed, and then enter.
    #[track_caller]
    pub(super) fn hands_over(&self, keys: &str) -> Vec<String> {
        self.hands_over_after("", keys)
    }

    /// Does the same after some preparation.
    #[track_caller]
    pub(super) fn hands_over_after(&self, preparation: &str, keys: &str) -> Vec<String> {
        let script = match self.name {
            Name::Bash => BASH_HANDS_OVER.to_owned(),
            Name::Zsh => format!("{ZSH}\n{ZSH_HANDS_OVER}"),
            Name::Fish => FISH_HANDS_OVER.to_owned(),
        };
        let shown = self.result("words", &format!("{preparation}\n{script}"), &format!("{keys}\r"));
        shown.result.split_terminator('\0').map(str::to_owned).collect()
    }

    /// Runs this script in the shell at a terminal, presses the keys, and waits for the result.
    #[track_caller]
    fn result(&self, result: &str, script: &str, keys: &str) -> Shown {
        let home = self.sandbox.path("home");
        fs::create_dir_all(&home).unwrap();
        let script = script.replace("SCRIPTS", SCRIPTS).replace("RESULT", &format!("home/{result}"));
        let start = home.join(".zshrc");
        fs::write(&start, &script).unwrap();
        let start = start.to_str().unwrap();
        let arguments = match self.name {
            Name::Bash => vec!["--noprofile", "--rcfile", start, "-i"],
            // Without the files of the machine.
            Name::Zsh => vec!["-d", "-i"],
            Name::Fish => vec!["--no-config", "-i", "-C", &script],
        };
        // A shell edits its line at a terminal that controls it only.
        let mut command = self.command(Path::new("setsid"));
        command.arg("--ctty").arg(&self.path).args(arguments);
        let terminal = Terminal::start(&mut command);
        terminal.wait_for_prompt();
        terminal.press(keys);
        let path = home.join(result);
        wait_until(&format!("{self} has a result for {keys:?}"), || path.exists());
        let text = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let said = fs::read_to_string(home.join("said")).unwrap_or_default();
        Shown { result: String::from_utf8_lossy(&text).into_owned(), said }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for name in ["PROCMGR_SOCKET", "BASH_ENV", "ENV", "COMP_WORDBREAKS"] {
            command.env_remove(name);
        }
        let search = format!("{}:/usr/local/bin:/usr/bin:/bin", self.sandbox.path("bin").display());
        let home = self.sandbox.path("home");
        command.current_dir(self.sandbox.path("")).env("PATH", search).env("LC_ALL", "C.UTF-8");
        command.env("TERM", "xterm").env("HOME", &home).env("ZDOTDIR", &home).env("XDG_CONFIG_HOME", &home);
        command.env("PROCMGR_CONFFILE", self.sandbox.config());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl fmt::Display for Shell<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.name)
    }
}

struct Shown {
    result: String,
    said: String,
}

/// A terminal with a shell at it.
struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shell: Child,
}

impl Terminal {
    fn start(command: &mut Command) -> Self {
        let terminal = openpty(None, None).unwrap();
        let clone = || Stdio::from(terminal.slave.try_clone().unwrap());
        let shell = command.stdin(clone()).stdout(clone()).stderr(clone()).spawn().unwrap();
        // The command holds the other end, too.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let keyboard = File::from(terminal.master);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, receiver) = channel();
        // Whatever is shown is read, or the shell would wait for ever.
        thread::spawn(move || {
            let mut shown = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut shown) {
                let _ = sender.send(shown[..length].to_vec());
            }
        });
        Self { keyboard, screen: receiver, shell }
    }

    fn wait_for_prompt(&self) {
        let mut shown = Vec::new();
        while !shown.windows(PROMPT.len()).any(|part| part == PROMPT.as_bytes()) {
            let part = self.screen.recv_timeout(DEADLINE);
            shown.extend(part.unwrap_or_else(|error| {
                panic!("{error}: there is no prompt in {:?}", String::from_utf8_lossy(&shown))
            }));
        }
    }

    fn press(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Each of them ends by itself as soon as there is a result.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

const PROMPT: &str = "READY>";

/// With -e and -u, so that an error would end it.
const BASH_OFFERS: &str = r#"
source "$0/procmgr.bash"
compopt() { printf 'files\n'; }
COMP_LINE=$1 COMP_POINT=${#1}
_procmgr procmgr "${1##*[ =]}" ''
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
"#;

const BASH_HANDS_OVER: &str = r#"
PS1='READY>' HISTFILE=
source SCRIPTS/procmgr.bash
procmgr() { printf '%s\0' "$@" >RESULT.new; mv RESULT.new RESULT; exit; }
set -eu
"#;

const ZSH: &str = r"
PS1='READY>' HISTFILE=
fpath=(SCRIPTS $fpath)
autoload -Uz compinit
compinit -u -d home/.zcompdump
bindkey -e
unsetopt beep
";

/// What is added to the list of completions is written down as well.
const ZSH_OFFERS: &str = r#"
: >RESULT.new
exec 2>home/said
setopt no_auto_menu
compadd() {
    local -a added
    if ((! ${@[(I)-[OAD]]})); then
        builtin compadd -O added "$@"
        print -rl -- "${added[@]}" >>RESULT.new
    fi
    builtin compadd "$@"
}
finish() { mv RESULT.new RESULT; exit }
zle -N finish
bindkey '^X' finish
"#;

const ZSH_HANDS_OVER: &str = r#"
procmgr() { printf '%s\0' "$@" >RESULT.new; mv RESULT.new RESULT; exit }
"#;

const FISH_OFFERS: &str = r"
source $argv[1]/procmgr.fish
complete -C $argv[2]
";

const FISH_HANDS_OVER: &str = r"
source SCRIPTS/procmgr.fish
function fish_prompt; echo -n 'READY>'; end
function fish_greeting; end
function procmgr; printf '%s\0' $argv >RESULT.new; mv RESULT.new RESULT; exit; end
";
