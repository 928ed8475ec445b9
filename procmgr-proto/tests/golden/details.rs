//! What the vectors say that answer questions about programs, reloads and permissions, in Rust.
//!
//! That they are read and written so is tested with all others, in `messages`.

use procmgr_proto::details::{PastExit, Permission, ProgramDetails, ProgramPreview, ReloadEffect};
use procmgr_proto::event::State;
use procmgr_proto::message::{ExitStatus, Response};

use crate::messages::{Frame, Message, program, texts};

/// Returns what each of these vectors says, in the order of the file.
pub(crate) fn frames() -> Vec<(&'static str, Frame)> {
    [inspections(), previews(), permissions()].concat()
}

fn inspections() -> Vec<(&'static str, Frame)> {
    let inspected = |programs| Frame::new(Message::Response(Response::Inspected(programs)));
    let exit = |status, time| Some(PastExit { status, time });
    let quiet =
        |program| ProgramDetails { program, since: None, restarts: 0, last_exit: None, next_start: None };
    let web = ProgramDetails {
        since: Some(1_772_357_400_125),
        restarts: 2,
        last_exit: exit(ExitStatus::Signal(9), 1_772_357_395_120),
        ..quiet(program(b"web", State::Running, Some(4711), &[]))
    };
    let game = ProgramDetails {
        restarts: 3,
        last_exit: exit(ExitStatus::Code(1), 1_772_357_401_000),
        next_start: Some(1_772_357_409_000),
        ..quiet(program(b"game", State::BackOff, None, &[]))
    };
    let everything = ProgramDetails {
        program: program(b"\xff", State::Other(b"moon".to_vec()), Some(u32::MAX), &[b"lingering", b"failed"]),
        since: Some(u64::MAX),
        restarts: 0x0a0b_0c0d,
        last_exit: exit(ExitStatus::Code(255), 0x0102_0304_0506_0708),
        next_start: Some(0),
    };
    let never = quiet(program(b"new", State::Down, None, &[]));
    let failed = ProgramDetails {
        restarts: 5,
        last_exit: exit(ExitStatus::Code(127), 1),
        ..quiet(program(b"db", State::Down, None, &[b"failed"]))
    };
    vec![
        ("response/inspected/none", inspected(vec![])),
        ("response/inspected", inspected(vec![web, game])),
        ("response/inspected/everything", inspected(vec![everything, never, failed])),
    ]
}

fn previews() -> Vec<(&'static str, Frame)> {
    let previewed = |programs, remarks: &[&[u8]]| {
        let remarks = texts(remarks);
        Frame::new(Message::Response(Response::Previewed { programs, remarks }))
    };
    let preview = |name: &[u8], effect, keys: &[&[u8]], pid, is_outdated| {
        let (name, keys) = (name.to_vec(), texts(keys));
        ProgramPreview { name, effect, keys, pid, is_outdated }
    };
    vec![
        ("response/previewed/none", previewed(vec![], &[])),
        (
            "response/previewed",
            previewed(
                vec![
                    preview(b"web", ReloadEffect::Changed, &[b"cmd-start", b"cwd"], Some(4711), true),
                    preview(b"game", ReloadEffect::Added, &[], None, false),
                ],
                &[b"f:1:2: warning: a"],
            ),
        ),
        (
            "response/previewed/effects",
            previewed(
                vec![
                    preview(b"a", ReloadEffect::Unchanged, &[], Some(1), true),
                    preview(b"b", ReloadEffect::Changed, &[b"uid-\xff"], None, false),
                    preview(b"c", ReloadEffect::Removed, &[], Some(u32::MAX), true),
                    preview(b"d", ReloadEffect::Removed, &[], None, false),
                    preview(b"e", ReloadEffect::Other(b"moon".to_vec()), &[b""], None, false),
                ],
                &[b"", b"\x1b"],
            ),
        ),
    ]
}

fn permissions() -> Vec<(&'static str, Frame)> {
    let permissions = |permissions| Frame::new(Message::Response(Response::Permissions(permissions)));
    let permission =
        |program: &[u8], actions: &[&[u8]]| Permission { program: program.to_vec(), actions: texts(actions) };
    vec![
        ("response/permissions/none", permissions(vec![])),
        (
            "response/permissions",
            permissions(vec![
                permission(b"web", &[b"start", b"stop", b"backup"]),
                permission(b"game", &[b"status"]),
            ]),
        ),
        (
            "response/permissions/odd-bytes",
            permissions(vec![permission(b"\xff", &[b"a\nb"]), permission(b"", &[b""])]),
        ),
    ]
}
