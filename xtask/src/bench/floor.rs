//! Floors: programs that do the least that there is to do, and with that show what the machine takes for it.
//!
//! None of them knows a program, a right or a protocol.

pub(super) mod echo;
pub(super) mod keeper;
pub(super) mod spawner;
pub(super) mod tokens;
pub(super) mod trivial;
mod watch;

/// Plays a floor, in a process of its own.
pub(super) fn play(orders: &[&str]) -> Result<(), String> {
    match orders {
        ["echo", orders @ ..] => echo::play(orders),
        ["scripts", at_once, time] => spawner::play_scripts(at_once, time),
        ["swarm", script] => spawner::play_swarm(script),
        ["tokens", path] => tokens::play(path.as_ref()),
        _ => Err(format!("there is no such floor: {orders:?}")),
    }
}
