//! The floor of a whole process: programs that do nothing, or next to nothing.
//!
//! What is measured against them is not known here.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bench::arena::Arena;
use crate::bench::player::READY;
use crate::stage::Linking;

/// The one of the system, which asks for the C library.
pub(in crate::bench) const DYNAMIC: &str = "/bin/true";

/// What a program in Rust does.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) enum Deed {
    Nothing,
    /// Says that it is there, and stays until its standard input ends.
    Wait,
}

/// Compiles a program as procmgr is compiled, and returns its path.
pub(in crate::bench) fn compile(arena: &Arena, deed: Deed, linking: Linking) -> Result<PathBuf, String> {
    let name = arena.new_name();
    let (source, program) = (arena.stage.path(&format!("{name}.rs")), arena.stage.path(&name));
    fs::write(&source, deed.source()).map_err(|error| format!("cannot write a file: {error}"))?;
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "-Copt-level=s", "-Clto=fat", "-Ccodegen-units=1", "-Cpanic=abort"]);
    match linking {
        Linking::Dynamic => {}
        Linking::Static => drop(rustc.arg("-Ctarget-feature=+crt-static")),
    }
    let status = rustc.args(["-Cstrip=symbols", "-o"]).arg(&program).arg(source).status();
    let status = status.map_err(|error| format!("cannot run rustc: {error}"))?;
    if status.success() { Ok(program) } else { Err(format!("cannot compile a program: {deed:?}")) }
}

impl Deed {
    fn source(self) -> String {
        match self {
            Self::Nothing => "fn main() {}\n".to_owned(),
            Self::Wait => format!(
                "use std::io::*;\n\
                 fn main() {{\n\
                 stdout().write_all(b\"{READY}\\n\").unwrap();\n\
                 stdin().read(&mut [0]).unwrap();\n\
                 }}\n"
            ),
        }
    }
}

/// Returns how long it takes to run a process from its birth to its end, which has to be good.
pub(in crate::bench) fn time(command: &mut Command) -> Result<Duration, String> {
    let begin = Instant::now();
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    let time = begin.elapsed();
    if status.success() { Ok(time) } else { Err(format!("{command:?} has ended with {status}")) }
}
