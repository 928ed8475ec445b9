//! A client that always asks for something, of programs that it keeps and of those that are everybody's.
//!
//! Which answers are right is told in `model`; when the daemon is killed, elsewhere.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::chaos::cast::{Keeper, Trait};
use crate::chaos::ledger::{FaultKind, Ledger};
use crate::chaos::model::{Action, Belief, Known};
use crate::chaos::random::Random;
use crate::chaos::wire::{Connection, Response, is_end};
use crate::wire::Request;

/// A client. It keeps one connection for all its requests, for as long as the daemon lives.
pub(super) struct Client<'a> {
    ledger: &'a Ledger,
    socket: PathBuf,
    programs: Vec<usize>,
    random: Random,
    connection: Option<Line>,
}

/// A connection, and the reign in which it was known to be a good one.
struct Line {
    connection: Connection,
    reign: u64,
}

impl<'a> Client<'a> {
    /// Returns the client of a number.
    pub(super) fn new(ledger: &'a Ledger, socket: PathBuf, number: usize, random: Random) -> Self {
        let is_ours = |keeper: Keeper| keeper == Keeper::All || keeper == Keeper::Client(number);
        let programs = ledger.programs.iter().enumerate().filter(|(_, it)| is_ours(it.keeper));
        let programs = programs.map(|(number, _)| number).collect();
        Self { ledger, socket, programs, random, connection: None }
    }

    /// Asks for one thing after the other, until all is over.
    pub(super) fn work(mut self) {
        while !self.ledger.is_over() {
            let _share = self.ledger.act();
            let number = *self.random.choose(&self.programs);
            if !self.ledger.entry(number).is_resting {
                let belief = self.ledger.entry(number).belief;
                let action = Action::choose(&mut self.random, belief);
                self.ask(number, action);
            }
        }
    }

    /// Asks for something that concerns the program of a number, and notes what follows from the answer.
    pub(super) fn ask(&mut self, number: usize, action: Action) {
        let Some(mut line) = self.connect() else { return };
        let reign = self.ledger.reign();
        let program = &self.ledger.programs[number];
        let deaths = self.deaths(number);
        if action.acts(program) {
            let mut entry = self.ledger.entry(number);
            entry.is_touched = true;
            entry.is_resting = program.has(Trait::RestartScript);
        }
        self.ledger.requests.fetch_add(1, Ordering::Relaxed);
        let answer = line.connection.ask(Request::Invoke { program: &program.name, action: action.name() });
        match answer {
            Ok(response) => {
                self.take_in(number, action, &response, deaths);
                self.connection = Some(Line { reign, ..line });
            }
            Err(error) => self.do_without(number, action, &error, line.reign),
        }
    }

    fn connect(&mut self) -> Option<Line> {
        if let Some(line) = self.connection.take() {
            return Some(line);
        }
        let reign = self.ledger.reign();
        match Connection::open(&self.socket) {
            Ok(connection) => Some(Line { connection, reign }),
            Err(error) => {
                if self.ledger.is_unbroken(reign) {
                    self.ledger.blame(FaultKind::Request, None, format!("cannot connect: {error}"));
                }
                thread::sleep(PAUSE);
                None
            }
        }
    }

    /// Notes what follows from an answer.
    fn take_in(&self, number: usize, action: Action, response: &Response, deaths: usize) {
        let program = &self.ledger.programs[number];
        // Whoever dies by itself says so before.
        let deaths_now = self.deaths(number);
        let mut entry = self.ledger.entry(number);
        let known = Known { program, belief: entry.belief, has_died: deaths_now > entry.deaths };
        let after = known.after(action, response);
        let line = format!("{:?} {}: {response:?}", self.ledger.time(), action.name());
        if after.is_none() {
            let died = if known.has_died { ", one of its processes has died" } else { "" };
            let text = format!("{} was answered by {response:?}: {}{died}", action.name(), entry.belief);
            self.ledger.blame(FaultKind::Request, Some(&program.name), text);
        }
        if action.acts(program) && matches!(response, Response::Done | Response::Exited(_)) {
            entry.deaths = deaths;
        }
        entry.belief = after.unwrap_or(Belief::Unknown);
        entry.note(line);
    }

    /// Notes what follows from the lack of an answer.
    fn do_without(&self, number: usize, action: Action, error: &io::Error, reign: u64) {
        let program = &self.ledger.programs[number];
        let mut entry = self.ledger.entry(number);
        if action.acts(program) {
            let known = Known { program, belief: entry.belief, has_died: false };
            entry.belief = known.without_answer(action);
            // A restart that goes on makes answers possible that otherwise are none.
            entry.is_resting |= entry.belief == Belief::Running;
        }
        entry.note(format!("{:?} {}: {error}", self.ledger.time(), action.name()));
        if self.ledger.is_unbroken(reign) || !is_end(error) {
            let text = format!("{} was not answered: {error}", action.name());
            self.ledger.blame(FaultKind::Request, Some(&program.name), text);
        }
    }

    fn deaths(&self, number: usize) -> usize {
        let name = &self.ledger.programs[number].name;
        self.ledger.diary.read().map_or(0, |pages| pages.deaths(name).len())
    }
}

/// How long a client waits that cannot connect, before it tries again.
const PAUSE: Duration = Duration::from_millis(1);
