//! Users as the account database of the system knows them; with `accounts/`, the only room that asks it.
//!
//! Which users are asked for is not decided here.

#[cfg(any(test, target_feature = "crt-static"))]
mod files;
#[cfg(not(target_feature = "crt-static"))]
mod library;

use std::collections::HashMap;
use std::sync::Arc;

use nix::errno::Errno;

use crate::{Gid, Uid};

/// Users as a script takes them on, and the names of users and groups. Each is looked up once.
///
/// They are looked up while the file is loaded and not when a script is run: the database may be on an account
/// server, for which a daemon that is told to reload may wait, but no request of a client.
pub(crate) struct Accounts {
    database: Database,
    known: HashMap<Uid, Result<Account, Errno>>,
    users: HashMap<Vec<u8>, Found<Uid>>,
    groups: HashMap<Vec<u8>, Found<Gid>>,
}

/// Where users and groups come from.
#[derive(Clone, Copy, Debug)]
pub struct Database {
    /// Finds a user, known or not.
    pub account: fn(Uid) -> Result<Account, Errno>,
    /// Finds the user of a name.
    pub user: fn(&[u8]) -> Found<Uid>,
    /// Finds the group of a name.
    pub group: fn(&[u8]) -> Found<Gid>,
    /// Finds the name of a user.
    pub name_of_user: fn(Uid) -> Found<String>,
    /// Finds the name of a group.
    pub name_of_group: fn(Gid) -> Found<String>,
}

/// A user and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: Uid,
    /// The primary group; `None` if the database has no such user.
    pub gid: Option<Gid>,
    /// All groups, the primary one included; none if the database has no such user.
    pub groups: Arc<[Gid]>,
}

impl Database {
    /// The database of the system.
    #[cfg(not(target_feature = "crt-static"))]
    pub const OF_SYSTEM: Self = library::DATABASE;
    /// The files of the system: what else it may ask comes as libraries, which a static executable cannot load.
    #[cfg(target_feature = "crt-static")]
    pub const OF_SYSTEM: Self = files::DATABASE;
}

impl Accounts {
    /// Creates accounts that come from the database of the system.
    pub(crate) fn of_system() -> Self {
        Self::new(Database::OF_SYSTEM)
    }

    /// Creates accounts that come from a database.
    pub(crate) fn new(database: Database) -> Self {
        Self { database, known: HashMap::new(), users: HashMap::new(), groups: HashMap::new() }
    }

    /// Returns the account of a user, known to the database or not.
    ///
    /// # Errors
    /// If the database cannot tell whether there is such a user.
    pub(crate) fn find(&mut self, uid: Uid) -> Result<Account, Errno> {
        self.known.entry(uid).or_insert_with(|| (self.database.account)(uid)).clone()
    }

    /// Returns the user of a name, if there is one.
    ///
    /// # Errors
    /// If the database cannot tell.
    pub(crate) fn user(&mut self, name: &[u8]) -> Found<Uid> {
        find(&mut self.users, name, self.database.user)
    }

    /// Returns the group of a name, if there is one.
    ///
    /// # Errors
    /// If the database cannot tell.
    pub(crate) fn group(&mut self, name: &[u8]) -> Found<Gid> {
        find(&mut self.groups, name, self.database.group)
    }
}

/// Whom a name is of, if of anybody; an error if the database cannot tell.
pub type Found<T> = Result<Option<T>, Errno>;

fn find<T: Copy>(
    known: &mut HashMap<Vec<u8>, Found<T>>,
    name: &[u8],
    look_up: fn(&[u8]) -> Found<T>,
) -> Found<T> {
    if let Some(found) = known.get(name) {
        return *found;
    }
    let found = look_up(name);
    known.insert(name.to_vec(), found);
    found
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn root_has_its_primary_group_among_its_groups() {
        let root = Accounts::of_system().find(Uid(0)).unwrap();

        assert_eq!((root.uid, root.gid), (Uid(0), Some(Gid(0))));
        assert!(root.groups.contains(&Gid(0)));
    }

    #[test]
    fn a_user_without_a_name_has_no_groups() {
        let nobody = Accounts::of_system().find(Uid(4_000_000_123)).unwrap();

        assert_eq!(nobody, Account { uid: Uid(4_000_000_123), gid: None, groups: [].into() });
    }

    #[test]
    fn root_has_a_name_and_nobody_has_any_other() {
        let mut accounts = Accounts::of_system();

        assert_eq!(accounts.user(b"root"), Ok(Some(Uid(0))));
        assert_eq!(accounts.group(b"root"), Ok(Some(Gid(0))));
        for name in [&b"no such user"[..], b"\xff", b"", b"a\0b", &[b'x'; 10_000]] {
            assert_eq!(accounts.user(name), Ok(None), "{}", name.escape_ascii());
            assert_eq!(accounts.group(name), Ok(None), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn numbers_have_names_where_the_system_knows_any() {
        let Database { name_of_user, name_of_group, .. } = Database::OF_SYSTEM;

        assert_eq!(name_of_user(Uid::ROOT), Ok(Some("root".to_owned())));
        assert_eq!(name_of_group(Gid(0)), Ok(Some("root".to_owned())));
        assert_eq!(name_of_user(Uid(4_000_000_123)), Ok(None));
        assert_eq!(name_of_group(Gid(4_000_000_123)), Ok(None));
    }

    #[test]
    fn each_user_and_each_name_is_looked_up_once() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let mut accounts = Accounts::new(Database {
            account: |uid| {
                LOOKUPS.fetch_add(1, Ordering::Relaxed);
                Ok(Account { uid, gid: None, groups: [].into() })
            },
            user: |_| {
                LOOKUPS.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            },
            group: |_| {
                LOOKUPS.fetch_add(1, Ordering::Relaxed);
                Err(Errno::EIO)
            },
            ..Database::OF_SYSTEM
        });

        for number in [1, 2, 1, 2, 1] {
            accounts.find(Uid(number)).unwrap();
            accounts.user(&[b'a' + 1]).unwrap();
            accounts.group(b"a").unwrap_err();
        }

        assert_eq!(LOOKUPS.load(Ordering::Relaxed), 4);
    }
}
