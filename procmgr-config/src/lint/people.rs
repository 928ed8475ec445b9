//! The names of users and groups that a file knows by their numbers.
//!
//! Where they stand in the file, and what for, is not known here.

use std::collections::HashMap;
use std::hash::Hash;

use crate::accounts::{Database, Found};
use crate::{Gid, Uid};

/// Names that have been looked up, each once.
#[derive(Debug)]
pub struct People {
    database: Database,
    users: HashMap<Uid, Named>,
    groups: HashMap<Gid, Named>,
}

/// What the database says of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// Its name.
    Name(String),
    /// That there is nobody of that number.
    Nobody,
    /// Nothing: it failed, or was not asked any more.
    Untold,
}

impl People {
    pub(super) fn new(database: Database) -> Self {
        Self { database, users: HashMap::new(), groups: HashMap::new() }
    }

    /// Returns the name of a user, if it was looked up and has one.
    pub fn user(&self, uid: Uid) -> Option<&str> {
        self.users.get(&uid).and_then(Named::name)
    }

    /// Returns the name of a group, if it was looked up and has one.
    pub fn group(&self, gid: Gid) -> Option<&str> {
        self.groups.get(&gid).and_then(Named::name)
    }

    /// Looks a user up.
    pub(super) fn look_up_user(&mut self, uid: Uid) -> &Named {
        look_up(&mut self.users, uid, self.database.name_of_user)
    }

    /// Looks a group up.
    pub(super) fn look_up_group(&mut self, gid: Gid) -> &Named {
        look_up(&mut self.groups, gid, self.database.name_of_group)
    }

    /// Returns whether the system has users at all; a container may have none but by their numbers.
    pub(super) fn exist(&mut self) -> bool {
        matches!(self.look_up_user(Uid::ROOT), Named::Name(_))
    }
}

impl Named {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Nobody | Self::Untold => None,
        }
    }
}

fn look_up<T: Copy + Eq + Hash>(known: &mut HashMap<T, Named>, id: T, ask: fn(T) -> Found<String>) -> &Named {
    let is_asked = known.len() < MAX_LOOKUPS;
    if !is_asked && !known.contains_key(&id) {
        return &Named::Untold;
    }
    known.entry(id).or_insert_with(|| match ask(id) {
        Ok(Some(name)) => Named::Name(name),
        Ok(None) => Named::Nobody,
        Err(_) => Named::Untold,
    })
}

/// How many users, and groups, are looked up: more than a file for people names, and not so many that it takes long.
const MAX_LOOKUPS: usize = 10_000;
