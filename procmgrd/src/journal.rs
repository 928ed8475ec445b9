//! What the daemon writes to its log: one line for each decision.
//!
//! Decides on words and their weight only. Where lines go, and which weights are wanted, is the executable's business.

mod reload;

use std::borrow::Cow;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Instant;

use procmgr_proto::message::{Invocation, Refusal, Response};
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::connection::Demand;
use crate::error::Error;
use crate::maps::Map;
use crate::packed::PackedCaller;
use crate::parcel::{Packer, Unpacker};
use crate::supervisor::call::shown;
use crate::supervisor::event::{Caller, Peer, Pid, Question, Report, Restart};

/// The target of what an operator wants to see: more than information, less than a warning.
pub const NOTE: &str = "procmgr::note";

/// The target of what is to be said about the configuration file.
pub const CONFIG: &str = "procmgr::config";

/// The requests under way, until their answers are logged.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    under_way: Map<Caller, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// What is asked for, ready to be written.
    text: Cow<'static, str>,
    /// Whether an operator wants to see it even if all goes well.
    is_notable: bool,
    since: Instant,
}

/// A [`Journal`] on its way to the next image of the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PackedJournal(Vec<PackedEntry>);

#[derive(Debug, Serialize, Deserialize)]
struct PackedEntry {
    caller: PackedCaller,
    text: Cow<'static, str>,
    is_notable: bool,
    since: Moment,
}

impl Journal {
    /// Goes on with the requests that another image of the daemon has taken note of.
    pub(crate) fn unpack(packed: PackedJournal, unpacker: &Unpacker) -> Self {
        let PackedJournal(entries) = packed;
        let unpack = |PackedEntry { caller, text, is_notable, since }| {
            (Caller::from(caller), Entry { text, is_notable, since: unpacker.instant(since) })
        };
        Self { under_way: entries.into_iter().map(unpack).collect() }
    }

    /// Packs the requests under way.
    pub(crate) fn pack(&self, packer: &Packer<'_>) -> PackedJournal {
        let pack = |(caller, entry): (&Caller, &Entry)| {
            let Entry { text, is_notable, since } = entry;
            let (text, since) = (text.clone(), packer.moment(*since));
            PackedEntry { caller: (*caller).into(), text, is_notable: *is_notable, since }
        };
        PackedJournal(self.under_way.iter().map(pack).collect())
    }

    /// Takes note of a request.
    pub(crate) fn asked(&mut self, caller: Caller, demand: &Demand, now: Instant) {
        let (text, is_notable) = match demand {
            Demand::Ask(Question::Ping) => ("ping".into(), false),
            Demand::Ask(Question::List) => ("list".into(), false),
            Demand::Ask(Question::Inspect) => ("inspection".into(), false),
            Demand::Ask(Question::Subscribe) => ("subscription".into(), false),
            Demand::Ask(Question::Stop) => ("stop of the daemon".into(), true),
            Demand::Ask(Question::Reload) => ("reload of the daemon".into(), true),
            Demand::Ask(Question::Upgrade) => ("upgrade of the daemon".into(), true),
            Demand::Ask(Question::Preview) => ("preview of a reload".into(), false),
            Demand::Ask(Question::Permissions { .. }) => ("permissions".into(), false),
            Demand::Invoke { invocation: Invocation { program, action, arguments }, .. } => {
                let text = format!(
                    "program {} action {} arguments {}",
                    shown(program),
                    shown(action),
                    arguments.len()
                );
                (text.into(), action != b"status")
            }
        };
        self.under_way.insert(caller, Entry { text, is_notable, since: now });
    }

    /// Logs the answer to a request.
    pub(crate) fn answered(&mut self, caller: Caller, response: &Response, now: Instant) {
        let Some(Entry { text, is_notable, since }) = self.under_way.remove(&caller) else { return };
        let duration = now.saturating_duration_since(since).as_secs_f64();
        let outcome = outcome(response);
        // Hardly any line is wanted, and only those are put together.
        let peer = caller.peer;
        let line = format_args!("{peer}: {text}: {outcome} after {duration:.3} s");
        match response {
            Response::Refused(_) => log::warn!("{line}"),
            _ if is_notable => log::info!(target: NOTE, "{line}"),
            _ => log::info!("{line}"),
        }
    }
}

/// Waits a moment for the last lines to arrive where they are to.
pub fn finish() {
    log::logger().flush();
}

/// Logs that the daemon serves.
pub(crate) fn serving(socket: &Path) {
    log::info!(target: NOTE, "the daemon serves at {}", socket.display());
}

/// Logs that a client was refused before it was known what it wants, or whatever that is. An operator need not see it:
/// anybody may have that without end.
pub(crate) fn refused_unheard(peer: Peer, refusal: &Refusal) {
    log::info!("{peer}: {}", refused(refusal));
}

/// Logs that a client was cut off, and why.
pub(crate) fn cut_off(peer: Peer, reason: &str) {
    log::info!("{peer} is cut off: {reason}");
}

/// Logs that a client was turned away at the door, and why.
pub(crate) fn turned_away(peer: Peer, reason: &str) {
    log::info!("{peer} is turned away: {reason}");
}

/// Logs that clients cannot be accepted for now.
pub(crate) fn not_accepting(error: &io::Error) {
    log::warn!("cannot accept clients: {error}; the next ones wait");
}

/// Logs that the socket file had to be made again.
pub(crate) fn socket_restored(path: &Path) {
    log::warn!("the socket {} was removed and is there again", path.display());
}

/// Logs that the socket file could not be made again.
pub(crate) fn socket_lost(error: &Error) {
    log::error!("{error}; reload when its place is free");
}

/// Logs that the socket file of a system manager is gone.
pub(crate) fn lent_socket_gone(path: &Path) {
    log::warn!("the socket {} was removed; the system manager has to make it again", path.display());
}

/// Logs that nobody will tell when the socket file is removed.
pub(crate) fn socket_unwatched(path: &Path, error: &dyn Display) {
    log::warn!("cannot watch {}: {error}; if it is removed, reload to get it back", path.display());
}

/// Logs that the state cannot be written, once until it can be.
pub(crate) fn state_unwritable(path: &Path, error: &dyn Display) {
    log::warn!(
        "cannot keep the state in {}: {error}; programs may be lost if the daemon dies",
        path.display()
    );
}

/// Logs that the state is written, which it was not for a while.
pub(crate) fn state_written(path: &Path) {
    log::info!(target: NOTE, "the state is kept in {} now", path.display());
}

/// Logs that nobody will tell when the state is removed.
pub(crate) fn state_unwatched(path: &Path, error: &dyn Display) {
    log::warn!("cannot watch {}: {error}; if it is removed, programs may be lost", path.display());
}

/// Logs that what is left of an earlier daemon cannot be used.
pub(crate) fn records_unusable(path: &Path, reason: &str) {
    log::warn!("the records in {} are ignored: {reason}", path.display());
}

/// Logs that something of what is left of an earlier daemon cannot be used.
pub(crate) fn records_damaged(path: &Path, count: usize) {
    log::warn!("{count} damaged records in {} are ignored", path.display());
}

/// Logs that a process could not be signalled.
pub(crate) fn not_signalled(pid: Pid, error: &io::Error) {
    log::error!("cannot signal pid {pid}: {error}");
}

/// Logs a decision that no client has asked for.
pub(crate) fn report(report: &Report) {
    match report {
        Report::TakenOver { program, pid } => {
            log::info!(target: NOTE, "{program}: taken over from an earlier daemon as pid {pid}");
        }
        Report::GivenUp { program, restarts } => log::error!(
            "{program}: it is given up after {restarts} restarts in a row, and stays down until somebody starts it"
        ),
        Report::Killed { program, pid } => {
            log::warn!("{program}: pid {pid} has not ended in time and is killed");
        }
        Report::StopFailed { program, reason } => log::error!("{program}: cannot be stopped: {reason}"),
        Report::Started { program, pid } => log::info!(target: NOTE, "{program}: started as pid {pid}"),
        Report::StartFailed { program, reason, retry } => {
            log::error!("{program}: cannot be started: {reason}{}", again(*retry));
        }
        Report::Ended { program, pid, status, restart } => {
            log::info!(target: NOTE, "{program}: pid {pid} has ended with {status}{}", again(*restart));
        }
        Report::Reconfigured { differences, remarks } => {
            log::info!(target: NOTE, "the configuration is in force: {}", reload::summary(differences));
            for line in reload::particulars(differences) {
                log::info!(target: NOTE, "{line}");
            }
            remark(remarks);
        }
        Report::ConfigRejected { lines } => {
            for line in lines {
                log::error!(target: CONFIG, "{line}");
            }
        }
        Report::Stopping { programs } => {
            log::info!(target: NOTE, "the daemon ends after its programs, {programs} of which run");
        }
        Report::Ending => log::info!(target: NOTE, "the daemon ends"),
        Report::Upgraded => log::info!(target: NOTE, "the executable has taken over"),
        Report::NotUpgraded { reason } => {
            log::error!("the executable cannot take over, and the daemon goes on as it was: {reason}");
        }
    }
}

/// Logs what there is to remark about the configuration file.
pub(crate) fn remark(lines: &[String]) {
    for line in lines {
        log::warn!(target: CONFIG, "{line}");
    }
}

fn refused(refusal: &Refusal) -> String {
    format!("refused, {} {}", refusal.code, refusal.text.escape_ascii())
}

fn outcome(response: &Response) -> Cow<'static, str> {
    match response {
        Response::Refused(refusal) => refused(refusal).into(),
        Response::Exited(status) => status.to_string().into(),
        Response::Status { running: true } => "running".into(),
        Response::Status { running: false } => "not running".into(),
        _ => "done".into(),
    }
}

fn again(restart: Option<Restart>) -> String {
    let text = |Restart { delay, number }: Restart| {
        format!("; it is started again in {} s, restart {number} in a row", delay.as_secs())
    };
    restart.map_or_else(String::new, text)
}

#[cfg(test)]
mod tests {
    use procmgr_config::{Gid, Uid};

    use std::time::Duration;

    use super::*;
    use crate::parcel::hand_on;

    #[test]
    fn requests_under_way_are_remembered_by_the_next_image() {
        let now = Instant::now();
        let caller = |request| {
            let peer = Peer { pid: Pid(1), uid: Uid(2), gid: Gid(3) };
            Caller { connection: 4, request, peer }
        };
        let mut former = Journal::default();
        former.asked(caller(0), &Demand::Ask(Question::Reload), now);
        former.asked(caller(1), &Demand::Ask(Question::List), now + Duration::from_secs(1));
        let (packed, unpacker) = hand_on(former, |journal, packer| journal.pack(packer));
        let mut journal = Journal::unpack(packed, &unpacker);
        let mut shown: Vec<String> = journal
            .under_way
            .values()
            .map(|Entry { text, is_notable, since }| {
                // Clocks are not looked at twice in one instant.
                let later = since.saturating_duration_since(now).as_secs_f64().round();
                format!("{text}, {is_notable}, {later}")
            })
            .collect();
        shown.sort();
        assert_eq!(shown, ["list, false, 1", "reload of the daemon, true, 0"]);
        journal.answered(caller(0), &Response::Done, now);
        journal.answered(caller(1), &Response::Done, now);
        assert!(journal.under_way.is_empty());
    }
}
