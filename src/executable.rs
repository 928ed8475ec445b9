//! Where this executable is, as whoever started it has found it: there the next version of it will be.
//!
//! What is done with it then is not known here.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Returns the absolute path of this executable.
///
/// Preferably it is the one by which it was started, links and all: an update may replace a link, or what it leads
/// to, and the kernel knows only where it has led.
pub(crate) fn path() -> PathBuf {
    let own = PathBuf::from(OWN);
    let started_as = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let candidates = if started_as.components().count() > 1 {
        vec![started_as]
    } else {
        let folders = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&folders).map(|folder| folder.join(&started_as)).collect()
    };
    let found = candidates.into_iter().find(|candidate| is_same(candidate, &own));
    let absolute = found.and_then(|found| std::path::absolute(found).ok());
    absolute.or_else(|| env::current_exe().ok()).unwrap_or(own)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    id(one).is_ok_and(|one| id(other).is_ok_and(|other| one == other))
}

const OWN: &str = "/proc/self/exe";
