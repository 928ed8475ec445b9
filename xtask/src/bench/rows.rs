//! What is measured: the rows of the table.
//!
//! How each is measured is said in its room.

mod account;
mod action;
mod client;
mod idle;
mod list;
pub(super) mod managers;
mod memory;
mod reload;
mod restart;
mod size;
mod status;
mod swarm;

use crate::bench::arena::Arena;
use crate::bench::figure::Figure;

/// Figures that are measured together.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) measure: fn(&Arena) -> Result<Vec<Figure>, String>,
}

/// All rows, in the order in which they are measured.
pub(super) const ROWS: [Row; 15] = [
    Row { name: "status", measure: status::measure_status },
    Row { name: "ping", measure: status::measure_ping },
    Row { name: "action", measure: action::measure },
    Row { name: "client", measure: client::measure },
    Row { name: "list", measure: list::measure },
    Row { name: "restart", measure: restart::measure },
    Row { name: "autostart", measure: swarm::measure_autostart },
    Row { name: "deaths", measure: swarm::measure_deaths },
    Row { name: "reload", measure: reload::measure },
    Row { name: "memory", measure: memory::measure_size },
    Row { name: "growth", measure: memory::measure_growth },
    Row { name: "idle", measure: idle::measure },
    Row { name: "size", measure: size::measure },
    Row { name: "account", measure: account::measure },
    Row { name: "managers", measure: managers::measure },
];
