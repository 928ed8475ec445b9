//! The packages once more: in another folder, from the sources of all crates, without network; and whether they are
//! the same.
//!
//! How packages are made is not known here.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::dist::release::Release;
use crate::dist::tools::{because, cargo, is_root, run, show, tool};
use crate::dist::{SUMS, binary, packages_in};

/// Makes the packages of a release again, and compares them with those that there are.
///
/// # Errors
/// If a package is another one.
pub(super) fn check(release: &Release) -> Result<(), String> {
    let folder = release.folder.join("again");
    let source = folder.join("another place for the sources");
    if source.exists() {
        fs::remove_dir_all(&source).map_err(because("remove former sources"))?;
    }
    copy(release, &source)?;
    vendor(&source)?;
    let home = folder.join("no-crates");
    fs::create_dir_all(&home).map_err(because("make a folder"))?;
    // Root can see to it that there is no network. Others have cargo's word for it that it does not use one.
    let mut make = if is_root() { tool("unshare") } else { tool("env") };
    if is_root() {
        make.arg("--net");
    }
    show(
        make.arg(cargo().get_program())
            .current_dir(&source)
            .args(["run", "--quiet", "--frozen", "--package", "xtask", "--", "dist"])
            .env("CARGO_HOME", &home)
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", folder.join("target"))
            .env("SOURCE_DATE_EPOCH", release.epoch.to_string()),
    )?;
    compare(&release.folder, &folder.join("target/dist"))
}

/// Copies the files that Git has, or would be given, as they are now.
fn copy(release: &Release, target: &Path) -> Result<(), String> {
    let options = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let list = run(tool("git").arg("-C").arg(&release.root).args(options))?;
    let cannot = because("copy the sources");
    for path in list.split_terminator('\0').filter(|path| release.root.join(path).exists()) {
        let copy = target.join(path);
        fs::create_dir_all(copy.parent().unwrap_or(target)).map_err(&cannot)?;
        fs::copy(release.root.join(path), copy).map_err(&cannot)?;
    }
    Ok(())
}

/// Puts the sources of all crates beside ours, and has cargo look there.
fn vendor(source: &Path) -> Result<(), String> {
    let options = ["vendor", "--locked", "--versioned-dirs", binary::VENDORED];
    let settings = run(cargo().current_dir(source).args(options))?;
    let mut config = OpenOptions::new()
        .append(true)
        .open(source.join(".cargo/config.toml"))
        .map_err(because("set cargo up"))?;
    write!(config, "\n{settings}").map_err(because("set cargo up"))
}

fn compare(here: &Path, there: &Path) -> Result<(), String> {
    let (ours, others) = (packages_in(here)?, packages_in(there)?);
    let names = |paths: &[std::path::PathBuf]| -> Vec<String> {
        paths.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
    };
    if names(&ours) != names(&others) {
        return Err(format!("dist: made {:?} here, and {:?} there", names(&ours), names(&others)));
    }
    let read = |path: &Path| fs::read(path).map_err(because("compare the packages"));
    let mut differences = Vec::new();
    for (ours, other) in ours.iter().zip(&others) {
        if read(ours)? != read(other)? {
            differences.push(format!("{} is not {}", ours.display(), other.display()));
        }
    }
    if differences.is_empty() {
        println!(
            "dist: {} packages and {SUMS} are the same, made elsewhere and without network",
            ours.len() - 1
        );
        Ok(())
    } else {
        Err(format!("dist: {}", differences.join("\ndist: ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_another_one_is_told() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [here, there] = folders.each_ref().map(tempfile::TempDir::path);
        for folder in [here, there] {
            fs::write(folder.join(SUMS), "").unwrap();
            fs::write(folder.join("a.deb"), "same").unwrap();
        }
        compare(here, there).unwrap();
        fs::write(there.join("a.deb"), "other").unwrap();
        assert!(compare(here, there).unwrap_err().contains("a.deb is not"));
        fs::remove_file(there.join("a.deb")).unwrap();
        assert!(compare(here, there).is_err());
    }
}
