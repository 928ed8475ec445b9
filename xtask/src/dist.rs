//! `cargo xtask dist`: packages for distributions, byte for byte the same wherever they are made.
//!
//! Here is the order of the work. What is in a package is said by `content`, what each kind of package makes of it by
//! the room of its name; what the package scripts do is in `packaging/`.

mod again;
mod binary;
mod content;
mod deb;
mod inventory;
mod library;
mod licence;
mod release;
mod rpm;
mod tarball;
mod tools;
mod tree;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};

use crate::dist::inventory::Inventory;
use crate::dist::library::Library;
use crate::dist::release::Release;
use crate::dist::tools::{because, run as run_tool, tool};
use crate::dist::trial::Former;

/// Makes the packages in `target/dist`, and makes them again and tries them if so told.
///
/// # Errors
/// If something cannot be made, is not the same again, or does not do what it is to do.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let (is_checked, rest) = match options {
        ["--check", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let trial = match rest {
        [] => None,
        ["--test"] => Some(Former::Made),
        ["--test", "--against", folder] => Some(Former::In(folder.into())),
        _ => return Err("usage: cargo xtask dist [--check] [--test [--against FOLDER]]".to_owned()),
    };
    let release = Release::of_this_repository()?;
    for path in make(&release)? {
        println!("{}", path.display());
    }
    if is_checked {
        again::check(&release)?;
    }
    trial.map_or(Ok(()), |former| trial::run(&release, &former))
}

/// Makes the packages of a release, and a list of their checksums. Returns where they are.
fn make(release: &Release) -> Result<Vec<PathBuf>, String> {
    let folder = &release.folder;
    fs::create_dir_all(folder).map_err(because("make a folder for the packages"))?;
    for former in packages_in(folder)? {
        fs::remove_file(former).map_err(because("remove a former package"))?;
    }
    let inventory = Inventory::take(release)?;
    let (binary, static_binary) = binary::build_both(release)?;
    let files_with = |binary: &Path, libraries: &[Library]| {
        content::files(release, binary, inventory.texts(libraries)?, inventory.bill(libraries)?)
    };
    let mut libraries = Library::of_each(inventory.compiler())?;
    let files = files_with(&binary, &libraries)?;
    let mut made = vec![
        tarball::make(release, &files, "")?,
        deb::make(release, &files, &binary, &inventory)?,
        rpm::make(release, &files)?,
    ];
    libraries.push(Library::of_c()?);
    made.push(tarball::make(release, &files_with(&static_binary, &libraries)?, "-static")?);
    made.push(write_sums(folder, &made)?);
    Ok(made)
}

/// Returns what the scripts of all kinds of package begin with.
fn shared(release: &Release) -> Result<String, String> {
    release.fill("packaging/shared.sh", &[])
}

fn write_sums(folder: &Path, packages: &[PathBuf]) -> Result<PathBuf, String> {
    let mut names: Vec<_> = packages.iter().filter_map(|path| path.file_name()).collect();
    names.sort();
    let sums = run_tool(tool("sha256sum").current_dir(folder).arg("--").args(names))?;
    let path = folder.join(SUMS);
    fs::write(&path, sums).map_err(because("write the checksums"))?;
    Ok(path)
}

/// Returns the packages that there are in a folder, and the list of their checksums.
fn packages_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut packages = Vec::new();
    for entry in fs::read_dir(folder).map_err(because("look at the packages"))? {
        let path = entry.map_err(because("look at the packages"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == SUMS || [".deb", ".rpm", ".tar.gz"].iter().any(|ending| name.ends_with(ending)) {
            packages.push(path);
        }
    }
    packages.sort();
    Ok(packages)
}

const SUMS: &str = "SHA256SUMS";
