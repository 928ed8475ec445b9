//! The programs that play: what each is like, and the configuration that says so.
//!
//! What becomes of them is not known here.

use std::collections::HashSet;
use std::fmt::Write;

use crate::chaos::census::Mark;
use crate::chaos::random::Random;

/// A program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) name: String,
    traits: &'static [Trait],
    pub(super) keeper: Keeper,
    /// How many milliseconds its processes live that die by themselves.
    life: u64,
}

/// What is special about a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trait {
    /// It is started again a second after its death.
    RestartDelay,
    /// The daemon starts it when it starts.
    Autostart,
    /// It is stopped by a script.
    StopScript,
    /// It is restarted by a script, which ends the old process before it takes its place.
    RestartScript,
    /// Its reload, signal and status are scripts.
    ControlScripts,
    /// Its scripts run as somebody else, if root plays.
    OtherUser,
    /// Its processes die by themselves.
    Mortal,
}

/// Who acts upon a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    /// One of the clients alone, so that all is known that was asked of it.
    Client(usize),
    /// All of them, with no regard to each other.
    All,
}

/// What the configuration says at a time, beyond the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edition {
    /// The programs that it does not name.
    pub(super) absent: HashSet<usize>,
    /// The programs that are defined in another way, which makes no difference.
    pub(super) altered: HashSet<usize>,
}

/// Returns so many programs, most of them kept by one of the clients each.
pub(super) fn gather(count: usize, clients: usize, random: &mut Random) -> Vec<Program> {
    let program = |number: usize| {
        let traits = KINDS[number % KINDS.len()];
        // Nobody but its own client restarts a program by a script: stopped before it has done its work, the script
        // would leave the old process to nobody.
        let is_shared = number % 10 == 9 && !traits.contains(&Trait::RestartScript);
        let keeper = if is_shared { Keeper::All } else { Keeper::Client(number % clients) };
        Program { name: format!("p{number:02}"), traits, keeper, life: 200 + random.below(4000) }
    };
    (0..count).map(program).collect()
}

/// The kinds of programs, by turns. Their number has no divisor, so that each client keeps some of each.
const KINDS: [&[Trait]; 11] = [
    &[],
    &[Trait::RestartDelay],
    &[Trait::Autostart],
    &[Trait::StopScript],
    &[Trait::RestartScript],
    &[Trait::OtherUser],
    &[Trait::RestartDelay, Trait::Mortal],
    &[Trait::Autostart, Trait::Mortal],
    &[Trait::ControlScripts],
    &[Trait::RestartDelay, Trait::Autostart, Trait::OtherUser, Trait::StopScript],
    &[Trait::RestartScript, Trait::Autostart, Trait::OtherUser],
];

impl Program {
    /// Returns one that is like that.
    #[cfg(test)]
    pub(super) fn with(traits: &'static [Trait], keeper: Keeper) -> Self {
        Self { name: "p".to_owned(), traits, keeper, life: 1 }
    }

    /// Returns whether it has a trait.
    pub(super) fn has(&self, it: Trait) -> bool {
        self.traits.contains(&it)
    }

    /// Returns whether the configuration may leave it out for a while.
    pub(super) fn may_be_absent(&self) -> bool {
        self.keeper == Keeper::All
    }

    fn section(&self, stage: &Stage<'_>, is_altered: bool) -> String {
        let Self { name, life, .. } = self;
        let live = stage.mark.command(name);
        let time = if self.has(Trait::Mortal) { life.to_string() } else { "for-ever".to_owned() };
        let remark = if is_altered { " # altered" } else { "" };
        let mut text =
            format!("\n[prog-{name}]\ncwd = {}\ncmd-start = exec {live} {time}{remark}\n", stage.folder);
        let mut add = |line: String| writeln!(text, "{line}").expect("a String takes all");
        for it in self.traits {
            match it {
                Trait::RestartDelay => add("restart-delay = 1".to_owned()),
                Trait::Autostart => add("autostart = yes".to_owned()),
                Trait::StopScript => {
                    add(format!("cmd-stop = exec {} \"$PID\"", stage.mark.command_to_end(name)));
                }
                Trait::RestartScript => add(format!("cmd-restart = exec {live} {time} \"$PID\"")),
                Trait::ControlScripts => {
                    add("cmd-reload = test -n \"$PID\"".to_owned());
                    add("cmd-signal = :".to_owned());
                    add("cmd-status = test -n \"$PID\"".to_owned());
                }
                Trait::OtherUser if stage.uid == 0 => add(format!("default-suid = {OTHER_USER}")),
                Trait::OtherUser | Trait::Mortal => {}
            }
        }
        text
    }
}

/// What a configuration has to know of where it is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage<'a> {
    pub(super) folder: &'a str,
    pub(super) mark: &'a Mark,
    /// Who plays.
    pub(super) uid: u32,
}

/// Returns the configuration file.
pub(super) fn configuration(programs: &[Program], edition: &Edition, stage: &Stage<'_>) -> String {
    let present = programs.iter().enumerate().filter(|(number, _)| !edition.absent.contains(number));
    let sections = present.map(|(number, it)| it.section(stage, edition.altered.contains(&number)));
    let head = format!("socket-path = {}/socket\nallow-uid = {}\n", stage.folder, stage.uid);
    head + &sections.collect::<String>()
}

/// A user whom hardly a system knows.
const OTHER_USER: u32 = 64_100;

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Vec<Program> {
        gather(100, 4, &mut Random::new(1))
    }

    #[test]
    fn every_client_keeps_programs_of_every_kind() {
        for client in 0..4 {
            for kind in KINDS {
                let is_one = |it: &Program| it.keeper == Keeper::Client(client) && it.traits == kind;
                assert!(programs().iter().any(is_one), "{client} {kind:?}");
            }
        }
    }

    #[test]
    fn only_shared_programs_are_left_out_and_some_are_shared() {
        let shared: Vec<Program> = programs().into_iter().filter(Program::may_be_absent).collect();
        assert!(shared.len() > 5);
        assert!(!shared.iter().any(|it| it.has(Trait::RestartScript)));
    }

    #[test]
    fn an_edition_leaves_out_and_alters() {
        let mark = Mark::new("stage-1");
        let stage = Stage { folder: "/x", mark: &mark, uid: 1000 };
        let edition = Edition { absent: [3].into(), altered: [4].into() };
        let text = configuration(&programs(), &edition, &stage);
        assert!(!text.contains("[prog-p03]"));
        assert_eq!(text.matches("# altered\n").count(), 1);
        assert_eq!(text.matches("[prog-").count(), 99);
        assert!(!text.contains("default-suid"));
    }
}
