//! What the fuzzer is let in to: texts that stand in no file, and users whom no system knows.
//!
//! No other build has it. What has to hold of the results is the fuzzer's to say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;

use crate::accounts::{Account, Accounts, Database};
use crate::diagnostic::Findings;
use crate::lint::surroundings::{Facts, Form, Surroundings};
use crate::lint::{Report, judge as judge_text};
use crate::load::{LoadError, Loaded, find_socket_path, judge};
use crate::{Gid, Uid};

/// Does what [`load::parse`](crate::load::parse) does, with the same users everywhere: user 7, "anna", whose primary
/// group is 70, "staff", and who is in group 71, too, and user 9, about whom the account database fails to tell. It
/// knows no other.
///
/// # Errors
/// As there.
pub fn parse(text: &[u8], default_socket_path: &Path) -> Result<Loaded, Findings> {
    judge(Path::new("file"), text, default_socket_path, &mut Accounts::new(DATABASE), &mut Arc::new)
}

/// Does what [`load::socket_path`](crate::load::socket_path) does.
///
/// # Errors
/// As there.
pub fn socket_path(text: &[u8]) -> Result<Option<PathBuf>, LoadError> {
    find_socket_path(Path::new("file"), text)
}

/// Does what [`lint::judge`](crate::lint::judge) does for a daemon of root, with those users, and with no file
/// anywhere but `/`, which everybody may write.
pub fn check(text: &[u8]) -> Report {
    let look_at = |path: &Path| match path.parent() {
        None => Ok(Facts { form: Form::Folder, owner: Uid::ROOT, group: Gid(0), mode: 0o777 }),
        Some(_) => Err(io::ErrorKind::NotFound.into()),
    };
    let surroundings = Surroundings { daemon: Uid::ROOT, folder: "/".into(), database: DATABASE, look_at };
    judge_text(Path::new("file"), text.to_vec(), &surroundings)
}

const DATABASE: Database = Database {
    account,
    user: |name| Ok((name == b"anna").then_some(Uid(7))),
    group: |name| Ok((name == b"staff").then_some(Gid(70))),
    name_of_user: |uid| {
        Ok([(Uid(0), "root"), (Uid(7), "anna")].iter().find(|it| it.0 == uid).map(|it| it.1.into()))
    },
    name_of_group: |gid| Ok((gid == Gid(70)).then(|| "staff".to_owned())),
};

fn account(uid: Uid) -> Result<Account, Errno> {
    match uid {
        Uid(7) => Ok(Account { uid, gid: Some(Gid(70)), groups: [Gid(70), Gid(71)].into() }),
        Uid(9) => Err(Errno::EIO),
        _ => Ok(Account { uid, gid: None, groups: [].into() }),
    }
}
