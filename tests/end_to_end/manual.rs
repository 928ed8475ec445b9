//! The examples in what is written for users: each one is run, and does what is said there.
//!
//! A document is read by `document`; each of its headings begins a session, in a `place` of its own, which `session`
//! plays. What a shown output stands for is up to `pattern`. CONTRIBUTING.md tells how to write examples.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use std::{fs, thread};

use crate::manual::document::{Session, sessions};
use crate::manual::session::play;

mod document;
mod pattern;
mod place;
mod session;

/// How many sessions are played at a time: most of their time they wait.
const PLAYERS: usize = 4;

/// How long an output may take to be what is shown: far longer than it does.
const PATIENCE: Duration = Duration::from_secs(20);

/// Names a heading, or a part of it: only such sessions are played. For whoever writes one.
const ONLY: &str = "MANUAL_SECTION";

#[test]
fn every_example_of_the_manual_works() {
    play_all("docs/MANUAL.md", |_| true);
}

#[test]
fn every_example_of_the_tutorial_works() {
    play_all("README.md", |_| true);
}

#[test]
fn every_example_about_what_outlives_the_daemon_works() {
    play_all("docs/STATE.md", |_| true);
}

#[test]
fn every_configuration_of_the_reference_can_be_used() {
    // What is shown of lists there is of programs that the reader is not told of; `procmgr-cli` compares such lists.
    play_all("docs/CONFIGURATION.md", |kind| kind == "ini");
}

/// Plays the sessions of a document, with those of its blocks that are of a kind that is wanted.
fn play_all(name: &str, is_wanted: impl Fn(&str) -> bool) {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let only = std::env::var(ONLY).unwrap_or_default();
    let mut sessions = sessions(name, &text, is_wanted).unwrap_or_else(|complaint| panic!("{complaint}"));
    assert!(!sessions.is_empty(), "{name} has no examples");
    sessions.retain(|session| session.heading.contains(&only));
    let (sessions, failures) = (Mutex::new(sessions.into_iter()), Mutex::new(Vec::new()));
    let next = || -> Option<Session> { sessions.lock().unwrap().next() };
    thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                while let Some(session) = next() {
                    if let Err(failure) = play(&session, PATIENCE) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}
