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
        let definitions = self.settle(config.programs);
        let differences = self.compare(&definitions);
        self.define(&definitions, &Cause::request(caller));
        effects.push(Effect::Report(Report::Reconfigured { differences, remarks: remarks.clone() }));
        Response::Reloaded { remarks: bytes(remarks) }
    }

    fn preview(&self, Loaded { config, mut remarks }: Loaded) -> Response {
        remarks.extend(self.remark(&config));
        let preview = |Difference { program, effect, keys, main, is_outdated }| {
            let pid = main.map(|pid| pid.0.cast_unsigned());
            ProgramPreview { name: program.as_bytes().to_vec(), effect, keys, pid, is_outdated }
        };
        let programs = self.compare(&config.programs).into_iter().map(preview).collect();
        Response::Previewed { programs, remarks: bytes(remarks) }
    }

    /// Returns what there is to remark about what a configuration says of the daemon itself: what changes, and what does not
    /// before it is started anew.
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

    /// Puts those that are in force in the place of definitions that mean the same, so that a reload that changes little
    /// costs little, and one that changes nothing leaves everything where it is.
    fn settle(&self, mut definitions: Vec<Arc<Definition>>) -> Vec<Arc<Definition>> {
        for definition in &mut definitions {
            let in_force = self.programs.get(&definition.name).and_then(|(_, program)| program.definition());
            if let Some(same) = in_force.filter(|it| *it == definition) {
                *definition = Arc::clone(same);
            }
        }
        definitions
    }

    /// Returns what putting these definitions in force changes, in their order, then what it removes; and which programs
    /// run on under older ones, changed now or before.
    fn compare(&self, definitions: &[Arc<Definition>]) -> Vec<Difference> {
        let present = names(definitions);
        let defined = definitions.iter().filter_map(|definition| {
            let program = self.programs.get(&definition.name).map(|(_, program)| program);
            difference(program, definition)
        });
        let gone = self.programs.iter().filter(|(name, _)| !present.contains(name));
        let gone = gone.filter(|(_, program)| program.definition().is_some());
        let removed = gone.map(|(name, program)| Difference {
            program: name.clone(),
            effect: ReloadEffect::Removed,
            keys: Vec::new(),
            main: program.main(),
            is_outdated: false,
        });
        defined.chain(removed).collect()
    }

    /// Puts new definitions in force. Starts and stops nothing.
    fn define(&mut self, definitions: &[Arc<Definition>], cause: &Cause) {
        let present = names(definitions);
        let gone = self.programs.names().into_iter().filter(|name| !present.contains(name));
        for name in gone {
            self.programs.update(&name, cause.clone(), |program| program.configure(None));
        }
        for definition in definitions {
            let name = &definition.name;
            match self.programs.get(name).map(|(_, program)| program.definition()) {
                Some(Some(in_force)) if Arc::ptr_eq(in_force, definition) => {}
                Some(_) => {
                    let configure =
                        |program: &mut Program<S>| program.configure(Some(Arc::clone(definition)));
                    self.programs.update(name, cause.clone(), configure);
                }
                None => {
                    self.programs.insert(name.clone(), Program::new(Arc::clone(definition)), cause.clone());
                }
            }
        }
        let order: Vec<&ProgramName> = definitions.iter().map(|definition| &definition.name).collect();
        self.programs.reorder(&order);
    }
}

fn names(definitions: &[Arc<Definition>]) -> Set<&ProgramName> {
    definitions.iter().map(|definition| &definition.name).collect()
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
