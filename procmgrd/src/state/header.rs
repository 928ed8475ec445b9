//! The first line of the records: the version of their form, and in which life of the system they are true.
//!
//! What follows it is not known here.

use std::fmt;
use std::fs;
use std::io;

/// The version of the form. Whatever an older daemon would misunderstand raises it; what it may pass over does not.
///
/// | version | since |
/// |---|---|
/// | 1 | the beginning |
/// | 2 | the restarts in a row are counted |
/// | 3 | programs fail, runs have a beginning and an end |
pub(crate) const VERSION: u32 = 3;

/// The oldest version that is understood.
pub(crate) const OLDEST: u32 = 1;

/// A life of the system: from one boot to the next, and as one PID namespace sees it. Elsewhere, the PIDs are of
/// others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life(String);

impl Life {
    /// Asks in which one this process is.
    pub(crate) fn present() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let namespace = fs::read_link("/proc/self/ns/pid")?;
        Ok(Self(format!("boot {} in {}", boot.trim(), namespace.display())))
    }
}

impl fmt::Display for Life {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Returns the line, ended by a newline.
pub(crate) fn compose(life: &Life) -> Vec<u8> {
    format!("{NAME} {VERSION} {life}\n").into_bytes()
}

/// Checks a first line.
///
/// # Errors
/// Why what follows it must not be used.
pub(crate) fn check(first_line: &[u8], life: &Life) -> Result<(), &'static str> {
    let text =
        std::str::from_utf8(first_line).ok().and_then(|text| text.strip_suffix('\n')).unwrap_or_default();
    let mut words = text.splitn(3, ' ');
    let (name, version, written_in) = (words.next(), words.next(), words.next());
    match (name, version.and_then(|version| version.parse().ok()), written_in) {
        (Some(NAME), Some(OLDEST..=VERSION), Some(written_in)) if written_in == life.0 => Ok(()),
        (Some(NAME), Some(OLDEST..=VERSION), Some(_)) => Err("they are of another boot or PID namespace"),
        (Some(NAME), Some(_), _) => Err("they are of another version"),
        _ => Err("they do not begin as records do"),
    }
}

const NAME: &str = "procmgr-state";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_of_a_known_version_and_of_this_life_are_used() {
        let life = Life::present().unwrap();
        assert_eq!(check(&compose(&life), &life), Ok(()));
        for version in [OLDEST, VERSION] {
            assert_eq!(check(format!("procmgr-state {version} {life}\n").as_bytes(), &life), Ok(()));
        }
        let (another_boot, another_version) =
            (Err("they are of another boot or PID namespace"), Err("they are of another version"));
        assert_eq!(check(&compose(&Life("boot x in pid:[1]".to_owned())), &life), another_boot);
        for version in [0, VERSION + 1, u32::MAX] {
            assert_eq!(check(format!("procmgr-state {version} {life}\n").as_bytes(), &life), another_version);
        }
        let garbage = Err("they do not begin as records do");
        for line in ["", "\n", "procmgr-state\n", "procmgr-state x y\n", "state 1 boot\n"] {
            assert_eq!(check(line.as_bytes(), &life), garbage, "{line}");
        }
        let mut cut = compose(&life);
        cut.pop();
        assert_eq!(check(&cut, &life), garbage);
        assert_eq!(check(&[0xff; 100], &life), garbage);
    }
}
