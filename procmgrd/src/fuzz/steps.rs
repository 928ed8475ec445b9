//! Steps of the model out of bytes.
//!
//! What must hold whatever happens is said in `supervisor/tests/model.rs`. Each step has as many bytes as it needs,
//! so that an input without its end is the same life without its end.

use std::time::Duration;

use procmgr_config::{Action, Allowed, Definition, KillMode, ProgramName, Rule, Terms};
use procmgr_proto::message::ExitStatus;

use crate::fuzz::input::Input;
use crate::supervisor::model::{ANNA, GROUP, ROOT, Step};

/// Returns the steps that an input holds, each with whether scripts fail to run in it.
pub(crate) fn steps(mut input: Input<'_>) -> impl Iterator<Item = (Step, bool)> {
    std::iter::from_fn(move || (!input.is_used_up()).then(|| step(&mut input))).take(MOST_STEPS)
}

fn step(input: &mut Input<'_>) -> (Step, bool) {
    let kind = input.byte();
    let spawns_fail = kind & 0x80 != 0;
    let step = match kind & 0x0f {
        0..8 => Step::Request {
            user: if kind & 0x70 == 0x70 { ANNA } else { ROOT },
            program: input.choice(&NAMES),
            action: input.choice(&ACTIONS),
        },
        8..11 => Step::Die { victim: input.byte().into(), status: status(input) },
        11 | 12 => Step::Pass { time: Duration::from_millis(u64::from(input.byte()) * 100) },
        13 => Step::Configure { definitions: configuration(input) },
        14 if kind & 0x10 == 0 => Step::Reject,
        14 => Step::Crash,
        _ => Step::Autostart,
    };
    (step, spawns_fail)
}

fn status(input: &mut Input<'_>) -> ExitStatus {
    match input.byte() {
        0xff => ExitStatus::Unknown,
        signal @ 0x80.. => ExitStatus::Signal(signal & 0x7f),
        code => ExitStatus::Code(code),
    }
}

/// Returns some of the programs, in any order.
pub(crate) fn configuration(input: &mut Input<'_>) -> Vec<Definition> {
    let mut names = NAMES.to_vec();
    let count = usize::from(input.byte()) % (names.len() + 1);
    (0..count)
        .map(|_| {
            let place = usize::from(input.byte()) % names.len();
            definition(names.remove(place), input)
        })
        .collect()
}

/// Returns a program: a bit for each script that it has, one for each that Anna may run; then its delays, limits and
/// group.
fn definition(name: &str, input: &mut Input<'_>) -> Definition {
    let (scripts, rights, life) = (input.byte(), input.byte(), input.byte());
    let mut definition = Definition::new(ProgramName::new(name.as_bytes()), Rule::default());
    let actions = Action::BUILT_IN.into_iter().chain([Action::from_name(b"dance")]);
    for (place, action) in actions.enumerate() {
        let has = |bits: u8| bits >> place & 1 == 1;
        let allowed = Allowed::new(Vec::from_iter(has(rights).then_some(ANNA)), []);
        let terms = Terms { allowed, ..Terms::default() };
        definition.define(action, Rule::new(has(scripts).then(Box::default), terms));
    }
    let delay = u64::from(life & 3);
    definition.restart_delay = (delay > 0).then(|| Duration::from_secs(delay));
    definition.stop_timeout = (life & 8 != 0).then_some(Duration::from_secs(2));
    definition.kill_mode = if life & 16 != 0 { KillMode::Group } else { KillMode::Process };
    definition.restart_max_delay = (life & 32 != 0).then_some(Duration::from_secs(5));
    definition.restart_limit = (life & 64 != 0).then_some(2);
    definition.autostart = (life & 4 != 0).then_some(GROUP);
    definition
}

/// What nobody does in one life, and what a slow step, done so often, would still not make slow.
const MOST_STEPS: usize = 400;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

const ACTIONS: [&str; 8] = ["start", "restart", "reload", "signal", "stop", "status", "dance", ""];
