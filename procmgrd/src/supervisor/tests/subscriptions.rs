//! What subscribers are told: what there is, and then each change with what has led to it.
//!
//! That it always adds up to what there is, is the model's to show.

use procmgr_config::Action::{self, Reload, Restart, Signal, Start, Status, Stop};
use procmgr_proto::event::{ProgramStatus, State};
use procmgr_proto::message::{ExitStatus, Response};

use crate::supervisor::event::{Change, Event, Loaded, Pid, Question};
use crate::supervisor::tests::{
    BERT, DELAY, MAIN, RESTARTER, STARTER, STOPPER, SUCCESS, World, answer, config, define,
    define_with_delay, refused,
};

use procmgr_config::{Definition, Group};
use procmgr_proto::message::Code;

const KILLED: ExitStatus = ExitStatus::Signal(9);

impl World {
    /// Returns what subscribers have been told since this was last asked, a line each.
    fn told(&mut self) -> Vec<String> {
        self.published.drain(..).map(|change| line(&change)).collect()
    }

    /// Puts these definitions in force for a client.
    fn configure_for(&mut self, client: u64, programs: &[&Definition]) {
        let loaded = Loaded { config: config(programs), remarks: Vec::new() };
        self.configured(Some(client), Ok(loaded));
    }
}

fn line(Change { program, cause }: &Change) -> String {
    let mut line = format!("{} {}", program.name.escape_ascii(), program.state);
    line.extend(program.pid.map(|pid| format!(" as {pid}")));
    line.extend(program.marks.iter().map(|mark| format!(" {}", mark.escape_ascii())));
    line.extend(cause.ended.map(|status| format!(" after {status}")));
    line.extend(cause.failure.as_ref().map(|reason| format!(" for {reason}")));
    line.extend(cause.by.map(|caller| format!(" by {}", caller.connection)));
    line
}

#[test]
fn whoever_subscribes_is_told_what_there_is() {
    let mut world = World::of(&[&define("game", &[Start]), &define("chat", &[])]);
    let effects = world.request(1, "game", Start);
    world.spawned(effects, MAIN);
    let status = |name: &str, state, pid| ProgramStatus { name: name.into(), state, pid, marks: Vec::new() };
    let programs = vec![status("game", State::Running, Some(100)), status("chat", State::Down, None)];
    let response = Response::Subscribed { programs };
    assert_eq!(world.question(BERT, Question::Subscribe), [answer(BERT, response)]);
}

#[test]
fn what_was_there_at_the_beginning_is_no_change() {
    assert_eq!(World::down(&define("game", &[])).told(), [""; 0]);
}

#[test]
fn a_start_is_told_step_by_step() {
    let mut world = World::up(&define("game", &[Start]));
    assert_eq!(world.told(), ["game starting by 7", "game running as 100 by 7"]);
}

#[test]
fn a_stop_is_told_with_whoever_asked_and_so_is_the_end() {
    for scripts in [&[Start][..], &[Start, Stop]] {
        let mut world = World::stopping(&define("game", scripts));
        world.told();
        world.request_and_spawn(1, "game", Stop);
        assert_eq!(world.told(), [""; 0], "it stops already");
        world.exited(MAIN, KILLED);
        assert_eq!(world.told(), ["game down after signal 9 by 8"]);
    }
    let mut world = World::up(&define("game", &[Start]));
    world.told();
    world.request(STOPPER, "game", Stop);
    assert_eq!(world.told(), ["game stopping as 100 by 8"]);
}

#[test]
fn a_default_restart_is_told_step_by_step() {
    let mut world = World::restarting(&define("game", &[Start]));
    assert_eq!(world.told().last().unwrap(), "game restarting as 100 by 9");
    let effects = world.exited(MAIN, KILLED);
    assert_eq!(world.told(), ["game starting after signal 9 by 9"]);
    world.spawned(effects, Pid(101));
    assert_eq!(world.told(), ["game running as 101 by 9"]);
}

#[test]
fn a_restart_that_is_cancelled_is_told() {
    let mut world = World::restarting(&define("game", &[Start]));
    world.told();
    world.request(STOPPER, "game", Stop);
    assert_eq!(world.told(), ["game stopping as 100 by 8"]);
    world.exited(MAIN, KILLED);
    assert_eq!(world.told(), ["game down after signal 9 by 8"]);
}

#[test]
fn a_restart_script_is_told_by_the_new_main_process() {
    let mut world = World::up(&define("game", &[Start, Restart]));
    world.told();
    let effects = world.request(RESTARTER, "game", Restart);
    assert_eq!(world.told(), [""; 0], "nothing has changed yet");
    world.spawned(effects, Pid(101));
    assert_eq!(world.told(), ["game running as 101 by 9"]);
    world.exited(MAIN, KILLED);
    assert_eq!(world.told(), [""; 0], "the old process is nobody's");
}

#[test]
fn a_death_and_an_automatic_restart_are_nobodys() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    assert_eq!(world.told().last().unwrap(), "game back-off after exit status 0");
    let effects = world.pass(DELAY);
    world.spawned(effects, Pid(101));
    assert_eq!(world.told(), ["game starting", "game running as 101"]);
}

#[test]
fn a_stop_during_backoff_is_told() {
    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    world.told();
    world.request(STOPPER, "game", Stop);
    assert_eq!(world.told(), ["game down by 8"]);
}

#[test]
fn a_start_that_fails_is_told_with_the_reason() {
    let mut world = World::down(&define("game", &[Start]));
    let effects = world.request(STARTER, "game", Start);
    world.spawn_failed(effects);
    assert_eq!(world.told(), ["game starting by 7", "game down for no shell by 7"]);

    let mut world = World::in_backoff(&define_with_delay("game", &[Start]));
    let effects = world.pass(DELAY);
    world.told();
    world.spawn_failed(effects);
    assert_eq!(world.told(), ["game back-off for no shell"]);
}

#[test]
fn an_autostart_is_told() {
    let mut game = define("game", &[Start]);
    game.autostart = Some(Group(1));
    let mut world = World::down(&game);
    world.tell(Event::Autostart(Group(1)));
    let effects = world.pass(DELAY);
    world.spawned(effects, MAIN);
    assert_eq!(world.told(), ["game back-off", "game starting", "game running as 100"]);
}

#[test]
fn a_new_configuration_is_told_program_by_program() {
    let mut world = World::up(&define("game", &[Start]));
    world.told();
    world.configure_for(1, &[&define("game", &[Start]), &define("chat", &[])]);
    assert_eq!(world.told(), ["chat down by 1"]);
    world.configure_for(2, &[&define("game", &[Start, Stop])]);
    assert_eq!(world.told(), ["chat removed by 2", "game running as 100 outdated by 2"]);
    world.configure_for(3, &[]);
    assert_eq!(world.told(), ["game running as 100 lingering by 3"]);
    world.exited(MAIN, SUCCESS);
    assert_eq!(world.told(), ["game removed after exit status 0"]);
    world.configure(&[&define("game", &[])]);
    assert_eq!(world.told(), ["game down"]);
}

#[test]
fn what_changes_nothing_is_not_told() {
    let game = define("game", &Action::BUILT_IN);
    let mut world = World::up(&game);
    world.told();
    for action in [Reload, Signal, Status] {
        world.request_and_spawn(1, "game", action);
    }
    world.configure(&[&game]);
    let text = "game is running";
    assert_eq!(world.request(1, "game", Start), [refused(1, Code::Busy, text)]);
    assert_eq!(world.told(), [""; 0]);
}
