//! The package for Fedora, and for others that use RPM.
//!
//! What happens when it is installed, upgraded or removed is said by `packaging/rpm/procmgr.spec`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dist::content::{Kind, Packed, of_kind};
use crate::dist::release::Release;
use crate::dist::shared;
use crate::dist::tools::{because, run, tool};
use crate::dist::tree::Tree;

/// Makes the package and returns where it is.
pub(super) fn make(release: &Release, files: &[Packed]) -> Result<PathBuf, String> {
    let tree = Tree::new(release, "rpm")?;
    let mut list = String::new();
    for packed in of_kind(files, Kind::Rpm) {
        tree.put(packed)?;
        list += &entry(packed);
    }
    for folder in own_folders(files) {
        list.extend(["%dir /", folder, "\n"]);
    }
    tree.settle()?;
    let shared = shared(release)?;
    let date = release.date("+%a %b %d %Y")?;
    let values = [
        ("@TREE@", tree.folder.to_str().ok_or("dist: the path of the packages is no text")?),
        ("@FILES@", list.trim_end()),
        ("@DATE@", date.as_str()),
        ("# @SHARED@\n", shared.as_str()),
    ];
    let work = Tree::new(release, "rpmbuild")?.folder;
    let spec = work.join("procmgr.spec");
    fs::write(&spec, release.fill("packaging/rpm/procmgr.spec", &values)?)
        .map_err(because("write procmgr.spec"))?;
    run(tool("rpmbuild")
        .env("SOURCE_DATE_EPOCH", release.epoch.to_string())
        .arg("-bb")
        .args(["--target", release.machine.rpm])
        .arg(format!("--define=_topdir {}", work.display()))
        .arg("--define=_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm")
        .arg(spec))?;
    let name = format!("procmgr-{}-1.{}.rpm", release.version, release.machine.rpm);
    let package = release.folder.join(&name);
    fs::rename(work.join("RPMS").join(&name), &package).map_err(because("take the package from rpmbuild"))?;
    Ok(package)
}

/// Returns the line of a file in the list of files.
fn entry(packed: &Packed) -> String {
    let Packed { path, is_configuration, is_compressed, .. } = packed;
    let kind = match path {
        _ if *is_configuration => "%config(noreplace) ",
        path if path.starts_with("usr/share/licenses/") => "%license ",
        path if path.starts_with("usr/share/doc/") => "%doc ",
        _ => "",
    };
    format!("{kind}/{path}{}\n", if *is_compressed { ".gz" } else { "" })
}

/// Returns the folders that are there for this package alone, which go with it.
fn own_folders(files: &[Packed]) -> BTreeSet<&str> {
    let paths = of_kind(files, Kind::Rpm).map(|packed| Path::new(&packed.path));
    let folders = paths.flat_map(|path| path.ancestors().skip(1)).filter_map(Path::to_str);
    folders.filter(|folder| folder.contains("/procmgr")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_file_is_never_replaced() {
        let mut file = Packed::text("etc/procmgr.cfg", String::new());
        file.is_configuration = true;
        assert_eq!(entry(&file), "%config(noreplace) /etc/procmgr.cfg\n");
    }

    #[test]
    fn folders_of_its_own_go_with_the_package() {
        let paths = ["usr/share/doc/procmgr/docs/a", "usr/share/doc/procmgr/b", "etc/procmgr.cfg"];
        let files = paths.map(|path| Packed::text(path, String::new()));
        let folders: Vec<&str> = own_folders(&files).into_iter().collect();
        assert_eq!(folders, ["usr/share/doc/procmgr", "usr/share/doc/procmgr/docs"]);
    }

    #[test]
    fn what_is_compressed_is_listed_by_the_name_that_it_gets() {
        let file = Packed::text("usr/share/man/man1/procmgr.1", String::new()).compressed();
        assert_eq!(entry(&file), "/usr/share/man/man1/procmgr.1.gz\n");
    }
}
