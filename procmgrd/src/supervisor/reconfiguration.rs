//! A new configuration: what it changes, or would change, and what has to wait until the daemon is started anew.
//!
//! What becomes of one program by it is told in `program`; reading the file is not the core's business.

use std::path::Path;
use std::sync::Arc;

use procmgr_config::{Config, Definition, OnExit, ProgramName};
use procmgr_proto::details::{ProgramPreview, ReloadEffect};
use procmgr_proto::message::{Code, Refusal, Response};

use crate::maps::Set;
use crate::supervisor::call::reply;
use crate::supervisor::event::{Caller, Cause, Difference, Effect, Intent, Loaded, Rejected, Report};
use crate::supervisor::program::Program;
use crate::supervisor::{Standing, Supervisor};

impl<S: Clone> Supervisor<S> {
    /// Takes note of what has come of reading the configuration.
    pub(super) fn configured(
        &mut self,
        caller: Option<Caller>,
        intent: Intent,
        outcome: Result<Loaded, Rejected>,
        effects: &mut Vec<Effect<S>>,
    ) {
        let response = match (outcome, intent) {
            (Ok(loaded), Intent::Apply) => self.apply(caller, loaded, effects),
            (Ok(loaded), Intent::Preview) => self.preview(loaded),
            (Err(Rejected { lines }), intent) => {
                let text = lines.join("\n");
                if intent == Intent::Apply {
                    effects.push(Effect::Report(Report::ConfigRejected { lines }));
                }
                Response::Refused(Refusal::new(Code::BadConf, text))
            }
        };
        effects.extend(caller.map(|caller| reply(caller, response)));
    }

    fn apply(
        &mut self,
        caller: Option<Caller>,
        Loaded { config, mut remarks }: Loaded,
        effects: &mut Vec<Effect<S>>,
    ) -> Response {
        remarks.extend(self.remark(&config));
        self.standing.on_exit = config.on_exit;
        let Plan { differences, new, gone } = self.plan(&config.programs);
        self.define(&new, &gone, &Cause::request(caller));
        let order: Vec<&ProgramName> = config.programs.iter().map(|definition| &definition.name).collect();
        self.programs.reorder(&order);
        effects.push(Effect::Report(Report::Reconfigured { differences, remarks: remarks.clone() }));
        Response::Reloaded { remarks: bytes(remarks) }
    }

    fn preview(&self, Loaded { config, mut remarks }: Loaded) -> Response {
        remarks.extend(self.remark(&config));
        let preview = |Difference { program, effect, keys, main, is_outdated }| {
            let pid = main.map(|pid| pid.0.cast_unsigned());
            ProgramPreview { name: program.as_bytes().to_vec(), effect, keys, pid, is_outdated }
        };
        let programs = self.plan(&config.programs).differences.into_iter().map(preview).collect();
        Response::Previewed { programs, remarks: bytes(remarks) }
    }

    /// Returns what there is to remark about what a configuration says of the daemon itself: what changes, and what
    /// does not before it is started anew.
    fn remark(&self, config: &Config) -> impl Iterator<Item = String> {
        let on_exit = match (self.standing.on_exit, config.on_exit) {
            (OnExit::Leave, OnExit::Stop) => {
                Some("on-exit: when the daemon ends, it stops the programs from now on")
            }
            (OnExit::Stop, OnExit::Leave) => {
                Some("on-exit: when the daemon ends, it leaves the programs from now on")
            }
            (OnExit::Leave, OnExit::Leave) | (OnExit::Stop, OnExit::Stop) => None,
        };
        on_exit.map(str::to_owned).into_iter().chain(self.remark_on_places(config))
    }

    fn remark_on_places(&self, config: &Config) -> Option<String> {
        let stays =
            |what: &str, path: &Path| format!("{what} {} until the daemon is started anew", path.display());
        let Standing { socket_path, state_path, .. } = &self.standing;
        // Where nothing else is said the state is beside the socket, and goes where that goes.
        let state_path = state_path.as_ref().filter(|path| config.state_path.as_ref() != Some(path));
        if config.socket_path == *socket_path {
            state_path.map(|path| stays("the state is kept in", path))
        } else {
            Some(stays("the socket stays", socket_path))
        }
    }

    /// Returns what putting these definitions in force changes.
    fn plan<'c>(&self, definitions: &'c [Arc<Definition>]) -> Plan<'c> {
        let (mut differences, mut new, mut known) = (Vec::new(), Vec::new(), 0);
        for definition in definitions {
            let program = self.programs.get(&definition.name).map(|(_, program)| program);
            differences.extend(difference(program, definition));
            known += usize::from(program.is_some());
            let in_force = program.and_then(Program::definition);
            if !in_force.is_some_and(|it| Arc::ptr_eq(it, definition)) {
                new.push(definition);
            }
        }
        // No two definitions have the same name: where they concern as many programs as there are, none is left over.
        let gone = if known == self.programs.count() { Vec::new() } else { self.others(definitions) };
        let removed = gone.iter().filter_map(|name| {
            let (name, program) = self.programs.get(name)?;
            program.definition()?;
            let (program, main) = (name.clone(), program.main());
            let effect = ReloadEffect::Removed;
            Some(Difference { program, effect, keys: Vec::new(), main, is_outdated: false })
        });
        differences.extend(removed);
        Plan { differences, new, gone }
    }

    /// Returns the programs of other names than these definitions, in the order of lists.
    fn others(&self, definitions: &[Arc<Definition>]) -> Vec<ProgramName> {
        let present: Set<&ProgramName> = definitions.iter().map(|definition| &definition.name).collect();
        let names = self.programs.iter().map(|(name, _)| name);
        names.filter(|name| !present.contains(name)).cloned().collect()
    }

    /// Puts new definitions in force. Starts and stops nothing.
    fn define(&mut self, new: &[&Arc<Definition>], gone: &[ProgramName], cause: &Cause) {
        for name in gone {
            self.programs.update(name, cause.clone(), |program| program.configure(None));
        }
        for &definition in new {
            let configure = |program: &mut Program<S>| program.configure(Some(Arc::clone(definition)));
            let name = &definition.name;
            if self.programs.update(name, cause.clone(), configure).is_none() {
                self.programs.insert(name.clone(), Program::new(Arc::clone(definition)), cause.clone());
            }
        }
    }
}

/// What a new configuration makes of the programs.
struct Plan<'c> {
    /// What it changes, in its order, then what it removes; and which programs run on under older definitions,
    /// changed now or before.
    differences: Vec<Difference>,
    /// The definitions that are not in force.
    new: Vec<&'c Arc<Definition>>,
    /// The programs that it does not define, those included that have lingered before.
    gone: Vec<ProgramName>,
}

/// Returns what a definition makes of a program, if there is something to tell.
fn difference<S: Clone>(program: Option<&Program<S>>, definition: &Arc<Definition>) -> Option<Difference> {
    // What lingers is not defined, and comes back.
    let (effect, keys) = match program.and_then(Program::definition) {
        None => (ReloadEffect::Added, Vec::new()),
        Some(before) if before == definition => (ReloadEffect::Unchanged, Vec::new()),
        Some(before) => (ReloadEffect::Changed, before.differences(definition)),
    };
    let is_outdated = program.is_some_and(|program| program.runs_under_another_than(definition));
    let main = program.and_then(Program::main);
    let is_worth_telling = effect != ReloadEffect::Unchanged || is_outdated;
    let program = definition.name.clone();
    is_worth_telling.then_some(Difference { program, effect, keys, main, is_outdated })
}

fn bytes(lines: Vec<String>) -> Vec<Vec<u8>> {
    lines.into_iter().map(String::into_bytes).collect()
}
