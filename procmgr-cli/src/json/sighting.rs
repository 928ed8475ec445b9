//! Changes of programs in JSON, as they happen.
//!
//! What is said of programs that only are there stands in `lists`.

use procmgr_proto::event::{Change, ProgramStatus, Requester};
use serde::Serialize;

use crate::json::{Ended, Name, SCHEMA, line, text, texts};
use crate::watch::Sighting;

/// Returns a line about a program, its line feed included.
pub(crate) fn line_about(sighting: &Sighting<'_>) -> Vec<u8> {
    let Sighting { time, kind, program, change } = sighting;
    let ProgramStatus { name, state, pid, marks } = program;
    line(&ProgramLine {
        schema: SCHEMA,
        event: kind.name(),
        time: time.to_string(),
        name: Name::new(name),
        state: text(state.name()),
        pid: *pid,
        marks: texts(marks),
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
    #[serde(flatten)]
    name: Name<'a>,
    state: String,
    pid: Option<u32>,
    marks: Vec<String>,
    ended: Option<Ended>,
    failure: Option<String>,
    by: Option<By>,
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

#[cfg(test)]
mod tests {
    use procmgr_proto::event::State;
    use procmgr_proto::message::ExitStatus;

    use super::*;
    use crate::time::Time;
    use crate::watch::Kind;

    fn shown(name: &[u8], change: Option<&Change>) -> String {
        let status = ProgramStatus { name: name.to_vec(), state: State::Down, pid: None, marks: vec![] };
        let program = change.map_or(&status, |change| &change.program);
        let kind = if change.is_some() { Kind::Changed } else { Kind::Present };
        String::from_utf8(line_about(&Sighting { time: Time::from_milliseconds(0), kind, program, change }))
            .unwrap()
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
}
