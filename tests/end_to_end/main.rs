//! End-to-end tests: the real executable, each test with a daemon, a socket and a folder of its own.
//!
//! What can be shown without a process is tested beside the code. Tests wait for conditions, never for time to pass.

#![expect(
    clippy::unwrap_used,
    reason = "a test has no better way to fail; helpers of tests are not told apart from code"
)]

mod actions;
mod activation;
mod adoption;
mod check;
mod command_line;
mod completions;
mod configuration;
mod container;
mod daemon;
mod departures;
mod faults;
mod harness;
mod hostile;
mod identities;
mod inspection;
mod lists;
mod load;
mod log;
mod man_pages;
mod manners;
mod manual;
mod notify;
mod on_exit;
mod own_actions;
mod real_programs;
mod records;
mod reload;
mod restarts;
mod rights;
mod scarcity;
mod scripts;
mod socket_file;
mod succession;
mod timeouts;
mod upgrade;
mod versions;
mod watch;
