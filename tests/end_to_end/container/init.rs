//! What process 1 owes to its container: to reap whatever is orphaned, and to end in order.
//!
//! What becomes of programs when any daemon ends is in `on_exit`.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getpgid, mkfifo};

use crate::container::{Container, daemon};
use crate::harness::{DEADLINE, children, lines, through_shell, wait_for, wait_until};
use crate::succession::LASTING;

#[test]
fn orphans_are_reaped_however_many_there_are() {
    let test = "orphans_are_reaped_however_many_there_are";
    // Half of them end when they like, the others when all have lost their parents.
    let Some(container) = Container::start(
        test,
        "[prog-p]\ncmd-start = exec > /dev/null 2>&1; i=0; while [ $i -lt 200 ]; do i=$((i + 1)); \
         (sh -c ': < @/gate; echo >> @/ended' &) ; (sh -c 'echo >> @/ended' &) ; done; exit 3\n\
         [prog-q]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\n",
    ) else {
        return;
    };
    let sandbox = &container.sandbox;
    mkfifo(&sandbox.path("gate"), Mode::S_IRWXU).unwrap();
    sandbox.succeed(&["q", "start"]);
    sandbox.succeed(&["p", "start"]);
    lines(sandbox, "ended", 200);
    wait_until("their parent has ended", || sandbox.list() == "p: dead\nq: running\n");
    container.wait_until_reaped(201);
    // Whoever waits for the other end to be opened, or comes later, goes on.
    let _gate = File::options().read(true).write(true).open(sandbox.path("gate")).unwrap();
    lines(sandbox, "ended", 400);

    container.wait_until_reaped(1);

    assert_eq!(sandbox.list(), "p: dead\nq: running\n");
    assert_eq!(sandbox.logged("has ended with"), 1, "{}", sandbox.log());
}

#[test]
fn an_orphan_is_no_program_whatever_it_does() {
    let test = "an_orphan_is_no_program_whatever_it_does";
    let Some(container) = Container::start(
        test,
        "[prog-p]\nrestart-delay = 1000\ncmd-start = exec > /dev/null 2>&1; \
         (sh -c 'echo > @/orphan; exec sleep 1000' &) ; exec sleep 1000\n",
    ) else {
        return;
    };
    let sandbox = &container.sandbox;
    sandbox.succeed(&["p", "start"]);
    lines(sandbox, "orphan", 1);
    wait_until("there is an orphan", || children(container.init()).len() == 2);
    let orphan = children(container.init()).into_iter().find(|child| {
        // The program leads a process group of its own, and the orphan is in it.
        getpgid(Some(*child)) != Ok(*child)
    });

    kill(orphan.unwrap(), Signal::SIGKILL).unwrap();
    container.wait_until_reaped(1);

    assert_eq!(sandbox.list(), "p: running\n");
}

#[test]
fn sigterm_ends_the_programs_and_then_the_container_with_success() {
    let test = "sigterm_ends_the_programs_and_then_the_container_with_success";
    let Some(mut container) = Container::start(
        test,
        &format!(
            "[prog-p]\nautostart = yes\nrestart-delay = 1\n{LASTING}\
             [prog-q]\nautostart = yes\ncmd-start = trap 'echo q >> @/ended; exit 3' TERM; echo > @/up; \
             (sleep 1000 &) ; while :; do sleep 0.01; done\n\
             [prog-r]\nautostart = yes\n{LASTING}cmd-stop = echo r >> @/ended; kill $PID\n\
             [prog-idle]\n{LASTING}"
        ),
    ) else {
        return;
    };
    let sandbox = &container.sandbox;
    lines(sandbox, "up", 1);
    wait_until("all are started", || sandbox.logged(": started as pid ") == 3);

    container.signal(Signal::SIGTERM);

    assert_eq!(container.wait().code(), Some(0));
    let sandbox = &container.sandbox;
    let mut ended: Vec<String> = sandbox.read("ended").lines().map(str::to_owned).collect();
    ended.sort();
    assert_eq!(ended, ["q", "r"]);
    assert_eq!(sandbox.logged("p: pid "), 1, "{}", sandbox.log());
    assert_eq!(sandbox.logged("q: pid "), 1, "{}", sandbox.log());
    assert_eq!(sandbox.files(), ["ended", "log", "procmgr.cfg", "up"]);
}

#[test]
fn a_second_sigterm_ends_the_container_at_once() {
    let test = "a_second_sigterm_ends_the_container_at_once";
    let Some(mut container) = Container::start(
        test,
        "[prog-p]\nautostart = yes\nstop-timeout = 1000\ncmd-stop = echo >> @/told\ncmd-start = exec sleep 1000\n",
    ) else {
        return;
    };
    wait_until("it runs", || container.sandbox.list() == "p: running\n");
    container.signal(Signal::SIGTERM);
    lines(&container.sandbox, "told", 1);

    container.signal(Signal::SIGTERM);

    assert_eq!(container.wait().code(), Some(0));
}

#[test]
fn programs_that_heed_no_sigterm_are_killed_in_time() {
    let test = "programs_that_heed_no_sigterm_are_killed_in_time";
    let deaf =
        "autostart = yes\ncmd-start = trap '' TERM; echo >> @/deaf; exec sleep 1000 > /dev/null 2>&1\n";
    let config = format!("[prog-p]\nstop-timeout = 1\n{deaf}[prog-q]\n{deaf}");
    let Some(mut container) = Container::start(test, &config) else { return };
    lines(&container.sandbox, "deaf", 2);

    let begin = Instant::now();
    container.signal(Signal::SIGTERM);

    assert_eq!(container.wait().code(), Some(0));
    let time = begin.elapsed();
    // Where the definition says nothing, process 1 waits for ten seconds.
    assert!(time >= Duration::from_secs(10) && time < DEADLINE, "{time:?}");
    for program in ["p", "q"] {
        let line = format!("WARN: {program}: pid ");
        assert_eq!(container.sandbox.logged(&line), 1, "{}", container.sandbox.log());
    }
    assert_eq!(container.sandbox.logged(" has not ended in time and is killed\n"), 2);
    assert_eq!(container.sandbox.logged(" has ended with signal 9\n"), 2);
}

#[test]
fn sigterm_before_anything_is_started_ends_the_container_with_success() {
    let test = "sigterm_before_anything_is_started_ends_the_container_with_success";
    for config in ["", &format!("[prog-p]\n{LASTING}")] {
        let Some(mut container) = Container::start(test, config) else { return };
        container.signal(Signal::SIGTERM);
        assert_eq!(container.wait().code(), Some(0));
    }
}

#[test]
fn sigterm_is_heeded_as_soon_as_it_is_listened_to() {
    let test = "sigterm_is_heeded_as_soon_as_it_is_listened_to";
    let config = format!("[prog-p]\nautostart = yes\n{LASTING}[prog-q]\nautostart = yes\n{LASTING}");
    for _ in 0..5 {
        let Some(sandbox) = Container::folder(test, &config) else { return };
        let daemon = daemon(&sandbox);
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(daemon.get_program()).args(daemon.get_args()).stderr(Stdio::null());
        let mut outside = command.spawn().unwrap();
        let parent = Pid::from_raw(outside.id().cast_signed());
        let mut init = None;
        wait_until("process 1 listens to SIGTERM", || {
            init = children(parent).first().copied();
            init.is_some_and(|init| catches(init, Signal::SIGTERM))
        });

        kill(init.unwrap(), Signal::SIGTERM).unwrap();

        assert_eq!(wait_for(&mut outside).code(), Some(0));
    }
}

#[test]
fn sighup_reads_the_configuration_again() {
    let test = "sighup_reads_the_configuration_again";
    let Some(container) = Container::start(test, &format!("[prog-p]\nautostart = yes\n{LASTING}")) else {
        return;
    };
    let sandbox = &container.sandbox;
    wait_until("it runs", || sandbox.list() == "p: running\n");
    sandbox.configure(&format!("[prog-q]\n{LASTING}[prog-p]\n{LASTING}"));

    container.signal(Signal::SIGHUP);

    wait_until("the new file is in force", || sandbox.list() == "q: dead\np: running outdated\n");
}

#[test]
fn what_the_kernel_tells_in_proc_is_not_needed() {
    let test = "what_the_kernel_tells_in_proc_is_not_needed";
    // Without one, records have no life of the system to be true in.
    do_without_proc(test, "mount -t tmpfs none /proc", 1);
}

#[test]
fn what_the_kernel_tells_of_others_in_the_proc_of_another_namespace_is_not_believed() {
    let test = "what_the_kernel_tells_of_others_in_the_proc_of_another_namespace_is_not_believed";
    do_without_proc(test, ":", 0);
}

/// Starts and stops programs where something has been done to `/proc`.
fn do_without_proc(test: &str, preparation: &str, warnings: usize) {
    let Some(sandbox) = Container::folder(
        test,
        &format!("[prog-p]\nautostart = yes\n{LASTING}[prog-q]\n{LASTING}[prog-r]\ncmd-start = exit 3\n"),
    ) else {
        return;
    };
    let daemon = through_shell(preparation, &daemon(&sandbox));
    let mut container = Container::of(sandbox, &["--mount"], &daemon);
    let sandbox = &container.sandbox;
    wait_until("one is started", || sandbox.list() == "p: running\nq: dead\nr: dead\n");
    sandbox.succeed(&["q", "start"]);
    assert_eq!(sandbox.client(&["q", "stop"]).code, 128 + 15);
    sandbox.succeed(&["q", "start"]);
    sandbox.succeed(&["q", "restart"]);
    sandbox.succeed(&["r", "start"]);
    wait_until("what has ended is reaped", || sandbox.list() == "p: running\nq: running\nr: dead\n");
    sandbox.succeed(&["-r"]);
    assert_eq!(sandbox.logged("WARN: cannot keep the state in "), warnings);

    container.signal(Signal::SIGTERM);

    assert_eq!(container.wait().code(), Some(0));
    assert_eq!(container.sandbox.logged("ended with signal 15"), 4, "{}", container.sandbox.log());
}

/// Returns whether a process has a handler for a signal.
fn catches(pid: Pid, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    caught & (1 << (signal as i32 - 1)) != 0
}
