//! Questions that cost more to answer than to ask, by clients that do not stay for the answers.

use std::fmt::Write as _;
use std::io::Write;

use procmgr_proto::codec::encode_request;
use procmgr_proto::message::Request;

use crate::harness::wait_until;
use crate::hostile::wire::{Wire, daemon, is_served};

#[test]
fn questions_of_clients_that_have_gone_are_not_answered() {
    let programs = (0..3_000).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "[prog-p{number}]\ncmd-start = :");
        text
    });
    let sandbox = daemon(&programs);
    let descriptors = sandbox.descriptors_of_idle_daemon();
    for request in [Request::List, Request::Inspect, Request::Permissions] {
        let frames = encode_request(1, &request).unwrap().repeat(1_000);
        for _ in 0..20 {
            let mut wire = Wire::connect(&sandbox);
            wire.stream.set_nonblocking(true).unwrap();
            // As many as the kernel takes; the daemon reads none of them meanwhile, or some.
            while wire.stream.write(&frames).is_ok() {}
        }
        // To answer them all would take minutes.
        wait_until("they are done with", || sandbox.daemon_descriptors() <= descriptors);
        is_served(&sandbox);
    }
}
