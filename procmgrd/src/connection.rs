//! One client: the frames that come from it, its requests under way, and the answers on their way to it.
//!
//! How many clients there may be, and what a request leads to, is not known here.

mod demand;
pub(crate) mod packed;

use std::cell::OnceCell;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use procmgr_config::Gid;
use procmgr_proto::codec::encode_response;
use procmgr_proto::frame::{CONNECTION_ID, HEADER_LENGTH, Header};
use procmgr_proto::message::{Code, Refusal, Response};
use rustix::net::{SendFlags, send};

pub(crate) use crate::connection::demand::Demand;
use crate::connection::demand::understand;
use crate::custody::Account;
use crate::journal;
use crate::maps::Map;
use crate::membership::supplementary_groups;
use crate::news::EventFrame;
use crate::poll::Interest;
use crate::quota::{Crowding, Exceeded};
use crate::reader::{Content, End, Frame, FrameReader};
use crate::stream;
use crate::supervisor::event::Peer;

/// How long a request may take to arrive once it has begun. Clients send one in a single call; who is slower than this
/// is broken, or keeps our memory and descriptors on purpose.
const HALF_REQUEST: Duration = Duration::from_secs(10);

/// How long a client may take to fetch its answers.
const UNREAD_ANSWERS: Duration = Duration::from_secs(30);

/// How long a subscriber may take to fetch anything of what it is told: long enough for a terminal that somebody has
/// stopped, and not for ever, since the connection might be one that nobody holds any more.
const UNREAD_EVENTS: Duration = Duration::from_secs(300);

/// How many requests of one connection may be under way. More wait in the socket until some are answered.
const MAX_UNDER_WAY: usize = 64;

/// How many bytes of answers may wait before no more requests are read.
const MAX_UNSENT: usize = 64 * 1024;

/// How many bytes of events may wait before the subscription ends: some ten thousand, which is every program of a large
/// machine dying at once before a subscriber has had its turn.
const MAX_UNTOLD: usize = 1 << 20;

/// A request that can be decided upon.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Unique among the requests of the connection.
    pub(crate) number: u64,
    pub(crate) demand: Demand,
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    peer: Peer,
    /// `None` once nothing more is to be read.
    reader: Option<FrameReader>,
    /// The requests under way, each with the id by which the client knows it.
    under_way: Map<u64, u32>,
    arrivals: u64,
    /// The id of the request by which the client has subscribed.
    subscription: Option<u32>,
    unsent: Vec<u8>,
    /// Where in it the last answer ends; only events are behind that.
    answers_end: usize,
    /// Whether the socket took no more when it was tried last.
    is_full: bool,
    /// Whether the client has gone and fetches no answers. What it has sent before still counts.
    is_deaf: bool,
    half_request_since: Option<Instant>,
    /// The supplementary groups that the client had when it connected, once they were asked for.
    groups: OnceCell<Rc<[Gid]>>,
    /// Since when the client has fetched nothing of what is unsent.
    stuck_since: Option<Instant>,
    /// Why nothing is read for now, and how long that may go on.
    held: Option<Crowding>,
    /// Whether it has waited, and others are to let it be read from once.
    has_turn: bool,
    /// When a request came or was answered last, or when the client connected.
    active_at: Instant,
}

impl Connection {
    /// Takes a stream, which must not block.
    pub(crate) fn new(stream: UnixStream, peer: Peer, account: Account, now: Instant) -> Self {
        Self {
            stream,
            peer,
            reader: Some(FrameReader::new(account)),
            under_way: Map::default(),
            arrivals: 0,
            subscription: None,
            unsent: Vec::new(),
            answers_end: 0,
            is_full: false,
            is_deaf: false,
            half_request_since: None,
            groups: OnceCell::new(),
            stuck_since: None,
            held: None,
            has_turn: false,
            active_at: now,
        }
    }

    /// Reads until there is a request to be decided upon or nothing more has come. What is wrong is answered here.
    pub(crate) fn read(&mut self, now: Instant) -> Option<Arrival> {
        let Some(reader) = &mut self.reader else { return None };
        let result = reader.read(self.stream.as_fd());
        self.half_request_since = reader.is_amidst().then(|| self.half_request_since.unwrap_or(now));
        match result {
            Ok(None) => None,
            Ok(Some(frame)) => self.judge(frame, now),
            Err(End::Closed) => {
                self.stop_reading();
                None
            }
            Err(End::Broken { id, refusal }) => {
                self.subscription = None;
                self.stop_reading();
                self.refuse(id, refusal, now);
                None
            }
        }
    }

    /// Reads nothing for now. Unless that ends in time the client is cut off. What one that has gone has sent waits
    /// as well.
    pub(crate) fn hold(&mut self, crowding: Crowding) {
        self.has_turn = false;
        self.held.get_or_insert(crowding);
    }

    /// Reads again, at least once.
    pub(crate) fn release(&mut self) {
        self.held = None;
        self.has_turn = true;
    }

    /// Returns why nothing is read for now, if so.
    pub(crate) fn held_for(&self) -> Option<Exceeded> {
        self.held.map(|crowding| crowding.exceeded)
    }

    /// Returns whether it has waited for the next time that it is read from. Only once.
    pub(crate) fn take_turn(&mut self) -> bool {
        mem::take(&mut self.has_turn)
    }

    /// Answers a request under way.
    pub(crate) fn answer(&mut self, number: u64, response: &Response, now: Instant) {
        if let Some(id) = self.finish(number, now) {
            self.send(id, response, now);
        }
    }

    /// Answers a request under way by a subscription, which begins with what there is.
    pub(crate) fn subscribe(&mut self, number: u64, response: &Response, now: Instant) {
        let Some(id) = self.finish(number, now) else { return };
        self.subscription = self.send(id, response, now).then_some(id);
    }

    /// Tells the client of an event, if it has subscribed. It goes out with the next answer or [`flush`](Self::flush).
    ///
    /// Whoever does not fetch events in time is cut off, once it has fetched what is kept for it.
    pub(crate) fn tell(&mut self, event: &EventFrame, now: Instant) {
        if self.unsent.len() >= MAX_UNSENT && !self.is_full {
            self.flush(now);
        }
        let Some(id) = self.subscription else { return };
        let untold = self.unsent.len() - self.answers_end;
        if untold + HEADER_LENGTH + event.body.len() > MAX_UNTOLD {
            return self.end_subscription("events were not fetched in time", now);
        }
        self.unsent.extend(Header { id, ..event.header }.to_bytes());
        self.unsent.extend(&event.body);
        self.stuck_since.get_or_insert(now);
    }

    /// Ends the subscription, if there is one, because the client has used up what it may use. The connection ends with
    /// it, when the client has fetched what is kept for it and this.
    pub(crate) fn end_subscription(&mut self, reason: &str, now: Instant) {
        self.under_way.clear();
        self.unsubscribe(Refusal::new(Code::Limit, reason), now);
    }

    /// Ends the subscription, if there is one, and with it the connection, once all that is under way is answered and
    /// fetched.
    pub(crate) fn unsubscribe(&mut self, refusal: Refusal, now: Instant) {
        if let Some(id) = self.subscription.take() {
            self.stop_reading();
            self.stuck_since = None;
            self.refuse(id, refusal, now);
        }
    }

    /// Takes note that the client has gone. Requests that it has sent before are read still.
    pub(crate) fn hang_up(&mut self) {
        self.is_deaf = true;
        self.subscription = None;
        self.discard_unsent();
    }

    /// Finishes the connection because the client has used up what it may use, and tells it if that is possible.
    pub(crate) fn cut_off(&mut self, reason: &str, now: Instant) {
        self.stop_reading();
        // Behind the half of another answer it would not be understood, nor fetched any sooner.
        if self.unsent.is_empty() {
            self.send(CONNECTION_ID, &Response::Refused(Refusal::new(Code::Limit, reason)), now);
        }
        self.hang_up();
    }

    /// Finishes the connection because its time is over. A subscriber is told so behind all that it has not fetched.
    pub(crate) fn time_out(&mut self, reason: &str, now: Instant) {
        if self.is_subscribed() {
            self.end_subscription(reason, now);
        } else {
            self.cut_off(reason, now);
        }
    }

    /// Closes the connection, whatever is unread or unsent.
    pub(crate) fn close(self, account: &Account) {
        stream::close(self.stream, account);
    }

    /// Sends what the socket takes without blocking.
    pub(crate) fn flush(&mut self, now: Instant) {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let mut sent = 0;
        self.is_full = false;
        while sent < self.unsent.len() {
            match send(&self.stream, &self.unsent[sent..], flags) {
                Ok(count) => sent += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    self.is_full = true;
                    break;
                }
                Err(_) => return self.hang_up(),
            }
        }
        if sent == self.unsent.len() {
            self.discard_unsent();
        } else if sent > 0 {
            self.unsent.drain(..sent);
            self.answers_end = self.answers_end.saturating_sub(sent);
            self.stuck_since = Some(now);
        }
    }

    /// Returns what is to be waited for. Nothing at all while one waits that has gone: of that the poller would tell
    /// all the time.
    pub(crate) fn interest(&self) -> Option<Interest> {
        let interest = Interest { readable: self.is_reading(), writable: !self.unsent.is_empty() };
        (!self.is_deaf || self.held.is_none()).then_some(interest)
    }

    /// Returns whether the next frame is wanted now.
    pub(crate) fn is_reading(&self) -> bool {
        self.reader.is_some()
            && self.held.is_none()
            && self.under_way.len() < MAX_UNDER_WAY
            && self.unsent.len() < MAX_UNSENT
    }

    /// Returns whether nothing more is to be read or written.
    pub(crate) fn is_finished(&self) -> bool {
        let is_over = self.under_way.is_empty() && self.subscription.is_none() && self.unsent.is_empty();
        self.reader.is_none() && (self.is_deaf || is_over)
    }

    /// Returns when the client is to be cut off, and why, unless it moves.
    ///
    /// A subscriber may take its time to fetch what it is told, for that has a bound by itself.
    pub(crate) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let half = self
            .half_request_since
            .map(|since| (since + HALF_REQUEST, "the request took too long to arrive"));
        let stuck = self.stuck_since.map(|since| match self.subscription {
            Some(_) => (since + UNREAD_EVENTS, "events were not fetched in time"),
            None => (since + UNREAD_ANSWERS, "answers were not fetched in time"),
        });
        let held = self.held.map(|crowding| (crowding.until, crowding.exceeded.reason()));
        half.into_iter().chain(stuck).chain(held).min()
    }

    /// Returns since when the client has asked for nothing; `None` if a request is under way. Half a request is none,
    /// and neither is a subscription, nor an answer that is not fetched: whoever has many of these would keep others
    /// out.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.under_way.is_empty().then_some(self.active_at)
    }

    /// Returns whether there is something to be sent and the socket may take it.
    pub(crate) fn can_flush(&self) -> bool {
        !self.is_full && !self.unsent.is_empty()
    }

    /// Returns whether the client is told of events.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscription.is_some()
    }

    /// Returns how many bytes are kept for the client.
    pub(crate) fn buffered(&self) -> usize {
        self.unsent.capacity() + self.reader.as_ref().map_or(0, FrameReader::buffered)
    }

    /// Returns whether the client has gone and fetches no answers.
    pub(crate) fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    /// Takes note that a request is not going to be answered.
    pub(crate) fn forget(&mut self, number: u64, now: Instant) {
        self.finish(number, now);
    }

    /// Returns who the client is.
    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    fn judge(&mut self, frame: Frame, now: Instant) -> Option<Arrival> {
        let Frame { id, content } = frame;
        let understood = match content {
            Content::Body { body, descriptors } => {
                let ask = || supplementary_groups(&self.stream).into();
                understand(|| Rc::clone(self.groups.get_or_init(ask)), &body, descriptors)
            }
            Content::Refused(refusal) => Err(refusal),
        };
        match understood {
            Ok(demand) => {
                let number = self.arrivals;
                self.arrivals += 1;
                self.under_way.insert(number, id);
                self.active_at = now;
                Some(Arrival { number, demand })
            }
            Err(refusal) => {
                self.refuse(id, refusal, now);
                None
            }
        }
    }

    /// Takes a request that is about to be answered from those under way, and returns its id.
    fn finish(&mut self, number: u64, now: Instant) -> Option<u32> {
        let id = self.under_way.remove(&number)?;
        self.active_at = now;
        Some(id)
    }

    /// Answers what is no request.
    fn refuse(&mut self, id: u32, refusal: Refusal, now: Instant) {
        journal::refused_unheard(self.peer, &refusal);
        self.send(id, &Response::Refused(refusal), now);
    }

    /// Returns whether it is the response that was sent. A list may be longer than a frame, for there may be more
    /// programs than anybody can name at once; instead of it a refusal is sent.
    fn send(&mut self, id: u32, response: &Response, now: Instant) -> bool {
        if self.is_deaf {
            return false;
        }
        let frame = encode_response(id, response);
        let is_sent = frame.is_ok();
        let frame = frame.or_else(|error| {
            encode_response(id, &Response::Refused(Refusal::new(Code::Limit, error.to_string())))
        });
        if let Ok(mut frame) = frame {
            self.unsent.append(&mut frame);
            self.answers_end = self.unsent.len();
            self.stuck_since.get_or_insert(now);
            self.flush(now);
        }
        is_sent
    }

    fn discard_unsent(&mut self) {
        self.unsent = Vec::new();
        self.answers_end = 0;
        self.stuck_since = None;
    }

    fn stop_reading(&mut self) {
        self.held = None;
        self.reader = None;
        self.half_request_since = None;
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests;
