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
    check(body, decode_request, encode_request, |_| false);
    check(body, decode_response, encode_response, |response| {
        *response == Response::Exited(ExitStatus::Unknown)
    });
    check(body, decode_event, encode_event, |event| match event {
        Event::Changed(change) => change.ended == Some(ExitStatus::Unknown),
        _ => panic!("{event:?} is not known here"),
    });
});

/// Decodes a body, and if it is a message, encodes it again.
fn check<M: Debug + PartialEq>(
    body: &[u8],
    decode: fn(&[u8]) -> Result<M, DecodeError>,
    encode: fn(u32, &M) -> Result<Vec<u8>, EncodeError>,
    has_unknown_status: fn(&M) -> bool,
) {
    let (decoded, memory) = measured(|| decode(body));
    let most = FEW_MIB + SMALL_MULTIPLE * body.len();
    assert!(memory <= most, "{memory} bytes of memory for a body of {} bytes", body.len());
    let Ok(message) = decoded else { return };
    let frame = encode(ID, &message).expect("what fits into a body fits into a body");
    let (header, encoded) = frame.split_first_chunk::<HEADER_LENGTH>().expect("a frame has a header");
    let header = Header::parse(header).expect("what is sent can be received");
    assert_eq!((header.id, header.length as usize), (ID, encoded.len()));
    if has_unknown_status(&message) {
        check_unknown_status(body, encoded);
        assert_eq!(decode(encoded).as_ref(), Ok(&message));
    } else {
        assert!(encoded == body, "{message:?} is not what came");
    }
}

/// An exit status of a later version is kept as one that is not known; nothing else may differ.
fn check_unknown_status(body: &[u8], encoded: &[u8]) {
    assert_eq!(encoded.len(), body.len());
    let differs = |at: &usize| encoded[*at] != body[*at];
    let first = (0..body.len()).find(differs);
    let last = (0..body.len()).rfind(differs);
    let length = first.zip(last).map_or(0, |(first, last)| last - first + 1);
    assert!(length <= LENGTH_OF_STATUS, "{length} bytes differ");
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

/// What `decode_request` promises of its memory, in numbers: the messages take up to four times their bytes, and a list
/// that grows is there twice, once with room for twice as many; and room for what a count announces is made up to a MiB.
const SMALL_MULTIPLE: usize = 12;
const FEW_MIB: usize = 3 << 20;

const LENGTH_OF_STATUS: usize = 5;

const ID: u32 = 7;
