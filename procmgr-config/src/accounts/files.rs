//! Users and groups as `/etc/passwd` and `/etc/group` tell them, for a static executable.
//!
//! Nothing else is asked here: who is on an account server only is nobody. Lines that are no entries are passed over,
//! as the C library does it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::Arc;

use nix::errno::Errno;

use crate::accounts::{Account, Database};
use crate::{Gid, Uid};

/// Everybody who is in the files.
pub(super) const DATABASE: Database = Database {
    account: |uid| Ok(account(&read(USERS)?, &read(GROUPS)?, uid)),
    user: |name| Ok(id(users(&read(USERS)?), name).map(Uid)),
    group: |name| Ok(id(entries(&read(GROUPS)?), name).map(Gid)),
    name_of_user: |uid| Ok(name(users(&read(USERS)?), uid.0)),
    name_of_group: |gid| Ok(name(entries(&read(GROUPS)?), gid.0)),
};

/// A line of either file: `name:password:id:rest`.
struct Entry<'a> {
    name: &'a [u8],
    id: u32,
    rest: &'a [u8],
}

impl<'a> Entry<'a> {
    fn of_line(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.trim_ascii_start().splitn(4, |byte| *byte == b':');
        let (name, _password, id) = (fields.next()?, fields.next()?, number(fields.next()?)?);
        // A sign stands for entries of elsewhere.
        let is_name = !matches!(name, [] | [b'#' | b'+' | b'-', ..]);
        is_name.then_some(Self { name, id, rest: fields.next().unwrap_or_default() })
    }

    /// Returns the primary group of a user.
    fn primary(&self) -> Option<Gid> {
        number(self.rest.split(|byte| *byte == b':').next()?).map(Gid)
    }

    /// Returns whether a user is in a group.
    fn has(&self, member: &[u8]) -> bool {
        self.rest.split(|byte| *byte == b',').any(|name| name.trim_ascii() == member)
    }
}

fn account(passwd: &[u8], groups: &[u8], uid: Uid) -> Account {
    let user = users(passwd).find(|user| user.id == uid.0);
    let Some((name, gid)) = user.and_then(|user| Some((user.name, user.primary()?))) else {
        return Account { uid, gid: None, groups: Arc::default() };
    };
    let mut all = vec![gid];
    for group in entries(groups).filter(|group| group.has(name)) {
        if !all.contains(&Gid(group.id)) {
            all.push(Gid(group.id));
        }
    }
    Account { uid, gid: Some(gid), groups: all.into() }
}

fn id<'a>(mut entries: impl Iterator<Item = Entry<'a>>, name: &[u8]) -> Option<u32> {
    entries.find(|entry| entry.name == name).map(|entry| entry.id)
}

fn name<'a>(mut entries: impl Iterator<Item = Entry<'a>>, id: u32) -> Option<String> {
    entries.find(|entry| entry.id == id).map(|entry| String::from_utf8_lossy(entry.name).into_owned())
}

/// Returns the entries that are of users: they have a primary group.
fn users(text: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    entries(text).filter(|entry| entry.primary().is_some())
}

fn entries(text: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(Entry::of_line)
}

/// Reads the number of a user or group.
fn number(field: &[u8]) -> Option<u32> {
    let is_number = field.iter().all(u8::is_ascii_digit);
    let number = str::from_utf8(field).ok().filter(|_| is_number)?.parse().ok()?;
    // The kernel takes it for "none".
    (number != u32::MAX).then_some(number)
}

/// Returns what is in a file. A container may have none.
fn read(path: &str) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut text));
    match read {
        Ok(_) if text.len() as u64 > LIMIT => Err(Errno::EFBIG),
        Ok(_) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
    }
}

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// How many bytes a file may have: some hundred thousand users.
const LIMIT: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        # ghost:x:1:1::/:\n\
        \n\
        \xffon:x:7:70\n\
        short:x:8\n\
        +elsewhere:x:9:9::/:\n\
        signed:x:+10:10::/:\n\
        none:x:4294967295:1::/:\n\
        large:x:4294967296:1::/:\n\
        \x20ann:x:1000:100:Ann:/home/ann:/bin/sh\n\
        bob:x:1000:200:shares a number:/:\n\
        ann:x:2000:200:shares a name:/:";
    const GROUP: &[u8] = b"root:x:0:\n\
        wheel:x:10:bob, ann\n\
        users:x:100:ann\n\
        annex:x:30:annex,an\n\
        late:x:5:root,ann,ann\n\
        again:x:10:ann\n\
        nameless\n\
        :x:6:ann";

    fn groups_of(uid: u32) -> (Option<u32>, Vec<u32>) {
        let account = account(PASSWD, GROUP, Uid(uid));
        (account.gid.map(|gid| gid.0), account.groups.iter().map(|gid| gid.0).collect())
    }

    #[test]
    fn a_user_has_the_primary_group_and_those_that_name_it_once_each() {
        assert_eq!(groups_of(1000), (Some(100), vec![100, 10, 5]));
        assert_eq!(groups_of(0), (Some(0), vec![0, 5]));
        assert_eq!(groups_of(7), (Some(70), vec![70]));
    }

    #[test]
    fn the_first_entry_of_a_name_or_number_counts() {
        assert_eq!(id(users(PASSWD), b"ann"), Some(1000));
        assert_eq!(id(users(PASSWD), b"bob"), Some(1000));
        assert_eq!(name(users(PASSWD), 1000), Some("ann".to_owned()));
        assert_eq!(name(entries(GROUP), 10), Some("wheel".to_owned()));
        assert_eq!(id(entries(GROUP), b"again"), Some(10));
    }

    #[test]
    fn names_need_not_be_text() {
        assert_eq!(id(users(PASSWD), b"\xffon"), Some(7));
        assert_eq!(name(users(PASSWD), 7), Some("\u{fffd}on".to_owned()));
    }

    #[test]
    fn what_is_no_entry_is_nobody() {
        for nobody in ["ghost", "# ghost", "short", "+elsewhere", "signed", "none", "large", "", "nameless"] {
            assert_eq!(id(users(PASSWD), nobody.as_bytes()), None, "{nobody}");
            assert_eq!(id(entries(GROUP), nobody.as_bytes()), None, "{nobody}");
        }
        for nobody in [1, 8, 9, u32::MAX] {
            assert_eq!(groups_of(nobody), (None, vec![]), "{nobody}");
        }
    }

    #[test]
    fn a_file_that_is_absent_has_nobody_and_one_that_is_too_large_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let read = || read(path.to_str().unwrap());
        assert_eq!(read(), Ok(Vec::new()));
        std::fs::write(&path, "root").unwrap();
        assert_eq!(read(), Ok(b"root".to_vec()));
        File::options().write(true).open(&path).unwrap().set_len(LIMIT).unwrap();
        assert_eq!(read().map(|text| text.len() as u64), Ok(LIMIT));
        File::options().write(true).open(&path).unwrap().set_len(LIMIT + 1).unwrap();
        assert_eq!(read(), Err(Errno::EFBIG));
        assert_eq!(super::read("/proc/self/mem"), Err(Errno::EIO));
        assert_eq!(super::read("/"), Err(Errno::EISDIR));
    }

    #[test]
    #[cfg(not(target_feature = "crt-static"))]
    fn the_library_says_the_same_of_whoever_is_in_the_files() {
        let library = crate::accounts::library::DATABASE;
        for user in users(&read(USERS).unwrap()) {
            let uid = Uid(user.id);
            assert_eq!((DATABASE.user)(user.name), (library.user)(user.name));
            assert_eq!((DATABASE.name_of_user)(uid), (library.name_of_user)(uid));
            let (ours, theirs) = ((DATABASE.account)(uid).unwrap(), (library.account)(uid).unwrap());
            assert_eq!((ours.uid, ours.gid), (theirs.uid, theirs.gid));
            // It may know of more, by other ways.
            assert!(ours.groups.iter().all(|group| theirs.groups.contains(group)), "{ours:?}, {theirs:?}");
        }
        for group in entries(&read(GROUPS).unwrap()) {
            let gid = Gid(group.id);
            assert_eq!((DATABASE.group)(group.name), (library.group)(group.name));
            assert_eq!((DATABASE.name_of_group)(gid), (library.name_of_group)(gid));
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_reason_to_panic(passwd: Vec<u8>, group: Vec<u8>, lines in "([a:0,+\n]|[ -z]){0,200}") {
            for text in [&passwd[..], lines.as_bytes()] {
                for user in users(text) {
                    account(text, &group, Uid(user.id));
                    account(text, lines.as_bytes(), Uid(user.id));
                }
                id(entries(text), b"a");
                name(entries(text), 0);
            }
        }
    }
}
