//! Programs in JSON: what they have gone through, what a reload would change, what may be done to them.
//!
//! Changes as they happen stand in `sighting`.

use procmgr_proto::details::{PastExit, Permission, ProgramDetails, ProgramPreview};
use procmgr_proto::event::ProgramStatus;
use serde::Serialize;

use crate::json::{Ended, Name, SCHEMA, bytes_of, line, text, texts};
use crate::time::Time;

/// Returns a line for each program that there is.
pub(crate) fn details(programs: &[ProgramDetails]) -> Vec<u8> {
    programs.iter().flat_map(|program| line(&DetailsLine::from(program))).collect()
}

/// Returns a line for each program that a reload concerns.
pub(crate) fn previews(programs: &[ProgramPreview]) -> Vec<u8> {
    programs.iter().flat_map(|program| line(&PreviewLine::from(program))).collect()
}

/// Returns a line for each program to which something may be done.
pub(crate) fn permissions(permissions: &[Permission]) -> Vec<u8> {
    permissions.iter().flat_map(|permission| line(&PermissionLine::from(permission))).collect()
}

#[derive(Serialize)]
struct DetailsLine<'a> {
    schema: u32,
    #[serde(flatten)]
    name: Name<'a>,
    state: String,
    pid: Option<u32>,
    marks: Vec<String>,
    since: Option<String>,
    restarts: u32,
    last_exit: Option<LastExit>,
    next_start: Option<String>,
}

#[derive(Serialize)]
struct LastExit {
    #[serde(flatten)]
    ended: Ended,
    time: String,
}

impl<'a> From<&'a ProgramDetails> for DetailsLine<'a> {
    fn from(details: &'a ProgramDetails) -> Self {
        let ProgramDetails { program, since, restarts, last_exit, next_start } = details;
        let ProgramStatus { name, state, pid, marks } = program;
        let time = |milliseconds: u64| Time::from_milliseconds(milliseconds).to_string();
        let last_exit = last_exit.as_ref().map(|PastExit { status, time: milliseconds }| LastExit {
            ended: Ended::from(*status),
            time: time(*milliseconds),
        });
        Self {
            schema: SCHEMA,
            name: Name::new(name),
            state: text(state.name()),
            pid: *pid,
            marks: texts(marks),
            since: since.map(time),
            restarts: *restarts,
            last_exit,
            next_start: next_start.map(time),
        }
    }
}

#[derive(Serialize)]
struct PreviewLine<'a> {
    schema: u32,
    #[serde(flatten)]
    name: Name<'a>,
    effect: String,
    keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_bytes: Option<&'a [Vec<u8>]>,
    pid: Option<u32>,
    outdated: bool,
}

impl<'a> From<&'a ProgramPreview> for PreviewLine<'a> {
    fn from(preview: &'a ProgramPreview) -> Self {
        let ProgramPreview { name, effect, keys, pid, is_outdated } = preview;
        Self {
            schema: SCHEMA,
            name: Name::new(name),
            effect: text(effect.name()),
            keys: texts(keys),
            keys_bytes: bytes_of(keys),
            pid: *pid,
            outdated: *is_outdated,
        }
    }
}

#[derive(Serialize)]
struct PermissionLine<'a> {
    schema: u32,
    #[serde(flatten)]
    name: Name<'a>,
    actions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actions_bytes: Option<&'a [Vec<u8>]>,
}

impl<'a> From<&'a Permission> for PermissionLine<'a> {
    fn from(Permission { program, actions }: &'a Permission) -> Self {
        Self {
            schema: SCHEMA,
            name: Name::new(program),
            actions: texts(actions),
            actions_bytes: bytes_of(actions),
        }
    }
}

#[cfg(test)]
mod tests {
    use procmgr_proto::details::ReloadEffect;
    use procmgr_proto::event::State;
    use procmgr_proto::message::ExitStatus;

    use super::*;

    fn program(name: &[u8]) -> ProgramDetails {
        let program = ProgramStatus { name: name.to_vec(), state: State::Down, pid: None, marks: vec![] };
        ProgramDetails { program, since: None, restarts: 0, last_exit: None, next_start: None }
    }

    fn shown(line: Vec<u8>) -> String {
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_program_that_has_gone_through_nothing_has_every_field() {
        let expected = concat!(
            r#"{"schema":1,"program":"game","state":"down","pid":null,"marks":[],"since":null,"#,
            r#""restarts":0,"last_exit":null,"next_start":null}"#,
            "\n"
        );
        assert_eq!(shown(details(&[program(b"game")])), expected);
    }

    #[test]
    fn a_program_says_all_that_it_has_gone_through() {
        let marks = vec![b"adopted".to_vec(), b"outdated".to_vec()];
        let web = ProgramStatus { name: b"web".to_vec(), state: State::BackOff, pid: Some(7), marks };
        let web = ProgramDetails {
            program: web,
            since: Some(1_000_000_000_123),
            restarts: 4_294_967_295,
            last_exit: Some(PastExit { status: ExitStatus::Signal(9), time: 1_000_000_000_000 }),
            next_start: Some(1_000_000_001_000),
        };
        let expected = concat!(
            r#"{"schema":1,"program":"web","state":"back-off","pid":7,"marks":["adopted","outdated"],"#,
            r#""since":"2001-09-09T01:46:40.123Z","restarts":4294967295,"#,
            r#""last_exit":{"how":"killed","signal":9,"time":"2001-09-09T01:46:40.000Z"},"#,
            r#""next_start":"2001-09-09T01:46:41.000Z"}"#,
            "\n"
        );
        assert_eq!(shown(details(&[web])), expected);
    }

    #[test]
    fn a_past_exit_says_how() {
        for (status, how) in [
            (ExitStatus::Code(3), r#""how":"exited","status":3,"#),
            (ExitStatus::Signal(9), r#""how":"killed","signal":9,"#),
            (ExitStatus::Unknown, r#""how":"unknown","#),
        ] {
            let web = ProgramDetails { last_exit: Some(PastExit { status, time: 0 }), ..program(b"web") };
            let expected = format!(r#""last_exit":{{{how}"time":"1970-01-01T00:00:00.000Z"}}"#);
            assert!(shown(details(&[web])).contains(&expected), "{how}");
        }
    }

    #[test]
    fn each_program_is_a_line_and_none_is_none() {
        assert_eq!(shown(details(&[program(b"a"), program(b"b")])).lines().count(), 2);
        assert_eq!([details(&[]), previews(&[]), permissions(&[])], [b"", b"", b""]);
    }

    #[test]
    fn a_name_that_is_no_text_is_told_by_its_bytes_too() {
        let expected = "\"program\":\"\u{fffd}!\",\"program_bytes\":[255,33],";
        assert!(shown(details(&[program(b"\xff!")])).contains(expected));
        let permission = Permission { program: b"\xff!".to_vec(), actions: vec![] };
        assert!(shown(permissions(&[permission])).contains(expected));
    }

    #[test]
    fn a_preview_says_what_would_change() {
        let web = ProgramPreview {
            name: b"web".to_vec(),
            effect: ReloadEffect::Changed,
            keys: vec![b"cmd-start".to_vec(), b"uid-stop".to_vec()],
            pid: Some(123),
            is_outdated: true,
        };
        let expected = concat!(
            r#"{"schema":1,"program":"web","effect":"changed","keys":["cmd-start","uid-stop"],"#,
            r#""pid":123,"outdated":true}"#,
            "\n"
        );
        assert_eq!(shown(previews(std::slice::from_ref(&web))), expected);
        let db = ProgramPreview {
            name: b"\xff".to_vec(),
            effect: ReloadEffect::Added,
            keys: vec![b"cmd-\xff".to_vec()],
            pid: None,
            is_outdated: false,
        };
        let expected = concat!(
            "{\"schema\":1,\"program\":\"\u{fffd}\",\"program_bytes\":[255],\"effect\":\"added\",",
            "\"keys\":[\"cmd-\u{fffd}\"],\"keys_bytes\":[[99,109,100,45,255]],\"pid\":null,\"outdated\":false}\n"
        );
        assert_eq!(shown(previews(&[db])), expected);
    }

    #[test]
    fn a_permission_names_the_actions() {
        let web =
            Permission { program: b"web".to_vec(), actions: vec![b"start".to_vec(), b"rotate".to_vec()] };
        assert_eq!(
            shown(permissions(&[web])),
            "{\"schema\":1,\"program\":\"web\",\"actions\":[\"start\",\"rotate\"]}\n"
        );
        let odd = Permission { program: b"p".to_vec(), actions: vec![b"\xfe".to_vec()] };
        assert_eq!(
            shown(permissions(&[odd])),
            "{\"schema\":1,\"program\":\"p\",\"actions\":[\"\u{fffd}\"],\"actions_bytes\":[[254]]}\n"
        );
    }
}
