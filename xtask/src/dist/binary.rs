//! The executable, built so that nothing in it tells where it was built.
//!
//! How a release is optimised is said in `Cargo.toml`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dist::release::Release;
use crate::dist::tools::{because, cargo, run, show, tool};

/// Builds the executable of a release and returns where it is.
pub(super) fn build(release: &Release) -> Result<PathBuf, String> {
    show(
        cargo()
            .current_dir(&release.root)
            .args(["build", "--quiet", "--locked", "--release", "--package", "procmgr", "--bin", "procmgr"])
            .arg("--target-dir")
            .arg(&release.build)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(release)?)
            .env("PROCMGR_BUILD_VERSION", &release.version)
            .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
            .env_remove("RUSTFLAGS")
            // Packages have the constants that are documented, whatever the builder's environment.
            .env_remove("PROCMGR_DEFAULT_CONFFILE")
            .env_remove("PROCMGR_DEFAULT_SOCKET")
            .env_remove("PROCMGR_ACTION_SHELL")
            .env_remove("PROCMGR_ACTION_PATH"),
    )?;
    Ok(release.build.join("release/procmgr"))
}

/// Returns the compiler's flags, as cargo wants them: names of folders are replaced by ones that are the same everywhere.
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
