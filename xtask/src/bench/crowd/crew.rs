//! The attackers as seen from outside: starting them, and ending them whatever happens.
//!
//! What they do is not known here.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::bench::crowd::Uids;
use crate::bench::crowd::attacker::{Manner, Tally};
use crate::bench::player::Player;
use crate::stage::Stage;

/// Processes of attackers. Those that are not dismissed are killed when it is dropped.
pub(super) struct Crew<'a> {
    stage: &'a Stage,
    members: Vec<Player>,
}

impl<'a> Crew<'a> {
    /// Returns a crew without anybody.
    pub(super) fn new(stage: &'a Stage) -> Self {
        Self { stage, members: Vec::new() }
    }

    /// Starts attackers of as many users, who want as many connections all together, and waits until all are at work.
    pub(super) fn gather(
        &mut self,
        manner: Manner,
        users: u32,
        connections: u32,
        uids: Uids,
    ) -> Result<(), String> {
        for number in 0..PROCESSES {
            let share = (connections / PROCESSES).to_string();
            let mut attacker = role(self.stage, uids.attacker(number % users));
            attacker.args(["attacker", manner.word(), &share]).arg(self.stage.path("socket"));
            self.members.push(Player::start(&mut attacker)?);
        }
        self.members.iter_mut().try_for_each(Player::wait_until_ready)
    }

    /// Ends the attack and returns what there was.
    pub(super) fn dismiss(mut self) -> Result<Tally, String> {
        self.members.iter_mut().for_each(Player::dismiss);
        let tally =
            |member: Player| Tally::parse(&member.finish()?).ok_or_else(|| "an attacker mumbles".to_owned());
        self.members.into_iter().map(tally).sum()
    }
}

/// Returns this executable, to play a role as a user in the folder of the stage, at whose end it is swept away.
pub(super) fn role(stage: &Stage, uid: Option<u32>) -> Command {
    let mut command = Command::new(stage.path("xtask"));
    command.args(["bench", "role"]).current_dir(stage.path(""));
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    command
}

/// How many processes attack, whoever they are: each has a tenth of the connections.
const PROCESSES: u32 = 10;
