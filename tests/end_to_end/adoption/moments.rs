//! Daemons that are killed at any moment: the next one knows every main process there is, and starts none of them
//! twice.
//!
//! What follows from a certain moment is in `under_way`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Child;
use std::thread;
use std::time::Duration;

use nix::unistd::Pid;

use crate::harness::{Sandbox, ask, wait_until};
use crate::succession::{LASTING, all_of};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Returns the main processes that there are, by program: whatever sleeps and has the name of the program in its
/// environment.
fn mains(sandbox: &Sandbox) -> BTreeMap<String, Vec<Pid>> {
    let mut mains = BTreeMap::<String, Vec<Pid>>::new();
    for pid in all_of(&sandbox.path("")) {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        let name = variables.find_map(|variable| variable.strip_prefix(b"PROGNAME="));
        let is_main = fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name == b"sleep\n");
        if let (Some(name), true) = (name, is_main) {
            mains.entry(String::from_utf8(name.to_vec()).unwrap()).or_default().push(pid);
        }
    }
    mains
}

/// Returns the main processes that the daemon knows.
fn known(sandbox: &Sandbox) -> BTreeMap<String, Vec<Pid>> {
    let main =
        |name: &str| Some((name.to_owned(), vec![Pid::from_raw(sandbox.program(name).pid?.cast_signed())]));
    NAMES.iter().filter_map(|name| main(name)).collect()
}

#[test]
fn no_program_is_lost_or_there_twice_whenever_the_daemon_is_killed() {
    let restart = "restart-delay = 1\ncmd-restart = kill $PID; exec sleep 1000 > /dev/null 2>&1\n";
    let config = NAMES.map(|name| format!("[prog-{name}]\n{restart}{LASTING}")).concat();
    let mut sandbox = Sandbox::with_first_daemon(&config);
    for round in 0..24 {
        let action = ["start", "restart", "stop"][round % 3];
        let clients: Vec<Child> = NAMES.iter().map(|name| ask(&sandbox, &[name, action])).collect();
        // Another moment in each round, from the first requests until all are done.
        thread::sleep(Duration::from_micros(700) * u32::try_from(round).unwrap());

        sandbox.replace_daemon();

        for mut client in clients {
            client.wait().unwrap();
        }
        wait_until("the daemon knows all there is, and there is all that it knows", || {
            mains(&sandbox) == known(&sandbox)
        });
    }
}
