//! Reading a document: which examples it has, of which kinds, and where each session begins.
//!
//! Nothing is run here.

/// The examples below one heading, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// The document, for messages.
    pub(super) document: String,
    pub(super) heading: String,
    /// Whether other users, or what only root may do, have a part in it.
    pub(super) needs_root: bool,
    /// Executables without which it cannot be played.
    pub(super) needs: Vec<String>,
    pub(super) blocks: Vec<Block>,
}

/// An example, with the number of its first line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The configuration file. The first one of a session is what the daemon is started with.
    Configuration { text: String, has_findings: bool },
    /// A script, to be put where the text above it says.
    Script { path: String, text: String },
    /// What is typed, with nothing to be seen.
    Typed(String),
    /// What is typed, and what is to be seen then.
    Console(Vec<Step>),
}

/// A command with its line, and its output.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) command: String,
    pub(super) output: String,
}

/// Returns the sessions of a document, with the blocks whose kind is wanted only.
///
/// # Errors
/// A block that is of no known kind, or that does not say what it has to.
pub(super) fn sessions(
    document: &str,
    text: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Session>, String> {
    let begin = |heading: &str| Session {
        document: document.to_owned(),
        heading: heading.to_owned(),
        needs_root: false,
        needs: Vec::new(),
        blocks: Vec::new(),
    };
    let mut sessions = vec![begin("")];
    let mut prose = String::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let session = sessions.last_mut().expect("one has begun");
        if let Some(info) = line.trim_start().strip_prefix("```") {
            let mut body = lines.by_ref().take_while(|(line, _)| *line != "```").peekable();
            let first = body.peek().map_or(number, |(_, number)| *number);
            let body: Vec<&str> = body.map(|(line, _)| line).collect();
            let mut words = info.split_whitespace();
            let kind = words.next().unwrap_or_default();
            if is_wanted(kind) {
                let kind = read(kind, words, &body, first, &prose, session)
                    .map_err(|complaint| format!("{document}:{number}: {complaint}"))?;
                session.blocks.push(Block { line: first, kind });
            }
            prose.clear();
        } else if line.starts_with('#') {
            sessions.push(begin(line.trim_start_matches('#').trim()));
            prose.clear();
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    sessions.retain(|session| !session.blocks.is_empty());
    Ok(sessions)
}

fn read<'a>(
    kind: &str,
    words: impl Iterator<Item = &'a str>,
    body: &[&str],
    first: usize,
    prose: &str,
    session: &mut Session,
) -> Result<Kind, String> {
    let mut path = None;
    let mut has_findings = false;
    for word in words {
        match word.split_once('=') {
            None if word == "root" => session.needs_root = true,
            None if word == "findings" && kind == "ini" => has_findings = true,
            Some(("needs", names)) => session.needs.extend(names.split(',').map(str::to_owned)),
            Some(("file", name)) if kind == "sh" => path = Some(name.to_owned()),
            _ => return Err(format!("{word} means nothing")),
        }
    }
    let text = body.iter().flat_map(|line| [*line, "\n"]).collect();
    match (kind, path) {
        ("ini", _) => Ok(Kind::Configuration { text, has_findings }),
        ("sh", Some(path)) if prose.contains(&format!("`{path}`")) => Ok(Kind::Script { path, text }),
        ("sh", Some(path)) => Err(format!("the text above does not tell readers of {path}")),
        ("sh", None) => Ok(Kind::Typed(text)),
        ("console", _) => steps(body, first).map(Kind::Console),
        (kind, _) => Err(format!("a block of kind {kind:?} cannot be run")),
    }
}

fn steps(body: &[&str], first: usize) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    for (text, line) in body.iter().zip(first..) {
        match (text.strip_prefix("$ "), text.strip_prefix("> "), steps.last_mut()) {
            (Some(command), _, _) => {
                steps.push(Step { line, command: command.to_owned(), output: String::new() });
            }
            (None, Some(more), Some(step)) if step.output.is_empty() => {
                step.command.push('\n');
                step.command.push_str(more);
            }
            (None, _, Some(step)) => {
                step.output.push_str(text);
                step.output.push('\n');
            }
            (None, _, None) => return Err("output of no command".to_owned()),
        }
    }
    Ok(steps)
}

#[test]
fn a_block_that_cannot_be_run_is_complained_about() {
    let complaint = |text: &str| sessions("x.md", text, |_| true).unwrap_err();

    assert_eq!(complaint("a\n```text\nb\n```\n"), "x.md:2: a block of kind \"text\" cannot be run");
    assert_eq!(complaint("```\n```\n"), "x.md:1: a block of kind \"\" cannot be run");
    assert_eq!(complaint("```ini file=/x\n```\n"), "x.md:1: file=/x means nothing");
    assert_eq!(complaint("```console\nx\n```\n"), "x.md:1: output of no command");
    assert_eq!(
        complaint("`/srv/y`\n```sh file=/srv/x\n```\n"),
        "x.md:2: the text above does not tell readers of /srv/x"
    );
}

#[test]
fn each_heading_begins_a_session() {
    let text =
        "# A\n## B\n```console root needs=ss\n$ a\n> b\nc\n$ d\n```\n### C\n`/x`:\n```sh file=/x\nx\n```\n";
    let sessions = sessions("x.md", text, |_| true).unwrap();

    let headings: Vec<_> = sessions.iter().map(|session| session.heading.as_str()).collect();
    assert_eq!(headings, ["B", "C"]);
    assert!(sessions[0].needs_root && !sessions[1].needs_root);
    assert_eq!(sessions[0].needs, ["ss"]);
    let step =
        |line, command: &str, output: &str| Step { line, command: command.into(), output: output.into() };
    assert_eq!(
        sessions[0].blocks,
        [Block { line: 4, kind: Kind::Console(vec![step(4, "a\nb", "c\n"), step(7, "d", "")]) }]
    );
    let script = Kind::Script { path: "/x".into(), text: "x\n".into() };
    assert_eq!(sessions[1].blocks, [Block { line: 12, kind: script }]);
}
