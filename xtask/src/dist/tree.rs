//! A folder as a package wants it: modes, and one date for all.
//!
//! Owners are not set here, so that anybody can make packages: whatever packs a tree says that it is root's.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::dist::content::{Body, Packed};
use crate::dist::release::Release;
use crate::dist::tools::{because, run, tool};

/// A folder that is about to be packed.
pub(super) struct Tree {
    pub(super) folder: PathBuf,
    epoch: u64,
}

impl Tree {
    /// Makes an empty one, in the place of a former one of that name.
    pub(super) fn new(release: &Release, name: &str) -> Result<Self, String> {
        let folder = release.folder.join("trees").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(because("remove a former tree"))?;
        }
        fs::create_dir_all(&folder).map_err(because("make a folder to pack"))?;
        Ok(Self { folder, epoch: release.epoch })
    }

    /// Writes a file and returns its size.
    pub(super) fn put(&self, packed: &Packed) -> Result<u64, String> {
        let Packed { path, body, mode, is_compressed, .. } = packed;
        let target = self.folder.join(path);
        let cannot = because(format!("write {}", target.display()));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(&cannot)?;
        }
        match body {
            Body::File(source) => fs::copy(source, &target).map(drop),
            Body::Text(text) => fs::write(&target, text),
        }
        .map_err(&cannot)?;
        let target = if *is_compressed { compress(&target)? } else { target };
        fs::set_permissions(&target, fs::Permissions::from_mode(*mode)).map_err(&cannot)?;
        fs::metadata(&target).map(|metadata| metadata.len()).map_err(&cannot)
    }

    /// Gives folders their mode, and all that is there the date of the release. To be called last.
    pub(super) fn settle(&self) -> Result<(), String> {
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(self.epoch);
        settle(&self.folder, date).map_err(because("set modes and dates"))
    }
}

fn settle(path: &Path, date: SystemTime) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            settle(&entry?.path(), date)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    File::open(path)?.set_modified(date)
}

/// Replaces a file by one that is compressed, without the date that it would bear.
fn compress(path: &Path) -> Result<PathBuf, String> {
    run(tool("gzip").args(["-9", "--no-name", "--force"]).arg(path))?;
    let mut path = path.as_os_str().to_owned();
    path.push(".gz");
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_modes_and_one_date_whatever_the_builder_has() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::new(&Release::of_a_test(folder.path()), "test").unwrap();
        let file = Packed::text("usr/share/a", "text\n".to_owned()).compressed();
        tree.put(&file).unwrap();
        tree.settle().unwrap();
        for (path, mode) in [("usr/share", 0o755), ("usr/share/a.gz", 0o644)] {
            let metadata = fs::metadata(tree.folder.join(path)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{path}");
            assert_eq!(
                metadata.modified().unwrap(),
                SystemTime::UNIX_EPOCH + Duration::from_secs(86_400),
                "{path}"
            );
        }
        assert!(!tree.folder.join("usr/share/a").exists());
    }
}
