//! The package for Debian, and for what comes from it.
//!
//! What happens when it is installed, upgraded or removed is said by the scripts in `packaging/debian`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dist::content::{Kind, Packed, of_kind};
use crate::dist::release::Release;
use crate::dist::tools::{because, run, tool};
use crate::dist::tree::Tree;
use crate::dist::{inventory::Inventory, licence, shared};

/// Makes the package and returns where it is.
pub(super) fn make(
    release: &Release,
    files: &[Packed],
    binary: &Path,
    inventory: &Inventory,
) -> Result<PathBuf, String> {
    let tree = Tree::new(release, "deb")?;
    let own = [
        Packed::text("usr/share/doc/procmgr/copyright", copyright(release, inventory)?),
        Packed::text("usr/share/doc/procmgr/changelog.Debian", changelog(release)?).compressed(),
        Packed::text(
            "usr/share/lintian/overrides/procmgr",
            release.fill("packaging/debian/lintian-overrides", &[])?,
        ),
    ];
    let mut size = 0;
    for packed in of_kind(files, Kind::Deb).chain(&own) {
        size += tree.put(packed)?.div_ceil(1024);
    }
    let sums = sums(&tree)?;
    for control in control(release, files, &depends(release, binary)?, size)? {
        tree.put(&control)?;
    }
    tree.put(&Packed::text("DEBIAN/md5sums", sums))?;
    tree.settle()?;
    let package = release.folder.join(format!("procmgr_{}_{}.deb", version(release), release.machine.deb));
    run(tool("dpkg-deb")
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        // More threads would cut the archive into other pieces.
        .args(["--root-owner-group", "-Zxz", "--threads-max=1", "--build"])
        .arg(&tree.folder)
        .arg(&package))?;
    Ok(package)
}

/// Returns the files that tell the package manager what to do.
fn control(release: &Release, files: &[Packed], depends: &str, size: u64) -> Result<Vec<Packed>, String> {
    let (version, size) = (version(release), size.to_string());
    let values = [
        ("@ARCHITECTURE@", release.machine.deb),
        ("@DEPENDS@", depends),
        ("@SIZE@", size.as_str()),
        ("@REVISION@", version.as_str()),
    ];
    let kept = of_kind(files, Kind::Deb).filter(|packed| packed.is_configuration);
    let mut kept: Vec<_> = kept.map(|packed| ["/", &packed.path, "\n"].concat()).collect();
    kept.sort();
    let mut control = vec![
        Packed::text("DEBIAN/control", release.fill("packaging/debian/control", &values)?),
        Packed::text("DEBIAN/conffiles", kept.concat()),
    ];
    let shared = shared(release)?;
    for script in ["postinst", "prerm", "postrm"] {
        let path = format!("packaging/debian/{script}");
        let text = release.fill(&path, &[("# @SHARED@\n", shared.as_str())])?;
        control.push(Packed::text(&format!("DEBIAN/{script}"), text).executable());
    }
    Ok(control)
}

/// Returns the version with the number of its packaging.
fn version(release: &Release) -> String {
    format!("{}-1", release.version)
}

/// Asks Debian's tools which packages bring the libraries of the executable. Beside those, its scripts need what they
/// name.
fn depends(release: &Release, binary: &Path) -> Result<String, String> {
    let folder = release.folder.join("trees/shlibs");
    fs::create_dir_all(folder.join("debian")).map_err(because("make a folder for dpkg-shlibdeps"))?;
    let stub = "Source: procmgr\n\nPackage: procmgr\nArchitecture: any\n";
    fs::write(folder.join("debian/control"), stub).map_err(because("write for dpkg-shlibdeps"))?;
    let printed = run(tool("dpkg-shlibdeps").current_dir(&folder).arg("-O").arg("-e").arg(binary))?;
    let libraries = printed.trim().strip_prefix("shlibs:Depends=");
    let libraries = libraries.ok_or_else(|| format!("dist: dpkg-shlibdeps has told {printed:?}"))?;
    Ok(format!("{libraries}, {SCRIPTS_NEED}"))
}

/// Returns a checksum of each file that is installed.
fn sums(tree: &Tree) -> Result<String, String> {
    let mut files = Vec::new();
    collect(&tree.folder, &mut files)?;
    files.sort();
    let relative = files.iter().filter_map(|file| file.strip_prefix(&tree.folder).ok());
    run(tool("md5sum").current_dir(&tree.folder).arg("--").args(relative))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let cannot = because("look at what is packed");
    for entry in fs::read_dir(folder).map_err(&cannot)? {
        let path = entry.map_err(&cannot)?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

fn changelog(release: &Release) -> Result<String, String> {
    let date = release.date("+%a, %d %b %Y %H:%M:%S +0000")?;
    Ok(format!(
        "procmgr ({}) unstable; urgency=medium\n\n  * What is new stands in changelog.gz.\n\n -- {}  {date}\n",
        version(release),
        release.maintainer
    ))
}

/// Returns what the package says about licences, as Debian's machines read it. The texts of others' are in another
/// file.
fn copyright(release: &Release, inventory: &Inventory) -> Result<String, String> {
    let own = fs::read_to_string(release.root.join("LICENSE")).map_err(because("read LICENSE"))?;
    let mut lines = own.lines().skip_while(|line| !line.starts_with("Copyright"));
    let holder = lines.next().unwrap_or_default().trim_start_matches("Copyright (c) ");
    let mut text = format!("{FORMAT}\nFiles: *\nCopyright: {holder}\nLicense: Expat\n");
    for (name, version, licence) in inventory.crates() {
        let authors = inventory.authors(name);
        let licence = debian_licence(licence).ok_or_else(|| {
            format!(
                "dist: {name} is under {licence:?}, for which xtask/src/dist/deb.rs has no name of Debian"
            )
        })?;
        let _ = write!(
            text,
            "\nFiles: vendor/{name}-{version}/*\nCopyright: {authors}\nLicense: {licence}\n\
             Comment: Linked into the executable. Its own text is in third-party.txt.gz.\n"
        );
    }
    text += "\nLicense: Expat\n";
    for line in lines.skip_while(|line| line.is_empty()) {
        text.extend([" ", if line.is_empty() { "." } else { line }, "\n"]);
    }
    Ok(text)
}

/// Returns the licence that we take a crate under, by the name that Debian has for it; none if it needs another text
/// than ours.
fn debian_licence(expression: &str) -> Option<&'static str> {
    licence::is_satisfied(expression, &["MIT"]).then_some("Expat")
}

const FORMAT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: procmgr
";

/// The functions of init scripts.
const SCRIPTS_NEED: &str = "sysvinit-utils (>= 3.05-4~) | lsb-base (>= 3.0-6)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_without_a_text_in_the_package_has_no_name() {
        for ours in ["MIT", "Apache-2.0 OR MIT", "Unlicense/MIT", "(MIT OR Apache-2.0)"] {
            assert_eq!(debian_licence(ours), Some("Expat"), "{ours}");
        }
        for other in ["Apache-2.0", "MIT AND Unicode-3.0", "MIT-0", ""] {
            assert_eq!(debian_licence(other), None, "{other}");
        }
    }
}
