//! What is asked of the daemon itself, and who may ask it.
//!
//! What a program has to tell is put together in `condition` and `program`; what follows from a command, elsewhere.

use procmgr_config::Action;
use procmgr_proto::details::Permission;
use procmgr_proto::message::{Code, Response};

use crate::supervisor::Supervisor;
use crate::supervisor::access::{Person, may_command};
use crate::supervisor::call::{refuse, reply};
use crate::supervisor::event::{Caller, Effect, Intent, Question, Timestamp};
use crate::supervisor::program::Program;

impl<S: Clone> Supervisor<S> {
    /// Answers a question, or begins to do what it asks for.
    pub(super) fn asked(
        &mut self,
        now: Timestamp,
        caller: Caller,
        question: Question,
        effects: &mut Vec<Effect<S>>,
    ) {
        match question {
            Question::Ping => effects.push(reply(caller, Response::Done)),
            Question::List => {
                let programs = self.programs.iter().map(|(name, program)| program.condition().entry(name));
                effects.push(reply(caller, Response::Programs(programs.collect())));
            }
            Question::Inspect => {
                let programs = self.programs.iter().map(|(_, program)| program.details());
                effects.push(reply(caller, Response::Inspected(programs.collect())));
            }
            Question::Subscribe => {
                let programs = self.programs.iter().map(|(name, program)| program.condition().of(name));
                effects.push(reply(caller, Response::Subscribed { programs: programs.collect() }));
            }
            Question::Permissions { groups } => {
                let person = Person { peer: caller.peer, groups: &groups };
                let permissions = self.programs.iter().filter_map(|(_, program)| permission(program, person));
                effects.push(reply(caller, Response::Permissions(permissions.collect())));
            }
            Question::Stop | Question::Reload | Question::Preview | Question::Upgrade
                if !may_command(&caller.peer, self.host.owner) =>
            {
                let text = "only root and the user of the daemon may stop, reload or upgrade it";
                effects.push(refuse(caller, Code::Eperm, text));
            }
            Question::Stop => self.begin_end(now, Some(caller), effects),
            Question::Upgrade if self.upgrader.is_some() => {
                effects.push(refuse(caller, Code::Busy, "an upgrade is under way"));
            }
            Question::Upgrade => {
                self.upgrader = Some(caller);
                effects.push(Effect::Rehearse);
            }
            Question::Reload => {
                effects.push(Effect::LoadConfig { caller: Some(caller), intent: Intent::Apply });
            }
            Question::Preview => {
                effects.push(Effect::LoadConfig { caller: Some(caller), intent: Intent::Preview });
            }
        }
    }
}

/// Returns what a person may do to a program, if that is anything.
fn permission<S: Clone>(program: &Program<S>, person: Person<'_>) -> Option<Permission> {
    // Most may do nothing to most programs, and that is soon seen.
    if !program.allowances().any(|allowed| person.may_invoke([allowed])) {
        return None;
    }
    let may = |action: &&Action| program.offers(action) && person.may_invoke(program.rights(action));
    let actions: Vec<Vec<u8>> =
        program.actions().into_iter().filter(may).map(|action| action.name().to_vec()).collect();
    let program = program.name.as_bytes().to_vec();
    (!actions.is_empty()).then_some(Permission { program, actions })
}
