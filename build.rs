//! How the executable is linked: with what unwinds stacks in it, rather than in a library that each start has to find.
//!
//! How it is compiled is said in `Cargo.toml`; the constants of the build are in `src/defaults.rs`.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if is_dynamic_gnu() && has(ARCHIVE) {
        // Ahead of the shared library that `std` asks for, and of which nothing is needed then.
        println!("cargo::rustc-link-lib=gcc_eh");
    }
}

/// Returns whether the target has GNU's C library, as a shared one. With any other the archive is linked anyway, or
/// there is none.
fn is_dynamic_gnu() -> bool {
    let target = |key| env::var(key).unwrap_or_default();
    let is_static = target("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    target("CARGO_CFG_TARGET_ENV") == "gnu" && !is_static
}

/// Returns whether the compiler that links has such a library of its own. What it does not find it calls by its name.
fn has(library: &str) -> bool {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let found = Command::new(linker).arg(format!("-print-file-name={library}")).output();
    found.is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim_end()).is_absolute())
}

/// What a trace of a panic is made with.
const ARCHIVE: &str = "libgcc_eh.a";
