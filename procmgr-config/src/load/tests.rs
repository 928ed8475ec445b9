//! Files of every kind, and how far they are read.
//!
//! What a file may say is tested where it is judged.

use std::error::Error;
use std::fs::{self, File, Permissions};
use std::io::{BufReader, Cursor, Read};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use tempfile::TempDir;

use crate::Definition;
use crate::load::{self, LoadError, Loaded, MAX_SIZE, Writers, find_socket_path, parse, socket_path};

const DEFAULT: &str = "/default";

/// A folder with a file in it, gone with the value.
struct Folder {
    _folder: TempDir,
    file: PathBuf,
}

fn folder_with(text: &[u8]) -> Folder {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("procmgr.cfg");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    Folder { _folder: folder, file }
}

fn empty_folder() -> Folder {
    let folder = folder_with(b"");
    fs::remove_file(&folder.file).unwrap();
    folder
}

/// Loads a file with its definitions as they are made.
fn load(path: &Path, default_socket_path: &Path, writers: Writers) -> Result<Loaded, LoadError> {
    load::load(path, default_socket_path, writers, &mut Arc::new)
}

/// Loads a file in both ways and returns both errors.
fn refusals(path: &Path) -> [LoadError; 2] {
    [load(path, Path::new(DEFAULT), Writers::Anybody).unwrap_err(), socket_path(path).unwrap_err()]
}

fn only_root(test: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("{test}: skipped, needs root");
    }
    root
}

#[test]
fn a_file_is_loaded_with_its_warnings() {
    let folder = folder_with(b"socket-path = /s\nhello = 1\n[prog-a]\ncmd-start = x\n");

    let loaded = load(&folder.file, Path::new(DEFAULT), Writers::Anybody).unwrap();

    assert_eq!(loaded.config.socket_path, PathBuf::from("/s"));
    assert_eq!(loaded.config.programs.len(), 1);
    let lines: Vec<_> = loaded.findings.lines().collect();
    assert_eq!(lines, [format!("{}:2:1: warning: unknown key \"hello\"", folder.file.display())]);
}

#[test]
fn whoever_loads_a_file_says_what_becomes_of_its_definitions() {
    let folder = folder_with(b"[prog-a]\ncmd-start = x\n[prog-b]\ncmd-start = x\n[prog-a]\n");
    let mut made = Vec::new();
    let mut keep = |definition: Definition| {
        made.push(Arc::new(definition));
        Arc::clone(&made[0])
    };

    let loaded = load::load(&folder.file, Path::new(DEFAULT), Writers::Anybody, &mut keep).unwrap();

    let names: Vec<_> = made.iter().map(|definition| definition.name.to_string()).collect();
    assert_eq!(names, ["b", "a"]);
    assert!(loaded.config.programs.iter().all(|definition| Arc::ptr_eq(definition, &made[0])));
}

#[test]
fn a_file_that_names_no_socket_gets_the_default() {
    let folder = folder_with(b"[prog-a]\nsocket-path = /s\n");

    assert_eq!(
        load(&folder.file, Path::new(DEFAULT), Writers::Anybody).unwrap().config.socket_path,
        PathBuf::from(DEFAULT)
    );
    assert_eq!(socket_path(&folder.file).unwrap(), None);
}

#[test]
fn errors_keep_a_file_from_being_used_and_are_told_with_the_warnings() {
    let folder = folder_with(b"hello = 1\nallow-uid = x\nallow-gid = y\n");

    let error = load(&folder.file, Path::new(DEFAULT), Writers::Anybody).unwrap_err();

    assert_eq!(error.to_string(), format!("2 errors in {}", folder.file.display()));
    assert_eq!(error.findings().unwrap().diagnostics.len(), 3);
}

#[test]
fn one_error_is_one_and_very_many_are_not_counted() {
    let told = |text: &[u8]| {
        LoadError::Invalid(parse(Path::new("f"), text, Path::new(DEFAULT)).unwrap_err()).to_string()
    };

    assert_eq!(told(b"x"), "1 error in f");
    assert_eq!(told(&b"x\n".repeat(100)), "100 errors in f");
    assert_eq!(told(&b"x\n".repeat(101)), "more than 100 errors in f");
}

#[test]
fn a_missing_file_is_told_with_its_path_and_the_reason() {
    let folder = empty_folder();

    for error in refusals(&folder.file) {
        let text = format!(
            "cannot read configuration {}: No such file or directory (os error 2)",
            folder.file.display()
        );
        assert_eq!(error.to_string(), text);
        assert!(matches!(&error, LoadError::Unreadable { .. }));
        assert!(error.source().is_none() && error.findings().is_none());
    }
}

#[test]
fn a_directory_is_no_configuration() {
    let folder = empty_folder();
    fs::create_dir(&folder.file).unwrap();

    for error in refusals(&folder.file) {
        assert!(error.to_string().ends_with("procmgr.cfg: it is a directory"), "{error}");
    }
}

#[test]
fn a_fifo_blocks_nobody() {
    let folder = empty_folder();
    mkfifo(&folder.file, Mode::S_IRWXU).unwrap();

    for error in refusals(&folder.file) {
        assert!(error.to_string().ends_with("procmgr.cfg: it is a FIFO"), "{error}");
    }
}

#[test]
fn a_socket_is_no_configuration() {
    let folder = empty_folder();
    let _listener = UnixListener::bind(&folder.file).unwrap();

    for error in refusals(&folder.file) {
        assert!(matches!(error, LoadError::NotAFile { .. }), "{error}");
    }
}

#[test]
fn the_null_device_is_an_empty_file() {
    let loaded = load(Path::new("/dev/null"), Path::new(DEFAULT), Writers::Root).unwrap();

    assert_eq!(loaded.config.programs, []);
    assert_eq!(socket_path(Path::new("/dev/null")).unwrap(), None);
}

#[test]
fn a_file_larger_than_the_limit_is_given_up() {
    let folder = folder_with(b"");
    File::options().write(true).open(&folder.file).unwrap().set_len(MAX_SIZE + 1).unwrap();

    for error in refusals(&folder.file) {
        assert!(matches!(error, LoadError::TooLarge { .. }), "{error}");
        assert!(error.to_string().ends_with("procmgr.cfg: larger than 67108864 bytes"), "{error}");
    }
}

#[test]
fn a_file_as_large_as_the_limit_is_read() {
    let folder = folder_with(b"#");
    File::options().write(true).open(&folder.file).unwrap().set_len(MAX_SIZE).unwrap();

    for error in refusals(&folder.file) {
        assert_eq!(error.findings().unwrap().diagnostics[0].text, "NUL byte");
    }
}

#[test]
fn the_daemon_of_root_trusts_only_what_root_alone_may_write() {
    if !only_root("the_daemon_of_root_trusts_only_what_root_alone_may_write") {
        return;
    }
    let folder = folder_with(b"");
    let told = |mode, owner| {
        fs::set_permissions(&folder.file, Permissions::from_mode(mode)).unwrap();
        chown(&folder.file, Some(owner), None).unwrap();
        assert!(load(&folder.file, Path::new(DEFAULT), Writers::Anybody).is_ok());
        assert!(socket_path(&folder.file).is_ok());
        let loaded = load(&folder.file, Path::new(DEFAULT), Writers::Root);
        loaded.map(drop).map_err(|error| error.to_string())
    };
    let refusal = |owner, mode| {
        let path = folder.file.display();
        Err(format!(
            "cannot trust configuration {path}: others than root may write it (owner {owner}, mode {mode})"
        ))
    };

    assert_eq!(told(0o644, 0), Ok(()));
    assert_eq!(told(0o755, 0), Ok(()));
    assert_eq!(told(0o664, 0), refusal(0, "0664"));
    assert_eq!(told(0o602, 0), refusal(0, "0602"));
    assert_eq!(told(0o400, 1000), refusal(1000, "0400"));
}

#[test]
fn a_file_of_somebody_else_than_root_is_not_trusted_by_root() {
    let folder = folder_with(b"");
    let loaded = load(&folder.file, Path::new(DEFAULT), Writers::Root);

    assert_eq!(loaded.is_ok(), geteuid().is_root(), "{loaded:?}");
}

#[test]
fn a_client_reads_up_to_the_first_section_and_not_further() {
    /// Bytes of a file that nobody is to ask for.
    struct Untouchable;
    impl Read for Untouchable {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("read beyond the first section")
        }
    }
    let head = b"socket-path = /a\nallow-uid = nonsense\nsocket-path = /b\nunknown\t=\n[other]\n";
    let file = BufReader::new(Cursor::new(head).chain(Untouchable));

    assert_eq!(find_socket_path(Path::new("f"), file).unwrap(), Some(PathBuf::from("/b")));
}

#[test]
fn mistakes_below_the_first_section_are_no_concern_of_a_client() {
    let folder = folder_with(b"\xef\xbb\xbfsocket-path = /s\r\n[]\ngarbage\n\0\nsocket-path = /t\n");

    assert_eq!(socket_path(&folder.file).unwrap(), Some(PathBuf::from("/s")));
    assert!(load(&folder.file, Path::new(DEFAULT), Writers::Anybody).is_err());
}

#[test]
fn values_of_other_keys_are_no_concern_of_a_client() {
    let found = find_socket_path(Path::new("f"), &b"state-path =\non-exit = x\nsocket-path = /s\n"[..]);

    assert_eq!(found.unwrap(), Some(PathBuf::from("/s")));
}

#[test]
fn mistakes_above_the_first_section_are_errors_for_a_client() {
    let told = |text: &[u8]| {
        let error = find_socket_path(Path::new("f"), text).unwrap_err();
        error.findings().unwrap().lines().collect::<Vec<_>>()
    };

    assert_eq!(
        told(b"garbage\n# \0\nsocket-path =\n[prog-a\nmore\n"),
        [
            "f:1:1: error: neither a [section] nor a comment nor \"key = value\"",
            "f:2:3: error: NUL byte",
            "f:3:14: error: invalid socket-path \"\": expected a path",
            "f:4:1: error: a section must end its line with \"]\"",
        ]
    );
}

#[test]
fn of_several_socket_paths_a_client_judges_the_last() {
    let found = |text: &[u8]| find_socket_path(Path::new("f"), text).map_err(drop);

    assert_eq!(found(b"socket-path=\nsocket-path=/s"), Ok(Some("/s".into())));
    assert_eq!(found(b"socket-path=/s\nsocket-path="), Err(()));
}
