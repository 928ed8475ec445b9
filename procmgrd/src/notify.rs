//! Tells a system manager how the daemon fares: the `sd_notify` datagram.
//!
//! What there is to tell is the supervisor's to know. Without `NOTIFY_SOCKET` in the environment nothing is told.
//! Nothing is ever waited for, and a system manager that does not listen is no reason to stop.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::supervisor::Overview;

/// What the system manager is told, and the way to it.
#[derive(Debug)]
pub(crate) struct Notifier {
    way: Option<(UnixDatagram, SocketAddr)>,
    /// Whether it is another process than the one that the system manager has started.
    is_in_background: bool,
    told: Told,
    pause: Option<Pause>,
}

/// What the system manager has been told so far. The next image of the daemon goes on with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    stage: Stage,
    status: String,
    /// Whether the last file that was read could not be used.
    is_rejected: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    Starting,
    // Whoever leaves no told to the next image has served.
    #[default]
    Serving,
    Reloading,
    Ending,
}

/// The time in which nothing is told, since the system manager has too much to listen to.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    length: Duration,
}

impl Notifier {
    /// Finds the way that the environment names, if it names one.
    pub(crate) fn from_environment(is_in_background: bool) -> Self {
        let name = env::var_os("NOTIFY_SOCKET");
        Self::over(name.and_then(|name| open(name.as_bytes())), is_in_background)
    }

    fn over(way: Option<(UnixDatagram, SocketAddr)>, is_in_background: bool) -> Self {
        let told = Told { stage: Stage::Starting, ..Told::default() };
        Self { way, is_in_background, told, pause: None }
    }

    /// Goes on with what another image of the daemon has told.
    pub(crate) fn going_on_with(self, told: Told) -> Self {
        Self { told, ..self }
    }

    /// Returns what has been told so far.
    pub(crate) fn told(&self) -> &Told {
        &self.told
    }

    /// Tells what has changed since anything was told last: that the daemon serves or is about to end, and how its
    /// programs fare. To be called once in a turn.
    pub(crate) fn tell(&mut self, overview: Overview, now: Instant) {
        if self.way.is_none() || self.pause.is_some_and(|pause| now < pause.until) {
            return;
        }
        let Told { stage: stage_before, status: status_before, is_rejected } = &self.told;
        let stage = if overview.is_ending { Stage::Ending } else { Stage::Serving };
        let status = status(overview, *is_rejected);
        let is_another_stage = stage != *stage_before;
        if !is_another_stage && status == *status_before {
            self.pause = None;
            return;
        }
        let news = match stage {
            Stage::Ending => "STOPPING=1\n",
            Stage::Starting | Stage::Serving | Stage::Reloading => "READY=1\n",
        };
        let news = if is_another_stage { news } else { "" };
        let is_stranger = self.is_in_background && *stage_before == Stage::Starting;
        let pid = if is_stranger { format!("MAINPID={}\n", process::id()) } else { String::new() };
        if self.send(&format!("{news}{pid}STATUS={status}")) {
            self.told = Told { stage, status, is_rejected: *is_rejected };
            self.pause = None;
        } else {
            let length = self.pause.map_or(SHORTEST_PAUSE, |pause| (pause.length * 2).min(LONGEST_PAUSE));
            self.pause = Some(Pause { until: now + length, length });
        }
    }

    /// Tells that the configuration is being read again; [`Notifier::tell`] ends it.
    pub(crate) fn reloading(&mut self) {
        // The system manager orders this against other messages by the monotonic clock.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_or(0, |now| now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reading the configuration"));
        self.told.stage = Stage::Reloading;
    }

    /// Takes note whether the file that was read is of use.
    pub(crate) fn reloaded(&mut self, is_usable: bool) {
        self.told.is_rejected = !is_usable;
    }

    /// Tells that the daemon ends, unless it has been told.
    pub(crate) fn stopping(&mut self) {
        if self.told.stage != Stage::Ending {
            self.send("STOPPING=1\nSTATUS=ending");
        }
    }

    /// Returns when [`Notifier::tell`] is wanted for no other reason than time, if ever.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pause.map(|pause| pause.until)
    }

    /// Returns whether this was taken, or nobody is there to take it.
    fn send(&self, message: &str) -> bool {
        let Some((socket, address)) = &self.way else { return true };
        let result = socket.send_to_addr(message.as_bytes(), address);
        !result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn status(overview: Overview, is_rejected: bool) -> String {
    let Overview { running, programs, is_ending } = overview;
    let ending = if is_ending { "ending; " } else { "" };
    let rejected = if is_rejected { "; the last reload was rejected" } else { "" };
    format!("{ending}{running} of {programs} programs run{rejected}")
}

fn open(name: &[u8]) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name).ok()?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path)).ok()?,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    Some((socket, address))
}

/// How long nothing is told after the first attempt in vain; after each further one twice as long.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_secs(64);

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::parcel::hand_on;

    /// A system manager, and a daemon that has told it nothing yet.
    struct Pair {
        _folder: TempDir,
        manager: UnixDatagram,
        notifier: Notifier,
        now: Instant,
    }

    impl Pair {
        fn new(is_in_background: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify");
            let manager = UnixDatagram::bind(&path).unwrap();
            manager.set_nonblocking(true).unwrap();
            let notifier = Notifier::over(open(path.as_os_str().as_bytes()), is_in_background);
            Self { _folder: folder, manager, notifier, now: Instant::now() }
        }

        fn tell(&mut self, running: usize, is_ending: bool) {
            self.notifier.tell(Overview { programs: 3, running, is_ending }, self.now);
        }

        /// Takes one message.
        fn heard(&self) -> Option<String> {
            let mut buffer = [0; 1024];
            let length = self.manager.recv(&mut buffer).ok()?;
            Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
        }

        #[track_caller]
        fn assert_heard(&self, expected: &[&str]) {
            let heard: Vec<String> = std::iter::from_fn(|| self.heard()).collect();
            assert_eq!(heard, expected);
        }
    }

    #[test]
    fn a_change_is_told_once_and_nothing_else() {
        let mut pair = Pair::new(false);
        pair.tell(0, false);
        pair.tell(0, false);
        pair.tell(2, false);
        pair.tell(2, false);
        pair.assert_heard(&["READY=1\nSTATUS=0 of 3 programs run", "STATUS=2 of 3 programs run"]);
        pair.tell(2, true);
        pair.tell(1, true);
        pair.tell(1, true);
        pair.notifier.stopping();
        pair.assert_heard(&[
            "STOPPING=1\nSTATUS=ending; 2 of 3 programs run",
            "STATUS=ending; 1 of 3 programs run",
        ]);
        assert_eq!(pair.notifier.next_deadline(), None);
    }

    #[test]
    fn a_reload_ends_even_if_it_has_changed_nothing() {
        let mut pair = Pair::new(false);
        pair.tell(0, false);
        for is_usable in [true, false, false, true] {
            pair.notifier.reloading();
            pair.notifier.reloaded(is_usable);
            pair.tell(0, false);
        }
        let heard: Vec<String> = std::iter::from_fn(|| pair.heard()).collect();
        let (reloading, others): (Vec<&String>, Vec<&String>) =
            heard.iter().partition(|message| message.starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(reloading.len(), 4);
        let (good, bad) = (
            "READY=1\nSTATUS=0 of 3 programs run",
            "READY=1\nSTATUS=0 of 3 programs run; the last reload was rejected",
        );
        assert_eq!(others, [good, good, bad, bad, good]);
    }

    #[test]
    fn the_end_is_told_however_it_comes() {
        let mut pair = Pair::new(false);
        pair.tell(0, false);
        pair.notifier.stopping();
        pair.assert_heard(&["READY=1\nSTATUS=0 of 3 programs run", "STOPPING=1\nSTATUS=ending"]);
    }

    #[test]
    fn in_the_background_the_pid_is_told_once() {
        let mut pair = Pair::new(true);
        pair.tell(0, false);
        pair.tell(1, false);
        let first = format!("READY=1\nMAINPID={}\nSTATUS=0 of 3 programs run", process::id());
        pair.assert_heard(&[&first, "STATUS=1 of 3 programs run"]);
    }

    #[test]
    fn what_a_system_manager_has_no_room_for_is_told_later() {
        let mut pair = Pair::new(false);
        let (socket, address) = pair.notifier.way.as_ref().unwrap();
        while socket.send_to_addr(b"x", address).is_ok() {}
        pair.tell(0, false);
        let first = pair.notifier.next_deadline().unwrap();
        assert_eq!(first, pair.now + Duration::from_secs(1));
        pair.now = first;
        pair.tell(1, false);
        let second = pair.notifier.next_deadline().unwrap();
        assert_eq!(second, first + Duration::from_secs(2));
        while pair.heard().is_some() {}
        pair.tell(2, false);
        pair.assert_heard(&[]);
        pair.now = second;
        pair.tell(2, false);
        pair.assert_heard(&["READY=1\nSTATUS=2 of 3 programs run"]);
        assert_eq!(pair.notifier.next_deadline(), None);
    }

    #[test]
    fn a_change_that_is_taken_back_before_there_is_room_is_not_waited_for() {
        let mut pair = Pair::new(false);
        pair.tell(0, false);
        let (socket, address) = pair.notifier.way.as_ref().unwrap();
        while socket.send_to_addr(b"x", address).is_ok() {}
        pair.tell(1, false);
        pair.now = pair.notifier.next_deadline().unwrap();
        pair.tell(0, false);
        assert_eq!(pair.notifier.next_deadline(), None);
    }

    #[test]
    fn a_system_manager_that_has_gone_is_not_waited_for() {
        let Pair { _folder, manager, mut notifier, now } = Pair::new(false);
        drop(manager);
        notifier.tell(Overview { programs: 0, running: 0, is_ending: false }, now);
        assert_eq!(notifier.next_deadline(), None);
    }

    #[test]
    fn the_next_image_tells_only_what_is_new() {
        let mut pair = Pair::new(true);
        pair.notifier.reloaded(false);
        pair.tell(1, false);
        while pair.heard().is_some() {}
        let (told, _) = hand_on(pair.notifier.told().clone(), |told, _| told.clone());
        let way = pair.notifier.way.take();
        pair.notifier = Notifier::over(way, true).going_on_with(told);
        pair.tell(1, false);
        pair.assert_heard(&[]);
        pair.tell(2, false);
        pair.assert_heard(&["STATUS=2 of 3 programs run; the last reload was rejected"]);
    }

    #[test]
    fn an_image_that_leaves_no_account_has_served() {
        let mut pair = Pair::new(true);
        let way = pair.notifier.way.take();
        pair.notifier = Notifier::over(way, true).going_on_with(Told::default());
        pair.tell(1, false);
        pair.assert_heard(&["STATUS=1 of 3 programs run"]);
    }
}
