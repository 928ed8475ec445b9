//! `cargo xtask dist --test`: the packages, installed, used, upgraded and removed in systems of their own.
//!
//! What is played there is in `packaging/tests`. Here is where, and what the judges of packages say before.

mod judges;
mod system;

use std::fs;
use std::path::PathBuf;

use crate::dist::release::Release;
use crate::dist::tools::is_root;
use crate::dist::trial::system::{Outcome, System};
use crate::dist::{make, packages_in};

/// A play, by the name of its script.
struct Scene {
    name: &'static str,
    /// Whether it wants a real systemd.
    is_booted: bool,
    /// Packages of the system that it wants beside those that all have.
    guests: &'static [&'static str],
}

/// Judges the packages of a release, and plays every scene with them and with those of the next one.
///
/// # Errors
/// If a judge complains, or if something does not come as it should.
pub(super) fn run(release: &Release) -> Result<(), String> {
    judges::ask(release)?;
    if !is_root() {
        println!("skipped: only root can install packages into a system of its own");
        return Ok(());
    }
    if let Some(reason) = system::obstacle() {
        println!("skipped: no container can be started here: {reason}");
        return Ok(());
    }
    let next = release.next();
    make(&next)?;
    let (mut passed, mut skipped) = (0, 0);
    for Scene { name, is_booted, guests } in SCENES {
        println!("\n==> dist: scene {name}");
        let system = System::build(release)?;
        system.invite(release, guests)?;
        system.put("old", &packages_in(&release.folder)?)?;
        system.put("new", &packages_in(&next.folder)?)?;
        system.put("", &scripts(release)?)?;
        match if is_booted { system.boot(name)? } else { system.play(name)? } {
            Outcome::Passed => passed += 1,
            Outcome::Skipped(reason) => {
                println!("skipped: no systemd can be booted here: {reason}");
                skipped += 1;
            }
        }
    }
    println!("\n{passed} passed, 0 failed, {skipped} skipped");
    Ok(())
}

fn scripts(release: &Release) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(release.root.join("packaging/tests"));
    let paths = entries.and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    paths.map_err(|error| format!("dist: cannot look for the scenes: {error}"))
}

const SCENES: [Scene; 4] = [
    Scene { name: "debian", is_booted: false, guests: &[] },
    Scene { name: "rpm", is_booted: false, guests: &[] },
    Scene { name: "openrc", is_booted: false, guests: &["insserv", "libeinfo1", "librc1", "openrc"] },
    Scene { name: "systemd", is_booted: true, guests: &[] },
];
