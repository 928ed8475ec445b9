//! `cargo xtask`: what is done with the repository beyond building and testing it.
//!
//! Only the choice is made here; each task has a room of its own.

mod bench;
mod chaos;
mod demo;
mod dist;
mod fuzz;
mod stage;
mod tidy;
mod wire;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        // Not for people: a benchmark calls itself for each of the others that it needs.
        ["bench", "role", ref orders @ ..] => bench::play(orders),
        ["bench", ref options @ ..] => bench::run(options),
        ["chaos", "role", ref orders @ ..] => chaos::role(orders),
        ["chaos", ref options @ ..] => chaos::run(options),
        ["demo"] => demo::run(),
        ["dist", ref options @ ..] => dist::run(options),
        ["fuzz"] => fuzz::run("60"),
        ["fuzz", seconds] => fuzz::run(seconds),
        ["tidy"] => tidy::run(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "\
Usage: cargo xtask TASK

  bench [--quick] [--json] [--only ROW[,ROW]] [--against NAME=PATH]
                  Measures what procmgr takes beside what the machine takes for the same; quickly, to see
                  that it works; as JSON; some rows only; and other executables in turn
  bench crowd [--quick] [--strict]
                  Measures how long honest clients wait while others crowd the socket;
                  quickly, to see that it works; failing if they wait for too long
  chaos [KILLS] [--quick] [--seed N]
                  Kills and upgrades the daemon again and again under load, and fails if anything
                  gets lost; best as root
  demo            Builds procmgr and plays a session with it, each step checked
  dist [--check] [--test [--against FOLDER]]
                  Makes the packages in target/dist; makes them once more in another folder, without
                  network, and compares; and tries them in systems of their own, as root, in the place of
                  those in FOLDER, or of some that are made of the same sources
  fuzz [SECONDS]  Feeds each target of the fuzzer with made-up input, for a minute, or SECONDS
  tidy            Checks the rules of the house that no compiler knows
";
