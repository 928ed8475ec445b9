//! What it takes to turn messages into frames and back, in time and in allocations.
//!
//! Whether they are right is for the tests to say.

use divan::{AllocProfiler, Bencher, black_box};
use procmgr_proto::codec::{decode_request, decode_response, encode_request, encode_response};
use procmgr_proto::frame::{HEADER_LENGTH, Header};
use procmgr_proto::message::{Invocation, ProgramEntry, Request, Response};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench]
fn encode_a_status() -> Vec<u8> {
    encode_request(7, &black_box(status())).expect("it is short")
}

#[divan::bench]
fn decode_a_status(bencher: Bencher<'_, '_>) {
    let frame = encode_request(7, &status()).expect("it is short");
    bencher.bench_local(|| decode_request(black_box(&frame[HEADER_LENGTH..])).expect("it is whole"));
}

#[divan::bench]
fn encode_its_answer() -> Vec<u8> {
    encode_response(7, &black_box(Response::Status { running: true })).expect("it is short")
}

#[divan::bench]
fn parse_a_header(bencher: Bencher<'_, '_>) {
    let frame = encode_request(7, &Request::Ping).expect("it is short");
    let header = *frame.first_chunk::<HEADER_LENGTH>().expect("it begins with a header");
    bencher.bench_local(|| Header::parse(black_box(&header)).expect("it is one"));
}

#[divan::bench(args = [1, 100, 10_000])]
fn encode_a_list(bencher: Bencher<'_, '_>, programs: usize) {
    let response = list(programs);
    bencher.bench_local(|| encode_response(7, black_box(&response)).expect("it is no longer than may be"));
}

#[divan::bench(args = [1, 100, 10_000])]
fn decode_a_list(bencher: Bencher<'_, '_>, programs: usize) {
    let frame = encode_response(7, &list(programs)).expect("it is no longer than may be");
    bencher.bench_local(|| decode_response(black_box(&frame[HEADER_LENGTH..])).expect("it is whole"));
}

fn status() -> Request {
    let (program, action) = (b"game".to_vec(), b"status".to_vec());
    Request::Invoke(Invocation { program, action, arguments: Vec::new() })
}

fn list(programs: usize) -> Response {
    let name = |number| format!("program-{number}").into_bytes();
    let entry = |number| ProgramEntry { name: name(number), tokens: vec![b"running".to_vec()] };
    Response::Programs((0..programs).map(entry).collect())
}
