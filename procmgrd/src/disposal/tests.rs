//! Garbage that takes its time, and garbage that does not, of many owners.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::*;
use crate::custody::Ledger;
use crate::parcel::hand_on;

const ANNA: Owner = Some(Uid(1));
const BERT: Owner = Some(Uid(2));
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that says that it is being dropped, and then takes its time.
struct Slow {
    begun: Sender<&'static str>,
    name: &'static str,
    release: Receiver<()>,
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.begun.send(self.name).unwrap();
        let _ = self.release.recv();
    }
}

/// Nothing is released before this is dropped.
fn slow(begun: &Sender<&'static str>, name: &'static str) -> (Sender<()>, Garbage) {
    let (release, is_released) = channel();
    (release, Box::new(Slow { begun: begun.clone(), name, release: is_released }))
}

/// Has it take in something slow, and returns what that waits for.
fn take_in_slow(disposal: &Disposal, owner: Owner, begun: &Sender<&'static str>) -> Sender<()> {
    let (release, garbage) = slow(begun, "slow");
    disposal.take_in(owner, garbage);
    release
}

fn quick(begun: &Sender<&'static str>, name: &'static str) -> Garbage {
    slow(begun, name).1
}

fn disposal() -> &'static Disposal {
    Box::leak(Box::default())
}

#[test]
fn one_owner_occupies_a_few_workers_and_everybody_else_is_served() {
    let disposal = disposal();
    let (begun, beginnings) = channel();
    let mut releases = Vec::new();
    for _ in 0..10 * MOST_WORKERS {
        releases.push(take_in_slow(disposal, ANNA, &begun));
        disposal.set_off();
    }
    for _ in 0..WORKERS_PER_OWNER {
        assert_eq!(beginnings.recv_timeout(PATIENCE), Ok("slow"));
    }
    for owner in [BERT, None, BERT, None] {
        disposal.take_in(owner, quick(&begun, "quick"));
        disposal.set_off();
        assert_eq!(beginnings.recv_timeout(PATIENCE), Ok("quick"));
    }
    let workers = disposal.yard().workers;
    assert!(workers <= WORKERS_PER_OWNER + 4, "{workers} workers");
    drop(releases);
    for _ in WORKERS_PER_OWNER..10 * MOST_WORKERS {
        assert_eq!(beginnings.recv_timeout(PATIENCE), Ok("slow"));
    }
}

#[test]
fn there_are_no_more_workers_than_the_most() {
    let disposal = disposal();
    let (begun, beginnings) = channel();
    let mut releases = Vec::new();
    for uid in 0..300 {
        releases.push(take_in_slow(disposal, Some(Uid(uid)), &begun));
        disposal.set_off();
    }
    for _ in 0..MOST_WORKERS {
        assert_eq!(beginnings.recv_timeout(PATIENCE), Ok("slow"));
    }
    assert_eq!(disposal.yard().workers, MOST_WORKERS);
    assert_eq!(disposal.yard().next.len(), 300 - MOST_WORKERS);
    drop(releases);
    for _ in MOST_WORKERS..300 {
        assert_eq!(beginnings.recv_timeout(PATIENCE), Ok("slow"));
    }
}

#[test]
fn whoever_has_something_that_is_not_closed_is_told_until_it_is() {
    let disposal = disposal();
    let (begun, beginnings) = channel();
    assert_eq!(disposal.unfinished(), []);
    let mut releases = Vec::new();
    for owner in [BERT, None, ANNA, ANNA, ANNA, ANNA, ANNA] {
        releases.push(take_in_slow(disposal, owner, &begun));
        disposal.set_off();
    }
    assert_eq!(disposal.unfinished(), [None, ANNA, BERT]);
    // Bert's is the first one.
    releases.remove(0);
    while disposal.unfinished() != [None, ANNA] {
        thread::yield_now();
    }
    drop(releases);
    while !disposal.unfinished().is_empty() {
        thread::yield_now();
    }
    assert_eq!(beginnings.try_iter().count(), 7);
}

#[test]
fn owners_take_turns() {
    let mut yard = Yard::default();
    for _ in 0..WORKERS_PER_OWNER + 2 {
        yard.take_in(ANNA, Box::new(()));
    }
    yard.take_in(BERT, Box::new(()));
    let mut order = Vec::new();
    while let Some((owner, _)) = yard.next.pop_front() {
        order.push(owner);
        yard.dropped(owner);
    }
    assert_eq!(order, [ANNA, ANNA, ANNA, ANNA, BERT, ANNA, ANNA]);
    assert!(yard.lots.is_empty());
}

#[test]
fn sockets_that_wait_take_hardly_any_place() {
    const SOCKETS: usize = 1000;
    let disposal = disposal();
    let ledger = Ledger::new(100, 1000);
    let account = ledger.account(Uid(1));
    let (begun, beginnings) = channel();
    let mut releases = Vec::new();
    for _ in 0..WORKERS_PER_OWNER {
        releases.push(take_in_slow(disposal, ANNA, &begun));
        disposal.set_off();
        assert_eq!(beginnings.recv_timeout(PATIENCE), Ok("slow"));
    }
    let (last, socket) = UnixStream::pair().unwrap();
    // More than fit into one bundle.
    for _ in 0..SOCKETS {
        disposal.take_in_socket(UnixStream::pair().unwrap().1, &account);
        disposal.set_off();
    }
    disposal.take_in_socket(socket, &account);
    disposal.set_off();
    assert!(ledger.of(Uid(1)) < SOCKETS / 10, "{} descriptors", ledger.of(Uid(1)));
    drop(releases);
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(io::read_to_string(last).unwrap(), "");
    while ledger.of(Uid(1)) > 0 {
        thread::yield_now();
    }
}

#[test]
fn workers_with_nothing_to_do_are_dismissed_but_for_one() {
    let disposal = disposal();
    let (begun, beginnings) = channel();
    let mut releases = Vec::new();
    for _ in 0..WORKERS_PER_OWNER {
        releases.push(take_in_slow(disposal, ANNA, &begun));
        disposal.set_off();
        assert_eq!(beginnings.recv_timeout(PATIENCE), Ok("slow"));
    }
    drop(releases);
    while disposal.yard().workers > 1 {
        thread::yield_now();
    }
    disposal.take_in(ANNA, quick(&begun, "quick"));
    disposal.set_off();
    assert_eq!(beginnings.recv_timeout(PATIENCE), Ok("quick"));
}

#[test]
fn descriptors_count_until_they_are_closed() {
    let ledger = Ledger::new(100, 1000);
    let (reader, writer) = io::pipe().unwrap();
    let foreign = Foreign::new(vec![writer.into()], &ledger.account(Uid(1)));
    let duplicate = foreign.duplicate().unwrap();
    assert_eq!((ledger.of(Uid(1)), duplicate.len()), (2, 1));
    let (descriptors, charge) = foreign.take();
    assert_eq!(ledger.of(Uid(1)), 2);
    later(descriptors, Some(charge));
    drop(duplicate);
    set_off();
    assert_eq!(io::read_to_string(reader).unwrap(), "");
    while ledger.of(Uid(1)) > 0 {
        thread::yield_now();
    }
}

#[test]
fn descriptors_that_were_handed_on_count_as_before() {
    let (reader, writer) = io::pipe().unwrap();
    let former = Foreign::new(vec![writer.into()], &Ledger::new(100, 1000).account(Uid(1)));
    let (slots, mut unpacker) = hand_on(former, Foreign::pack);
    let ledger = Ledger::new(100, 1000);
    let foreign = Foreign::unpack(slots, &mut unpacker, &ledger.account(Uid(1))).unwrap();
    assert_eq!((foreign.len(), ledger.of(Uid(1))), (1, 1));
    drop(foreign);
    set_off();
    assert_eq!(io::read_to_string(reader).unwrap(), "");
    while ledger.of(Uid(1)) > 0 {
        thread::yield_now();
    }
}

#[test]
fn one_call_is_enough_for_all_that_has_come() {
    let disposal = disposal();
    let (begun, beginnings) = channel();
    let mut releases = Vec::new();
    for uid in 0..8 {
        releases.push(take_in_slow(disposal, Some(Uid(uid)), &begun));
    }
    disposal.set_off();
    for _ in 0..8 {
        assert_eq!(beginnings.recv_timeout(PATIENCE), Ok("slow"));
    }
}

#[test]
fn closing_can_be_put_off_for_a_few_turns_and_only_if_there_is_something_to_close() {
    let disposal = disposal();
    let (begun, beginnings) = channel();
    for _ in 0..2 {
        assert!(!disposal.postpone());
        disposal.take_in(ANNA, quick(&begun, "quick"));
        let turns = (0..10 * MOST_TURNS).take_while(|_| disposal.postpone()).count();
        assert_eq!(u32::try_from(turns), Ok(MOST_TURNS));
        disposal.set_off();
        assert_eq!(beginnings.recv_timeout(PATIENCE), Ok("quick"));
    }
}

#[test]
fn closing_is_not_put_off_when_there_is_much_of_it() {
    let disposal = disposal();
    let (begun, _beginnings) = channel();
    for _ in 0..MOST_NEWS {
        disposal.take_in(ANNA, quick(&begun, "quick"));
    }
    assert!(disposal.postpone());
    disposal.take_in(ANNA, quick(&begun, "quick"));
    assert!(!disposal.postpone());
}
