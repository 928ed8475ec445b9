//! Events as they may come to the supervisor: requests, deaths, passing time and configurations.
//!
//! What must hold stands beside the supervisor, which nobody else may name: in the model of its tests.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| procmgrd::fuzz::supervisor(bytes));
