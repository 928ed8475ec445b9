//! What scripts read: JSON, an object in each line; the only room that names `serde_json`.
//!
//! The schema is documented in `docs/JSON.md`. Its number stays the same while fields are only added.

use procmgr_proto::event::{Change, ProgramStatus, Requester};
use procmgr_proto::message::ExitStatus;
use serde::Serialize;

use crate::watch::Sighting;

/// The number of the schema, which every object bears.
const SCHEMA: u32 = 1;

/// Returns a line about a program, its line feed included.
pub(crate) fn sighting(sighting: &Sighting<'_>) -> Vec<u8> {
    let Sighting { time, kind, program, change } = sighting;
    let ProgramStatus { name, state, pid, marks } = program;
    line(&ProgramLine {
        schema: SCHEMA,
        event: kind.name(),
        time: time.to_string(),
        program: String::from_utf8_lossy(name).into_owned(),
        program_bytes: std::str::from_utf8(name).is_err().then_some(name),
        state: text(state.name()),
        pid: *pid,
        marks: marks.iter().map(|mark| text(mark)).collect(),
        ended: change.and_then(|change| change.ended).map(Ended::from),
        failure: change.and_then(|change| change.failure.as_deref()).map(text),
        by: change.and_then(|Change { by, .. }| *by).map(By::from),
    })
}

#[derive(Serialize)]
struct ProgramLine<'a> {
    schema: u32,
    event: &'static str,
    time: String,
    program: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    program_bytes: Option<&'a Vec<u8>>,
    state: String,
    pid: Option<u32>,
    marks: Vec<String>,
    ended: Option<Ended>,
    failure: Option<String>,
    by: Option<By>,
}

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

#[derive(Serialize)]
struct By {
    pid: u32,
    uid: u32,
    gid: u32,
}

impl From<Requester> for By {
    fn from(Requester { pid, uid, gid }: Requester) -> Self {
        Self { pid, uid, gid }
    }
}

fn line(object: &impl Serialize) -> Vec<u8> {
    let mut line =
        serde_json::to_vec(object).expect("what is ours to say has text for keys, and memory takes it");
    line.push(b'\n');
    line
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use procmgr_proto::event::State;

    use super::*;
    use crate::watch::{Kind, Time};

    fn shown(name: &[u8], change: Option<&Change>) -> String {
        let status = ProgramStatus { name: name.to_vec(), state: State::Down, pid: None, marks: vec![] };
        let program = change.map_or(&status, |change| &change.program);
        let kind = if change.is_some() { Kind::Changed } else { Kind::Present };
        String::from_utf8(sighting(&Sighting { time: Time(UNIX_EPOCH), kind, program, change })).unwrap()
    }

    #[test]
    fn every_field_is_there_even_if_it_says_nothing() {
        let expected = concat!(
            r#"{"schema":1,"event":"present","time":"1970-01-01T00:00:00.000Z","program":"game","#,
            r#""state":"down","pid":null,"marks":[],"ended":null,"failure":null,"by":null}"#,
            "\n"
        );
        assert_eq!(shown(b"game", None), expected);
    }

    #[test]
    fn a_change_says_all_it_knows() {
        let marks = vec![b"lingering".to_vec()];
        let program = ProgramStatus { name: b"a\"\n".to_vec(), state: State::Running, pid: Some(7), marks };
        let by = Some(Requester { pid: 1, uid: 2, gid: 3 });
        let failure = Some(b"no\xff shell".to_vec());
        let change = Change { time: 0, program, ended: Some(ExitStatus::Signal(9)), failure, by };
        let expected = concat!(
            r#"{"schema":1,"event":"changed","time":"1970-01-01T00:00:00.000Z","program":"a\"\n","#,
            r#""state":"running","pid":7,"marks":["lingering"],"ended":{"how":"killed","signal":9},"#,
            "\"failure\":\"no\u{fffd} shell\",",
            r#""by":{"pid":1,"uid":2,"gid":3}}"#,
            "\n"
        );
        assert_eq!(shown(b"", Some(&change)), expected);
    }

    #[test]
    fn a_name_that_is_no_text_is_told_by_its_bytes_too() {
        assert!(shown(b"\xff!", None).contains("\"program\":\"\u{fffd}!\",\"program_bytes\":[255,33],"));
    }

    #[test]
    fn an_end_says_how() {
        let json = |status| serde_json::to_string(&Ended::from(status)).unwrap();
        assert_eq!(json(ExitStatus::Code(3)), r#"{"how":"exited","status":3}"#);
        assert_eq!(json(ExitStatus::Signal(9)), r#"{"how":"killed","signal":9}"#);
        assert_eq!(json(ExitStatus::Unknown), r#"{"how":"unknown"}"#);
    }
}
