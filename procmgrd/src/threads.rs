//! Threads beside the one that decides.
//!
//! What they do is not known here.

use std::io;
use std::thread::{Builder, JoinHandle};

use crate::signals::Blocked;

/// Starts a thread of this name, and this size of its stack in bytes if it is not to be the usual one.
///
/// No signal is ever delivered to it: a signal that the thread which decides holds back, because it is about to
/// become another image of the daemon, has to wait and must not find another way in.
///
/// # Errors
/// If the system has no thread left.
pub fn start(
    name: &str,
    stack: Option<usize>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    // A thread begins with the mask of whoever starts it.
    let _blocked = Blocked::all()?;
    let builder = Builder::new().name(name.to_owned());
    stack.into_iter().fold(builder, Builder::stack_size).spawn(work)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_signal_is_delivered_to_a_thread() {
        let thread = start("deaf", None, || {
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
            let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
            // SIGHUP, SIGINT, SIGTERM and SIGCHLD.
            for signal in [1, 2, 15, 17] {
                assert_eq!(blocked >> (signal - 1) & 1, 1, "signal {signal}");
            }
        });
        thread.unwrap().join().unwrap();
    }
}
