//! Children: collecting those that have died, and signalling those that have not.
//!
//! Knows pids and exit statuses; of programs and clients it knows nothing.

use std::io;

use procmgr_config::KillMode;
use procmgr_proto::message::ExitStatus;
use rustix::process::{
    Signal, WaitId, WaitIdOptions, WaitOptions, getpgid, kill_process, kill_process_group, wait, waitid,
};

use crate::pidfd::PidFd;
use crate::supervisor::event::{Pid, Process, Signal as Ending, Ticks};

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
                if let Some(status) = exit_status(status.as_raw()) {
                    return Ok(Some((Pid(pid.as_raw_nonzero().get()), status)));
                }
            }
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Sends a signal to a child, or to the group that it leads. That it has been reaped already, and another process has
/// its PID, is as good as done.
pub(crate) fn signal(process: Process, signal: Ending, scope: KillMode) -> io::Result<()> {
    match PidFd::open(process) {
        Ok(Some(pidfd)) => pidfd.signal(signal, scope),
        Ok(None) if process.started != Ticks(0) => Ok(()),
        // Where it cannot be told from others, it is our child nevertheless, and nobody else reaps it.
        Ok(None) | Err(_) => {
            let pid = rustix::process::Pid::from_raw(process.pid.0).ok_or(io::ErrorKind::InvalidInput)?;
            match scope {
                KillMode::Group if leads_group(pid) => Ok(kill_process_group(pid, number(signal))?),
                KillMode::Process | KillMode::Group => Ok(kill_process(pid, number(signal))?),
            }
        }
    }
}

/// Returns whether a process leads the group that has its number. It may have gone to another one.
pub(crate) fn leads_group(pid: rustix::process::Pid) -> bool {
    getpgid(Some(pid)).is_ok_and(|group| group == pid)
}

/// Returns the kernel's number of a signal.
pub(crate) fn number(signal: Ending) -> Signal {
    match signal {
        Ending::Term => Signal::TERM,
        Ending::Kill => Signal::KILL,
    }
}

/// Sends SIGKILL to a child that has not been reaped. That it has ended already is as good.
pub(crate) fn kill(pid: Pid) {
    let _ = rustix::process::Pid::from_raw(pid.0).map(|pid| kill_process(pid, Signal::KILL));
}

/// Returns whether a child has ended that has not been reaped, and leaves it so.
pub(crate) fn is_dead(child: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let pid = rustix::process::Pid::from_raw(child.0);
    pid.is_some_and(|pid| waitid(WaitId::Pid(pid), options).is_ok_and(|status| status.is_some()))
}

/// Sends SIGKILL to the process group that a child leads which has not been reaped.
pub(crate) fn kill_group(leader: Pid) {
    let _ = rustix::process::Pid::from_raw(leader.0).map(|pid| kill_process_group(pid, Signal::KILL));
}

/// Returns how a process ended, from the number that the kernel tells; `None` if it has only been stopped or continued.
pub(crate) fn exit_status(wait_status: i32) -> Option<ExitStatus> {
    let [low, high, ..] = wait_status.to_le_bytes();
    match low & !DUMPED_CORE {
        0 => Some(ExitStatus::Code(high)),
        STOPPED => None,
        signal => Some(ExitStatus::Signal(signal)),
    }
}

const STOPPED: u8 = 0x7f;
const DUMPED_CORE: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_the_kernel_tells_how_a_process_has_ended() {
        let cases = [
            (0x0000, Some(ExitStatus::Code(0))),
            (0x0700, Some(ExitStatus::Code(7))),
            (0xff00, Some(ExitStatus::Code(255))),
            (0x000f, Some(ExitStatus::Signal(15))),
            (0x008b, Some(ExitStatus::Signal(11))),
            (0x0040, Some(ExitStatus::Signal(64))),
            (0x137f, None),
            (0xffff, None),
        ];
        for (number, status) in cases {
            assert_eq!(exit_status(number), status, "{number:#x}");
        }
    }
}
