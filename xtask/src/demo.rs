//! `cargo xtask demo`: a session with procmgr, for somebody who has never seen it.
//!
//! What is typed, what is promised of it and what is said about it. How a command is run and checked is not known here.

mod session;

use std::io::{self, IsTerminal};

use crate::demo::session::Session;
use crate::stage::{Profile, Stage};

/// Builds procmgr and plays the session, with a daemon and programs of the caller's own.
///
/// # Errors
/// The first promise that was not kept, or the reason why the session could not be played.
pub(crate) fn run() -> Result<(), String> {
    let stage = Stage::build(Profile::Dev)?;
    stage.put("procmgr.cfg", CONFIGURATION)?;
    stage.put("web", WEB)?;
    stage.put("page", "hello\n")?;
    play(&mut Session::new(&stage, io::stdout().is_terminal()), stage.is_root()?)
}

fn play(session: &mut Session<'_>, is_root: bool) -> Result<(), String> {
    session.say("This is a configuration: programs, and what can be done with each.")?;
    session.run("cat procmgr.cfg", "*", 0)?;

    session.say("Start the daemon. It returns when it is ready to serve.")?;
    session.run("procmgr -P daemon.pid -d", "", 0)?;
    session.run("procmgr -t", "running\n", 0)?;

    session.say("Start a program, and ask how it is. Its script tells.")?;
    session.run("procmgr web start", "", 0)?;
    let started = session.run_until("procmgr web status", "process * shows: hello\n", 0)?;

    session.say("A script has the streams of whoever asks for it: this one reads yours.")?;
    session.run("echo 'can you hear me?' | procmgr shout signal", "CAN YOU HEAR ME?\n", 0)?;

    session.say("Words after the action are its arguments; its exit status is the client's.")?;
    session.run("procmgr greet signal 'Ada Lovelace' Bob", "Good day, Ada Lovelace! And Bob.\n", 3)?;

    session.say("Give the program something new, without stopping it.")?;
    session.run("echo 'good day' > page", "", 0)?;
    session.run("procmgr web reload", "", 0)?;
    let reloaded = session.run("procmgr web status", "process * shows: good day\n", 0)?;
    same("The reload kept the process", &pid(&started), &pid(&reloaded))?;

    session.say("What is there?")?;
    session.run("procmgr -a", "web  : running\nshout: dead\ngreet: dead\nvault: dead\n", 0)?;

    session.say("The program crashes. A second later, its restart-delay, it runs again.")?;
    session.run(&format!("kill -KILL {}", pid(&reloaded)), "", 0)?;
    let restarted = session.run_until("procmgr web status", "process * shows: good day\n", 0)?;
    differ("The crash ended the process", &pid(&reloaded), &pid(&restarted))?;

    session.say("What cannot be is refused, with a word for scripts and a reason for people.")?;
    session.run("procmgr web start", "ERROR: (BUSY) *\n", 125)?;
    if is_root {
        session.run("procmgr web dance", "ERROR: (NOACTION) *\n", 125)?;
    } else {
        session.say("And so is what you may not do: nobody but root starts this one.")?;
        session.run("procmgr vault start", "ERROR: (BADAUTH) *\n", 125)?;
    }

    session.say("A mistake in the configuration is told with its place, and changes nothing.")?;
    let place = format!("*/procmgr.cfg:{}:17: error: *", CONFIGURATION.lines().count() + 1);
    session.run("echo 'restart-delay = soon' >> procmgr.cfg", "", 0)?;
    session.run("procmgr -r", &place, 1)?;
    let untouched = session.run("procmgr web status", "process * shows: good day\n", 0)?;
    same("The reload that failed kept the process", &pid(&restarted), &pid(&untouched))?;

    session.say("Take it out again, and the daemon accepts the file.")?;
    session.run("sed -i '$d' procmgr.cfg", "", 0)?;
    session.run("procmgr -r", "", 0)?;

    session.say(
        "The daemon dies, the worst way there is. Programs go on, and the next daemon takes them over.",
    )?;
    session.run("kill -KILL $(cat daemon.pid)", "", 0)?;
    session.run_until("procmgr -t", "not running\n", 1)?;
    session.run("procmgr -P daemon.pid -d", "", 0)?;
    session.run("procmgr -a", "web  : running adopted\n*", 0)?;
    let adopted = session.run("procmgr web status", "process * shows: good day\n", 0)?;
    same("The death of the daemon spared the process", &pid(&untouched), &pid(&adopted))?;

    session.say("Upgrade the daemon: it executes its executable, perhaps a new one. Nobody notices.")?;
    session.run("procmgr -u", "", 0)?;
    let upgraded = session.run("procmgr web status", "process * shows: good day\n", 0)?;
    same("The upgrade kept the process", &pid(&adopted), &pid(&upgraded))?;

    session.say("A restart makes the program a child of this daemon.")?;
    session.run("procmgr web restart", "", 0)?;
    session.run_until("procmgr web status", "process * shows: good day\n", 0)?;

    session.say(
        "Stop the program. The client waits for its end and ends as it did: by SIGTERM,\n\
         which shells tell as 128 + 15. Nothing starts it again until somebody asks.",
    )?;
    session.run("procmgr web stop", "", 143)?;
    session.run("procmgr web status", "", 1)?;

    session.say("Stop the daemon.")?;
    session.run("procmgr -s", "", 0)?;
    session.run("procmgr -t", "not running\n", 1)?;

    session.end()
}

/// Returns the process of an answer of `procmgr web status`.
fn pid(answer: &str) -> String {
    answer.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

fn same(promise: &str, before: &str, after: &str) -> Result<(), String> {
    if before == after { Ok(()) } else { Err(format!("{promise}: expected {before}, but it is {after}.")) }
}

fn differ(promise: &str, before: &str, after: &str) -> Result<(), String> {
    if before == after { Err(format!("{promise}: expected another than {before}.")) } else { Ok(()) }
}

/// `@FOLDER` stands for the folder, `@UID` for the user.
const CONFIGURATION: &str = r#"socket-path = @FOLDER/socket
# Who may ask for actions. Root may anyway.
allow-uid = @UID

# A server, or nearly: it shows a page, and looks at it again at each SIGHUP.
[prog-web]
cwd = @FOLDER
cmd-start = exec ./web
cmd-reload = kill -HUP $PID; until cmp -s page shown; do sleep 0.1; done
cmd-status = test "$PID" && echo "process $PID shows: $(cat shown)"
restart-delay = 1

# `signal` does whatever its script does.
[prog-shout]
cmd-signal = tr '[:lower:]' '[:upper:]'

[prog-greet]
cmd-signal = echo "Good day, $0! And $1."; exit 3

[prog-vault]
allow-uid = none
cmd-start = echo 'It is open.'
"#;

/// Sleeps are short, for those of a killed script live on.
const WEB: &str = "\
#!/bin/sh
show() { cp page next && mv next shown; }
trap show HUP
show
while sleep 0.1; do :; done
";
