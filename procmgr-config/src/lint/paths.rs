//! Whether others may write what stands at a path, or put something else there.
//!
//! Nothing is opened or executed; links are followed step by step, for whoever may replace one leads elsewhere.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::accounts::Accounts;
use crate::diagnostic::shown;
use crate::lint::surroundings::{Facts, Form, Surroundings};
use crate::{Gid, Uid};

/// What stands at paths; each is asked for once.
pub(super) struct Paths<'s> {
    surroundings: &'s Surroundings,
    known: HashMap<OsString, Seen>,
}

/// What was seen at a path.
#[derive(Clone, Debug)]
enum Seen {
    Something(Facts),
    Nothing,
    /// It may not be looked at, or nobody has looked.
    Unknown,
}

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Nothing is there.
    Missing,
    /// Others may write what is there.
    WritableItself(Facts),
    /// Others may write a folder on the way, and so put something else there.
    Writable(PathBuf, Facts),
}

/// Who may write it: root, and these.
#[derive(Clone, Debug)]
pub(super) struct Trusted {
    users: Vec<Uid>,
    /// Groups that are a user's own, by the custom that they have the number of the user.
    groups: Vec<Gid>,
}

impl Trusted {
    /// Trusts root and these users.
    pub(super) fn new(users: impl IntoIterator<Item = Uid>, accounts: &mut Accounts) -> Self {
        let users: Vec<Uid> = users.into_iter().filter(|user| *user != Uid::ROOT).collect();
        let own_group = |user: &Uid| {
            let gid = accounts.find(*user).ok().and_then(|account| account.gid);
            gid.filter(|gid| gid.0 == user.0)
        };
        Self { groups: users.iter().filter_map(own_group).collect(), users }
    }

    fn owns(&self, facts: &Facts) -> bool {
        facts.owner == Uid::ROOT || self.users.contains(&facts.owner)
    }

    /// Returns whether nobody else may write it.
    fn is_alone(&self, facts: &Facts) -> bool {
        let by_group = facts.mode & 0o020 != 0 && !self.groups.contains(&facts.group);
        facts.form == Form::Null || (self.owns(facts) && !by_group && facts.mode & 0o002 == 0)
    }

    /// Returns whether nobody else may put something else in the place of an entry of a folder.
    fn is_kept(&self, folder: &Facts, entry: &Facts) -> bool {
        let is_sticky = folder.mode & 0o1000 != 0 && self.owns(folder) && self.owns(entry);
        is_sticky || self.is_alone(folder)
    }
}

impl Flaw {
    /// Tells it of what was named before.
    pub(super) fn tell(&self) -> String {
        let others = |what: &str, Facts { owner, mode, .. }: &Facts| {
            format!("others may write {what} (owner {}, mode {mode:04o})", owner.0)
        };
        match self {
            Self::Missing => "there is none".to_owned(),
            Self::WritableItself(facts) => others("it", facts),
            Self::Writable(folder, facts) => others(&shown(folder.as_os_str().as_bytes()), facts),
        }
    }
}

impl<'s> Paths<'s> {
    pub(super) fn new(surroundings: &'s Surroundings) -> Self {
        Self { surroundings, known: HashMap::new() }
    }

    /// Returns whether a folder stands at an absolute path, as far as can be seen.
    pub(super) fn is_folder(&mut self, path: &Path) -> bool {
        match self.walk(path, &mut |_, _, _| None) {
            Way::Leads(facts) => facts.form == Form::Folder,
            Way::Flawed(_) | Way::Unseen => true,
        }
    }

    /// Returns the first flaw of an absolute path.
    pub(super) fn flaw(&mut self, path: &Path, trusted: &Trusted) -> Option<Flaw> {
        let mut judge = |folder: &Path, facts: &Facts, entry: &Facts| {
            (!trusted.is_kept(facts, entry)).then(|| Flaw::Writable(folder.to_path_buf(), facts.clone()))
        };
        match self.walk(path, &mut judge) {
            Way::Leads(facts) if trusted.is_alone(&facts) => None,
            Way::Leads(facts) => Some(Flaw::WritableItself(facts)),
            Way::Flawed(flaw) => Some(flaw),
            Way::Unseen => None,
        }
    }

    /// Goes to a path as the kernel does, and has each folder on the way judged, with what is entered there.
    fn walk(&mut self, path: &Path, judge: &mut Judge<'_>) -> Way {
        if path.as_os_str().len() > MAX_LENGTH || !path.is_absolute() {
            return Way::Unseen;
        }
        let mut ahead: VecDeque<OsString> = steps(path).collect();
        let mut here = PathBuf::from("/");
        let mut links = 0;
        let mut facts = match self.look_at(&here) {
            Seen::Something(facts) => facts,
            Seen::Nothing | Seen::Unknown => return Way::Unseen,
        };
        while let Some(step) = ahead.pop_front() {
            if step == ".." {
                here.pop();
                match self.look_at(&here) {
                    Seen::Something(above) => facts = above,
                    Seen::Nothing | Seen::Unknown => return Way::Unseen,
                }
                continue;
            }
            let entered = here.join(&step);
            let entry = match self.look_at(&entered) {
                Seen::Something(entry) => entry,
                Seen::Nothing => return Way::Flawed(Flaw::Missing),
                Seen::Unknown => return Way::Unseen,
            };
            if let Some(flaw) = judge(&here, &facts, &entry) {
                return Way::Flawed(flaw);
            }
            if let Form::Link(target) = &entry.form {
                links += 1;
                // In a circle, or on so long a way, the kernel finds nothing.
                if links > MAX_LINKS {
                    return Way::Flawed(Flaw::Missing);
                }
                if target.is_absolute() {
                    here = PathBuf::from("/");
                    match self.look_at(&here) {
                        Seen::Something(root) => facts = root,
                        Seen::Nothing | Seen::Unknown => return Way::Unseen,
                    }
                }
                for step in steps(target).collect::<Vec<_>>().into_iter().rev() {
                    ahead.push_front(step);
                }
            } else {
                here = entered;
                facts = entry;
            }
        }
        Way::Leads(facts)
    }

    fn look_at(&mut self, path: &Path) -> Seen {
        if let Some(seen) = self.known.get(path.as_os_str()) {
            return seen.clone();
        }
        if self.known.len() >= MAX_PATHS {
            return Seen::Unknown;
        }
        let seen = match (self.surroundings.look_at)(path) {
            Ok(facts) => Seen::Something(facts),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Seen::Nothing,
                _ => Seen::Unknown,
            },
        };
        self.known.insert(path.as_os_str().to_owned(), seen.clone());
        seen
    }
}

/// Where a path leads.
enum Way {
    Leads(Facts),
    Flawed(Flaw),
    Unseen,
}

/// Judges a folder on the way, by its path and what is known of it and of what is entered there.
type Judge<'j> = dyn FnMut(&Path, &Facts, &Facts) -> Option<Flaw> + 'j;

/// Returns the names on the way along a path.
fn steps(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// The longest path that the kernel takes, and how many links it follows.
const MAX_LENGTH: usize = 4095;
const MAX_LINKS: usize = 40;

/// How many paths are looked at, whatever a file names.
const MAX_PATHS: usize = 100_000;
