//! The table as it appears, at widths that terminals have.

use procmgr_proto::details::{PastExit, ProgramDetails};
use procmgr_proto::event::{ProgramStatus, State};
use procmgr_proto::message::ExitStatus;

use super::table;
use crate::reader::{Reader, Terminal};
use crate::text::width;

/// 2026-11-23T20:05:01Z, in milliseconds.
const NOW: u64 = 1_795_464_301_000;

fn program(name: &str, state: State, pid: Option<u32>, marks: &[&str]) -> ProgramDetails {
    let marks = marks.iter().map(|mark| mark.as_bytes().to_vec()).collect();
    let program = ProgramStatus { name: name.into(), state, pid, marks };
    ProgramDetails { program, since: pid.map(|_| NOW), restarts: 0, last_exit: None, next_start: None }
}

/// A program of each kind, and names that are long, wide and hostile.
fn programs() -> Vec<ProgramDetails> {
    let exit = |status| Some(PastExit { status, time: NOW - 60_500 });
    let web = ProgramDetails {
        restarts: 12,
        last_exit: exit(ExitStatus::Signal(11)),
        ..program("web", State::Running, Some(4711), &["outdated"])
    };
    let worker = ProgramDetails {
        restarts: 3,
        last_exit: exit(ExitStatus::Code(1)),
        next_start: Some(NOW + 8_000),
        ..program("a rather long name", State::BackOff, None, &[])
    };
    let given_up = ProgramDetails {
        last_exit: exit(ExitStatus::Unknown),
        ..program("猫\u{1b}[2J", State::Down, None, &["failed"])
    };
    vec![web, worker, given_up]
}

fn at(columns: Option<usize>, programs: &[ProgramDetails]) -> String {
    let reader = Reader::Person(Terminal { columns, has_colours: false });
    String::from_utf8(table(programs, reader)).unwrap()
}

#[test]
fn without_a_known_width_all_is_shown() {
    let expected = "\
NAME                STATE              PID  SINCE                 RESTARTS  LAST EXIT                       NEXT START
web                 running outdated  4711  2026-11-23T20:05:01Z        12  signal 11 2026-11-23T20:04:00Z  -
a rather long name  back-off             -  -                            3  status 1 2026-11-23T20:04:00Z   2026-11-23T20:05:09Z
猫\\u{1b}[2J         down failed          -  -                            0  unknown 2026-11-23T20:04:00Z    -
";
    assert_eq!(at(None, &programs()), expected);
    assert_eq!(at(Some(500), &programs()), expected);
}

#[test]
fn at_80_columns_what_is_of_least_worth_is_left_out() {
    let expected = "\
NAME                STATE              PID  SINCE                 LAST EXIT
web                 running outdated  4711  2026-11-23T20:05:01Z  signal 11
a rather long name  back-off             -  -                     status 1
猫\\u{1b}[2J         down failed          -  -                     unknown
";
    assert_eq!(at(Some(80), &programs()), expected);
}

#[test]
fn what_has_nothing_to_say_makes_room_for_what_has() {
    let expected = "\
NAME  STATE              PID  SINCE                 RESTARTS  LAST EXIT
web   running outdated  4711  2026-11-23T20:05:01Z        12  signal 11
";
    assert_eq!(at(Some(80), &programs()[..1]), expected);
}

#[test]
fn at_40_columns_there_is_room_for_names_and_states() {
    let expected = "\
NAME                STATE
web                 running outdated
a rather long name  back-off
猫\\u{1b}[2J         down failed
";
    assert_eq!(at(Some(40), &programs()), expected);
    let expected = "\
NAME  STATE              PID  LAST EXIT
web   running outdated  4711  signal 11
";
    assert_eq!(at(Some(40), &programs()[..1]), expected);
}

#[test]
fn at_20_columns_names_and_states_are_cut() {
    let expected = "\
NAME        STATE
web         running~
a rather ~  back-off
猫\\u{1b}[~  down fa~
";
    assert_eq!(at(Some(20), &programs()), expected);
}

#[test]
fn at_8_columns_there_are_names() {
    assert_eq!(at(Some(8), &programs()), "NAME\nweb\na rat~\n猫\\u{~\n");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let programs = programs();
    for count in 0..=programs.len() {
        for columns in 1..200 {
            let table = at(Some(columns), &programs[..count]);
            assert_eq!(table.lines().count(), count + 1, "{columns} columns:\n{table}");
            for line in table.lines() {
                assert!(width(line.as_bytes()) <= columns, "{columns} columns:\n{table}");
            }
        }
    }
}

#[test]
fn a_terminal_with_colours_is_shown_the_state_in_one_of_its_own() {
    let terminal = Terminal { columns: Some(40), has_colours: true };
    let programs = [
        program("a", State::Running, Some(1), &[]),
        program("b", State::BackOff, None, &[]),
        program("c", State::Down, None, &["failed"]),
        program("d", State::Down, None, &[]),
    ];
    let expected = "\
\u{1b}[1mNAME\u{1b}[0m  \u{1b}[1mSTATE\u{1b}[0m        \u{1b}[1mPID\u{1b}[0m
a     \u{1b}[32mrunning\u{1b}[0m        1
b     \u{1b}[33mback-off\u{1b}[0m       -
c     \u{1b}[31mdown failed\u{1b}[0m    -
d     down           -
";
    assert_eq!(String::from_utf8(table(&programs, Reader::Person(terminal))).unwrap(), expected);
}

#[test]
fn a_script_is_shown_all_with_names_as_they_are() {
    let names = [program("a\u{7}", State::Other(b"mad\x1b".to_vec()), None, &[])];
    let expected = "\
NAME  STATE  PID  SINCE  RESTARTS  LAST EXIT  NEXT START
a\u{7}    mad\u{1b}     -  -             0  -          -
";
    assert_eq!(table(&names, Reader::Script), expected.as_bytes());
    let escaped = "\
NAME    STATE      PID  SINCE  RESTARTS  LAST EXIT  NEXT START
a\\u{7}  mad\\u{1b}    -  -             0  -          -
";
    assert_eq!(at(None, &names), escaped);
}

#[test]
fn without_programs_there_is_a_header() {
    assert_eq!(at(Some(80), &[]), "NAME  STATE  PID  SINCE  RESTARTS  LAST EXIT  NEXT START\n");
    assert_eq!(at(Some(1), &[]), "~\n");
}
