//! What a reload would change, told without changing anything; and that a reload reports the same.

use std::time::Duration;

use procmgr_config::Action::{self, Restart, Start, Stop};
use procmgr_config::{Config, Definition, OnExit, Rule};
use procmgr_proto::details::ProgramPreview;
use procmgr_proto::message::{Code, Response};

use crate::supervisor::event::{Effect, Event, Intent, Loaded, Question, Rejected, Report};
use crate::supervisor::tests::{
    BERT, MAIN, OWNER, Terminal, World, answer, caller, config, define, define_anew, define_with_delay,
    refused,
};

impl World {
    /// Returns what putting these definitions in force would change, a line for each program, and puts them in force to
    /// see that it is reported so.
    fn preview_and_configure(&mut self, programs: &[&Definition]) -> Vec<String> {
        let loaded = || Loaded { config: config(programs), remarks: Vec::new() };
        let before = format!("{:?}", self.supervisor);
        let previewed = self.previewed(Ok(loaded()));
        assert_eq!(format!("{:?}", self.supervisor), before, "a preview changes nothing");
        let lines: Vec<String> = previewed.iter().map(line).collect();
        let effects = self.configured(None, Ok(loaded()));
        let [Effect::Report(Report::Reconfigured { differences, .. })] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        let reported = differences.iter().map(|it| {
            line(&ProgramPreview {
                name: it.program.as_bytes().to_vec(),
                effect: it.effect.clone(),
                keys: it.keys.clone(),
                pid: it.main.map(|pid| pid.0.cast_unsigned()),
                is_outdated: it.is_outdated,
            })
        });
        assert_eq!(reported.collect::<Vec<_>>(), lines);
        lines
    }

    fn previewed(&mut self, outcome: Result<Loaded, Rejected>) -> Vec<ProgramPreview> {
        let effects = self.preview(outcome);
        let [Effect::Reply { response: Response::Previewed { programs, remarks }, .. }] = effects.as_slice()
        else {
            panic!("{effects:?}")
        };
        assert!(remarks.is_empty());
        programs.clone()
    }

    fn preview(&mut self, outcome: Result<Loaded, Rejected>) -> Vec<Effect<Terminal>> {
        self.tell(Event::Configured { caller: Some(caller(1)), intent: Intent::Preview, outcome })
    }
}

fn line(program: &ProgramPreview) -> String {
    let ProgramPreview { name, effect, keys, pid, is_outdated } = program;
    let words = [name.clone(), effect.name().to_vec()].into_iter().chain(keys.iter().cloned());
    let words = words.collect::<Vec<_>>().join(&b' ');
    let pid = pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    let outdated = if *is_outdated { ", outdated" } else { "" };
    format!("{}{pid}{outdated}", words.escape_ascii())
}

#[test]
fn only_root_and_the_owner_may_preview_a_reload() {
    let mut world = World::down(&define("game", &[]));
    let text = "only root and the user of the daemon may stop, reload or upgrade it";
    assert_eq!(world.question(BERT, Question::Preview), [refused(BERT, Code::Eperm, text)]);
    for client in [1, OWNER] {
        let effect = Effect::LoadConfig { caller: Some(caller(client)), intent: Intent::Preview };
        assert_eq!(world.question(client, Question::Preview), [effect]);
    }
}

#[test]
fn what_is_new_and_what_is_gone_is_told_and_what_stays_is_not() {
    let (game, chat) = (define("game", &[Start]), define("chat", &[Start]));
    let mut world = World::of(&[&game, &define("old", &[])]);
    assert_eq!(world.preview_and_configure(&[&chat, &game]), ["chat added", "old removed"]);
    assert_eq!(world.preview_and_configure(&[&chat, &game]), [] as [&str; 0]);
}

#[test]
fn what_changes_is_told_by_its_keys() {
    let mut changed = define_anew("game", &[Start, Stop]);
    changed.restart_delay = Some(Duration::from_secs(1));
    changed.define(Action::from_name(b"dance"), Rule { script: Some(Box::default()), ..Rule::default() });
    let mut world = World::of(&[&define("game", &[Start, Stop])]);
    assert_eq!(
        world.preview_and_configure(&[&changed]),
        ["game changed restart-delay cmd-start cmd-stop cmd-dance"]
    );
}

#[test]
fn what_runs_under_an_older_definition_is_told_until_it_is_started_again() {
    let (game, delayed) = (define("game", &[Start]), define_with_delay("game", &[Start]));
    let mut world = World::up(&game);
    assert_eq!(world.preview_and_configure(&[&delayed]), ["game changed restart-delay, pid 100, outdated"]);
    assert_eq!(world.preview_and_configure(&[&delayed]), ["game unchanged, pid 100, outdated"]);
    // What it was is what it runs under.
    assert_eq!(world.preview_and_configure(&[&game]), ["game changed restart-delay, pid 100"]);
    world.configure(&[&delayed]);
    world.request(1, "game", Restart);
    let effects = world.exited(MAIN, procmgr_proto::message::ExitStatus::Code(0));
    world.spawned(effects, MAIN);
    assert_eq!(world.preview_and_configure(&[&delayed]), [] as [&str; 0]);
}

#[test]
fn what_lingers_is_gone_already_and_comes_back_as_new() {
    let game = define("game", &[Start]);
    let mut world = World::up(&game);
    assert_eq!(world.preview_and_configure(&[]), ["game removed, pid 100"]);
    assert_eq!(world.preview_and_configure(&[]), [] as [&str; 0]);
    assert_eq!(world.preview_and_configure(&[&game]), ["game added, pid 100"]);
    world.configure(&[]);
    assert_eq!(
        world.preview_and_configure(&[&define_anew("game", &[Start])]),
        ["game added, pid 100, outdated"]
    );
}

#[test]
fn whoever_asks_is_told_the_remarks_and_why_the_file_cannot_be_used() {
    let mut world = World::of(&[]);
    let mut elsewhere = config(&[]);
    elsewhere.socket_path = "/run/elsewhere".into();
    let stays = "the socket stays /run/procmgr until the daemon is started anew".into();
    let remarks = vec![b"unknown key".to_vec(), stays];
    let loaded = Loaded { config: elsewhere, remarks: vec!["unknown key".to_owned()] };
    let response = Response::Previewed { programs: Vec::new(), remarks };
    assert_eq!(world.preview(Ok(loaded)), [answer(1, response)]);
    let lines = vec!["1 error".to_owned(), "x:1:1: error: no".to_owned()];
    // Nobody has tried to put it in force, so the log need not know.
    let refusal = refused(1, Code::BadConf, "1 error\nx:1:1: error: no");
    assert_eq!(world.preview(Err(Rejected { lines })), [refusal]);
}

#[test]
fn what_becomes_of_programs_with_the_daemon_is_told_where_it_changes() {
    let mut world = World::of(&[]);
    let loaded = |on_exit| Loaded { config: Config { on_exit, ..config(&[]) }, remarks: Vec::new() };
    for (on_exit, word) in [(OnExit::Stop, "stops"), (OnExit::Leave, "leaves")] {
        let remark = format!("on-exit: when the daemon ends, it {word} the programs from now on");
        let response =
            Response::Previewed { programs: Vec::new(), remarks: vec![remark.clone().into_bytes()] };
        assert_eq!(world.preview(Ok(loaded(on_exit))), [answer(1, response)]);
        let report = |remarks| Effect::Report(Report::Reconfigured { differences: Vec::new(), remarks });
        assert_eq!(world.configured(None, Ok(loaded(on_exit))), [report(vec![remark])]);
        assert_eq!(world.configured(None, Ok(loaded(on_exit))), [report(vec![])]);
    }
}
