//! Random events for the model: requests, deaths, passing time and configurations.
//!
//! What must hold whatever happens is said in `model`.

use std::time::Duration;

use procmgr_config::{Action, Allowed, Definition, KillMode, ProgramName, Rule, Terms};
use procmgr_proto::message::ExitStatus;
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::{select, subsequence};

use crate::supervisor::model::{ANNA, GROUP, ROOT, Step, play};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_promises_hold(
        first in configuration(),
        steps in vec((step(), weighted(0.2)), 1..80),
        is_asked_to_end in any::<bool>(),
    ) {
        play(first, steps, is_asked_to_end);
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn step() -> impl Strategy<Value = Step> {
    let actions =
        ["start", "start", "restart", "reload", "signal", "stop", "stop", "status", "dance"].to_vec();
    let request = (select(vec![ROOT, ROOT, ROOT, ANNA]), select(NAMES.to_vec()), select(actions))
        .prop_map(|(user, program, action)| Step::Request { user, program, action });
    let death = (any::<usize>(), any::<u8>())
        .prop_map(|(victim, code)| Step::Die { victim, status: ExitStatus::Code(code) });
    prop_oneof![
        10 => request,
        5 => death,
        3 => (0..4_u64).prop_map(|seconds| Step::Pass { time: Duration::from_secs(seconds) }),
        2 => configuration().prop_map(|definitions| Step::Configure { definitions }),
        1 => Just(Step::Reject),
        1 => Just(Step::Autostart),
        1 => Just(Step::Crash),
    ]
}

/// Some of the programs, in any order.
fn configuration() -> impl Strategy<Value = Vec<Definition>> {
    let all = NAMES.map(definition);
    (all, subsequence(vec![0, 1, 2], 0..=3).prop_shuffle())
        .prop_map(|(all, places)| places.into_iter().map(|place| all[place].clone()).collect())
}

fn definition(name: &'static str) -> impl Strategy<Value = Definition> {
    let rule = |has_script| {
        (weighted(has_script), any::<bool>()).prop_map(|(has_script, is_for_anna)| {
            let allowed = Allowed::new(Vec::from_iter(is_for_anna.then_some(ANNA)), []);
            Rule::new(has_script.then(Box::default), Terms { allowed, ..Terms::default() })
        })
    };
    let actions = || Action::BUILT_IN.into_iter().chain([Action::from_name(b"dance")]);
    let rules: Vec<_> =
        actions().map(|action| rule(if action == Action::Start { 0.9 } else { 0.4 })).collect();
    let seconds = || option::of((1..5_u64).prop_map(Duration::from_secs));
    let life = (seconds(), seconds(), option::of(1..3_u32), seconds(), any::<[bool; 2]>());
    (rules, life).prop_map(move |(rules, life)| {
        let mut definition = Definition::new(ProgramName::new(name.as_bytes()), Rule::default());
        for (action, rule) in actions().zip(rules) {
            definition.define(action, rule);
        }
        let (delay, longest, limit, timeout, [starts_with_daemon, is_group]) = life;
        definition.restart_delay = delay;
        definition.restart_max_delay = longest;
        definition.restart_limit = limit;
        definition.stop_timeout = timeout;
        definition.kill_mode = if is_group { KillMode::Group } else { KillMode::Process };
        definition.autostart = starts_with_daemon.then_some(GROUP);
        definition
    })
}
