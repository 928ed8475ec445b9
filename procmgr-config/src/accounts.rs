//! Users as the account database of the system knows them; the only room that asks it.
//!
//! Which users are asked for is not decided here.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::{User, getgrouplist};

use crate::{Gid, Uid};

/// Users as a script takes them on. Each is looked up once.
///
/// They are looked up while the file is loaded and not when a script is run: the database may be on an account server, for
/// which a daemon that is told to reload may wait, but no request of a client.
pub(crate) struct Accounts {
    lookup: fn(Uid) -> Result<Account, Errno>,
    known: HashMap<Uid, Result<Account, Errno>>,
}

/// A user and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The user.
    pub(crate) uid: Uid,
    /// The primary group; `None` if the database has no such user.
    pub(crate) gid: Option<Gid>,
    /// All groups, the primary one included; none if the database has no such user.
    pub(crate) groups: Arc<[Gid]>,
}

impl Accounts {
    /// Creates accounts that come from the database of the system.
    pub(crate) fn of_system() -> Self {
        Self::new(look_up)
    }

    /// Creates accounts that come from a function.
    pub(crate) fn new(lookup: fn(Uid) -> Result<Account, Errno>) -> Self {
        Self { lookup, known: HashMap::new() }
    }

    /// Returns the account of a user, known to the database or not.
    ///
    /// # Errors
    /// If the database cannot tell whether there is such a user.
    pub(crate) fn find(&mut self, uid: Uid) -> Result<Account, Errno> {
        self.known.entry(uid).or_insert_with(|| (self.lookup)(uid)).clone()
    }
}

fn look_up(uid: Uid) -> Result<Account, Errno> {
    let user = match User::from_uid(uid.0.into()) {
        // Several ways of saying "there is no such user", according to getpwuid(3); ENOENT is also that of a container
        // that has no /etc/passwd.
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => None,
        user => user?,
    };
    let Some(user) = user else {
        return Ok(Account { uid, gid: None, groups: Arc::default() });
    };
    let name = CString::new(user.name).map_err(|_| Errno::EINVAL)?;
    let groups = getgrouplist(&name, user.gid)?.into_iter().map(|gid| Gid(gid.as_raw())).collect();
    Ok(Account { uid, gid: Some(Gid(user.gid.as_raw())), groups })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::accounts::{Account, Accounts};
    use crate::{Gid, Uid};

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
    fn each_user_is_looked_up_once() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let mut accounts = Accounts::new(|uid| {
            LOOKUPS.fetch_add(1, Ordering::Relaxed);
            Ok(Account { uid, gid: None, groups: [].into() })
        });

        for uid in [1, 2, 1, 2, 1] {
            accounts.find(Uid(uid)).unwrap();
        }

        assert_eq!(LOOKUPS.load(Ordering::Relaxed), 2);
    }
}
