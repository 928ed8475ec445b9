//! The attackers as seen from outside: starting them, and ending them whatever happens.
//!
//! What they do is not known here.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::bench::crowd::Uids;
use crate::bench::crowd::attacker::{Manner, READY, Tally};
use crate::stage::Stage;

/// Processes of attackers. Those that are not dismissed are killed when it is dropped.
pub(super) struct Crew<'a> {
    stage: &'a Stage,
    members: Vec<Member>,
}

struct Member {
    process: Child,
    /// It attacks until this is closed.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
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
            self.members.push(Member::start(attacker)?);
        }
        self.members.iter_mut().try_for_each(Member::wait_until_ready)
    }

    /// Ends the attack and returns what there was.
    pub(super) fn dismiss(mut self) -> Result<Tally, String> {
        self.members.iter_mut().for_each(|member| drop(member.input.take()));
        self.members.iter_mut().map(Member::finish).sum()
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        for Member { process, .. } in &mut self.members {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Member {
    fn start(mut command: Command) -> Result<Self, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| format!("cannot start an attacker: {error}"))?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let output = BufReader::new(output.ok_or("an attacker has no standard output")?);
        Ok(Self { process, input, output })
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| format!("cannot hear an attacker: {error}"))?;
        if line.trim_end() == READY { Ok(()) } else { Err("an attacker has not begun".to_owned()) }
    }

    fn finish(&mut self) -> Result<Tally, String> {
        let mut text = String::new();
        self.output.read_to_string(&mut text).map_err(|error| format!("cannot hear an attacker: {error}"))?;
        Tally::parse(&text).ok_or_else(|| "an attacker has ended before its time".to_owned())
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
