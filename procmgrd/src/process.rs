//! Children: collecting those that have died, and signalling those that have not.
//!
//! Knows pids and exit statuses; of programs and clients it knows nothing.

use std::io;

use procmgr_proto::message::ExitStatus;
use rustix::process::{Signal, WaitOptions, WaitStatus, kill_process, wait};

use crate::supervisor::event::Pid;

/// Returns a child that has died, if there is one that has not been collected yet.
///
/// After this its pid may belong to anybody: tell everyone before the next call, and before anything is spawned.
///
/// # Errors
/// Only if the kernel refuses to tell; having no children is no error.
pub(crate) fn reap() -> io::Result<Option<(Pid, ExitStatus)>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if let Some(status) = exit_status(status) {
                    return Ok(Some((Pid(pid.as_raw_nonzero().get()), status)));
                }
            }
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Sends SIGTERM to a child that has not been reaped.
pub(crate) fn terminate(pid: Pid) -> io::Result<()> {
    let pid = rustix::process::Pid::from_raw(pid.0).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, Signal::TERM)?)
}

/// Sends SIGKILL to a child that has not been reaped. That it has ended already is as good.
pub(crate) fn kill(pid: Pid) {
    let _ = rustix::process::Pid::from_raw(pid.0).map(|pid| kill_process(pid, Signal::KILL));
}

/// Returns how a process ended; `None` if it has not.
fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    let low_byte = |number: i32| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
    let code = status.exit_status().map(|code| ExitStatus::Code(low_byte(code)));
    code.or_else(|| status.terminating_signal().map(|signal| ExitStatus::Signal(low_byte(signal))))
}
