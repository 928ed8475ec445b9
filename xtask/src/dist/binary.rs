//! The executables, built so that nothing in them tells where they were built.
//!
//! How a release is optimised is said in `Cargo.toml`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crate::dist::release::Release;
use crate::dist::tools::{because, cargo, run, show, tool};
use crate::stage::{Linking, STATIC};

/// Builds both executables of a release, side by side since the longest step of either uses one processor, and returns
/// where they are.
pub(super) fn build_both(release: &Release) -> Result<(PathBuf, PathBuf), String> {
    thread::scope(|scope| {
        let other = scope.spawn(|| build(release, Linking::Static));
        let dynamic = build(release, Linking::Dynamic)?;
        Ok((dynamic, other.join().expect("it does not panic")?))
    })
}

fn build(release: &Release, linking: Linking) -> Result<PathBuf, String> {
    // Folders of their own, for cargo has one build at a time in each.
    let folder = release.build.join(format!("{linking:?}").to_lowercase());
    let mut flags = flags(release)?;
    if linking == Linking::Static {
        flags.push("\x1f");
        flags.push(STATIC);
    }
    show(
        cargo()
            .current_dir(&release.root)
            .args(["build", "--quiet", "--locked", "--release", "--package", "procmgr", "--bin", "procmgr"])
            // Named, so that the flags are not those of what only runs while it is built.
            .args(["--target", release.machine.rust])
            .arg("--target-dir")
            .arg(&folder)
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .env("PROCMGR_BUILD_VERSION", &release.version)
            .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
            .env_remove("RUSTFLAGS")
            // Packages have the constants that are documented, whatever the builder's environment.
            .env_remove("PROCMGR_DEFAULT_CONFFILE")
            .env_remove("PROCMGR_DEFAULT_SOCKET")
            .env_remove("PROCMGR_ACTION_SHELL")
            .env_remove("PROCMGR_ACTION_PATH"),
    )?;
    let binary = folder.join(release.machine.rust).join("release/procmgr");
    if linking == Linking::Static {
        let bytes = fs::read(&binary).map_err(because("look at the executable"))?;
        if asks_name_services(&bytes) {
            return Err("dist: the static executable would load libraries, to look users up".to_owned());
        }
    }
    Ok(binary)
}

/// Returns whether the part of the C library is linked that asks whatever is named in a file of its own, by libraries
/// that it loads. Few linkers tell.
fn asks_name_services(binary: &[u8]) -> bool {
    let file = b"/etc/nsswitch.conf";
    binary.windows(file.len()).any(|window| window == file)
}

/// Returns the compiler's flags, as cargo wants them: names of folders are replaced by ones that are the same
/// everywhere.
fn flags(release: &Release) -> Result<OsString, String> {
    let mut flags = OsString::new();
    for (folder, name) in folders(release)? {
        if !flags.is_empty() {
            flags.push("\x1f");
        }
        flags.push("--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    Ok(flags)
}

/// Returns the folders that sources come from, the most general first, for the last one that fits counts.
fn folders(release: &Release) -> Result<Vec<(PathBuf, &'static str)>, String> {
    let mut folders = vec![(release.root.clone(), "/usr/src/procmgr")];
    folders.push((release.root.join(VENDORED), CRATES));
    let registries = cargo_home().join("registry/src");
    if registries.is_dir() {
        let cannot = because("look at the sources of crates");
        for entry in fs::read_dir(registries).map_err(&cannot)? {
            folders.push((entry.map_err(&cannot)?.path(), CRATES));
        }
    }
    folders.sort();
    let sysroot = run(tool("rustc").current_dir(&release.root).args(["--print", "sysroot"]))?;
    folders.push((Path::new(sysroot.trim_end()).join("lib/rustlib/src/rust"), "/usr/src/rust"));
    Ok(folders)
}

fn cargo_home() -> PathBuf {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.unwrap_or_else(|| env::home_dir().unwrap_or_default().join(".cargo"))
}

/// The folder of the repository that `cargo vendor` fills.
pub(super) const VENDORED: &str = "vendor";

const CRATES: &str = "/usr/src/crates";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_that_would_load_libraries_is_known_by_what_it_reads() {
        assert!(asks_name_services(b"\x7fELF\0/etc/nsswitch.conf\0"));
        assert!(!asks_name_services(b"\x7fELF\0/etc/passwd\0/etc/nsswitch\0"));
    }
}
