//! Playing a session: what is typed goes to a shell that stays, and what comes is held against what is shown.
//!
//! What may differ is up to `pattern`, what stands for what to `place`.

use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

use crate::harness::DEADLINE;
use crate::manual::document::{Block, Kind, Session, Step, sessions};
use crate::manual::pattern::Pids;
use crate::manual::place::{Place, is_installed};

/// Plays a session; one that cannot be played here is skipped, and said to be. What was started may go on to write
/// for as long as there is patience, and lists may become what is shown.
///
/// # Errors
/// What was not as it is shown, and where.
pub(super) fn play(session: &Session, patience: Duration) -> Result<(), String> {
    let at = |line: usize| format!("{}:{line}", session.document);
    let missing = session.needs.iter().find(|name| !is_installed(name));
    let reason = match missing {
        Some(name) => format!("needs {name}"),
        None if session.needs_root && !geteuid().is_root() => "needs root".to_owned(),
        None => {
            return Player::new(session.needs_root, patience)
                .play(session)
                .map_err(|(line, failure)| format!("{}: {failure}", at(line)));
        }
    };
    let line = session.blocks.first().map_or(1, |block| block.line);
    eprintln!("skipped: \"{}\", {}, {reason}", session.heading, at(line));
    Ok(())
}

struct Player {
    shell: Child,
    input: ChildStdin,
    patience: Duration,
    pids: Pids,
    /// How many commands there were.
    count: usize,
    has_daemon: bool,
    /// Ended last.
    place: Place,
}

/// The line of a document, and what is wrong there.
type Failure = (usize, String);

impl Player {
    fn new(for_others: bool, patience: Duration) -> Self {
        let place = Place::new(for_others);
        let mut command = place.shell();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = command.spawn().unwrap();
        let input = shell.stdin.take().expect("it was asked for");
        Self { shell, input, patience, pids: Pids::default(), count: 0, has_daemon: false, place }
    }

    fn play(mut self, session: &Session) -> Result<(), Failure> {
        let mut is_unread = None;
        for Block { line, kind } in &session.blocks {
            let failed = |failure: String| (*line, failure);
            match kind {
                Kind::Configuration { text, has_findings } => {
                    self.begin(&mut is_unread)?;
                    self.place.configure(text);
                    is_unread = (!has_findings).then_some(*line);
                    if self.has_daemon && !has_findings {
                        self.check(*line)?;
                    }
                }
                Kind::Script { path, text } => {
                    self.place.put(path, text, 0o755).map_err(|error| failed(error.to_string()))?;
                }
                Kind::Typed(text) => {
                    self.begin(&mut is_unread)?;
                    self.run(&Step { line: *line, command: text.clone(), output: String::new() })?;
                }
                Kind::Console(steps) => {
                    if steps.first().is_some_and(|step| step.command.starts_with("procmgr -d")) {
                        // Readers are to start it themselves. What is found in the file is then shown there.
                        self.has_daemon = true;
                    }
                    self.begin(&mut is_unread)?;
                    for step in steps {
                        self.run(step)?;
                    }
                }
            }
        }
        self.begin(&mut is_unread)
    }

    /// Starts the daemon with the first configuration, which it has to find nothing in.
    fn begin(&mut self, is_unread: &mut Option<usize>) -> Result<(), Failure> {
        let Some(line) = is_unread.take().filter(|_| !self.has_daemon) else { return Ok(()) };
        self.has_daemon = true;
        // Programs that start with the daemon are not everybody's: a user may only read the file.
        self.run(&Step { line, command: "procmgr -d".to_owned(), output: String::new() })
    }

    /// Has the daemon look at the file, which it has to find nothing in.
    fn check(&mut self, line: usize) -> Result<(), Failure> {
        let command = "procmgr -r -n >/dev/null".to_owned();
        self.run(&Step { line, command, output: String::new() })
    }

    /// Types a command and compares what comes.
    fn run(&mut self, step: &Step) -> Result<(), Failure> {
        let begin = Instant::now();
        loop {
            let output = self.type_in(step)?;
            let path = self.place.own_file(&output);
            // What was started may have something to say after the prompt.
            let patience = if is_question(&step.command) { Duration::ZERO } else { self.patience };
            let asked = Instant::now();
            loop {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
                let text = self.place.outwards(&text);
                if self.pids.matches(&step.output, &text) {
                    return Ok(());
                }
                if asked.elapsed() >= patience && begin.elapsed() >= self.patience {
                    let Step { line, command, output } = step;
                    return Err((*line, format!("`{command}`\n--- shown\n{output}--- came\n{text}---")));
                }
                if asked.elapsed() >= patience {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types a command and waits for its end. Returns the name of the file with its output.
    fn type_in(&mut self, step: &Step) -> Result<String, Failure> {
        self.count += 1;
        let (output, end) = (format!("output-{}", self.count), format!("end-{}", self.count));
        let [to, done] = [&output, &end].map(|name| self.place.own_file(name));
        let command = self.place.inwards(&step.command);
        // The file is appended to, for what was started has it as well, and may still write.
        let typed = format!(
            "{{\n{command}\n}} </dev/null >>{to} 2>&1\n: >{done}\n",
            to = to.display(),
            done = done.display()
        );
        let failed = |failure: &str| (step.line, format!("`{}` {failure}", step.command));
        self.input.write_all(typed.as_bytes()).map_err(|error| failed(&error.to_string()))?;
        let begin = Instant::now();
        while !done.exists() {
            if self.shell.try_wait().is_ok_and(|status| status.is_some()) {
                return Err(failed("has ended the shell"));
            }
            if begin.elapsed() > DEADLINE {
                let text = String::from_utf8_lossy(&fs::read(&to).unwrap_or_default()).into_owned();
                return Err(failed(&format!("does not end; so far:\n{text}---")));
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.place.look_around();
        Ok(output)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// Returns whether a command only asks, so that it may be asked again until the answer is the one that is shown:
/// readers are slower than tests.
fn is_question(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let asks = match words[..] {
        ["cat" | "head" | "stat", ..] | ["procmgr", "-a", ..] => true,
        ["procmgr", _, action] => action == "status",
        _ => false,
    };
    asks && !command.contains([';', '|', '&', '\n'])
}

#[test]
fn what_is_not_as_it_is_shown_fails() {
    let played = |text: &str| {
        let sessions = sessions("x.md", text, |_| true).unwrap();
        play(&sessions[0], Duration::from_millis(1))
    };
    let failure = |text: &str| played(text).unwrap_err();

    let text = "```console\n$ echo a; echo b >&2\na\nb\n$ sh -c 'exit 3'; echo $?\n3\n```\n";
    assert_eq!(played(text), Ok(()));
    assert_eq!(
        failure("```console\n$ echo a\na\n$ echo c\nb\n```\n"),
        "x.md:4: `echo c`\n--- shown\nb\n--- came\nc\n---"
    );
    assert_eq!(failure("```console\n$ echo a\n```\n"), "x.md:2: `echo a`\n--- shown\n--- came\na\n---");
    assert_eq!(failure("```sh\nls /nowhere\n```\n").lines().next(), Some("x.md:2: `ls /nowhere"));
    assert!(failure("```ini\n[porg-x]\n```\n").contains("unknown section \"porg-x\""));
    assert!(failure("```ini\n```\n```ini\nsocket-path =\n```\n").starts_with("x.md:4: `procmgr -r -n"));
    assert!(failure("```console\n$ exit\n```\n").contains("has ended the shell"));
}
