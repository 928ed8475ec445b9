//! The model: what must be true of a program, by the answers that there were, and which answers can be.
//!
//! Nothing is asked or looked at here.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::chaos::cast::{Keeper, Program, Trait};
use crate::chaos::random::Random;
use crate::chaos::wire::Response;

/// What can be done with a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start,
    Stop,
    Restart,
    Reload,
    Signal,
    Status,
}

/// What the last answer that counts says about a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// It runs, or will again, unless its process has died by itself.
    Running,
    /// It does not, until somebody asks for that.
    Stopped,
    /// A request was not answered, or more can be the case than the model knows.
    Unknown,
}

/// What is known of a program beside the belief.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) program: &'a Program,
    pub(super) belief: Belief,
    /// Whether a process of it has died, since it was believed to run, that nobody has asked the daemon to end.
    pub(super) has_died: bool,
}

impl Action {
    /// Chooses one; those that change something more often.
    pub(super) fn choose(random: &mut Random, belief: Belief) -> Self {
        let common: &[Self] = match belief {
            Belief::Running => &[Self::Stop, Self::Restart, Self::Restart, Self::Reload, Self::Status],
            Belief::Stopped => &[Self::Start, Self::Start, Self::Start, Self::Status],
            Belief::Unknown => &[Self::Start, Self::Stop, Self::Restart, Self::Status],
        };
        let any = [Self::Start, Self::Stop, Self::Restart, Self::Reload, Self::Signal, Self::Status];
        let choice = if random.once_in(5) { &any } else { common };
        *random.choose(choice)
    }

    /// Returns its name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Signal => "signal",
            Self::Status => "status",
        }
    }

    /// Returns whether it may change what a program is.
    pub(super) fn acts(self, program: &Program) -> bool {
        match self {
            Self::Start | Self::Stop | Self::Restart => true,
            Self::Reload => !program.has(Trait::ControlScripts),
            Self::Signal | Self::Status => false,
        }
    }
}

impl Known<'_> {
    /// Returns what is to be believed after an answer; `None` if it cannot be.
    pub(super) fn after(self, action: Action, response: &Response) -> Option<Belief> {
        if self.program.keeper == Keeper::All {
            return is_possible_at_any_time(self.program, response).then_some(Belief::Unknown);
        }
        let code = match response {
            Response::Refused { code, .. } => code.as_str(),
            _ => "",
        };
        match action {
            Action::Start => self.after_start(response, code),
            Action::Stop => self.after_stop(response, code),
            Action::Reload if self.program.has(Trait::ControlScripts) => self.after_script(response, code),
            Action::Restart | Action::Reload => self.after_restart(response, code),
            Action::Signal => {
                let is_script = self.program.has(Trait::ControlScripts);
                let is_expected =
                    *response == if is_script { Response::Exited((0, 0)) } else { Response::Done };
                is_expected.then_some(self.belief)
            }
            Action::Status => self.after_status(response),
        }
    }

    /// Returns what is to be believed after a request that the daemon has not lived to answer: it was carried out, or
    /// not even begun. In between there is nothing, for what a killed daemon has begun its successor brings to its end.
    pub(super) fn without_answer(self, action: Action) -> Belief {
        if self.program.keeper == Keeper::All {
            return Belief::Unknown;
        }
        match (action, self.belief) {
            (Action::Start, Belief::Stopped) | (Action::Stop, Belief::Running) => Belief::Unknown,
            _ => self.belief,
        }
    }

    /// Returns whether it may be found without a process.
    pub(super) fn may_be_down(self) -> bool {
        self.belief != Belief::Running || self.has_died
    }

    /// Returns whether it may be found with a process.
    pub(super) fn may_be_up(self) -> bool {
        self.belief != Belief::Stopped
    }

    /// Returns whether it may be dead without being about to be started again.
    fn may_be_down_for_good(self) -> bool {
        self.may_be_down() && (self.belief != Belief::Running || !self.program.has(Trait::RestartDelay))
    }

    fn after_start(self, response: &Response, code: &str) -> Option<Belief> {
        match response {
            Response::Done => self.may_be_down().then_some(Belief::Running),
            Response::Refused { .. } if code == "BUSY" => self.may_be_up().then_some(self.belief),
            _ => None,
        }
    }

    fn after_stop(self, response: &Response, code: &str) -> Option<Belief> {
        match response {
            Response::Exited(_) => self.may_be_up().then_some(Belief::Stopped),
            // It was about to be started again.
            Response::Done => (self.may_be_up() && self.may_be_down()).then_some(Belief::Stopped),
            Response::Refused { .. } if code == "NOTRUNNING" => self.down(),
            _ => None,
        }
    }

    fn after_restart(self, response: &Response, code: &str) -> Option<Belief> {
        match response {
            Response::Done => self.may_be_up().then_some(Belief::Running),
            Response::Refused { .. } if code == "NOTRUNNING" => self.down(),
            // What a restart that was not answered has begun may still go on.
            Response::Refused { .. } if code == "BUSY" => {
                (self.belief == Belief::Unknown).then_some(Belief::Unknown)
            }
            _ => None,
        }
    }

    fn after_script(self, response: &Response, code: &str) -> Option<Belief> {
        match response {
            Response::Exited((0, 0)) => self.may_be_up().then_some(self.belief),
            Response::Refused { .. } if code == "NOTRUNNING" => self.may_be_down().then_some(self.belief),
            _ => None,
        }
    }

    fn after_status(self, response: &Response) -> Option<Belief> {
        let is_running = match (response, self.program.has(Trait::ControlScripts)) {
            (Response::Status { is_running }, false) => *is_running,
            (Response::Exited((0, code @ (0 | 1))), true) => *code == 0,
            _ => return None,
        };
        let is_possible = if is_running { self.may_be_up() } else { self.may_be_down() };
        is_possible.then_some(self.belief)
    }

    /// Returns what is to be believed of a program that is said to be down. The next daemon starts it, if it is one of
    /// those, unless it was stopped.
    fn down(self) -> Option<Belief> {
        let belief = match self.belief {
            Belief::Running | Belief::Unknown if self.program.has(Trait::Autostart) => Belief::Unknown,
            Belief::Running | Belief::Unknown | Belief::Stopped => Belief::Stopped,
        };
        self.may_be_down_for_good().then_some(belief)
    }
}

/// Returns whether an answer is a sensible one, whoever else asks at the same time.
fn is_possible_at_any_time(program: &Program, response: &Response) -> bool {
    match response {
        Response::Done | Response::Exited(_) | Response::Status { .. } => true,
        Response::Refused { code, .. } => match code.as_str() {
            "BUSY" | "NOTRUNNING" | "CANCELLED" => true,
            "NOPROG" => program.may_be_absent(),
            _ => false,
        },
        Response::Reloaded | Response::Subscribed(_) => false,
    }
}

impl fmt::Display for Belief {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Running => "believed to run",
            Self::Stopped => "believed to be stopped",
            Self::Unknown => "unknown",
        })
    }
}
