//! A process that goes from one of its system calls to the next only as it is told, by ptrace.
//!
//! What it is stopped for is not known here. Only the thread that has seized a process can let it go on.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::harness::DEADLINE;

/// A process that is traced. It goes on by itself when this is released, or its tracer ends.
#[derive(Debug)]
pub(super) struct Tracee {
    pid: Pid,
    /// What is to be delivered to it when it goes on.
    signal: Option<Signal>,
}

/// A process that has ended, and that its parent, be it dead or not, has not taken note of yet.
#[derive(Debug)]
pub(super) struct Dead(Pid);

impl Drop for Dead {
    fn drop(&mut self) {
        let _ = waitpid(self.0, Some(WaitPidFlag::__WALL));
    }
}

/// Why a process has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Before a system call, or after it.
    Call,
    /// A signal is about to be delivered.
    Signalled,
    /// It has a child, which is traced, too, and stops before it does anything.
    HasChild(Pid),
    /// It has executed something.
    Executed,
    /// It was asked to, or is new.
    Asked,
}

/// Whose steps are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Its,
    /// And those of all processes that it makes from now on.
    ItsAndItsChildrens,
}

impl Tracee {
    /// Begins to trace a process, which goes on at first.
    pub(super) fn seize(pid: Pid, whose: Whose) -> Self {
        let children = match whose {
            Whose::Its => Options::empty(),
            Whose::ItsAndItsChildrens => Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK,
        };
        let always = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC;
        ptrace::seize(pid, always | children).unwrap();
        Self { pid, signal: None }
    }

    /// Takes over a child of a tracee, which is traced from birth, and waits until it has stopped.
    pub(super) fn born(pid: Pid) -> Self {
        let mut child = Self { pid, signal: None };
        child.wait(|| false).expect("a new process stops");
        child
    }

    /// Stops it wherever it is.
    pub(super) fn interrupt(&mut self) {
        ptrace::interrupt(self.pid).unwrap();
        // If it stops for another reason at this moment, that is all.
        self.wait(|| false);
    }

    /// Lets it go on to its next stop.
    pub(super) fn step(&mut self) -> Stop {
        self.step_unless(|| false).expect("nothing else ends the wait")
    }

    /// Lets it go on to its next stop. Returns `None` if it waits for events instead, and this holds.
    pub(super) fn step_unless(&mut self, is_over: impl FnMut() -> bool) -> Option<Stop> {
        self.go_on();
        self.wait(is_over)
    }

    /// Returns whether it has stopped right before it waits for events.
    pub(super) fn is_about_to_wait(&self) -> bool {
        let info = ptrace::syscall_info(self.pid).unwrap();
        info.op == libc::PTRACE_SYSCALL_INFO_ENTRY && is_wait(call(self.pid))
    }

    /// Tells where it is: the number of the system call that it is before, in or after.
    pub(super) fn place(&self) -> String {
        call(self.pid).map_or("in none".to_owned(), |number| format!("at system call {number}"))
    }

    /// Lets it go its way.
    pub(super) fn release(self) {
        ptrace::detach(self.pid, self.signal).unwrap();
    }

    /// Ends it where it is. It has its PID until the result is dropped.
    pub(super) fn kill(self) -> Dead {
        kill(self.pid, Signal::SIGKILL).unwrap();
        let exited = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::__WALL;
        waitid(Id::Pid(self.pid), exited).unwrap();
        Dead(self.pid)
    }

    fn go_on(&mut self) {
        ptrace::syscall(self.pid, self.signal.take()).unwrap();
    }

    fn wait(&mut self, mut is_over: impl FnMut() -> bool) -> Option<Stop> {
        let begin = Instant::now();
        for tries in 0_u64.. {
            if let Some(stop) = self.stop() {
                return Some(stop);
            }
            if tries < QUICK_TRIES {
                thread::yield_now();
                continue;
            }
            if is_over() && waits_for_events(self.pid) {
                return None;
            }
            assert!(begin.elapsed() < DEADLINE, "waited in vain for a stop, {}", self.place());
            thread::sleep(PAUSE);
        }
        None
    }

    /// Takes note of a stop, if there is one. Its end is left to whoever has started it.
    fn stop(&mut self) -> Option<Stop> {
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
        match waitid(Id::Pid(self.pid), flags).unwrap() {
            WaitStatus::PtraceSyscall(_) => Some(Stop::Call),
            WaitStatus::PtraceEvent(_, signal, 0) => {
                self.signal = Some(signal);
                Some(Stop::Signalled)
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => Some(Stop::Executed),
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_STOP) => Some(Stop::Asked),
            WaitStatus::PtraceEvent(_, _, _) => {
                let child = ptrace::getevent(self.pid).unwrap();
                Some(Stop::HasChild(Pid::from_raw(child.try_into().unwrap())))
            }
            _ => None,
        }
    }
}

/// Returns whether this process may trace others; otherwise says that the test named is skipped.
pub(super) fn may_trace(test: &str) -> bool {
    let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    let result = ptrace::seize(pid, Options::empty());
    child.kill().unwrap();
    child.wait().unwrap();
    match result {
        Ok(()) => true,
        Err(Errno::EPERM | Errno::EACCES | Errno::ENOSYS) => {
            eprintln!("skipped: {test} needs to trace processes");
            false
        }
        Err(errno) => panic!("cannot trace a child: {errno}"),
    }
}

/// Returns whether a process sleeps and waits for events.
pub(super) fn waits_for_events(pid: Pid) -> bool {
    is_asleep(pid) && is_wait(call(pid))
}

/// Returns whether a process sleeps for a time that it has chosen.
pub(super) fn pauses(pid: Pid) -> bool {
    is_asleep(pid) && [libc::SYS_nanosleep, libc::SYS_clock_nanosleep].map(Some).contains(&call(pid))
}

/// Returns whether a process sleeps until something happens.
pub(super) fn is_asleep(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
}

/// Returns the system call that a process is in; `None` if it is in none.
fn call(pid: Pid) -> Option<libc::c_long> {
    let text = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    text.split_whitespace().next()?.parse().ok()
}

fn is_wait(call: Option<libc::c_long>) -> bool {
    call.is_some_and(|number| WAITS.contains(&number))
}

/// The system calls that wait for events.
const WAITS: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
];

/// How often it is looked for a stop without a pause: most come at once.
const QUICK_TRIES: u64 = 200;

const PAUSE: Duration = Duration::from_micros(50);
