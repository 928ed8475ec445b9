//! The floor of a whole process: programs that do nothing.
//!
//! What is measured against them is not known here.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bench::arena::Arena;

/// The one of the system, which asks for the C library.
pub(in crate::bench) const DYNAMIC: &str = "/bin/true";

/// Compiles one that brings the C library along, and returns its path.
pub(in crate::bench) fn compile_static(arena: &Arena) -> Result<PathBuf, String> {
    let (source, program) = (arena.stage.path("true.rs"), arena.stage.path("true"));
    fs::write(&source, "fn main() {}\n").map_err(|error| format!("cannot write a file: {error}"))?;
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["-O", "-Cpanic=abort", "-Cstrip=symbols", "-Ctarget-feature=+crt-static", "-o"]);
    let status = rustc.arg(&program).arg(source).status();
    let status = status.map_err(|error| format!("cannot run rustc: {error}"))?;
    if status.success() { Ok(program) } else { Err("cannot compile a static program".to_owned()) }
}

/// Returns how long it takes to run a process from its birth to its end, which has to be good.
pub(in crate::bench) fn time(command: &mut Command) -> Result<Duration, String> {
    let begin = Instant::now();
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    let time = begin.elapsed();
    if status.success() { Ok(time) } else { Err(format!("{command:?} has ended with {status}")) }
}
