//! The world of the supervisor's tests: clients, terminals, processes and time, all of them plain values.
//!
//! No promise is tested here; each file below tests those on one subject.

mod autostart;
mod beside;
mod deaths;
mod details;
mod memories;
mod previews;
mod reconfiguration;
mod requests;
mod restarts;
mod rights;
mod shutdown;
mod spawns;
mod steps;
mod subscriptions;
mod succession;
mod timeouts;
mod upgrades;

use std::borrow::Borrow;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use procmgr_config::{
    Action, Allowed, Config, Definition, Gid, KillMode, OnExit, ProgramName, Rule, Terms, Uid,
};
use procmgr_proto::details::ReloadEffect;
use procmgr_proto::message::{Code, ExitStatus, Invocation, Refusal, Response};

use crate::supervisor::event::{
    Caller, Change, Difference, Effect, Event, Intent, Job, Loaded, Peer, Pid, Process, Question, Rejected,
    Report, Restart as Again, Signal, Spawn, Ticks, Timestamp,
};
use crate::supervisor::memory::Memory;
use crate::supervisor::{Host, Supervisor};

const USER_OF_DAEMON: Uid = Uid(50);
const HOST: Host = Host { owner: USER_OF_DAEMON, patience: None };

/// The main process of the program that a world begins with.
const MAIN: Pid = Pid(100);
/// The process of a script that has been run later.
const SCRIPT: Pid = Pid(200);

const DELAY: Duration = Duration::from_secs(5);
const SUCCESS: ExitStatus = ExitStatus::Code(0);

// Clients are known by their numbers, and are root's unless they are named here.
const ANNA: u64 = 10;
const BERT: u64 = 11;
const OWNER: u64 = 12;

const UID_OF_ANNA: Uid = Uid(1);
const GROUP_OF_ANNA: Gid = Gid(11);

// The clients that bring a program into its state.
const STARTER: u64 = 7;
const STOPPER: u64 = 8;
const RESTARTER: u64 = 9;

/// Standard input, output and error: a label, by which a test sees *whose* terminal a script got.
type Terminal = &'static str;

type Effects = Vec<Effect<Terminal>>;

/// A supervisor, and the time it is told.
struct World {
    supervisor: Supervisor<Terminal>,
    now: Timestamp,
    /// What subscribers were told. It follows from what the programs are, whatever has led there, so the effects that
    /// tests compare are without it, and `subscriptions` alone looks at it.
    published: Vec<Change>,
    /// What is on record, and what each process that is to become a main process was to put there. The effects that
    /// tests compare are without it, and `memories` alone looks at it.
    remembered: Vec<(ProgramName, Memory)>,
    signatures: Vec<Memory>,
}

impl World {
    fn of(programs: &[&Definition]) -> Self {
        let supervisor = Supervisor::new(config(programs), HOST);
        let now = beginning();
        Self { supervisor, now, published: Vec::new(), remembered: Vec::new(), signatures: Vec::new() }
    }

    /// Creates a world whose only program is down.
    fn down(program: &Definition) -> Self {
        Self::of(&[program])
    }

    /// Creates a world whose only program is starting, for [`STARTER`].
    fn starting(program: &Definition) -> Self {
        let mut world = Self::down(program);
        world.request(STARTER, "game", Action::Start);
        world
    }

    /// Creates a world whose only program is up, with the main process [`MAIN`].
    fn up(program: &Definition) -> Self {
        let mut world = Self::down(program);
        let effects = world.request(STARTER, "game", Action::Start);
        assert_eq!(world.spawned(effects, MAIN), [done(STARTER)]);
        world
    }

    /// Creates a world whose only program is stopping, for [`STOPPER`].
    fn stopping(program: &Definition) -> Self {
        let mut world = Self::up(program);
        world.request_and_spawn(STOPPER, "game", Action::Stop);
        assert_eq!(world.list(), "game: running stopping");
        world
    }

    /// Creates a world whose only program is restarting by default, for [`RESTARTER`].
    fn restarting(program: &Definition) -> Self {
        let mut world = Self::up(program);
        world.request_and_spawn(RESTARTER, "game", Action::Restart);
        assert_eq!(world.list(), "game: running restarting");
        world
    }

    /// Creates a world whose only program, which has a restart delay, has just died.
    fn in_backoff(program: &Definition) -> Self {
        let mut world = Self::up(program);
        world.exited(MAIN, SUCCESS);
        assert_eq!(world.next_deadline(), Some(DELAY));
        world
    }

    fn tell(&mut self, event: Event<Terminal>) -> Effects {
        let mut effects = Vec::new();
        let published = self.published.len();
        for effect in self.supervisor.handle(self.now, event) {
            match effect {
                Effect::Remember { program, memory } => {
                    let is_first = effects.is_empty() && self.published.len() == published;
                    assert!(is_first, "what is to be on record comes before anything else");
                    self.remembered.push((program, memory));
                }
                Effect::Publish(change) => {
                    assert!(effects.is_empty(), "changes are told before anything else but the record");
                    self.published.push(change);
                }
                Effect::Spawn(Spawn { job, arguments, main, stdio, memory }) => {
                    assert_eq!(job.at, self.now);
                    self.signatures.extend(memory);
                    let job = Job { at: beginning(), ..job };
                    effects.push(Effect::Spawn(Spawn { job, arguments, main, stdio, memory: None }));
                }
                other => effects.push(other),
            }
        }
        effects
    }

    /// Has a client ask for an action.
    fn request(&mut self, client: u64, program: &str, action: impl Borrow<Action>) -> Effects {
        self.request_words(client, [program, &action.borrow().to_string()], &[])
    }

    fn request_with(
        &mut self,
        client: u64,
        program: &str,
        action: impl Borrow<Action>,
        arguments: &[&str],
    ) -> Effects {
        self.request_words(client, [program, &action.borrow().to_string()], arguments)
    }

    fn request_words(&mut self, client: u64, [program, action]: [&str; 2], arguments: &[&str]) -> Effects {
        let invocation =
            Invocation { program: program.into(), action: action.into(), arguments: bytes(arguments) };
        let (caller, stdio) = (caller(client), terminal(client));
        self.tell(Event::Invoked { caller, groups: [].into(), invocation, stdio })
    }

    /// Has a client ask for an action, and lets the script run, if there is one, as [`SCRIPT`].
    fn request_and_spawn(&mut self, client: u64, program: &str, action: impl Borrow<Action>) -> Effects {
        let effects = self.request(client, program, action);
        let has_script = effects.iter().any(|effect| matches!(effect, Effect::Spawn(_)));
        if has_script { self.spawned(effects, SCRIPT) } else { effects }
    }

    fn question(&mut self, client: u64, question: Question) -> Effects {
        self.tell(Event::Asked { caller: caller(client), question })
    }

    /// Answers the only spawn in a list of effects, which were decided upon now, with a process.
    fn spawned(&mut self, effects: Effects, pid: Pid) -> Effects {
        let job = Job { at: self.now, ..only_job(effects) };
        self.tell(Event::Spawned { job, process: process(pid) })
    }

    /// Answers the only spawn in a list of effects with a failure.
    fn spawn_failed(&mut self, effects: Effects) -> Effects {
        let job = Job { at: self.now, ..only_job(effects) };
        self.tell(Event::SpawnFailed { job, reason: "no shell".to_owned() })
    }

    fn exited(&mut self, pid: Pid, status: ExitStatus) -> Effects {
        self.tell(Event::Exited { pid, status })
    }

    /// Lets time pass, and has all done that is due then.
    fn pass(&mut self, time: Duration) -> Effects {
        self.now = self.now + time;
        let mut effects = self.tell(Event::Deadline);
        while self.next_deadline() == Some(Duration::ZERO) {
            effects.extend(self.tell(Event::Deadline));
        }
        effects
    }

    /// Puts these definitions in force. Of what that changes, the effects tell names only; the rest is told by a
    /// preview as well, and compared there.
    fn configure(&mut self, programs: &[&Definition]) -> Effects {
        let loaded = Loaded { config: config(programs), remarks: Vec::new() };
        let mut effects = self.configured(None, Ok(loaded));
        for effect in &mut effects {
            if let Effect::Report(Report::Reconfigured { differences, .. }) = effect {
                differences.retain(|it| it.effect != ReloadEffect::Unchanged);
                *differences =
                    differences.iter().map(|it| difference(&it.program, it.effect.clone())).collect();
            }
        }
        effects
    }

    fn configured(&mut self, client: Option<u64>, outcome: Result<Loaded, Rejected>) -> Effects {
        self.tell(Event::Configured { caller: client.map(caller), intent: Intent::Apply, outcome })
    }

    /// Returns how long it is until the next deadline.
    fn next_deadline(&self) -> Option<Duration> {
        self.supervisor.next_deadline().map(|due| due - self.now.instant)
    }

    /// Returns what lists say: `NAME: TOKEN TOKEN` for each program, separated by commas.
    fn list(&mut self) -> String {
        let effects = self.question(0, Question::List);
        let [Effect::Reply { response: Response::Programs(entries), .. }] = effects.as_slice() else {
            panic!("a list is answered by a list, not by {effects:?}");
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let entries = entries.iter().map(|entry| {
            let tokens: Vec<String> = entry.tokens.iter().map(|token| text(token)).collect();
            format!("{}: {}", text(&entry.name), tokens.join(" "))
        });
        entries.collect::<Vec<_>>().join(", ")
    }

    /// Requires that an action that root asks for is refused, at once and without a change of anything.
    fn assert_refuses(&mut self, action: impl Borrow<Action>, code: Code, text: &str) {
        self.assert_refuses_to(1, ["game", &action.borrow().to_string()], code, text);
    }

    fn assert_refuses_to(&mut self, client: u64, words: [&str; 2], code: Code, text: &str) {
        let before = format!("{:?}", self.supervisor);
        let published = self.published.len();
        assert_eq!(self.request_words(client, words, &["argument"]), [refused(client, code, text)]);
        assert_eq!(self.published.len(), published, "a refused request is no change");
        assert_eq!(format!("{:?}", self.supervisor), before, "a refused request changes nothing");
    }
}

/// Defines a program that has scripts for these actions and nothing else.
fn define(name: &str, scripts: &[Action]) -> Definition {
    let mut definition = Definition::new(ProgramName::new(name.as_bytes()), Rule::default());
    for action in scripts {
        let script = Some(format!("{action} {name}").into_bytes().into());
        definition.define(action.clone(), Rule { script, ..Rule::default() });
    }
    definition
}

/// Defines a program whose scripts are other ones than those that `define` gives it.
fn define_anew(name: &str, scripts: &[Action]) -> Definition {
    let before = define(name, scripts);
    Definition::new(before.name.clone(), Rule::default()).with_built_in(|action| {
        let script = before.rule(action).script.as_ref();
        let script = script.map(|script| [script, b" anew".as_slice()].concat().into());
        Rule { script, ..Rule::default() }
    })
}

/// Defines a program that, moreover, is started again [`DELAY`] after its death.
fn define_with_delay(name: &str, scripts: &[Action]) -> Definition {
    let mut definition = define(name, scripts);
    definition.restart_delay = Some(DELAY);
    definition
}

/// Defines a program that says of each action who may ask for it.
fn define_for(name: &str, scripts: &[Action], allowed: impl Fn(&Action) -> Allowed) -> Definition {
    let mut definition = define(name, scripts);
    for action in definition.actions().cloned().collect::<Vec<_>>() {
        let terms = Terms { allowed: allowed(&action), ..Terms::default() };
        let rule = Rule::new(definition.rule(&action).script.clone(), terms);
        definition.define(action, rule);
    }
    definition
}

fn for_anna() -> Allowed {
    Allowed::new([UID_OF_ANNA], [])
}

fn config(programs: &[&Definition]) -> Config {
    let programs = programs.iter().map(|program| Arc::new((*program).clone())).collect();
    Config {
        socket_path: PathBuf::from("/run/procmgr"),
        state_path: None,
        on_exit: OnExit::Leave,
        autostart: None,
        programs,
    }
}

fn caller(client: u64) -> Caller {
    let (uid, gid) = match client {
        ANNA => (UID_OF_ANNA, GROUP_OF_ANNA),
        BERT => (Uid(2), Gid(12)),
        OWNER => (USER_OF_DAEMON, Gid(12)),
        _ => (Uid::ROOT, Gid(0)),
    };
    Caller { connection: client, request: 1, peer: Peer { pid: Pid(9), uid, gid } }
}

fn terminal(client: u64) -> Terminal {
    const TERMINALS: [Terminal; 13] = [
        "tty0", "tty1", "tty2", "tty3", "tty4", "tty5", "tty6", "tty7", "tty8", "tty9", "tty10", "tty11",
        "tty12",
    ];
    TERMINALS[usize::try_from(client).unwrap()]
}

fn bytes(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn only_job(effects: Effects) -> Job {
    let mut jobs = effects.into_iter().filter_map(|effect| match effect {
        Effect::Spawn(spawn) => Some(spawn.job),
        Effect::Remember { .. }
        | Effect::Signal { .. }
        | Effect::Reply { .. }
        | Effect::LoadConfig { .. }
        | Effect::Exit { .. }
        | Effect::Rehearse
        | Effect::HandOver
        | Effect::Report(_)
        | Effect::Publish(_) => None,
    });
    let job = jobs.next().expect("there is a spawn");
    assert_eq!(jobs.next(), None, "there is only one spawn");
    job
}

/// Returns the process of that PID, which has no other start in these tests.
fn process(pid: Pid) -> Process {
    Process { pid, started: Ticks(7) }
}

// What follows builds the effects that a test expects.

/// A restart after [`DELAY`], the how-manieth in a row.
fn again(number: u32) -> Again {
    Again { delay: DELAY, number }
}

fn spawn(
    program: &Definition,
    action: impl Borrow<Action>,
    client: u64,
    main: Option<Pid>,
) -> Effect<Terminal> {
    spawn_with(program, action, client, main, &[])
}

fn spawn_with(
    program: &Definition,
    action: impl Borrow<Action>,
    client: u64,
    main: Option<Pid>,
    arguments: &[&str],
) -> Effect<Terminal> {
    let job = job(program, action, Some(client));
    Effect::Spawn(Spawn {
        job,
        arguments: bytes(arguments),
        main,
        stdio: Some(terminal(client)),
        memory: None,
    })
}

fn spawn_for_nobody(program: &Definition) -> Effect<Terminal> {
    let job = job(program, Action::Start, None);
    Effect::Spawn(Spawn { job, arguments: Vec::new(), main: None, stdio: None, memory: None })
}

fn spawn_stop_for_nobody(program: &Definition, main: Pid) -> Effect<Terminal> {
    let job = job(program, Action::Stop, None);
    Effect::Spawn(Spawn { job, arguments: Vec::new(), main: Some(main), stdio: None, memory: None })
}

fn job(program: &Definition, action: impl Borrow<Action>, client: Option<u64>) -> Job {
    Job {
        program: program.name.clone(),
        definition: Arc::new(program.clone()),
        action: action.borrow().clone(),
        caller: client.map(caller),
        at: beginning(),
    }
}

/// Returns when every world begins. The effects that tests compare say so of all that is run, whenever that is.
fn beginning() -> Timestamp {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    Timestamp { instant: *BEGINNING.get_or_init(Instant::now), time: 1_000_000 }
}

fn terminate(pid: Pid) -> Effect<Terminal> {
    signal(pid, Signal::Term, KillMode::Process)
}

fn signal(pid: Pid, signal: Signal, scope: KillMode) -> Effect<Terminal> {
    Effect::Signal { process: process(pid), signal, scope }
}

fn done(client: u64) -> Effect<Terminal> {
    answer(client, Response::Done)
}

fn answer_exited(client: u64, status: ExitStatus) -> Effect<Terminal> {
    answer(client, Response::Exited(status))
}

fn refused(client: u64, code: Code, text: &str) -> Effect<Terminal> {
    answer(client, Response::Refused(Refusal::new(code, text)))
}

fn answer(client: u64, response: Response) -> Effect<Terminal> {
    Effect::Reply { caller: caller(client), response }
}

fn started(name: &str, pid: Pid) -> Effect<Terminal> {
    Effect::Report(Report::Started { program: ProgramName::new(name.as_bytes()), pid })
}

fn start_failed(name: &str, reason: &str, retry: Option<Again>) -> Effect<Terminal> {
    let program = ProgramName::new(name.as_bytes());
    Effect::Report(Report::StartFailed { program, reason: reason.to_owned(), retry })
}

fn ended(pid: Pid, status: ExitStatus, restart: Option<Again>) -> Effect<Terminal> {
    Effect::Report(Report::Ended { program: ProgramName::new(b"game"), pid, status, restart })
}

fn reconfigured(added: &[&str], removed: &[&str], changed: &[&str]) -> Effect<Terminal> {
    let kinds =
        [(ReloadEffect::Added, added), (ReloadEffect::Changed, changed), (ReloadEffect::Removed, removed)];
    let differences = kinds.iter().flat_map(|(effect, names)| {
        names.iter().map(|name| difference(&ProgramName::new(name.as_bytes()), effect.clone()))
    });
    Effect::Report(Report::Reconfigured { differences: differences.collect(), remarks: Vec::new() })
}

fn difference(program: &ProgramName, effect: ReloadEffect) -> Difference {
    Difference { program: program.clone(), effect, keys: Vec::new(), main: None, is_outdated: false }
}
