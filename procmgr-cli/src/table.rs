//! The table of `--long`: a line for each program below a header, made to fit into a terminal.
//!
//! What a terminal can show is found out in `reader`.

use procmgr_proto::details::{PastExit, ProgramDetails};
use procmgr_proto::event::{ProgramStatus, State};
use procmgr_proto::message::ExitStatus;

use crate::reader::{Reader, Terminal};
use crate::text::{self, cut, width};
use crate::time::Time;

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Name,
    State,
    Pid,
    Since,
    Restarts,
    /// How and when a process has ended.
    LastExit,
    /// How it has ended.
    LastStatus,
    NextStart,
}

/// What there is to be shown beside names and states.
const ALL: [Subject; 5] =
    [Subject::Pid, Subject::Since, Subject::Restarts, Subject::LastExit, Subject::NextStart];

/// The same in fewer words: a narrow terminal is shown each, in this order, if there is room left for it.
const BY_WORTH: [Subject; 5] =
    [Subject::Pid, Subject::Since, Subject::LastStatus, Subject::Restarts, Subject::NextStart];

/// What stands between two columns.
const GAP: &[u8] = b"  ";

/// The fewest columns of a terminal that are of use to a name, and to a state.
const NAME_AT_LEAST: usize = 6;
const STATE_AT_LEAST: usize = 3;

/// What a cell says that has nothing to say.
const NOTHING: &[u8] = b"-";

/// Returns the table.
pub(crate) fn table(programs: &[ProgramDetails], reader: Reader) -> Vec<u8> {
    let columns = |others: [Subject; 5]| {
        let subjects = [Subject::Name, Subject::State].into_iter().chain(others);
        subjects.map(|subject| Column::new(subject, programs, reader)).collect::<Vec<_>>()
    };
    let terminal = match reader {
        Reader::Nobody | Reader::Script => Terminal { columns: None, has_colours: false },
        Reader::Person(terminal) => terminal,
    };
    let all = columns(ALL);
    let columns = match terminal.columns {
        Some(room) if needed(&all) > room => fitting(columns(BY_WORTH), room),
        Some(_) | None => all,
    };
    let mut lines = Vec::new();
    for row in 0..=programs.len() {
        let cells: Vec<Vec<u8>> =
            columns.iter().map(|column| column.cell(row, terminal.has_colours)).collect();
        lines.extend(cells.join(GAP).trim_ascii_end());
        lines.push(b'\n');
    }
    lines
}

/// Chooses and shortens columns so that a line takes no more room than there is. What has nothing to say goes first.
fn fitting(mut columns: Vec<Column>, room: usize) -> Vec<Column> {
    let others = columns.split_off(2);
    squeeze(&mut columns, room);
    for column in others.into_iter().filter(|column| !column.is_silent()) {
        if needed(&columns) + GAP.len() + column.width <= room {
            columns.push(column);
        }
    }
    columns.sort_by_key(|column| column.subject);
    columns
}

/// Cuts names and states where even they do not fit. States are of use if their first word can be read.
fn squeeze(columns: &mut Vec<Column>, room: usize) {
    let [name, state] = columns.as_mut_slice() else { return };
    let shared = room.saturating_sub(GAP.len());
    state.width = state.width.min(shared.saturating_sub(name.width).max(state.width_of_first_words()));
    name.width = name.width.min(shared.saturating_sub(state.width).max(NAME_AT_LEAST));
    state.width = state.width.min(shared.saturating_sub(name.width));
    if state.width < STATE_AT_LEAST {
        name.width = name.width.min(room);
        columns.truncate(1);
    }
}

/// Returns how many columns of a terminal a line takes.
fn needed(columns: &[Column]) -> usize {
    let gaps = GAP.len() * columns.len().saturating_sub(1);
    columns.iter().map(|column| column.width).sum::<usize>() + gaps
}

/// A column: the title, and a cell for each program.
struct Column {
    subject: Subject,
    cells: Vec<Cell>,
    width: usize,
}

impl Column {
    fn new(subject: Subject, programs: &[ProgramDetails], reader: Reader) -> Self {
        let title = Cell { text: title(subject).into(), paint: Paint::Bold };
        let cells = programs.iter().map(|program| Cell::new(subject, program, reader));
        let cells: Vec<Cell> = std::iter::once(title).chain(cells).collect();
        let width = cells.iter().map(|cell| width(&cell.text)).max().unwrap_or(0);
        Self { subject, cells, width }
    }

    /// Returns the cell of a row, as wide as the column.
    fn cell(&self, row: usize, has_colours: bool) -> Vec<u8> {
        let Some(cell) = self.cells.get(row) else { return Vec::new() };
        let text = cut(&cell.text, self.width);
        let missing = vec![b' '; self.width.saturating_sub(width(&text))];
        let text = if has_colours { cell.paint.on(text) } else { text };
        match self.subject {
            Subject::Pid | Subject::Restarts => [missing, text].concat(),
            Subject::Name
            | Subject::State
            | Subject::Since
            | Subject::LastExit
            | Subject::LastStatus
            | Subject::NextStart => [text, missing].concat(),
        }
    }

    /// Tells whether it has nothing to say about any program.
    fn is_silent(&self) -> bool {
        self.cells.iter().skip(1).all(|cell| cell.text == NOTHING || cell.text == b"0")
    }

    fn width_of_first_words(&self) -> usize {
        let first = |cell: &Cell| cell.text.split(|byte| *byte == b' ').next().map_or(0, width);
        self.cells.iter().map(first).max().unwrap_or(0)
    }
}

fn title(subject: Subject) -> &'static str {
    match subject {
        Subject::Name => "NAME",
        Subject::State => "STATE",
        Subject::Pid => "PID",
        Subject::Since => "SINCE",
        Subject::Restarts => "RESTARTS",
        Subject::LastExit | Subject::LastStatus => "LAST EXIT",
        Subject::NextStart => "NEXT START",
    }
}

struct Cell {
    text: Vec<u8>,
    paint: Paint,
}

impl Cell {
    fn new(subject: Subject, details: &ProgramDetails, reader: Reader) -> Self {
        let ProgramDetails { program, since, restarts, last_exit, next_start } = details;
        let time = |milliseconds: u64| Time::from_milliseconds(milliseconds).to_the_second();
        let or_nothing = |text: Option<String>| text.map_or(NOTHING.to_vec(), String::into_bytes);
        let text = match subject {
            Subject::Name => text::name(&program.name, reader),
            Subject::State => words(program, reader),
            Subject::Pid => or_nothing(program.pid.map(|pid| pid.to_string())),
            Subject::Since => or_nothing(since.map(time)),
            Subject::Restarts => restarts.to_string().into_bytes(),
            Subject::LastExit => {
                or_nothing(last_exit.as_ref().map(|PastExit { status, time: milliseconds }| {
                    format!("{} {}", in_short(*status), time(*milliseconds))
                }))
            }
            Subject::LastStatus => or_nothing(last_exit.map(|PastExit { status, .. }| in_short(status))),
            Subject::NextStart => or_nothing(next_start.map(time)),
        };
        let paint = if subject == Subject::State { Paint::of(program) } else { Paint::None };
        Self { text, paint }
    }
}

fn words(program: &ProgramStatus, reader: Reader) -> Vec<u8> {
    let marks = program.marks.iter().map(Vec::as_slice);
    let words = std::iter::once(program.state.name()).chain(marks);
    words.map(|word| text::name(word, reader)).collect::<Vec<_>>().join(&b' ')
}

fn in_short(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("status {code}"),
        ExitStatus::Signal(signal) => format!("signal {signal}"),
        _ => "unknown".to_owned(),
    }
}

/// How a terminal with colours shows a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paint {
    None,
    Bold,
    Green,
    Yellow,
    Red,
}

impl Paint {
    /// Returns the colour of a state: green is up, yellow is on its way, red is given up.
    fn of(program: &ProgramStatus) -> Self {
        if program.marks.iter().any(|mark| mark == b"failed") {
            return Self::Red;
        }
        match program.state {
            State::Running => Self::Green,
            State::Starting | State::Stopping | State::Restarting | State::BackOff => Self::Yellow,
            _ => Self::None,
        }
    }

    fn on(self, text: Vec<u8>) -> Vec<u8> {
        let code: &[u8] = match self {
            Self::None => return text,
            Self::Bold => b"1",
            Self::Green => b"32",
            Self::Yellow => b"33",
            Self::Red => b"31",
        };
        [b"\x1b[", code, b"m", &text, b"\x1b[0m"].concat()
    }
}

#[cfg(test)]
mod tests;
