//! Running other programs, and saying which one is missing.
//!
//! What they are run for is not known here.

use std::env;
use std::fmt::Display;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// Programs that a bare system may lack, and the Debian packages that bring them.
const BROUGHT_BY: [(&str, &str); 9] = [
    ("debootstrap", "debootstrap"),
    ("dpkg-deb", "dpkg"),
    ("dpkg-shlibdeps", "dpkg-dev"),
    ("lintian", "lintian"),
    ("rpm", "rpm"),
    ("rpmbuild", "rpm"),
    ("rpmlint", "rpmlint"),
    ("shellcheck", "shellcheck"),
    ("systemd-nspawn", "systemd-container"),
];

/// Returns a command that speaks no language but its own.
pub(super) fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// Returns the cargo that runs this task.
pub(super) fn cargo() -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end and returns what it prints.
///
/// # Errors
/// If it cannot be run, or if it fails; then with what it has printed on both ways.
pub(super) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| cannot_run(command, &error))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("dist: {} has failed, {}\n{printed}{complaint}", name(command), output.status))
}

/// Runs a command to its end and shows what it prints.
///
/// # Errors
/// If it cannot be run, or if it fails.
pub(super) fn show(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| cannot_run(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("dist: {} has failed, {status}", name(command))) }
}

/// Returns whether there is such a program.
pub(super) fn is_there(name: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(name).is_file())
}

/// Returns whether root runs this.
pub(super) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Returns whether this is a run that nobody watches, so that what it leaves out has to be a failure.
pub(super) fn is_unattended() -> bool {
    env::var_os("CI").is_some_and(|it| it == "true")
}

/// Says what could not be done.
pub(super) fn because<E: Display>(what: impl Display) -> impl Fn(E) -> String {
    move |error| format!("dist: cannot {what}: {error}")
}

fn cannot_run(command: &Command, error: &io::Error) -> String {
    let name = name(command);
    let package = BROUGHT_BY.iter().find(|(tool, _)| *tool == name).map(|(_, package)| package);
    match (error.kind(), package) {
        (io::ErrorKind::NotFound, Some(package)) => {
            format!("dist: {name} is missing; on Debian, the package {package} brings it")
        }
        _ => format!("dist: cannot run {name}: {error}"),
    }
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_missing_is_told_with_the_package_that_brings_it() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let told = cannot_run(&tool("rpmbuild"), &missing);
        assert_eq!(told, "dist: rpmbuild is missing; on Debian, the package rpm brings it");
    }

    #[test]
    fn a_command_that_fails_is_told_with_what_it_has_printed() {
        let told = run(tool("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap_err();
        assert!(told.contains("exit status: 3\nout\nerr"), "{told}");
    }
}
