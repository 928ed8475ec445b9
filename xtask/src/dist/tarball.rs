//! The archive for systems with another kind of package, or with none.
//!
//! What is in it stands where it is to be installed.

use std::fs::File;
use std::path::PathBuf;

use crate::dist::content::{Kind, Packed, of_kind};
use crate::dist::release::Release;
use crate::dist::tools::{because, run, show, tool};
use crate::dist::tree::Tree;

/// Makes the archive, with what its name ends with, and returns where it is.
pub(super) fn make(release: &Release, files: &[Packed], ending: &str) -> Result<PathBuf, String> {
    let name = format!("procmgr-{}-linux-{}{ending}", release.version, release.machine.rpm);
    let tree = Tree::new(release, &name)?;
    for packed in of_kind(files, Kind::Tarball) {
        tree.put(packed)?;
    }
    tree.settle()?;
    let archive = release.folder.join(format!("{name}.tar"));
    run(tool("tar")
        .args(["--create", "--format=gnu", "--sort=name", "--owner=root:0", "--group=root:0", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(tree.folder.with_file_name(""))
        .arg(&name))?;
    let packed = archive.with_extension("tar.gz");
    let output = File::create(&packed).map_err(because("write the archive"))?;
    show(tool("gzip").args(["-9", "--no-name", "--stdout"]).arg(&archive).stdout(output))?;
    std::fs::remove_file(archive).map_err(because("remove the archive that is not compressed"))?;
    Ok(packed)
}
