//! What came of it, told: the figures, and what is wrong with all that may help to find out why.
//!
//! Nothing is judged here.

use std::env;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::chaos::engine::Engine;
use crate::chaos::ledger::{FaultKind, Ledger};
use crate::chaos::scene::Scene;
use crate::chaos::strangers::Strangers;

/// Tells the figures.
pub(super) fn tell(ledger: &Ledger, engine: &Engine<'_>, strangers: &Strangers<'_>) -> Result<(), String> {
    let Engine { daemons, inspector, reuses, .. } = engine;
    let tally = daemons.tally;
    let (strangers, successors) = strangers.count();
    let pages = ledger.diary.read().map_err(|error| error.to_string())?;
    println!(
        "{} kills, {} upgrades, {} reloads, {} inspections in {:.0} s",
        tally.kills,
        tally.upgrades,
        tally.reloads,
        inspector.inspections,
        ledger.time().as_secs_f64(),
    );
    println!(
        "{} requests; {} births of programs, {} deaths that the daemon was not asked for; {} events of a subscription",
        ledger.requests.load(Ordering::Relaxed),
        pages.count_of_births(),
        pages.count_of_deaths(),
        inspector.events,
    );
    println!(
        "{strangers} strangers, {successors} of them with a PID that a program had had; {reuses} times one got that of a \
         program that had died while there was no daemon",
    );
    println!("longest time until a killed daemon's successor served: {} ms", tally.longest.as_millis());
    let faults = ledger.faults();
    let counts = FaultKind::ALL.map(|kind| {
        let count = faults.iter().filter(|fault| fault.kind == kind).count();
        format!("{count} {kind}")
    });
    println!("{}", counts.join(", "));
    Ok(())
}

/// Tells what is wrong, and keeps what may help to find out why.
pub(super) fn tell_faults(ledger: &Ledger, scene: &Scene, seed: u64) -> Result<(), String> {
    let mut text = String::new();
    let mut told = Vec::new();
    for fault in ledger.faults() {
        let program = fault.program.as_deref().unwrap_or("-");
        let _ = writeln!(text, "{:.3?} {}: {program}: {}", fault.at, fault.kind, fault.text);
        if let Some(number) = ledger.programs.iter().position(|it| it.name == program)
            && !told.contains(&number)
        {
            told.push(number);
            for line in ledger.entry(number).history() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    for line in text.lines().take(MOST_LINES) {
        eprintln!("{line}");
    }
    let kept = env::temp_dir().join(format!("procmgr-chaos-{seed}"));
    keep(scene, &kept, &text).map_err(|error| format!("cannot keep anything: {error}"))?;
    eprintln!("The daemon's log and all else is kept in {}", kept.display());
    Ok(())
}

/// How much of it is told at once.
const MOST_LINES: usize = 60;

fn keep(scene: &Scene, folder: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("faults"), text)?;
    let state: PathBuf = scene.path("socket.state").join("programs");
    for (file, name) in [
        (scene.log(), "log"),
        (scene.diary(), "diary"),
        (scene.configuration(), "procmgr.cfg"),
        (state, "programs"),
    ] {
        if file.exists() {
            fs::copy(file, folder.join(name))?;
        }
    }
    Ok(())
}
