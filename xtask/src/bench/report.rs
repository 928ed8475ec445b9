//! The table that tells the figures, for people and for programs.
//!
//! What the figures are is known in `figure`.

use std::fmt::{self, Display};
use std::fs;

use serde_json::{Value, json};

use crate::bench::arena::Arena;
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::samples::Samples;

/// Rows with their figures.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<(&'static str, Figure)>);

impl Report {
    pub(super) fn add(&mut self, row: &'static str, figures: Vec<Figure>) {
        self.0.extend(figures.into_iter().map(|figure| (row, figure)));
    }

    /// Returns the table.
    pub(super) fn markdown(&self, arena: &Arena) -> String {
        let others: Vec<_> = arena.others().collect();
        let mut lines = vec![
            format!("{} Median (least to most) of {}.", machine(), rounds(arena)),
            String::new(),
            line(["row", "what", "floor", "procmgr", "ratio", "goal", "met"].iter().chain(&others)),
            line(["---"; 7].iter().chain(&vec!["---"; others.len()])),
        ];
        for (row, figure) in &self.0 {
            let cells = [
                (*row).to_owned(),
                figure.what.clone(),
                figure.floor.as_ref().map_or_else(String::new, |floor| shown(floor, figure.unit)),
                shown(&figure.ours, figure.unit),
                figure.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                Wanted(figure).to_string(),
                figure.is_met().map_or("", |is_met| if is_met { "yes" } else { "**no**" }).to_owned(),
            ];
            let others = others.iter().enumerate().map(|(number, _)| {
                let samples = figure.others.get(number).and_then(Option::as_ref);
                samples.map_or_else(|| "–".to_owned(), |samples| shown(samples, figure.unit))
            });
            lines.push(line(cells.into_iter().chain(others)));
        }
        if arena.extent.is_quick {
            lines.extend([String::new(), "These are too few to judge by.".to_owned()]);
        }
        lines.join("\n") + "\n"
    }

    /// Returns the same as JSON.
    pub(super) fn json(&self, arena: &Arena) -> Value {
        let others: Vec<_> = arena.others().collect();
        let figures = self.0.iter().map(|(row, figure)| {
            let beside = others.iter().zip(&figure.others);
            let beside =
                beside.map(|(name, samples)| json!({ "name": name, "is": samples.as_ref().map(numbers) }));
            json!({
                "row": row,
                "what": figure.what,
                "unit": figure.unit.name(),
                "floor": figure.floor.as_ref().map(numbers),
                "procmgr": numbers(&figure.ours),
                "ratio": figure.ratio(),
                "goal": Wanted(figure).to_string(),
                "met": figure.is_met(),
                "others": beside.collect::<Vec<_>>(),
            })
        });
        json!({ "schema": 1, "machine": machine(), "quick": arena.extent.is_quick, "figures": figures.collect::<Vec<_>>() })
    }
}

fn numbers(samples: &Samples) -> Value {
    json!({ "median": samples.median(), "least": samples.minimum(), "most": samples.maximum() })
}

fn line<C: Display>(cells: impl IntoIterator<Item = C>) -> String {
    cells.into_iter().fold("|".to_owned(), |line, cell| format!("{line} {cell} |"))
}

fn shown(samples: &Samples, unit: Unit) -> String {
    let middle = number(samples.median(), unit);
    let (least, most) = (number(samples.minimum(), unit), number(samples.maximum(), unit));
    let range = if least == most { String::new() } else { format!(" ({least} to {most})") };
    format!("{middle} {}{range}", unit.name()).trim_end().to_owned()
}

fn number(number: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond | Unit::Bytes | Unit::Count => format!("{number:.0}"),
        Unit::Micros => format!("{number:.1}"),
        Unit::Millis | Unit::KiB => format!("{number:.2}"),
    }
}

/// The goal in words.
struct Wanted<'a>(&'a Figure);

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.goal {
            Goal::None => Ok(()),
            Goal::AtMost(most) => write!(formatter, "at most {most} {}", self.0.unit.name()),
            Goal::AtMostTimesFloor(most) => write!(formatter, "at most {most} times"),
            Goal::AtLeastTimesFloor(least) => write!(formatter, "at least {least} times"),
        }
    }
}

fn rounds(arena: &Arena) -> String {
    format!("{} rounds, {} where one takes many seconds", arena.extent.rounds, arena.extent.long_rounds)
}

fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{count} processors ({model}), Linux {}.", kernel.trim())
}
