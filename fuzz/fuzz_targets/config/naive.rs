//! The grammar of the configuration file and the meaning of its values, once more: as plain as the manual, and as slow.
//!
//! Tells no places and no reasons, and borrows nothing from the crate that it is compared with but the types of the
//! result.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use procmgr_config::{
    Action, Allowed, Config, Definition, Gid, Group, Identity, KillMode, Membership, OnExit, ProgramName,
    Rule, Terms, Uid,
};

pub(crate) const DEFAULT_SOCKET: &str = "/default";

/// What a section says; the last one of several values of a key.
type Keys = BTreeMap<Vec<u8>, Vec<u8>>;

/// A section by its name.
type Section = (Vec<u8>, Keys);

/// What holds where a section or an action says nothing.
#[derive(Clone)]
struct Defaults {
    allowed: Allowed,
    user: Option<Uid>,
    group: Option<Gid>,
}

/// Returns what a file says; `None` if there is an error in it.
pub(crate) fn read(text: &[u8]) -> Option<Config> {
    let (globals, sections) = sections(text)?;
    let nothing = Defaults { allowed: Allowed::default(), user: None, group: None };
    let defaults = defaults(&globals, DEFAULTS, &nothing)?;
    let mut programs = Vec::new();
    for (name, keys) in &sections {
        if let Some(name) = name.strip_prefix(b"prog-") {
            programs.push(Arc::new(program(name, keys, &defaults)?));
        }
    }
    Some(Config {
        socket_path: value(&globals, "socket-path", path, DEFAULT_SOCKET.into())?,
        state_path: value(&globals, "state-path", |value| path(value).map(Some), None)?,
        on_exit: value(&globals, "on-exit", on_exit, OnExit::Leave)?,
        autostart: value(&globals, "do-autostart", group_of_programs, Some(Group(1)))?,
        programs,
    })
}

/// Returns what stands ahead of the first section, and the sections that count, in their order.
fn sections(text: &[u8]) -> Option<(Keys, Vec<Section>)> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut globals = Keys::new();
    let mut sections: Vec<Section> = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        if line.contains(&0) {
            return None;
        }
        let line = trim(line);
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b";") {
            continue;
        }
        if line.starts_with(b"[") && line.ends_with(b"]") {
            let name = &line[1..line.len() - 1];
            sections.retain(|(earlier, _)| earlier != name);
            sections.push((name.to_vec(), Keys::new()));
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == b'=');
        let (key, value) = (trim(parts.next()?).to_vec(), trim(parts.next()?).to_vec());
        match sections.last_mut() {
            None => globals.insert(key, value),
            Some((_, keys)) => keys.insert(key, value),
        };
    }
    Some((globals, sections))
}

fn program(name: &[u8], keys: &Keys, globals: &Defaults) -> Option<Definition> {
    let own = defaults(keys, DEFAULTS, globals)?;
    let rule = |script: Option<&Vec<u8>>, persons: &Defaults| {
        let terms = Terms { allowed: persons.allowed.clone(), identity: identity(persons) };
        Rule::new(script.map(|script| script.as_slice().into()), terms)
    };
    let mut definition = Definition::new(ProgramName::new(name), rule(None, &own));
    let scripts = keys.keys().filter_map(|key| key.strip_prefix(b"cmd-")).filter(|name| !name.is_empty());
    let custom = scripts.map(Action::from_name).filter(|action| !action.is_built_in());
    for action in Action::BUILT_IN.into_iter().chain(custom) {
        let key = |kind: &str| [kind.as_bytes(), b"-", action.name()].concat();
        let names = ["uid", "gid", "suid", "sgid"].map(key);
        let of_action = defaults(keys, names.each_ref().map(Vec::as_slice), &own)?;
        definition.define(action.clone(), rule(keys.get(&key("cmd")), &of_action));
    }
    definition.restart_delay = value(keys, "restart-delay", delay, None)?;
    definition.restart_max_delay = value(keys, "restart-max-delay", time, None)?;
    definition.restart_limit = value(keys, "restart-limit", limit, None)?;
    definition.stop_timeout = value(keys, "stop-timeout", time, None)?;
    definition.kill_mode = value(keys, "kill-mode", kill_mode, KillMode::Process)?;
    definition.autostart = value(keys, "autostart", group_of_programs, None)?;
    definition.cwd = value(keys, "cwd", |value| path(value).map(|path| Some(path.into())), None)?;
    Some(definition)
}

/// Returns what four keys say: user and group of those who may ask, user and group of the script.
fn defaults(keys: &Keys, names: [&[u8]; 4], above: &Defaults) -> Option<Defaults> {
    let uid_of = |name: &[u8]| (name == b"anna").then_some(7);
    let gid_of = |name: &[u8]| (name == b"staff").then_some(70);
    let present = |name: &[u8]| keys.get(name).map(Vec::as_slice);
    let uids = present(names[0]).map(|value| ids(value, uid_of));
    let gids = present(names[1]).map(|value| ids(value, gid_of));
    let one = |ids: Option<Vec<u32>>| ids.filter(|ids| ids.len() <= 1).map(|ids| ids.first().copied());
    let user = present(names[2]).map(|value| one(ids(value, uid_of)));
    let group = present(names[3]).map(|value| one(ids(value, gid_of)));
    let allowed = Allowed {
        membership: value(keys, "supplementary-groups", membership, above.allowed.membership)?,
        ..Allowed::new(
            uids.map_or(Some(above.allowed.uids.to_vec()), |ids| Some(ids?.into_iter().map(Uid).collect()))?,
            gids.map_or(Some(above.allowed.gids.to_vec()), |ids| Some(ids?.into_iter().map(Gid).collect()))?,
        )
    };
    let user = user.map_or(Some(above.user), |id| Some(id?.map(Uid)))?;
    let group = group.map_or(Some(above.group), |id| Some(id?.map(Gid)))?;
    // Nobody can tell who user 9 is.
    (user != Some(Uid(9))).then_some(Defaults { allowed, user, group })
}

fn identity(Defaults { allowed: _, user, group }: &Defaults) -> Identity {
    let (primary, groups) = match user {
        Some(Uid(7)) => (Some(Gid(70)), vec![Gid(70), Gid(71)]),
        _ => (None, vec![]),
    };
    Identity { uid: *user, gid: *group, primary, groups: user.map(|_| groups.into()) }
}

/// Returns what the value of a key means, or what holds without one; `None` if it means nothing.
fn value<T>(keys: &Keys, key: &str, meaning: impl Fn(&[u8]) -> Option<T>, default: T) -> Option<T> {
    match keys.get(key.as_bytes()) {
        Some(value) => meaning(value),
        None => Some(default),
    }
}

/// Returns the ids that a value names by numbers and by names; none for the value `none`.
fn ids(value: &[u8], id_of: impl Fn(&[u8]) -> Option<u32>) -> Option<Vec<u32>> {
    if value == b"none" || value == b"-1" {
        return Some(Vec::new());
    }
    let is_space = |byte: &u8| trim(std::slice::from_ref(byte)).is_empty();
    let words: Vec<&[u8]> = value.split(is_space).filter(|word| !word.is_empty()).collect();
    let id = |word: &&[u8]| {
        if word[0].is_ascii_digit() || b"+-".contains(&word[0]) {
            number(word).and_then(|id| u32::try_from(id).ok()).filter(|id| *id < u32::MAX)
        } else {
            id_of(word)
        }
    };
    if words.is_empty() { None } else { words.iter().map(id).collect() }
}

fn membership(value: &[u8]) -> Option<Membership> {
    match value {
        b"yes" => Some(Membership::Supplementary),
        b"no" => Some(Membership::Effective),
        _ => None,
    }
}

#[expect(clippy::option_option, reason = "no group at all is something else than the group 0")]
fn group_of_programs(value: &[u8]) -> Option<Option<Group>> {
    let group = match value {
        b"yes" => 1,
        b"no" => 0,
        _ => u32::try_from(number(value)?).ok()?,
    };
    Some((group > 0).then_some(Group(group)))
}

#[expect(clippy::option_option, reason = "no delay at all is something else than the delay `none`")]
fn delay(value: &[u8]) -> Option<Option<Duration>> {
    let seconds = match value {
        b"none" => 0,
        [b'-', digits @ ..] => -i128::try_from(number(digits)?).ok()?,
        _ => i128::try_from(number(value)?).ok()?,
    };
    let seconds = i32::try_from(seconds).ok()?;
    Some(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

#[expect(clippy::option_option, reason = "a value that means nothing is something else than `none`")]
fn time(value: &[u8]) -> Option<Option<Duration>> {
    match value {
        b"none" => Some(None),
        _ => delay(value).filter(Option::is_some),
    }
}

#[expect(clippy::option_option, reason = "a value that means nothing is something else than `none`")]
fn limit(value: &[u8]) -> Option<Option<u32>> {
    match value {
        b"none" => Some(None),
        _ => number(value).and_then(|it| u32::try_from(it).ok()).filter(|it| *it > 0).map(Some),
    }
}

fn kill_mode(value: &[u8]) -> Option<KillMode> {
    match value {
        b"process" => Some(KillMode::Process),
        b"group" => Some(KillMode::Group),
        _ => None,
    }
}

fn on_exit(value: &[u8]) -> Option<OnExit> {
    match value {
        b"leave" => Some(OnExit::Leave),
        b"stop" => Some(OnExit::Stop),
        _ => None,
    }
}

fn path(value: &[u8]) -> Option<PathBuf> {
    (!value.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(value)))
}

/// Returns the number that decimal digits are.
fn number(digits: &[u8]) -> Option<u128> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|it| it.is_ascii_digit()))?;
    digits.parse().ok()
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The keys for those who may ask and for the scripts, ahead of the first section and in each.
const DEFAULTS: [&[u8]; 4] = [b"allow-uid", b"allow-gid", b"default-suid", b"default-sgid"];
