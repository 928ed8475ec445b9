//! `cargo xtask dist --test`: the packages, installed, used, upgraded and removed in systems of their own.
//!
//! What is played there is in `packaging/tests`. Here is where, and what the judges of packages say before.

mod judges;
mod system;

use std::fs;
use std::path::{Path, PathBuf};

use crate::dist::release::Release;
use crate::dist::tools::{is_root, is_unattended};
use crate::dist::trial::system::{Outcome, System};
use crate::dist::{make, packages_in};

/// The packages that are there before those of the release are installed.
pub(super) enum Former {
    /// They are made of the same sources, for there is nothing else here.
    Made,
    /// Somebody has kept those of a release.
    In(PathBuf),
}

/// A play, by the name of its script.
struct Scene {
    name: &'static str,
    place: Place,
    /// How the name of the package ends that it is about.
    package: &'static str,
    /// Packages of the system that it wants beside those that all have.
    guests: &'static [&'static str],
}

enum Place {
    /// A Debian in which nothing was started.
    Debian,
    /// One that systemd has booted.
    BootedDebian,
    /// A system that has no libraries.
    WithoutLibraries,
}

/// Judges the packages of a release, and plays every scene with former ones and these.
///
/// # Errors
/// If a judge complains, if something does not come as it should, or if something is left out where nobody would
/// notice.
pub(super) fn run(release: &Release, former: &Former) -> Result<(), String> {
    let mut skipped = judges::ask(release)?;
    let mut passed = 0;
    if !is_root() {
        skipped.push("only root can install packages into a system of its own".to_owned());
    } else if let Some(reason) = system::obstacle() {
        skipped.push(format!("no container can be started here: {reason}"));
    } else {
        let former = packages_in(&folder_of(former, release)?)?;
        let packages = packages_in(&release.folder)?;
        for scene in SCENES {
            println!("\n==> dist: scene {}", scene.name);
            match play(&scene, release, &former, &packages)? {
                Outcome::Passed => passed += 1,
                Outcome::Skipped(reason) => skipped.push(format!("scene {}: {reason}", scene.name)),
            }
        }
    }
    println!("\n{passed} passed, 0 failed, {} skipped", skipped.len());
    for reason in &skipped {
        println!("skipped: {reason}");
    }
    if is_unattended() && !skipped.is_empty() {
        return Err("dist: nothing may be skipped where CI is true".to_owned());
    }
    Ok(())
}

/// Returns where the former packages are, once they are made.
fn folder_of(former: &Former, release: &Release) -> Result<PathBuf, String> {
    match former {
        Former::Made => {
            let former = release.former();
            make(&former)?;
            Ok(former.folder)
        }
        Former::In(folder) => Ok(folder.clone()),
    }
}

fn play(
    scene: &Scene,
    release: &Release,
    former: &[PathBuf],
    packages: &[PathBuf],
) -> Result<Outcome, String> {
    let Scene { name, place, package, guests } = scene;
    let of_scene = |all: &[PathBuf]| -> Vec<PathBuf> {
        all.iter().filter(|path| path.to_string_lossy().ends_with(package)).cloned().collect()
    };
    let (former, packages) = (of_scene(former), of_scene(packages));
    if former.is_empty() {
        return Ok(Outcome::Skipped(format!("there is no former package that ends with {package}")));
    }
    let system = match place {
        Place::Debian | Place::BootedDebian => System::debian(release)?,
        Place::WithoutLibraries => System::without_libraries(release)?,
    };
    system.invite(release, guests)?;
    system.put("old", &former)?;
    system.put("new", &packages)?;
    system.put("", &scripts(&release.root)?)?;
    match place {
        Place::Debian | Place::WithoutLibraries => system.play(name),
        Place::BootedDebian => system.boot(name),
    }
}

/// Returns the scripts of the scenes, and what they share.
fn scripts(root: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(root.join("packaging/tests"));
    let paths = entries.and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    paths.map_err(|error| format!("dist: cannot look for the scenes: {error}"))
}

const SCENES: [Scene; 6] = [
    Scene { name: "debian", place: Place::Debian, package: ".deb", guests: &[] },
    Scene { name: "rpm", place: Place::Debian, package: ".rpm", guests: &[] },
    Scene { name: "rpm-systemd", place: Place::BootedDebian, package: ".rpm", guests: &[] },
    Scene {
        name: "openrc",
        place: Place::Debian,
        package: "-static.tar.gz",
        guests: &["insserv", "libeinfo1", "librc1", "openrc"],
    },
    Scene { name: "bare", place: Place::WithoutLibraries, package: "-static.tar.gz", guests: &[] },
    Scene { name: "systemd", place: Place::BootedDebian, package: ".deb", guests: &[] },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What is no scene, but shared by scenes.
    const SHARED: [&str; 2] = ["common", "plain"];

    #[test]
    fn every_script_is_a_scene_or_shared_by_some() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut found: Vec<String> = scripts(&root)
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        let mut known: Vec<String> =
            SCENES.iter().map(|scene| scene.name).chain(SHARED).map(|name| format!("{name}.sh")).collect();
        found.sort();
        known.sort();
        assert_eq!(found, known);
    }
}
