//! What a release is: its version, its date, the machine that it is for, and where its packages come to be.
//!
//! What is in it is not known here.

use std::env;
use std::path::{Path, PathBuf};

use crate::dist::tools::{because, run, tool};

/// A release.
#[derive(Clone, Debug)]
pub(super) struct Release {
    /// The repository.
    pub(super) root: PathBuf,
    /// Where the packages go.
    pub(super) folder: PathBuf,
    /// Where cargo builds, apart from other builds, since its flags are others.
    pub(super) build: PathBuf,
    pub(super) version: String,
    /// When its sources were last changed, in seconds since 1970: the date of all that is packed.
    pub(super) epoch: u64,
    pub(super) maintainer: String,
    pub(super) machine: Machine,
}

/// The kind of machine, by the names that the kinds of package have for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// The target of the compiler.
    pub(super) rust: &'static str,
    pub(super) deb: &'static str,
    pub(super) rpm: &'static str,
}

impl Release {
    /// Returns what would be released of this repository as it is.
    pub(super) fn of_this_repository() -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let root = root.canonicalize().map_err(because("find the repository"))?;
        let folder = target(&root).join("dist");
        Ok(Self {
            build: folder.join("build"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: epoch(&root)?,
            maintainer: env::var("PROCMGR_MAINTAINER").unwrap_or_else(|_| MAINTAINER.to_owned()),
            machine: machine(env::consts::ARCH)?,
            folder,
            root,
        })
    }

    /// Returns a release that could have come before this one, of the same sources, with its packages in a folder
    /// below.
    pub(super) fn former(&self) -> Self {
        // To Debian and to RPM, a tilde is what comes before.
        let version = format!("{}~former", self.version);
        Self { folder: self.folder.join("former"), version, ..self.clone() }
    }

    /// Creates a release that exists in a test only, with its packages in that folder.
    #[cfg(test)]
    pub(super) fn of_a_test(folder: &Path) -> Self {
        Self {
            root: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
            folder: folder.to_owned(),
            build: folder.join("build"),
            version: "1.2.3".to_owned(),
            epoch: 86_400,
            maintainer: MAINTAINER.to_owned(),
            machine: MACHINES[0].1,
        }
    }

    /// Returns the date in the words of a `date` format.
    pub(super) fn date(&self, format: &str) -> Result<String, String> {
        let printed = run(tool("date").arg("--utc").arg(format!("--date=@{}", self.epoch)).arg(format))?;
        Ok(printed.trim_end().to_owned())
    }

    /// Returns the text of a file of the repository, with this release in the place of what stands between @ signs.
    pub(super) fn fill(&self, path: &str, values: &[(&str, &str)]) -> Result<String, String> {
        let text = std::fs::read_to_string(self.root.join(path)).map_err(because(format!("read {path}")))?;
        let own = [("@VERSION@", self.version.as_str()), ("@MAINTAINER@", self.maintainer.as_str())];
        let values = own.iter().chain(values);
        Ok(values.fold(text, |text, (name, value)| text.replace(name, value)))
    }
}

/// Returns where cargo builds.
fn target(root: &Path) -> PathBuf {
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let absolute = named.and_then(|named| std::path::absolute(named).ok());
    absolute.unwrap_or_else(|| root.join("target"))
}

/// Returns when the sources were last changed: by whoever says so, or else Git.
fn epoch(root: &Path) -> Result<u64, String> {
    let told = match env::var("SOURCE_DATE_EPOCH") {
        Ok(told) => told,
        Err(_) => {
            run(tool("git").arg("-C").arg(root).args(["log", "-1", "--format=%ct"])).map_err(|error| {
                format!("{error}dist: outside of Git, SOURCE_DATE_EPOCH has to tell the date")
            })?
        }
    };
    let told = told.trim();
    told.parse().map_err(|error| format!("dist: {told:?} is no date in seconds since 1970: {error}"))
}

fn machine(architecture: &str) -> Result<Machine, String> {
    let known = MACHINES.iter().find(|(name, _)| *name == architecture);
    known.map(|(_, machine)| *machine).ok_or_else(|| {
        format!("dist: {architecture} has no row in the table of machines, xtask/src/dist/release.rs")
    })
}

/// By the names that Rust has for them.
const MACHINES: [(&str, Machine); 4] = [
    ("x86_64", Machine { rust: "x86_64-unknown-linux-gnu", deb: "amd64", rpm: "x86_64" }),
    ("aarch64", Machine { rust: "aarch64-unknown-linux-gnu", deb: "arm64", rpm: "aarch64" }),
    ("riscv64", Machine { rust: "riscv64gc-unknown-linux-gnu", deb: "riscv64", rpm: "riscv64" }),
    ("powerpc64", Machine { rust: "powerpc64-unknown-linux-gnu", deb: "ppc64", rpm: "ppc64" }),
];

/// Who packages are from, unless `PROCMGR_MAINTAINER` says otherwise; nobody reads mail there.
const MAINTAINER: &str = "The procmgr authors <procmgr@users.noreply.github.com>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_former_release_is_a_lower_version_in_a_folder_of_its_own() {
        let release = Release::of_a_test(Path::new("/nowhere"));
        let former = release.former();
        assert!(former.version.starts_with(&format!("{}~", release.version)));
        assert_eq!((former.epoch, former.build), (release.epoch, release.build));
        assert_ne!(former.folder, release.folder);
    }

    #[test]
    fn a_machine_that_nobody_has_packed_for_is_told() {
        assert!(machine("pdp11").unwrap_err().contains("pdp11"));
    }
}
