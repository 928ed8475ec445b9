//! Records that are kept, read again, damaged and removed, in a folder of the tests' own.
//!
//! Processes that put themselves on record are tested in `fork`, daemons that are killed end to end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::supervisor::event::{Pid, Process, Ticks};
use crate::supervisor::memory::{Past, Running};

const STOPPED: Memory = Memory::Stopped(Past { restarts: 0, row: 0, last_exit: None });

fn name(number: u32) -> ProgramName {
    ProgramName::new(format!("p{number}").as_bytes())
}

fn open(folder: &Path) -> (Store, Reading) {
    Store::open(folder.join("state"), Instant::now()).unwrap()
}

fn kept(folder: &TempDir, memories: &[(ProgramName, Memory)]) -> Store {
    let (mut store, reading) = open(folder.path());
    assert!(reading.memories.is_empty() && store.wants_all(Instant::now()));
    store.write_all(memories.iter().map(|(name, memory)| (name, memory.clone())), Instant::now());
    assert!(!store.wants_all(Instant::now()) && store.next_deadline().is_none());
    store
}

#[test]
fn what_is_put_on_record_is_read_by_the_next_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let mut store = kept(&folder, &[(name(1), STOPPED), (name(2), STOPPED)]);
    store.remember(&name(3), &STOPPED, now);
    store.remember(&name(1), &Memory::Nothing, now);
    drop(store);
    let (_, reading) = open(folder.path());
    let expected = [(name(1), Memory::Nothing), (name(2), STOPPED), (name(3), STOPPED)];
    assert_eq!((reading.memories.as_slice(), reading.damaged), (&expected[..], 0));
}

#[test]
fn nobody_else_can_read_what_scripts_say() {
    let folder = tempfile::tempdir().unwrap();
    let _store = kept(&folder, &[]);
    for (path, mode) in [("state", 0o700), ("state/programs", 0o600)] {
        let metadata = fs::metadata(folder.path().join(path)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{path}");
    }
}

#[test]
fn a_file_that_has_grown_long_is_to_be_written_anew_and_is_short_then() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = kept(&folder, &[]);
    let now = Instant::now();
    while !store.wants_all(now) {
        store.remember(&name(1), &STOPPED, now);
    }
    let length = |store: &Store| store.log.as_ref().unwrap().length;
    assert!(length(&store) > ROOM_TO_GROW);
    assert_eq!(fs::metadata(folder.path().join("state/programs")).unwrap().len(), length(&store));
    store.write_all([(&name(1), STOPPED)].into_iter(), now);
    assert!(length(&store) < 1000 && !store.wants_all(now));
    drop(store);
    assert_eq!(open(folder.path()).1.memories, [(name(1), STOPPED)]);
}

#[test]
fn a_file_or_folder_that_is_removed_is_noticed_and_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = kept(&folder, &[]);
    let (state, file) = (folder.path().join("state"), folder.path().join("state/programs"));
    let remove_file: &dyn Fn() = &|| fs::remove_file(&file).unwrap();
    let remove_all: &dyn Fn() = &|| fs::remove_dir_all(&state).unwrap();
    let move_away: &dyn Fn() = &|| fs::rename(&state, folder.path().join("elsewhere")).unwrap();
    for act in [remove_file, remove_all, move_away] {
        store.look(Instant::now());
        assert!(!store.wants_all(Instant::now()), "nothing has happened");
        act();
        store.look(Instant::now());
        assert!(store.wants_all(Instant::now()));
        store.write_all([(&name(1), STOPPED)].into_iter(), Instant::now());
        assert!(file.exists());
    }
}

#[test]
fn where_nothing_can_be_written_it_is_tried_again_after_a_pause_that_grows() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("state"), "a file is in the way").unwrap();
    let (mut store, _) = open(folder.path());
    let mut now = Instant::now();
    for pause in [1, 2, 4, 8, 16, 32, 64, 64] {
        assert!(store.wants_all(now));
        store.write_all([].into_iter(), now);
        assert_eq!(store.next_deadline(), Some(now + Duration::from_secs(pause)));
        assert!(!store.wants_all(now));
        store.remember(&name(1), &STOPPED, now);
        assert!(store.signature(&name(1), &STOPPED).is_none());
        now += Duration::from_secs(pause);
    }
    fs::remove_file(folder.path().join("state")).unwrap();
    store.write_all([].into_iter(), now);
    assert_eq!(store.next_deadline(), None);
}

#[test]
fn what_others_may_write_is_not_used() {
    for (path, mode) in [("state", 0o777), ("state", 0o720), ("state/programs", 0o602)] {
        let folder = tempfile::tempdir().unwrap();
        drop(kept(&folder, &[(name(1), STOPPED)]));
        fs::set_permissions(folder.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        assert!(open(folder.path()).1.memories.is_empty(), "{path} {mode:o}");
    }
}

#[test]
fn whatever_is_no_file_is_neither_followed_nor_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    drop(kept(&folder, &[(name(1), STOPPED)]));
    let (file, aside) = (folder.path().join("state/programs"), folder.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &file).unwrap();
    assert!(open(folder.path()).1.memories.is_empty());
    fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(open(folder.path()).1.memories.is_empty());
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(open(folder.path()).1.memories.is_empty());
}

#[test]
fn records_are_removed_with_the_folder_that_was_made_for_them_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    kept(&folder, &[]).remove();
    assert!(!folder.path().join("state").exists());

    fs::create_dir(folder.path().join("state")).unwrap();
    fs::set_permissions(folder.path().join("state"), fs::Permissions::from_mode(0o755)).unwrap();
    kept(&folder, &[]).remove();
    assert_eq!(fs::read_dir(folder.path().join("state")).unwrap().count(), 0);
}

#[test]
fn a_signature_that_was_not_given_has_all_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = kept(&folder, &[]);
    let definition =
        std::sync::Arc::new(procmgr_config::Definition::new(name(1), procmgr_config::Rule::default()));
    let main = Some(Process { pid: Pid(1), started: Ticks(1) });
    let (former, aim) = (None, crate::supervisor::memory::Aim::Run);
    let (since, past) = (None, Past::default());
    let memory = Memory::Running(Running { main, former, since, definition, aim, past });
    let length = store.signature(&name(1), &memory).unwrap().length();
    store.signed(length, Instant::now());
    assert!(store.wants_all(Instant::now()));
}
