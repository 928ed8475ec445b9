//! Paths at which nobody can be talked to, told apart.
//!
//! How long a connection may take is not tested here.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use procmgr_proto::client::Client;
use procmgr_proto::error::ConnectError;
use tempfile::tempdir;

#[test]
fn a_path_without_a_socket_is_told_apart() {
    let directory = tempdir().unwrap();
    let error = Client::connect(&directory.path().join("absent")).unwrap_err();
    assert!(matches!(error, ConnectError::Absent { .. }));
    assert!(error.to_string().ends_with("/absent: there is no such socket; does a daemon run?"), "{error}");
}

#[test]
fn a_socket_without_a_listener_is_told_apart() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("stale");
    drop(UnixListener::bind(&path).unwrap());
    let error = Client::connect(&path).unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }));
    assert!(error.to_string().ends_with("/stale: connection refused, nobody listens"), "{error}");
}

#[test]
fn something_that_is_no_socket_is_told_apart() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.as_path(), directory.path()] {
        let error = Client::connect(path).unwrap_err();
        assert!(matches!(error, ConnectError::NotSocket { .. }));
        assert!(error.to_string().ends_with(": is not a socket"), "{error}");
    }
}

#[test]
fn a_path_that_no_socket_can_have_is_told_with_its_length() {
    let longest = format!("/{}", "x".repeat(106));
    assert!(matches!(Client::connect(Path::new(&longest)), Err(ConnectError::Absent { .. })));
    let error = Client::connect(Path::new(&format!("{longest}x"))).unwrap_err();
    assert!(matches!(error, ConnectError::PathTooLong { length: 108, .. }));
    assert!(error.to_string().ends_with("the path has 108 bytes, that of a socket at most 107"), "{error}");
}
