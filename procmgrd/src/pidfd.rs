//! Processes by descriptors that stand for them alone, whoever is given their PIDs some day.
//!
//! Why one is watched or signalled is not known here.
#![expect(
    unsafe_code,
    reason = "no safe wrappers of the calls that signal groups and tell how a process has ended are at hand"
)]

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc::{self, SYS_pidfd_send_signal};
use procmgr_config::KillMode;
use procmgr_proto::message::ExitStatus;
use rustix::process::{PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::process::{exit_status, leads_group, number};
use crate::stat::Stat;
use crate::supervisor::event::{Pid, Process, Signal as Ending};

/// A process that is no child of ours. Readable once it has ended.
#[derive(Debug)]
pub(crate) struct PidFd {
    process: Process,
    descriptor: OwnedFd,
}

impl PidFd {
    /// Opens a process. Returns `None` if it is no more; whoever has its PID now is left alone.
    ///
    /// # Errors
    /// If it cannot be told, for want of descriptors for one.
    pub(crate) fn open(process: Process) -> io::Result<Option<Self>> {
        let pid = rustix::process::Pid::from_raw(process.pid.0.max(0));
        let Some(pid) = pid else { return Ok(None) };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            // Nobody has the number, or a thread of some process has it: ENOENT, and EINVAL on older kernels.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => {
                return Ok(None);
            }
            result => result?,
        };
        // Only now that nobody else can be meant by the descriptor any more it is told whom it means: if the process
        // of that PID is still the one that was started then, it was so when the descriptor was opened.
        match Stat::of(process.pid) {
            Ok(stat) if stat.started == process.started => Ok(Some(Self { process, descriptor })),
            Ok(_) | Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes one that was opened by another image of this daemon.
    pub(crate) fn over(process: Process, descriptor: OwnedFd) -> Self {
        Self { process, descriptor }
    }

    /// Returns the process.
    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// Sends a signal to it, or to the process group that it leads. That it has ended already is as good.
    pub(crate) fn signal(&self, signal: Ending, scope: KillMode) -> io::Result<()> {
        let pid = rustix::process::Pid::from_raw(self.process.pid.0);
        let result = match (scope, pid.filter(|pid| leads_group(*pid))) {
            (KillMode::Group, Some(leader)) => self.signal_group(leader, number(signal)),
            (KillMode::Process, _) | (KillMode::Group, None) => {
                self.send(number(signal).as_raw(), TO_PROCESS)
            }
        };
        match result {
            Err(Errno::ESRCH) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Kernels before 6.9 know no groups of descriptors. There it is done by the number, as soon as the descriptor
    /// has told that it is this process's still.
    fn signal_group(&self, leader: rustix::process::Pid, signal: Signal) -> nix::Result<()> {
        match self.send(signal.as_raw(), TO_GROUP) {
            Err(Errno::EINVAL) => self.signal_group_by_number(leader, signal),
            result => result,
        }
    }

    fn signal_group_by_number(&self, leader: rustix::process::Pid, signal: Signal) -> nix::Result<()> {
        self.send(NO_SIGNAL, TO_PROCESS)?;
        kill_process_group(leader, signal).map_err(|errno| Errno::from_raw(errno.raw_os_error()))
    }

    fn send(&self, number: i32, target: libc::c_uint) -> nix::Result<()> {
        let (descriptor, more) = (self.descriptor.as_raw_fd(), ptr::null::<libc::siginfo_t>());
        // SAFETY: the kernel takes numbers and a pointer that may be null, and writes nothing.
        let result = unsafe { libc::syscall(SYS_pidfd_send_signal, descriptor, number, more, target) };
        Errno::result(result).map(drop)
    }

    /// Returns how the process has ended, which it must have.
    ///
    /// Until its parent has reaped it the kernel tells in `/proc`, if we may know, and from then on by the
    /// descriptor, if the kernel is new enough.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        let before = self.status_of_dead();
        let wait_status = before.or_else(|| self.status_of_reaped());
        wait_status.and_then(exit_status).unwrap_or(ExitStatus::Unknown)
    }

    fn status_of_dead(&self) -> Option<i32> {
        let stat = Stat::of(self.process.pid).ok()?;
        let wait_status = stat.wait_status.filter(|_| stat.started == self.process.started)?;
        // Whoever may not know is told a 0.
        (wait_status != 0 || may_know_of(self.process.pid)).then_some(wait_status)
    }

    fn status_of_reaped(&self) -> Option<i32> {
        let mut info = Info { mask: INFO_EXIT, ..Info::default() };
        // SAFETY: the kernel writes as many bytes as the number of the call says, which is the size of the structure.
        let result = unsafe { libc::ioctl(self.descriptor.as_raw_fd(), GET_INFO, &raw mut info) };
        (result == 0 && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
    }
}

/// Returns whether the kernel tells us all about a process: another question to which it has the same answer.
fn may_know_of(pid: Pid) -> bool {
    fs::read_link(format!("/proc/{pid}/ns/user")).is_ok()
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// What `pidfd_send_signal` takes for whom a signal is: the process, or `PIDFD_SIGNAL_PROCESS_GROUP`.
const TO_PROCESS: libc::c_uint = 0;
const TO_GROUP: libc::c_uint = 1 << 2;

/// Just asks whether there is somebody.
const NO_SIGNAL: i32 = 0;

/// The kernel's `struct pidfd_info` in its first version.
#[derive(Debug, Default)]
#[repr(C)]
struct Info {
    mask: u64,
    cgroup: u64,
    /// Who the process is, and as whom it runs.
    ids: [u32; 11],
    exit_code: i32,
}

const INFO_EXIT: u64 = 1 << 3;

/// `_IOWR(0xff, 11, struct pidfd_info)`.
const GET_INFO: libc::Ioctl = nix::request_code_readwrite!(0xff, 11, size_of::<Info>());

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::supervisor::event::Ticks;

    fn child(script: &str) -> (Child, Process) {
        let mut command = Command::new("/bin/sh");
        let child = command.args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid(child.id().cast_signed());
        let process = Process { pid, started: Stat::of(pid).unwrap().started };
        (child, process)
    }

    fn wait(pidfd: &PidFd) {
        poll(&mut [PollFd::new(pidfd, PollFlags::IN)], None).unwrap();
    }

    #[test]
    fn a_process_is_found_by_its_start_and_nobody_else_is_taken_for_it() {
        let (mut child, process) = child("read line");
        assert!(PidFd::open(process).unwrap().is_some());
        let stranger = Process { started: Ticks(process.started.0 - 1), ..process };
        assert!(PidFd::open(stranger).unwrap().is_none());
        for pid in [0, -1, i32::MIN, i32::MAX] {
            assert!(PidFd::open(Process { pid: Pid(pid), ..process }).unwrap().is_none(), "{pid}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(PidFd::open(process).unwrap().is_none());
    }

    #[test]
    fn a_thread_that_has_the_number_is_nobody() {
        let (thread, number) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            thread.send(Pid(nix::unistd::gettid().as_raw())).unwrap();
            let _ = ended.recv();
        });
        let pid = number.recv().unwrap();
        let started = Stat::of(pid).unwrap().started;
        assert!(PidFd::open(Process { pid, started }).unwrap().is_none());
        drop(end);
        other.join().unwrap();
    }

    #[test]
    fn it_is_told_how_a_process_has_ended_until_it_is_reaped() {
        let (mut child, process) = child("read line; exit 7");
        let pidfd = PidFd::open(process).unwrap().unwrap();
        drop(child.stdin.take());
        wait(&pidfd);
        assert_eq!(pidfd.exit_status(), ExitStatus::Code(7));
        child.wait().unwrap();
        // Kernels before 6.15 do not tell any more.
        let later = pidfd.exit_status();
        assert!([ExitStatus::Code(7), ExitStatus::Unknown].contains(&later), "{later}");
        pidfd.signal(Ending::Term, KillMode::Process).unwrap();
    }

    #[test]
    fn a_process_is_terminated() {
        let (mut child, process) = child("read line");
        let pidfd = PidFd::open(process).unwrap().unwrap();
        pidfd.signal(Ending::Term, KillMode::Process).unwrap();
        wait(&pidfd);
        assert_eq!(pidfd.exit_status(), ExitStatus::Signal(15));
        child.wait().unwrap();
    }

    #[test]
    fn a_group_is_signalled_with_its_leader_and_nobody_else_with_a_process_that_leads_none() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cat & wait"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut leader = command.process_group(0).spawn().unwrap();
        let pid = Pid(leader.id().cast_signed());
        let process = Process { pid, started: Stat::of(pid).unwrap().started };
        let pidfd = PidFd::open(process).unwrap().unwrap();
        pidfd.signal(Ending::Kill, KillMode::Group).unwrap();
        // Its end is that of all who might write.
        let mut output = Vec::new();
        leader.stdout.take().unwrap().read_to_end(&mut output).unwrap();
        wait(&pidfd);
        assert_eq!(pidfd.exit_status(), ExitStatus::Signal(9));
        leader.wait().unwrap();
        pidfd.signal(Ending::Kill, KillMode::Group).unwrap();

        // This one is in the group of the tests.
        let (mut child, process) = child("read line");
        let pidfd = PidFd::open(process).unwrap().unwrap();
        pidfd.signal(Ending::Kill, KillMode::Group).unwrap();
        wait(&pidfd);
        child.wait().unwrap();
    }

    #[test]
    fn kernels_that_know_no_groups_of_descriptors_are_asked_by_the_number() {
        let mut command = Command::new("/bin/cat");
        let mut leader = command.stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        let pid = Pid(leader.id().cast_signed());
        let process = Process { pid, started: Stat::of(pid).unwrap().started };
        let pidfd = PidFd::open(process).unwrap().unwrap();
        let number = rustix::process::Pid::from_raw(pid.0).unwrap();
        pidfd.signal_group_by_number(number, Signal::KILL).unwrap();
        wait(&pidfd);
        leader.wait().unwrap();
        assert_eq!(pidfd.signal_group_by_number(number, Signal::KILL), Err(Errno::ESRCH));
    }
}
