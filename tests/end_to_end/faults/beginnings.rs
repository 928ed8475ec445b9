//! The daemon is killed at each step of its own start, from exec until it waits for events.
//!
//! What it is asked when it serves is in `requests`.

use std::process::Stdio;

use procmgr_proto::event::{ProgramStatus, State};

use crate::faults::stage::{Stage, daemon_of, lasting};
use crate::faults::tracer::{Stop, Tracee, Whose, is_asleep, may_trace};
use crate::harness::{through_shell, wait_until};

/// Starts a daemon and kills it after so many stops, or when it waits for events. Returns how many there were.
fn begin(stage: &mut Stage, stops: usize) -> usize {
    // The shell becomes the daemon when it is traced, and not before.
    let mut command = through_shell("read go", &daemon_of(&stage.sandbox));
    stage.launch_by(command.stdin(Stdio::piped()));
    let pid = stage.daemon();
    wait_until("the shell reads", || is_asleep(pid));
    let mut daemon = Tracee::seize(pid, Whose::Its);
    daemon.interrupt();
    drop(stage.daemon_process().stdin.take());
    while daemon.step() != Stop::Executed {}
    let mut count = 0;
    while count < stops && daemon.step_unless(|| true).is_some() {
        count += 1;
    }
    stage.kill_daemon_at(format!("killed after {count} stops, {}", daemon.place()));
    count
}

/// Kills daemons at each stop of their start, one after the other. Each time the next one has to list what is expected.
fn sweep(
    stage: &mut Stage,
    test: &str,
    waiting: &[&str],
    verify: impl Fn(&Stage, &[ProgramStatus]),
    mut begin_anew: impl FnMut(&mut Stage),
) {
    begin_anew(stage);
    let stops = begin(stage, usize::MAX);
    for stop in 0..=stops {
        begin_anew(stage);
        begin(stage, stop);
        stage.launch();
        let programs = stage.settle(waiting);
        verify(stage, &programs);
    }
    eprintln!("{test}: killed at each of {stops} stops");
}

#[test]
fn an_autostart_happens_once() {
    let test = "an_autostart_happens_once";
    if !may_trace(test) {
        return;
    }
    let config =
        concat!("[prog-p]\nautostart = yes\n", lasting!(), "[prog-q]\nautostart = yes\n", lasting!());
    let mut stage = Stage::new(config);
    let verify = |stage: &Stage, programs: &[ProgramStatus]| {
        let states: Vec<&State> = programs.iter().map(|program| &program.state).collect();
        assert_eq!(states, [&State::Running; 2]);
        assert_eq!([stage.births("p"), stage.births("q")], [1; 2]);
    };
    sweep(&mut stage, test, &[], verify, Stage::clear);
}

#[test]
fn what_is_taken_over_stays_what_it_is() {
    let test = "what_is_taken_over_stays_what_it_is";
    if !may_trace(test) {
        return;
    }
    let config = concat!(
        "[prog-running]\nautostart = yes\nrestart-delay = 1\n",
        lasting!(),
        "[prog-stopped]\nautostart = yes\n",
        lasting!(),
        "[prog-waiting]\nautostart = yes\nrestart-delay = 1000\n",
        lasting!(),
    );
    let mut stage = Stage::new(config);
    stage.launch();
    let programs = stage.settle(&[]);
    stage.invoke("stopped", "stop");
    stage.kill(programs[2].pid.unwrap());
    let expected = stage.settle(&["waiting"]);
    assert_eq!(
        expected.iter().map(|it| &it.state).collect::<Vec<_>>(),
        [&State::Running, &State::Down, &State::BackOff]
    );
    stage.kill_daemon();
    stage.launch();
    let expected = stage.settle(&["waiting"]);
    let verify = |_: &Stage, programs: &[ProgramStatus]| assert_eq!(programs, expected);
    sweep(&mut stage, test, &["waiting"], verify, Stage::kill_daemon);
}
