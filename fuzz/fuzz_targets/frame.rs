//! Streams of frames, in pieces and with descriptors, as the daemon reads them.
//!
//! What must hold stands beside the reader, which nobody else may name: in `procmgrd/src/fuzz/frame.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| procmgrd::fuzz::frame(bytes));
