//! Any events against a model that knows nothing of states: who has asked, what lives, and who must not start.
//!
//! What each event leads to is tested next door; here, what holds whatever happens.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use procmgr_config::{Action, Config, Definition, Gid, Group, KillMode, OnExit, ProgramName, Uid};
use procmgr_proto::event::{ProgramStatus, State};
use procmgr_proto::message::{ExitStatus, Invocation, ProgramEntry, Response};

use crate::supervisor::event::{
    Caller, Cause, Change, Control, Effect, Event, Intent, Job, Loaded, Peer, Pid, Process, Question,
    Rejected, Report, Signal, Spawn, Ticks, Timestamp,
};
use crate::supervisor::memory::{Memory, Recollection, Running};
use crate::supervisor::{Host, Supervisor};

pub(crate) const GROUP: Group = Group(1);
pub(crate) const ROOT: Uid = Uid(0);
/// More than are ever due at once: a few programs, each to be started or killed.
const MOST_DUE: usize = 100;

const HOST: Host = Host { owner: ROOT, patience: None };
pub(crate) const ANNA: Uid = Uid(1);

/// Something that happens to the model.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Request {
        user: Uid,
        program: &'static str,
        action: &'static str,
    },
    Die {
        victim: usize,
        status: ExitStatus,
    },
    Pass {
        time: Duration,
    },
    Configure {
        definitions: Vec<Definition>,
    },
    Reject,
    Autostart,
    /// The daemon is killed, and another one started.
    Crash,
}

/// Plays a life of the daemon: with which programs it begins, what happens and whether scripts fail to run just then,
/// and whether a client asks it to end or a signal.
pub(crate) fn play(
    first: Vec<Definition>,
    steps: impl IntoIterator<Item = (Step, bool)>,
    is_asked_to_end: bool,
) {
    let mut model = Model::new(first);
    for (step, spawns_fail) in steps {
        model.spawns_fail = spawns_fail;
        model.take(step);
        model.check();
    }
    model.end(is_asked_to_end);
}

/// Carries the name of its owner, and tells by its count how many of it there are.
type Terminal = Rc<Caller>;

/// What anybody can see who looks at the events and effects alone.
struct Model {
    supervisor: Supervisor<Terminal>,
    now: Timestamp,
    /// Whether the shell is missing just now.
    spawns_fail: bool,
    configured: HashSet<ProgramName>,
    definitions: HashMap<ProgramName, Arc<Definition>>,
    /// When the pause ends after which a program is started again that has died.
    pauses: HashMap<ProgramName, Instant>,
    /// The order of lists, with programs that are long forgotten.
    order: Vec<ProgramName>,
    mains: HashMap<ProgramName, Pid>,
    /// The programs that have been stopped and that nobody has asked for since.
    stopped: HashSet<ProgramName>,
    /// The programs that have been given up and that nobody has started since.
    failed: HashSet<ProgramName>,
    /// Since when the main processes are to end that this daemon has told so, and which of them it has killed.
    told_to_end: HashMap<Pid, Instant>,
    killed: HashSet<Pid>,
    processes: BTreeMap<Pid, Job>,
    /// How many processes there have been.
    births: i32,
    /// The process that is being mourned.
    death: Option<Death>,
    /// The requests that have not been answered.
    asked: HashMap<Caller, Asked>,
    terminals: Vec<(Caller, Weak<Caller>)>,
    /// What somebody knows who has subscribed at the beginning.
    told: HashMap<Vec<u8>, ProgramStatus>,
    has_ended: bool,
    on_record: HashMap<ProgramName, Memory>,
}

struct Asked {
    program: ProgramName,
    action: Vec<u8>,
    /// The scripts that have been run for it.
    scripts: Vec<Action>,
}

struct Death {
    job: Job,
    was_main: bool,
    status: ExitStatus,
}

impl Model {
    fn new(definitions: Vec<Definition>) -> Self {
        let config = config(definitions);
        let (order, definitions) = (names(&config), by_name(&config));
        let now = Timestamp { instant: Instant::now(), time: 0 };
        let mut supervisor = Supervisor::new(config, HOST);
        let told = statuses(&mut supervisor, now);
        Self {
            supervisor,
            now,
            spawns_fail: false,
            configured: order.iter().cloned().collect(),
            definitions,
            pauses: HashMap::new(),
            order,
            mains: HashMap::new(),
            stopped: HashSet::new(),
            failed: HashSet::new(),
            told_to_end: HashMap::new(),
            killed: HashSet::new(),
            processes: BTreeMap::new(),
            births: 0,
            death: None,
            asked: HashMap::new(),
            terminals: Vec::new(),
            told: told.into_iter().map(|status| (status.name.clone(), status)).collect(),
            has_ended: false,
            on_record: HashMap::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Request { user, program, action } => self.request(user, program, action),
            Step::Die { victim, status } => {
                let pids: Vec<Pid> = self.processes.keys().copied().collect();
                if !pids.is_empty() {
                    self.die(pids[victim % pids.len()], status);
                }
            }
            Step::Pass { time } => self.pass(time),
            Step::Configure { definitions } => self.configure(definitions),
            Step::Reject => {
                let outcome = Err(Rejected { lines: vec!["no".to_owned()] });
                let before = self.view();
                self.tell(Event::Configured { caller: None, intent: Intent::Apply, outcome });
                assert_eq!(self.view(), before, "a configuration that is rejected changes nothing");
            }
            Step::Autostart => self.tell(Event::Autostart(GROUP)),
            Step::Crash => self.crash(),
        }
    }

    /// Has another daemon go on with what is on record. Who waits is not answered, and control processes are nobody's.
    fn crash(&mut self) {
        let definitions = self.supervisor.snapshot().programs;
        let definitions = definitions.iter().filter_map(|program| program.definition.as_deref().cloned());
        let config = config(definitions.collect());
        self.supervisor = Supervisor::new(config, HOST);
        self.asked.clear();
        self.told_to_end.clear();
        self.killed.clear();
        self.processes.retain(|pid, job| self.mains.get(&job.program) == Some(pid));
        let lives = |process: &Process| self.processes.contains_key(&process.pid);
        let recollection = |(program, memory): (&ProgramName, &Memory)| {
            let living = match memory {
                Memory::Running(Running { main, former, .. }) => main.filter(lives).or(former.filter(lives)),
                Memory::Nothing | Memory::Stopped(_) | Memory::Failed(_) | Memory::Due { .. } => None,
            };
            Recollection { program: program.clone(), memory: memory.clone(), living }
        };
        let programs = self.on_record.iter().map(recollection).collect();
        // What is not recalled is on record no more: the records are written anew.
        self.on_record.clear();
        self.told.clear();
        self.order = self.order.iter().filter(|name| self.configured.contains(*name)).cloned().collect();
        self.tell(Event::Recalled { programs });
        let lingering = list(&mut self.supervisor, self.now);
        let lingering = lingering.iter().map(|entry| ProgramName::new(&entry.name));
        self.order.extend(lingering.filter(|name| !self.configured.contains(name)));
        let told = statuses(&mut self.supervisor, self.now);
        self.told = told.into_iter().map(|status| (status.name.clone(), status)).collect();
    }

    fn request(&mut self, user: Uid, program: &str, action: &str) {
        let caller = self.next_caller(user);
        let terminal = Rc::new(caller);
        let program_name = ProgramName::new(program.as_bytes());
        self.terminals.push((caller, Rc::downgrade(&terminal)));
        self.asked
            .insert(caller, Asked { program: program_name, action: action.into(), scripts: Vec::new() });
        self.tell(Event::Invoked {
            caller,
            groups: [].into(),
            invocation: Invocation { program: program.into(), action: action.into(), arguments: Vec::new() },
            stdio: terminal,
        });
    }

    fn die(&mut self, pid: Pid, status: ExitStatus) {
        let job = self.processes.remove(&pid).expect("only the living die");
        let was_main = self.mains.get(&job.program) == Some(&pid);
        if was_main {
            self.mains.remove(&job.program);
        }
        self.death = Some(Death { job, was_main, status });
        self.tell(Event::Exited { pid, status });
        self.death = None;
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        let mut left = MOST_DUE;
        while self.supervisor.next_deadline().is_some_and(|due| due <= self.now.instant) {
            left = left.checked_sub(1).expect("what is due is done, and once");
            self.tell(Event::Deadline);
        }
        let before = self.view();
        self.tell(Event::Deadline);
        assert_eq!(self.view(), before, "a deadline that has not come changes nothing");
    }

    fn configure(&mut self, definitions: Vec<Definition>) {
        let config = config(definitions);
        let before = std::mem::replace(&mut self.order, names(&config));
        self.configured = self.order.iter().cloned().collect();
        self.definitions = by_name(&config);
        self.order.extend(before.into_iter().filter(|name| !self.configured.contains(name)));
        self.tell(Event::Configured {
            caller: None,
            intent: Intent::Apply,
            outcome: Ok(Loaded { config, remarks: Vec::new() }),
        });
    }

    fn tell(&mut self, event: Event<Terminal>) {
        let before = matches!(event, Event::Invoked { .. }).then(|| self.view());
        let effects = self.supervisor.handle(self.now, event);
        let deeds: Vec<_> = effects.iter().filter(|effect| !matches!(effect, Effect::Publish(_))).collect();
        if let (Some(before), [Effect::Reply { response: Response::Refused(refusal), .. }]) =
            (before, deeds.as_slice())
        {
            assert_eq!(self.view(), before, "{refusal:?} changes nothing");
        }
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect<Terminal>) {
        let is_word = matches!(effect, Effect::Report(_) | Effect::Publish(_) | Effect::Remember { .. });
        assert!(!self.has_ended || is_word, "{effect:?} after the end");
        match effect {
            Effect::Remember { program, memory } => {
                self.on_record.insert(program, memory);
            }
            Effect::Rehearse | Effect::HandOver => panic!("nobody has asked for an upgrade"),
            Effect::Spawn(spawn) => self.spawn(spawn),
            Effect::Signal { process, signal, scope } => self.signal(process.pid, signal, scope),
            Effect::Reply { caller, response } => self.reply(caller, &response),
            Effect::LoadConfig { caller, .. } => panic!("{caller:?} did not ask for a reload"),
            Effect::Exit { caller } => {
                self.has_ended = true;
                if let Some(caller) = caller {
                    self.asked.remove(&caller).expect("a request is answered once");
                }
            }
            Effect::Report(report) => self.report(report),
            Effect::Publish(change) => {
                let Change { program, cause } = change;
                let before = self.told.remove(&program.name);
                assert!(
                    before.as_ref() != Some(&program) || cause != Cause::request(cause.by),
                    "{program:?} is no change"
                );
                if program.state != State::Removed {
                    self.told.insert(program.name.clone(), program);
                }
            }
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::GivenUp { program, restarts } => {
                assert!(!self.mains.contains_key(&program), "what runs is not given up");
                let limit = self.definitions[&program].restart_limit.expect("without a limit it goes on");
                assert!(restarts >= limit, "there may be {limit} restarts");
                self.failed.insert(program);
            }
            Report::Ended { program, restart: Some(again), .. }
            | Report::StartFailed { program, retry: Some(again), .. } => {
                let definition = &self.definitions[&program];
                let first = definition.restart_delay.expect("without a delay it stays down");
                let longest = definition.restart_max_delay.unwrap_or(first).max(first);
                let pause = (1..again.number).fold(first, |pause, _| longest.min(pause * 2));
                assert_eq!(again.delay, pause, "{again:?}");
                assert!(definition.restart_limit.is_none_or(|limit| again.number <= limit), "{again:?}");
                self.pauses.insert(program, self.now.instant + pause);
            }
            _ => {}
        }
    }

    fn signal(&mut self, pid: Pid, signal: Signal, scope: KillMode) {
        let job = self.processes.get(&pid).expect("only the living are signalled");
        assert_eq!(self.mains.get(&job.program), Some(&pid), "only main processes are signalled");
        assert_eq!(
            scope, job.definition.kill_mode,
            "a run is ended by the definition that it was started by"
        );
        match signal {
            Signal::Term => {
                self.told_to_end.entry(pid).or_insert(self.now.instant);
            }
            Signal::Kill => {
                let timeout = job.definition.stop_timeout.expect("without a limit there is no kill");
                let told = self.told_to_end.get(&pid).expect("it was told to end before");
                assert!(*told + timeout <= self.now.instant, "it has had its time");
                assert!(self.killed.insert(pid), "it is killed once");
            }
        }
    }

    /// Runs a script, or fails to, and says so at once.
    fn spawn(&mut self, spawn: Spawn<Terminal>) {
        self.check_spawn(&spawn);
        // The script takes the terminal along.
        let Spawn { job, stdio: _, memory, .. } = spawn;
        if self.spawns_fail {
            self.on_record.extend(memory.map(|memory| (job.program.clone(), memory)));
            return self.tell(Event::SpawnFailed { job, reason: "no shell".to_owned() });
        }
        self.births += 1;
        let pid = Pid(100 + self.births);
        let process = Process { pid, started: Ticks(0) };
        if let Some(Memory::Running(running)) = memory {
            let signed = Memory::Running(Running { main: Some(process), ..running });
            self.on_record.insert(job.program.clone(), signed);
        }
        self.processes.insert(pid, job.clone());
        if let (Action::Stop, Some(main)) = (&job.action, self.mains.get(&job.program)) {
            self.told_to_end.entry(*main).or_insert(self.now.instant);
        }
        if matches!(job.action, Action::Start | Action::Restart) {
            self.mains.insert(job.program.clone(), pid);
            self.stopped.remove(&job.program);
            self.failed.remove(&job.program);
            self.pauses.remove(&job.program);
        }
        self.tell(Event::Spawned { job, process });
    }

    fn check_spawn(&mut self, spawn: &Spawn<Terminal>) {
        let Spawn { job, main, stdio, .. } = spawn;
        assert!(spawn.rule().script.is_some(), "{job:?} has nothing to run");
        assert_eq!(*main, self.mains.get(&job.program).copied(), "a script is told the main process");
        assert!(job.action != Action::Start || main.is_none(), "a program has one main process");
        assert_eq!(stdio.as_deref().copied(), job.caller, "a script runs on its client's terminal");
        if let Some(caller) = job.caller {
            let asked = self.asked.get_mut(&caller).expect("no script runs for a client that is done");
            assert_eq!(asked.program, job.program);
            asked.scripts.push(job.action.clone());
            assert!(asked.has_right_scripts(), "{:?} for {}", asked.scripts, asked.action.escape_ascii());
        } else {
            match &job.action {
                Action::Start => {
                    assert!(self.configured.contains(&job.program), "what lingers is not started again");
                    assert!(!self.stopped.contains(&job.program), "{} was stopped", job.program);
                    assert!(!self.failed.contains(&job.program), "{} was given up", job.program);
                    let end_of_pause = self.pauses.get(&job.program);
                    assert!(
                        end_of_pause.is_none_or(|end| *end <= self.now.instant),
                        "{} is not due",
                        job.program
                    );
                }
                Action::Stop => assert!(main.is_some(), "what an earlier daemon began goes on"),
                other => panic!("{other} is not done for nobody"),
            }
        }
    }

    fn reply(&mut self, caller: Caller, response: &Response) {
        let asked = self.asked.remove(&caller).expect("a request is answered once");
        let main = self.mains.get(&asked.program);
        match response {
            Response::Refused(_) => {
                // A restart that has waited for the end of a stop, and then failed, has asked for more nevertheless.
                if self.death.is_some() {
                    self.stopped.remove(&asked.program);
                }
                return;
            }
            Response::Status { running } => assert_eq!(*running, main.is_some()),
            Response::Exited(status) => {
                let death = self.death.as_ref().expect("somebody has died");
                let is_its_end =
                    death.was_main && asked.action == b"stop" && asked.program == death.job.program;
                assert!(is_its_end || !death.was_main && death.job.caller == Some(caller));
                assert_eq!(*status, death.status);
            }
            Response::Done if asked.action == b"signal" || asked.action == b"stop" => {}
            Response::Done => assert!(main.is_some(), "whoever started it is answered when it runs"),
            Response::Programs(_) | Response::Reloaded { .. } => {
                panic!("{response:?} is no answer to an action")
            }
            _ => panic!("{response:?} is not known here"),
        }
        if asked.action == b"stop" {
            assert_eq!(main, None, "a program that was stopped does not run");
            self.stopped.insert(asked.program);
        }
    }

    /// Checks what holds between any two events.
    fn check(&mut self) {
        // What is gone from the configuration is forgotten; if it is defined anew, it is another program.
        let (configured, mains) = (&self.configured, &self.mains);
        self.stopped.retain(|name| configured.contains(name) || mains.contains_key(name));
        self.failed.retain(|name| configured.contains(name));
        self.pauses.retain(|name, _| configured.contains(name));
        let mut on_record = self.on_record.clone();
        on_record.retain(|_, memory| *memory != Memory::Nothing);
        let memories = self.supervisor.memories().map(|(name, memory)| (name.clone(), memory));
        assert_eq!(on_record, memories.collect(), "what is, is on record");
        let statuses = statuses(&mut self.supervisor, self.now);
        let told: Vec<Option<&ProgramStatus>> = statuses.iter().map(|it| self.told.get(&it.name)).collect();
        assert_eq!(told, statuses.iter().map(Some).collect::<Vec<_>>(), "subscribers know what is");
        assert_eq!(self.told.len(), statuses.len(), "subscribers know what is no more");
        let expected: Vec<(&ProgramName, bool, bool)> = self
            .order
            .iter()
            .map(|name| (name, self.mains.contains_key(name), !self.configured.contains(name)))
            .filter(|(_, is_running, is_lingering)| *is_running || !is_lingering)
            .collect();
        let entries = list(&mut self.supervisor, self.now);
        let has = |entry: &ProgramEntry, token: &str| entry.tokens.contains(&token.as_bytes().to_vec());
        assert_eq!(entries.len(), expected.len(), "{entries:?}");
        for (entry, (name, is_running, is_lingering)) in entries.iter().zip(expected) {
            assert_eq!(entry.name, name.as_bytes());
            assert_eq!(has(entry, "running"), is_running, "{entry:?}");
            assert_eq!(has(entry, "lingering"), is_lingering, "{entry:?}");
            assert_eq!(has(entry, "failed"), self.failed.contains(name), "{entry:?}");
        }
        for (caller, terminal) in &self.terminals {
            let kept = terminal.strong_count();
            let may_be_kept = self.asked.get(caller).is_some_and(Asked::may_wait_for_a_start);
            assert!(kept <= usize::from(may_be_kept), "{kept} of the terminal of {caller:?} are kept");
        }
    }

    /// Ends the daemon.
    fn end(&mut self, is_asked: bool) {
        if is_asked {
            let caller = self.next_caller(ROOT);
            let asked = Asked { program: ProgramName::new(b""), action: Vec::new(), scripts: Vec::new() };
            self.asked.insert(caller, asked);
            self.tell(Event::Asked { caller, question: Question::Stop });
        } else {
            self.tell(Event::Signaled(Control::Terminate));
        }
        assert!(self.has_ended);
        assert!(self.asked.is_empty(), "everybody is answered before the end");
        self.check();
    }

    fn next_caller(&self, user: Uid) -> Caller {
        caller(self.terminals.len() as u64 + 1, user)
    }

    fn view(&mut self) -> (Vec<ProgramEntry>, Option<Instant>) {
        (list(&mut self.supervisor, self.now), self.supervisor.next_deadline())
    }
}

impl Asked {
    /// Returns whether the scripts that have been run so far are those of the action; each gets the terminal once.
    fn has_right_scripts(&self) -> bool {
        match (self.action.as_slice(), self.scripts.as_slice()) {
            (b"reload", [Action::Reload])
            | (
                b"restart" | b"reload",
                [Action::Restart | Action::Start | Action::Stop] | [Action::Stop, Action::Start],
            ) => true,
            (action, scripts) => matches!(scripts, [script] if script.name() == action),
        }
    }

    fn may_wait_for_a_start(&self) -> bool {
        self.action == b"restart" || self.action == b"reload" && !self.scripts.contains(&Action::Reload)
    }
}

fn list(supervisor: &mut Supervisor<Terminal>, now: Timestamp) -> Vec<ProgramEntry> {
    let caller = caller(0, ANNA);
    let mut effects = supervisor.handle(now, Event::Asked { caller, question: Question::List });
    match effects.pop() {
        Some(Effect::Reply { response: Response::Programs(entries), .. }) if effects.is_empty() => entries,
        other => panic!("a list is answered by a list, not by {other:?}"),
    }
}

fn statuses(supervisor: &mut Supervisor<Terminal>, now: Timestamp) -> Vec<ProgramStatus> {
    let caller = caller(0, ANNA);
    let mut effects = supervisor.handle(now, Event::Asked { caller, question: Question::Subscribe });
    match effects.pop() {
        Some(Effect::Reply { response: Response::Subscribed { programs }, .. }) if effects.is_empty() => {
            programs
        }
        other => panic!("a subscription is answered by what there is, not by {other:?}"),
    }
}

fn caller(connection: u64, uid: Uid) -> Caller {
    Caller { connection, request: 1, peer: Peer { pid: Pid(1), uid, gid: Gid(7) } }
}

fn config(definitions: Vec<Definition>) -> Config {
    let programs = definitions.into_iter().map(Arc::new).collect();
    Config {
        socket_path: PathBuf::from("/run/procmgr"),
        state_path: None,
        on_exit: OnExit::Leave,
        autostart: None,
        programs,
    }
}

fn names(config: &Config) -> Vec<ProgramName> {
    config.programs.iter().map(|definition| definition.name.clone()).collect()
}

fn by_name(config: &Config) -> HashMap<ProgramName, Arc<Definition>> {
    config.programs.iter().map(|definition| (definition.name.clone(), Arc::clone(definition))).collect()
}
