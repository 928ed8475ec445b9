//! What a value means.
//!
//! Of the file it knows nothing: neither where a value stands nor which other one it overrides.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::quote;
use crate::syntax::is_space;
use crate::{Group, KillMode, Membership, OnExit};

/// What a value should have been, for the sentence "expected ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected(&'static str);

impl Group {
    /// Returns what a word such as that of `--autostart` stands for: `yes` is group 1, `no` and 0 are none, any other
    /// number is that group.
    ///
    /// # Errors
    /// The reason, in one line, for any other word.
    pub fn parse(word: &str) -> Result<Option<Self>, String> {
        group(word.as_bytes()).map_err(|expected| expected.tell(b"group", word.as_bytes()))
    }
}

impl Expected {
    /// Tells it, with the key and what stands there instead.
    pub(crate) fn tell(self, key: &[u8], value: &[u8]) -> String {
        format!("invalid {} {}: expected {}", key.escape_ascii(), quote(value), self.0)
    }
}

/// Returns the group of programs that a value names.
pub(crate) fn group(value: &[u8]) -> Result<Option<Group>, Expected> {
    let number = match value {
        b"yes" => Some(1),
        b"no" => Some(0),
        _ => decimal(value),
    };
    match number {
        Some(0) => Ok(None),
        Some(number) => Ok(Some(Group(number))),
        None => Err(Expected("yes, no, or a number from 0 to 4294967295")),
    }
}

/// A user, or a group of users, as a word of a value names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id<'a> {
    Number(u32),
    Name(&'a [u8]),
}

/// Several of them, each with its place in the value.
pub(crate) type Ids<'a> = Vec<(usize, Id<'a>)>;

/// Returns the users that a value names, each with its place in the value; none for the value `none`.
pub(crate) fn users(value: &[u8]) -> Result<Ids<'_>, Expected> {
    ids(value).ok_or(Expected("names or ids (0 to 4294967294) of users, or none"))
}

/// Returns the groups of users that a value names, each with its place in the value; none for the value `none`.
pub(crate) fn groups(value: &[u8]) -> Result<Ids<'_>, Expected> {
    ids(value).ok_or(Expected("names or ids (0 to 4294967294) of groups, or none"))
}

/// Returns the one user that a value names, if it is not `none`.
pub(crate) fn user(value: &[u8]) -> Result<Option<Id<'_>>, Expected> {
    one_id(value).ok_or(Expected("the name or id (0 to 4294967294) of a user, or none"))
}

/// Returns the one group of users that a value names, if it is not `none`.
pub(crate) fn user_group(value: &[u8]) -> Result<Option<Id<'_>>, Expected> {
    one_id(value).ok_or(Expected("the name or id (0 to 4294967294) of a group, or none"))
}

/// Returns which groups of a peer a value has count.
pub(crate) fn membership(value: &[u8]) -> Result<Membership, Expected> {
    match value {
        b"yes" => Ok(Membership::Supplementary),
        b"no" => Ok(Membership::Effective),
        _ => Err(Expected("yes or no")),
    }
}

/// Returns how long after its death a program is started again.
pub(crate) fn restart_delay(value: &[u8]) -> Result<Option<Duration>, Expected> {
    let seconds = match value {
        b"none" => Some(0),
        _ => integer(value),
    };
    let seconds = seconds.ok_or(Expected("a number of seconds from -2147483648 to 2147483647, or none"))?;
    // The manual: no restart "for every non-positive value".
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

/// Returns how long something may last; the value `none` sets no end.
pub(crate) fn seconds(value: &[u8]) -> Result<Option<Duration>, Expected> {
    let seconds = match value {
        b"none" => return Ok(None),
        _ => integer(value).and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0),
    };
    let seconds = seconds.ok_or(Expected("a number of seconds from 1 to 2147483647, or none"))?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// Returns how many times something may happen; the value `none` sets no limit.
pub(crate) fn limit(value: &[u8]) -> Result<Option<u32>, Expected> {
    match value {
        b"none" => Ok(None),
        _ => match decimal(value) {
            Some(number @ 1..) => Ok(Some(number)),
            Some(0) | None => Err(Expected("a number from 1 to 4294967295, or none")),
        },
    }
}

/// Returns whom a value has signals sent to.
pub(crate) fn kill_mode(value: &[u8]) -> Result<KillMode, Expected> {
    match value {
        b"process" => Ok(KillMode::Process),
        b"group" => Ok(KillMode::Group),
        _ => Err(Expected("process or group")),
    }
}

/// Returns what a value makes of the programs that run when the daemon ends.
pub(crate) fn on_exit(value: &[u8]) -> Result<OnExit, Expected> {
    match value {
        b"leave" => Ok(OnExit::Leave),
        b"stop" => Ok(OnExit::Stop),
        _ => Err(Expected("leave or stop")),
    }
}

/// Returns the path that a value names.
pub(crate) fn path(value: &[u8]) -> Result<PathBuf, Expected> {
    match value {
        [] => Err(Expected("a path")),
        _ => Ok(PathBuf::from(OsStr::from_bytes(value))),
    }
}

/// Returns the ids that a value names, one at least, or none for the value `none`.
fn ids(value: &[u8]) -> Option<Ids<'_>> {
    if matches!(value, b"none" | b"-1") {
        return Some(Vec::new());
    }
    let start_of = |word: &[u8]| word.as_ptr().addr() - value.as_ptr().addr();
    let words = value.split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
    let ids: Option<Vec<_>> = words.map(|word| Some((start_of(word), id(word)?))).collect();
    ids.filter(|ids| !ids.is_empty())
}

/// Returns the only id that a value names; the inner `None` is the value `none`.
#[expect(clippy::option_option, reason = "no id at all is something else than the id `none`")]
fn one_id(value: &[u8]) -> Option<Option<Id<'_>>> {
    match ids(value)?.as_slice() {
        [] => Some(None),
        [(_, id)] => Some(Some(*id)),
        [_, _, ..] => None,
    }
}

/// Returns what a word names. What looks like a number is one, and nobody's name.
fn id(word: &[u8]) -> Option<Id<'_>> {
    match word {
        b"none" => None,
        // The kernel takes the greatest number for -1, so it would name nobody where somebody seems to be named.
        [b'0'..=b'9' | b'+' | b'-', ..] => decimal(word).filter(|it| *it != u32::MAX).map(Id::Number),
        _ => Some(Id::Name(word)),
    }
}

/// Returns the integer that a value is.
fn integer(value: &[u8]) -> Option<i32> {
    match value.strip_prefix(b"-") {
        Some(magnitude) => i32::try_from(-i64::from(decimal(magnitude)?)).ok(),
        None => i32::try_from(decimal(value)?).ok(),
    }
}

/// Returns the number that a value is: decimal digits and nothing else. With zeros in front it is decimal still.
fn decimal(value: &[u8]) -> Option<u32> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u32, |number, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_decimal_or_none() {
        let cases: [(&[u8], _); 8] = [
            (b"0", Some(0)),
            (b"1000", Some(1000)),
            (b"010", Some(10)),
            (b"00000000000000000001", Some(1)),
            (b"2147483648", Some(2_147_483_648)),
            (b"4294967294", Some(4_294_967_294)),
            (b"none", None),
            (b"-1", None),
        ];
        for (value, number) in cases {
            let id = number.map(Id::Number);
            assert_eq!(user(value), Ok(id), "{}", value.escape_ascii());
            assert_eq!(user_group(value), Ok(id), "{}", value.escape_ascii());
            let list: Vec<_> = id.into_iter().map(|id| (0, id)).collect();
            assert_eq!(users(value), Ok(list.clone()), "{}", value.escape_ascii());
            assert_eq!(groups(value), Ok(list), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn what_looks_like_a_number_and_is_no_id_is_never_taken_for_one() {
        let cases: [&[u8]; 18] = [
            b"",
            b"+5",
            b"-0",
            b"-2",
            b"-01",
            b"- 1",
            b"0x10",
            b"12a",
            b"1.0",
            b"1,2",
            b"4294967295",
            b"99999999999",
            b"18446744073709551616",
            b"-root",
            b"1 none",
            b"none 1",
            b"none none",
            b"1 -1",
        ];
        for value in cases {
            assert!(user(value).is_err() && user_group(value).is_err(), "{}", value.escape_ascii());
            assert!(users(value).is_err() && groups(value).is_err(), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn lists_tell_names_from_numbers_and_where_they_stand() {
        let list = vec![(0, Id::Name(b"anna")), (5, Id::Number(7)), (8, Id::Name(b"None"))];
        assert_eq!(users(b"anna 7\t None"), Ok(list.clone()));
        assert_eq!(groups(b"anna 7\t None"), Ok(list));
        assert_eq!(user(b"\xd9\xa1"), Ok(Some(Id::Name(b"\xd9\xa1"))));
        assert!(user(b"anna bert").is_err() && user_group(b"1 2").is_err());
    }

    #[test]
    fn supplementary_groups_count_or_do_not() {
        assert_eq!(membership(b"yes"), Ok(Membership::Supplementary));
        assert_eq!(membership(b"no"), Ok(Membership::Effective));
        for value in [&b""[..], b"1", b"0", b"Yes", b"true", b"none"] {
            assert!(membership(value).is_err(), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn only_a_positive_delay_restarts() {
        let cases: [(&[u8], _); 9] = [
            (b"1", Some(1)),
            (b"007", Some(7)),
            (b"2147483647", Some(2_147_483_647)),
            (b"0", None),
            (b"-0", None),
            (b"-1", None),
            (b"-5", None),
            (b"-2147483648", None),
            (b"none", None),
        ];
        for (value, seconds) in cases {
            assert_eq!(
                restart_delay(value),
                Ok(seconds.map(Duration::from_secs)),
                "{}",
                value.escape_ascii()
            );
        }
    }

    #[test]
    fn what_is_no_delay_is_never_taken_for_one() {
        let cases: [&[u8]; 10] =
            [b"", b"-", b"+1", b"--1", b"1s", b"1.5", b"no", b"2147483648", b"-2147483649", b"99999999999"];
        for value in cases {
            assert!(restart_delay(value).is_err(), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_group_is_yes_no_or_a_number() {
        let cases: [(&[u8], _); 7] = [
            (b"yes", Some(1)),
            (b"1", Some(1)),
            (b"012", Some(12)),
            (b"4294967295", Some(4_294_967_295)),
            (b"no", None),
            (b"0", None),
            (b"000", None),
        ];
        for (value, number) in cases {
            assert_eq!(group(value), Ok(number.map(Group)), "{}", value.escape_ascii());
        }
        for value in [&b""[..], b"-1", b"+1", b"none", b"Yes", b"true", b"1x", b"4294967296"] {
            assert!(group(value).is_err(), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_wrong_group_on_the_command_line_is_told_with_what_was_expected() {
        let reason = Group::parse("\x1b[2J").unwrap_err();

        assert_eq!(reason, r#"invalid group "\x1b[2J": expected yes, no, or a number from 0 to 4294967295"#);
    }

    #[test]
    fn programs_are_left_or_stopped_and_nothing_else() {
        assert_eq!(on_exit(b"leave"), Ok(OnExit::Leave));
        assert_eq!(on_exit(b"stop"), Ok(OnExit::Stop));
        for value in
            [&b""[..], b"Stop", b"LEAVE", b"stop;", b"leave stop", b"yes", b"no", b"none", b"0", b"\xff"]
        {
            assert!(on_exit(value).is_err(), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_time_limit_is_positive_or_none() {
        for (value, expected) in
            [(&b"1"[..], Some(1)), (b"010", Some(10)), (b"2147483647", Some(2_147_483_647)), (b"none", None)]
        {
            assert_eq!(seconds(value), Ok(expected.map(Duration::from_secs)), "{}", value.escape_ascii());
        }
        for value in [&b""[..], b"0", b"-1", b"+1", b"1s", b"1.5", b"2147483648", b"99999999999", b"None"] {
            assert!(seconds(value).is_err(), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_limit_is_positive_or_none() {
        for (value, expected) in [(&b"1"[..], Some(1)), (b"4294967295", Some(u32::MAX)), (b"none", None)] {
            assert_eq!(limit(value), Ok(expected), "{}", value.escape_ascii());
        }
        for value in [&b""[..], b"0", b"-1", b"+1", b"x", b"1 ", b"4294967296", b"99999999999"] {
            assert!(limit(value).is_err(), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn signals_are_for_the_process_or_its_group_and_nobody_else() {
        assert_eq!(kill_mode(b"process"), Ok(KillMode::Process));
        assert_eq!(kill_mode(b"group"), Ok(KillMode::Group));
        for value in [&b""[..], b"Process", b"groups", b"all", b"none", b"control-group"] {
            assert!(kill_mode(value).is_err(), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_path_is_any_bytes_but_none() {
        assert_eq!(path(b"a \xff").unwrap().as_os_str().len(), 3);
        assert!(path(b"").is_err());
    }
}
