//! Bodies that nobody meant well: whatever decodes is what was sent, and costs no more memory than is documented.
//!
//! How bodies travel is the business of the target `frame`.

#![no_main]
#![expect(unsafe_code, reason = "an allocator that counts is an allocator, which only unsafe code can be")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

use libfuzzer_sys::fuzz_target;
use procmgr_proto::codec::{
    DecodeError, EncodeError, decode_event, decode_request, decode_response, encode_event, encode_request,
    encode_response,
};
use procmgr_proto::event::Event;
use procmgr_proto::frame::{HEADER_LENGTH, Header};
use procmgr_proto::message::{ExitStatus, Response};

fuzz_target!(|body: &[u8]| {
    check(body, decode_request, encode_request, |_| 0);
    check(body, decode_response, encode_response, |response| match response {
        Response::Exited(status) => unknown([*status]),
        Response::Inspected(programs) => {
            unknown(programs.iter().filter_map(|program| program.last_exit).map(|exit| exit.status))
        }
        _ => 0,
    });
    check(body, decode_event, encode_event, |event| match event {
        Event::Changed(change) => unknown(change.ended),
        _ => panic!("{event:?} is not known here"),
    });
});

/// Returns how many of the exit statuses are not known.
fn unknown(statuses: impl IntoIterator<Item = ExitStatus>) -> usize {
    statuses.into_iter().filter(|status| *status == ExitStatus::Unknown).count()
}

/// Decodes a body, and if it is a message, encodes it again.
fn check<M: Debug + PartialEq>(
    body: &[u8],
    decode: fn(&[u8]) -> Result<M, DecodeError>,
    encode: fn(u32, &M) -> Result<Vec<u8>, EncodeError>,
    unknown_statuses: fn(&M) -> usize,
) {
    let (decoded, memory) = measured(|| decode(body));
    let most = FEW_MIB + SMALL_MULTIPLE * body.len();
    assert!(memory <= most, "{memory} bytes of memory for a body of {} bytes", body.len());
    let Ok(message) = decoded else { return };
    let frame = encode(ID, &message).expect("what fits into a body fits into a body");
    let (header, encoded) = frame.split_first_chunk::<HEADER_LENGTH>().expect("a frame has a header");
    let header = Header::parse(header).expect("what is sent can be received");
    assert_eq!((header.id, header.length as usize), (ID, encoded.len()));
    // An exit status of a later version is kept as one that is not known; nothing else may differ.
    let (places, statuses) = (places_that_differ(body, encoded), unknown_statuses(&message));
    assert!(places <= statuses, "{message:?} is not what came: {places} places differ");
    assert_eq!(decode(encoded).as_ref(), Ok(&message));
}

/// Returns how many places, each as long as an exit status, hold all that differs.
fn places_that_differ(body: &[u8], encoded: &[u8]) -> usize {
    assert_eq!(encoded.len(), body.len());
    let (mut places, mut end) = (0, 0);
    for at in 0..body.len() {
        if at >= end && encoded[at] != body[at] {
            (places, end) = (places + 1, at + LENGTH_OF_STATUS);
        }
    }
    places
}

/// Returns what a function returns, and how much more memory than before was in use while it ran.
fn measured<T>(function: impl FnOnce() -> T) -> (T, usize) {
    let before = MEMORY.used.load(Ordering::Relaxed);
    MEMORY.most.store(before, Ordering::Relaxed);
    let result = function();
    (result, MEMORY.most.load(Ordering::Relaxed).saturating_sub(before))
}

/// The allocator of the system, which counts what it gives.
struct Counting {
    used: AtomicUsize,
    most: AtomicUsize,
}

#[global_allocator]
static MEMORY: Counting = Counting { used: AtomicUsize::new(0), most: AtomicUsize::new(0) };

// SAFETY: every call is passed on as it came, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = self.used.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        self.most.fetch_max(used, Ordering::Relaxed);
        // SAFETY: the caller owes the same to us as we to the system.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.used.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above, and whatever we have given came from the system.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// What `decode_request` promises of its memory, in numbers: messages take up to four and a half times their bytes,
/// and a list that grows is there twice, once with room for twice as many; and room for what a count announces is
/// made up to a MiB.
const SMALL_MULTIPLE: usize = 14;
const FEW_MIB: usize = 3 << 20;

const LENGTH_OF_STATUS: usize = 5;

const ID: u32 = 7;
