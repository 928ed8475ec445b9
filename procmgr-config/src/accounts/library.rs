//! Users and groups as the C library tells them: it asks whatever `/etc/nsswitch.conf` names, an account server
//! included.
//!
//! Not in a static executable, into which the library cannot load those that do the asking.

use std::ffi::CString;
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::{Group, User, getgrouplist};

use crate::accounts::{Account, Database, Found};
use crate::{Gid, Uid};

/// Everybody whom the system knows.
pub(super) const DATABASE: Database = Database { account, user, group, name_of_user, name_of_group };

fn account(uid: Uid) -> Result<Account, Errno> {
    let user = absent_is_none(User::from_uid(uid.0.into()))?;
    let Some(user) = user else {
        return Ok(Account { uid, gid: None, groups: Arc::default() });
    };
    let name = CString::new(user.name).map_err(|_| Errno::EINVAL)?;
    let groups = getgrouplist(&name, user.gid)?.into_iter().map(|gid| Gid(gid.as_raw())).collect();
    Ok(Account { uid, gid: Some(Gid(user.gid.as_raw())), groups })
}

fn user(name: &[u8]) -> Found<Uid> {
    // Names that are no text are nobody's as far as the library is concerned.
    let Ok(name) = str::from_utf8(name) else { return Ok(None) };
    Ok(absent_is_none(User::from_name(name))?.map(|user| Uid(user.uid.as_raw())))
}

fn group(name: &[u8]) -> Found<Gid> {
    let Ok(name) = str::from_utf8(name) else { return Ok(None) };
    Ok(absent_is_none(Group::from_name(name))?.map(|group| Gid(group.gid.as_raw())))
}

fn name_of_user(uid: Uid) -> Found<String> {
    Ok(absent_is_none(User::from_uid(uid.0.into()))?.map(|user| user.name))
}

fn name_of_group(gid: Gid) -> Found<String> {
    Ok(absent_is_none(Group::from_gid(gid.0.into()))?.map(|group| group.name))
}

/// Several ways of saying "there is no such user", according to getpwuid(3); ENOENT is also that of a container that
/// has no `/etc/passwd`.
fn absent_is_none<T>(found: Found<T>) -> Found<T> {
    match found {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        found => found,
    }
}
