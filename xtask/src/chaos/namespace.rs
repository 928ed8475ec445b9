//! A world of its own for the play, in which PIDs are so few that they come again within a second.
//!
//! What is played there is not known here.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use rustix::process::{WaitOptions, wait};

/// Returns a command that runs this executable in the folder as the first process of a world of its own, or, if that
/// cannot be had, why not. Whatever lives there ends with the first process.
pub(super) fn enter(executable: &Path, folder: &Path, is_root: bool) -> Result<Command, String> {
    if !is_root {
        return Err("only root can make a PID namespace".to_owned());
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).current_dir(folder);
    let mut trial = Command::new("unshare");
    trial.args(["--pid", "--fork", "--kill-child", "--mount-proc", "/bin/true"]);
    match trial.output() {
        Ok(output) if output.status.success() => {
            command.arg(executable);
            Ok(command)
        }
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("cannot run unshare: {error}")),
    }
}

/// Makes PIDs few, as the first process of a world of its own. Returns whether they are.
pub(super) fn make_pids_few() -> bool {
    has_limit_of_its_own() && fs::write(LIMIT, FEW).is_ok()
}

/// Runs a command as the first process of a world, which every orphan is left to, and returns its exit status.
pub(super) fn look_after(command: &mut Command) -> io::Result<i32> {
    let child = command.spawn()?;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get().cast_unsigned() == child.id() => {
                return Ok(status.exit_status().unwrap_or(1));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Returns whether each PID namespace has a limit of its own, as since Linux 6.14. Before, it is that of the machine.
fn has_limit_of_its_own() -> bool {
    fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|release| is_at_least(&release, (6, 14)))
}

fn is_at_least(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release.split(|it: char| !it.is_ascii_digit()).map(|number| number.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= version,
        _ => false,
    }
}

const LIMIT: &str = "/proc/sys/kernel/pid_max";

/// Those below 300 are given to nobody a second time.
const FEW: &str = "600";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_compared_by_its_numbers() {
        for release in ["6.14.0\n", "6.18.44-fc", "7.0-rc1", "10.2"] {
            assert!(is_at_least(release, (6, 14)), "{release}");
        }
        for release in ["6.13.9", "5.15.0-generic", "6", "", "x.y"] {
            assert!(!is_at_least(release, (6, 14)), "{release}");
        }
    }
}
