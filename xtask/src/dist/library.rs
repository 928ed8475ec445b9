//! The C library that a static executable brings along, and what its licence wants to be told.
//!
//! Crates are not known here.

use std::fs;
use std::path::Path;

use crate::dist::tools::{because, run, tool};

/// The C library of this system.
pub(super) struct Library {
    pub(super) version: String,
}

impl Library {
    /// Asks the system which one it has.
    pub(super) fn of_this_system() -> Result<Self, String> {
        let told = run(tool("getconf").arg("GNU_LIBC_VERSION"))?;
        let version = told.trim().strip_prefix("glibc ");
        let version = version.ok_or_else(|| format!("dist: getconf has told {told:?} of the C library"))?;
        Ok(Self { version: version.to_owned() })
    }

    /// Returns what people are told of it, to be put behind the list of crates.
    pub(super) fn text(&self) -> Result<String, String> {
        let found = LICENCES.iter().find(|path| Path::new(path).exists());
        let path = found.ok_or_else(|| format!("dist: none of {LICENCES:?} is here"))?;
        let licence = fs::read_to_string(path).map_err(because(format!("read {path}")))?;
        let line = "-".repeat(78);
        Ok(format!(
            "\n{line}\nThe GNU C Library {}\n\n\
             It is linked into this executable, under the GNU Lesser General Public License, version 2.1 or any\n\
             later one; parts of GCC are under the exception for its runtime library. The sources of procmgr, which\n\
             are free, and Rust are all that it takes to link it with another version of the library.\n\n{}\n",
            self.version,
            licence.trim()
        ))
    }
}

/// Where Debian and Fedora have the text.
const LICENCES: [&str; 2] = ["/usr/share/common-licenses/LGPL-2.1", "/usr/share/licenses/glibc/COPYING.LIB"];
