//! A new configuration: what it changes, and what has to wait until the daemon is started anew.
//!
//! What becomes of one program by it is told in `program`; reading the file is not the core's business.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use procmgr_config::{Config, Definition, ProgramName};
use procmgr_proto::message::{Code, Refusal, Response};

use crate::supervisor::call::reply;
use crate::supervisor::event::{Caller, Cause, Changes, Effect, Loaded, Rejected, Report};
use crate::supervisor::program::Program;
use crate::supervisor::{Standing, Supervisor};

impl<S: Clone> Supervisor<S> {
    /// Takes note of what has come of reading the configuration.
    pub(super) fn configured(
        &mut self,
        caller: Option<Caller>,
        outcome: Result<Loaded, Rejected>,
        effects: &mut Vec<Effect<S>>,
    ) {
        let response = match outcome {
            Ok(Loaded { config, mut remarks }) => {
                remarks.extend(self.stand(&config));
                effects.push(Effect::Report(Report::Reconfigured {
                    changes: self.apply(config.programs, &Cause::request(caller)),
                    remarks: remarks.clone(),
                }));
                Response::Reloaded { remarks: remarks.into_iter().map(String::into_bytes).collect() }
            }
            Err(Rejected { lines }) => {
                effects.push(Effect::Report(Report::ConfigRejected { lines: lines.clone() }));
                Response::Refused(Refusal::new(Code::BadConf, lines.join("\n")))
            }
        };
        effects.extend(caller.map(|caller| reply(caller, response)));
    }

    /// Takes over what a new configuration says of the daemon itself. Returns what there is to remark about it.
    fn stand(&mut self, config: &Config) -> Option<String> {
        let stays =
            |what: &str, path: &Path| format!("{what} {} until the daemon is started anew", path.display());
        self.standing.on_exit = config.on_exit;
        let Standing { socket_path, state_path, .. } = &self.standing;
        // Where nothing else is said the state is beside the socket, and goes where that goes.
        let state_path = state_path.as_ref().filter(|path| config.state_path.as_ref() != Some(path));
        if config.socket_path == *socket_path {
            state_path.map(|path| stays("the state is kept in", path))
        } else {
            Some(stays("the socket stays", socket_path))
        }
    }

    /// Puts new definitions in force. Starts and stops nothing.
    fn apply(&mut self, definitions: Vec<Arc<Definition>>, cause: &Cause) -> Changes {
        let order: Vec<ProgramName> = definitions.iter().map(|definition| definition.name.clone()).collect();
        let present: HashSet<&ProgramName> = order.iter().collect();
        let mut changes = Changes::default();
        for name in self.programs.names() {
            if !present.contains(&name) {
                let was_present =
                    self.programs.update(&name, cause.clone(), |program| program.configure(None).is_some());
                if was_present == Some(true) {
                    changes.removed.push(name);
                }
            }
        }
        for definition in definitions {
            let name = definition.name.clone();
            let before = self
                .programs
                .update(&name, cause.clone(), |program| program.configure(Some(Arc::clone(&definition))));
            match before {
                Some(Some(before)) if before == definition => {}
                Some(Some(_)) => changes.changed.push(name),
                // It lingered until now, and is the program of the configuration again.
                Some(None) => changes.added.push(name),
                None => {
                    self.programs.insert(name.clone(), Program::new(definition), cause.clone());
                    changes.added.push(name);
                }
            }
        }
        self.programs.reorder(order);
        changes
    }
}
