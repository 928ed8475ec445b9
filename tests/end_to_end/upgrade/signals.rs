//! Signals and deaths that come while the daemon is upgraded: none is lost.
//!
//! What they lead to at other times is told in the rooms outside.

use std::process::Child;
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};

use crate::harness::{Sandbox, answer, ask, is_alive, wait_until};
use crate::succession::LASTING;

/// A program that has a script to be run beside it.
const PROGRAM: &str = "[prog-p]\ncmd-signal = true\n";

/// How many moments are tried.
const MOMENTS: u32 = 12;

/// Has the daemon upgrade, and returns the client after a part of the time that this takes: another part in each round.
fn amid_an_upgrade(sandbox: &Sandbox, round: u32) -> Child {
    let begin = Instant::now();
    sandbox.upgrade();
    let whole = begin.elapsed();
    // A daemon that has run a script has a second thread, which must not be a way around the one that hands over.
    sandbox.succeed(&["p", "signal"]);
    let client = ask(sandbox, &["-u"]);
    // A moment is what is tried here.
    thread::sleep(whole * round / MOMENTS);
    client
}

#[test]
fn a_sigterm_that_comes_amid_an_upgrade_ends_the_daemon() {
    for round in 0..MOMENTS {
        let mut sandbox = Sandbox::with_installed_daemon(PROGRAM);
        let client = amid_an_upgrade(&sandbox, round);

        assert!(sandbox.terminate_daemon().success());

        // Whoever has asked is served before, refused, or finds nobody any more.
        let output = answer(client);
        let is_told = output.code == 0 || (output.code == 1 && output.stderr.starts_with("ERROR: "));
        assert!(is_told, "{output:?}");
        assert_eq!(sandbox.files(), ["log", "procmgr", "procmgr.cfg"]);
    }
}

#[test]
fn a_sighup_that_comes_amid_an_upgrade_is_heard() {
    let sandbox = Sandbox::with_installed_daemon(PROGRAM);
    for round in 0..MOMENTS {
        let before = sandbox.logged("the configuration is in force");
        let client = amid_an_upgrade(&sandbox, round);

        kill(sandbox.daemon_pid(), Signal::SIGHUP).unwrap();

        wait_until("the configuration is read", || sandbox.logged("the configuration is in force") > before);
        assert_eq!(answer(client).code, 0);
        assert_eq!(sandbox.logged("the configuration is in force"), before + 1);
    }
}

#[test]
fn a_death_that_comes_amid_an_upgrade_is_noticed() {
    let sandbox = Sandbox::with_installed_daemon(&format!("{PROGRAM}{LASTING}"));
    for round in 0..MOMENTS {
        let main = sandbox.start("p");
        let client = amid_an_upgrade(&sandbox, round);

        kill(main, Signal::SIGKILL).unwrap();

        wait_until("the death is noticed", || sandbox.list() == "p: dead\n");
        assert_eq!(sandbox.logged(&format!("p: pid {main} has ended with signal 9\n")), 1);
        assert_eq!(answer(client).code, 0);
    }
}

#[test]
fn a_rehearsal_ends_with_the_daemon() {
    let mut sandbox = Sandbox::with_installed_daemon("");
    sandbox.replace_executable("#!/bin/sh\necho $$ > rehearsal\nexec sleep 1000\n", "755");
    let client = ask(&sandbox, &["-u"]);
    wait_until("it rehearses", || sandbox.read("rehearsal").ends_with('\n'));
    let rehearsal = nix::unistd::Pid::from_raw(sandbox.read("rehearsal").trim().parse().unwrap());

    sandbox.kill_daemon();

    wait_until("the rehearsal has ended", || !is_alive(rehearsal));
    assert_eq!(answer(client).code, 1);
    sandbox.install("procmgr");
    sandbox.start_installed_daemon();
    // It took nothing with it that this one would need.
    sandbox.upgrade();
}
