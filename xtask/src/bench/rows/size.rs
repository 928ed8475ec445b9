//! The size of the executable.

use std::fs;
use std::path::Path;

use crate::bench::arena::Arena;
use crate::bench::figure::{Figure, Goal, Unit};
use crate::bench::floor::trivial::{self, Deed};
use crate::bench::samples::Samples;
use crate::stage::Linking;

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let outcome = arena.contest_of_subjects(
        1,
        |subject| Ok(subject.clone()),
        |subject| Ok([size(&subject.executable)?]),
    )?;
    let mut figures = vec![outcome.figure(0, "executable", Unit::Bytes).with_goal(Goal::AtMost(1.2e6))];
    let bare = size(&trivial::compile(arena, Deed::Nothing, Linking::Dynamic)?)?;
    figures.push(Figure::new("a program in Rust that does nothing", Unit::Bytes, Samples::from_iter([bare])));
    if let Some(executable) = arena.static_build()? {
        let size = Samples::from_iter([size(&executable)?]);
        figures.push(Figure::new("executable, static build", Unit::Bytes, size));
    }
    Ok(figures)
}

#[expect(clippy::cast_precision_loss, reason = "no executable has so many bytes")]
fn size(path: &Path) -> Result<f64, String> {
    fs::metadata(path)
        .map(|file| file.len() as f64)
        .map_err(|error| format!("cannot look at {}: {error}", path.display()))
}
