//! The seeds of the fuzzer: each is an input like any other, and keeps every promise.

use std::fs;
use std::path::Path;

use super::{frame, supervisor};

fn try_seeds(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut count = 0;
    for seed in fs::read_dir(&folder).unwrap() {
        let path = seed.unwrap().path();
        println!("{}", path.display());
        run(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "there are no seeds in {}", folder.display());
}

#[test]
fn every_seed_of_frames_is_read_as_it_was_sent() {
    try_seeds("frame", frame);
}

#[test]
fn every_seed_of_events_keeps_the_promises() {
    try_seeds("supervisor", supervisor);
}
