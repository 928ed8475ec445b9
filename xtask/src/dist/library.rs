//! What is linked into an executable and is no crate: the standard library of Rust, parts of GCC, and the C library
//! if it is brought along. What their licences want to be told.
//!
//! Crates are not known here.

use std::fs;
use std::path::Path;

use crate::dist::tools::{because, run, tool};

/// One that the compiler or the system brings.
pub(super) struct Library {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) licence: &'static str,
    /// What people are told of it.
    text: String,
}

impl Library {
    /// Returns those of each executable, of a `rustc` of this version and the GCC that it links with.
    ///
    /// # Errors
    /// If no GCC is here, or not the text of its exception.
    pub(super) fn of_each(rustc: &str) -> Result<Vec<Self>, String> {
        Ok(vec![Self::rust(rustc), Self::gcc()?])
    }

    /// Returns the C library of this system, which a static executable brings along.
    ///
    /// # Errors
    /// If it is not GNU's, or if the text of its licence is not here.
    pub(super) fn of_c() -> Result<Self, String> {
        let told = run(tool("getconf").arg("GNU_LIBC_VERSION"))?;
        let version = told.trim().strip_prefix("glibc ");
        let version = version.ok_or_else(|| format!("dist: getconf has told {told:?} of the C library"))?;
        let licence = first_of(&[LGPL_OF_DEBIAN, LGPL_OF_FEDORA])?;
        let text = format!(
            "The GNU C Library {version}\n\n\
             It is linked into this executable, under the GNU Lesser General Public License, version 2.1 or any\n\
             later one. The sources of procmgr, which are free, and Rust are all that it takes to link it with\n\
             another version of the library.\n\n{}",
            licence.trim()
        );
        Ok(Self { name: "glibc", version: version.to_owned(), licence: "LGPL-2.1-or-later", text })
    }

    /// Returns the standard library of Rust.
    pub(super) fn rust(version: &str) -> Self {
        let text = format!(
            "The standard library of Rust {version}\n\n\
             It is linked into this executable, under MIT OR Apache-2.0."
        );
        Self { name: "rust-std", version: version.to_owned(), licence: "MIT OR Apache-2.0", text }
    }

    fn gcc() -> Result<Self, String> {
        let told = run(tool("cc").arg("-dumpfullversion"))?;
        let version = told.trim();
        let major = version.split('.').next().unwrap_or_default();
        let of_debian = format!("/usr/share/doc/libgcc-{major}-dev/copyright");
        let found = first_of(&[&of_debian, EXCEPTION_OF_FEDORA])?;
        Self::libgcc(version, &found)
    }

    /// Returns what is linked of GCC, `told` being what tells its licences.
    pub(super) fn libgcc(version: &str, told: &str) -> Result<Self, String> {
        let exception = exception(told).ok_or("dist: what GCC brings does not tell its exception")?;
        let text = format!(
            "libgcc of GCC {version}\n\n\
             What unwinds stacks, and what a program begins and ends with, is linked into this executable. It is\n\
             under the GNU General Public License, version 3 or any later one, with the exception that follows,\n\
             by which the executable need not be under it. The text of the licence is at\n\
             <https://www.gnu.org/licenses/gpl-3.0.txt>.\n\n{exception}"
        );
        let licence = "GPL-3.0-or-later WITH GCC-exception-3.1";
        Ok(Self { name: "libgcc", version: version.to_owned(), licence, text })
    }

    /// Returns what people are told of it, to be put behind the list of crates.
    pub(super) fn text(&self) -> String {
        ["\n", &"-".repeat(78), "\n", &self.text, "\n"].concat()
    }
}

/// Reads the first of these files that is here.
fn first_of(paths: &[&str]) -> Result<String, String> {
    let found = paths.iter().find(|path| Path::new(path).exists());
    let path = found.ok_or_else(|| format!("dist: none of {paths:?} is here"))?;
    fs::read_to_string(path).map_err(because(format!("read {path}")))
}

/// Finds the exception in what tells all licences of GCC, where two empty lines are behind it, or is all that is told.
fn exception(told: &str) -> Option<&str> {
    let begin = told.find("GCC RUNTIME LIBRARY EXCEPTION\n")?;
    let exception = told[begin..].split("\n\n\n").next()?;
    exception.contains("No Weakening of GCC Copyleft").then(|| exception.trim())
}

const LGPL_OF_DEBIAN: &str = "/usr/share/common-licenses/LGPL-2.1";
const LGPL_OF_FEDORA: &str = "/usr/share/licenses/glibc/COPYING.LIB";
const EXCEPTION_OF_FEDORA: &str = "/usr/share/licenses/libgcc/COPYING.RUNTIME";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exception_is_told_whole_and_without_what_stands_around_it() {
        let whole =
            "GCC RUNTIME LIBRARY EXCEPTION\n\nVersion 3.1\n\n2. No Weakening of GCC Copyleft.\n\nThe end.";
        for told in
            [whole.to_owned(), format!("{whole}\n"), format!("before\n\n\n{whole}\n\n\nlibquadmath\n")]
        {
            assert_eq!(exception(&told), Some(whole));
        }
        assert_eq!(exception("GCC RUNTIME LIBRARY EXCEPTION\n\n\n2. No Weakening of GCC Copyleft."), None);
        assert_eq!(exception("GCC is free software"), None);
    }
}
