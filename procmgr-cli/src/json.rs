//! What scripts read: JSON, an object in each line. Here is what all of them have in common, and how they are written;
//! the only room that names `serde_json`.
//!
//! What is said of programs stands in `json/lists` and `json/sighting`. The schema is documented in `docs/JSON.md`; its
//! number stays the same while fields are only added.

pub(crate) mod lists;
pub(crate) mod sighting;

use std::fmt::Write as _;

use procmgr_proto::message::ExitStatus;
use serde::Serialize;

/// The number of the schema, which every object bears.
pub const SCHEMA: u32 = 1;

/// Returns the answer to whether the daemon runs.
pub(crate) fn running(is_running: bool) -> Vec<u8> {
    #[derive(Serialize)]
    struct Running {
        schema: u32,
        running: bool,
    }
    line(&Running { schema: SCHEMA, running: is_running })
}

/// The name of a program, and its bytes if it is no text.
#[derive(Serialize)]
struct Name<'a> {
    program: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    program_bytes: Option<&'a [u8]>,
}

impl<'a> Name<'a> {
    fn new(name: &'a [u8]) -> Self {
        Self { program: text(name), program_bytes: std::str::from_utf8(name).is_err().then_some(name) }
    }
}

/// How a process has ended.
#[derive(Serialize)]
#[serde(tag = "how", rename_all = "lowercase")]
enum Ended {
    Exited { status: u8 },
    Killed { signal: u8 },
    Unknown,
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Code(status) => Self::Exited { status },
            ExitStatus::Signal(signal) => Self::Killed { signal },
            _ => Self::Unknown,
        }
    }
}

/// Returns an object in a line of its own. Characters that some terminals obey are written as their numbers, also where
/// JSON does not ask for it.
///
/// # Panics
/// If the object has keys that are no text.
pub fn line(object: &impl Serialize) -> Vec<u8> {
    let json =
        serde_json::to_string(object).expect("what is ours to say has text for keys, and memory takes it");
    let mut line = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        if character.is_control() {
            let _ = write!(line, "\\u{:04x}", u32::from(character));
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    line.into_bytes()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn texts(words: &[Vec<u8>]) -> Vec<String> {
    words.iter().map(|word| text(word)).collect()
}

/// Returns the bytes of words of which one is no text.
fn bytes_of(words: &[Vec<u8>]) -> Option<&[Vec<u8>]> {
    words.iter().any(|word| std::str::from_utf8(word).is_err()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_the_daemon_runs_is_an_object_too() {
        assert_eq!(running(true), b"{\"schema\":1,\"running\":true}\n");
        assert_eq!(running(false), b"{\"schema\":1,\"running\":false}\n");
    }

    #[test]
    fn an_end_says_how() {
        let json = |status| serde_json::to_string(&Ended::from(status)).unwrap();
        assert_eq!(json(ExitStatus::Code(3)), r#"{"how":"exited","status":3}"#);
        assert_eq!(json(ExitStatus::Signal(9)), r#"{"how":"killed","signal":9}"#);
        assert_eq!(json(ExitStatus::Unknown), r#"{"how":"unknown"}"#);
    }

    #[test]
    fn no_control_character_stands_as_itself() {
        let name = Name::new("\u{1b}\n\u{7f}\u{9b}".as_bytes());
        assert_eq!(line(&name), b"{\"program\":\"\\u001b\\n\\u007f\\u009b\"}\n");
    }
}
