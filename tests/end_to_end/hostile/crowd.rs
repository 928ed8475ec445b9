//! Ten thousand connections at once, from one user and from ten, by processes of their own.
//!
//! What those are turned away with is told here; how long honest clients wait in a crowd is a benchmark's business.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgid, setuid};
use procmgr_proto::codec::encode_request;
use procmgr_proto::frame::{CONNECTION_ID, HEADER_LENGTH};
use procmgr_proto::message::{Code, Request, Response};

use crate::harness::{DEADLINE, Sandbox, is_root};
use crate::hostile::wire::{PROGRAM, PROMPT, Wire, daemon, is_served, withstands};

#[test]
fn ten_thousand_connections_of_one_user_keep_nobody_waiting_and_leave_nothing_behind() {
    let sandbox = daemon(PROGRAM);
    let users =
        if is_root("an honest client beside ten thousand connections of a user") { &[MANY][..] } else { &[] };
    let mut early = Wire::connect(&sandbox);
    withstands(&sandbox, || {
        let crowd = Crowd::gather(&sandbox, users, |sandbox| {
            early.expect_service();
            if !users.is_empty() {
                is_served(sandbox);
            }
        });
        assert!(crowd.admitted > 0 && crowd.refused > crowd.admitted, "{} of them are in", crowd.admitted);
        assert_eq!(crowd.admitted + crowd.refused, PROCESSES * SHARE);
        early.expect_service();
        if !users.is_empty() {
            is_served(&sandbox);
            is_served_as(&sandbox, HONEST);
        }
    });
}

#[test]
fn ten_thousand_connections_of_ten_users_keep_nobody_waiting_and_leave_nothing_behind() {
    if !is_root("ten_thousand_connections_of_ten_users_keep_nobody_waiting_and_leave_nothing_behind") {
        return;
    }
    let sandbox = daemon(PROGRAM);
    let users: Vec<u32> = (MANY..).take(10).collect();
    withstands(&sandbox, || {
        let crowd = Crowd::gather(&sandbox, &users, is_served);
        assert_eq!(crowd.admitted + crowd.refused, PROCESSES * SHARE);
        // Whoever was let in when there were as many as there may be has taken the place of another one of the crowd.
        let held = sandbox.daemon_descriptors();
        assert!(held < 9 * 1024, "the daemon holds {held} of them");
        is_served(&sandbox);
        is_served_as(&sandbox, HONEST);
    });
}

/// No test by itself: a process of a crowd comes in here, for tests have no other executable than their own.
#[test]
fn a_process_of_a_crowd_holds_what_it_gets() {
    let orders = [SOCKET, USER, COUNT].map(env::var_os);
    let [Some(socket), Some(user), Some(count)] = orders else { return };
    let number = |text: &OsStr| text.to_str().unwrap().parse().unwrap();
    become_user(number(&user));
    let (mut admitted, mut held) = (0, Vec::new());
    for turn in 0..number(&count) {
        let mut wire = Wire::to(Path::new(&socket));
        let is_in = is_admitted(&mut wire);
        if is_in && turn % 2 == 0 {
            // Half a header, and nothing ever again.
            let _ = wire.stream.write(&ping()[..HEADER_LENGTH / 2]);
        }
        admitted += usize::from(is_in);
        held.push(wire);
    }
    eprintln!("{REPORT}{admitted}");
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

/// Asks to be served, and returns whether this was not refused as too much.
fn is_admitted(wire: &mut Wire) -> bool {
    // Whoever is turned away finds the answer there, and perhaps nobody to take what it sends.
    let _ = wire.stream.write(&ping());
    match wire.receive() {
        (CONNECTION_ID, Response::Refused(refusal)) => {
            assert_eq!(refusal.code, Code::Limit, "{refusal:?}");
            wire.expect_end();
            false
        }
        (1, Response::Done) => true,
        other => panic!("{other:?}"),
    }
}

/// Processes that keep as many connections as they can get until this is dropped.
struct Crowd {
    processes: Vec<Child>,
    admitted: u32,
    refused: u32,
}

impl Crowd {
    /// Lets ten processes connect, as these users by turns or, without any, as whoever runs the tests. Calls
    /// `meanwhile` again and again until all of them have tried.
    fn gather(sandbox: &Sandbox, users: &[u32], mut meanwhile: impl FnMut(&Sandbox)) -> Self {
        let mut crowd = Self { processes: Vec::new(), admitted: 0, refused: 0 };
        let own = [Uid::effective().as_raw()];
        let users = if users.is_empty() { &own } else { users };
        let mut reports = Vec::new();
        for user in users.iter().cycle().take(PROCESSES as usize) {
            let mut process = process(sandbox, *user, SHARE);
            reports.push(report(process.stderr.take().unwrap()));
            crowd.processes.push(process);
        }
        for report in reports {
            let mut patience = DEADLINE.as_secs();
            let admitted = loop {
                meanwhile(sandbox);
                match report.recv_timeout(Duration::from_secs(1)) {
                    Ok(admitted) => break admitted.expect("a process of the crowd reports"),
                    Err(_) if patience > 0 => patience -= 1,
                    Err(error) => panic!("a process of the crowd is stuck: {error}"),
                }
            };
            crowd.admitted += admitted;
            crowd.refused += SHARE - admitted;
        }
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for mut process in self.processes.drain(..) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Asserts that a user who comes now is served.
#[track_caller]
fn is_served_as(sandbox: &Sandbox, user: u32) {
    let mut process = process(sandbox, user, 1);
    let admitted = report(process.stderr.take().unwrap()).recv_timeout(PROMPT);
    drop(process.stdin.take());
    let _ = process.wait();
    assert_eq!(admitted, Ok(Some(1)), "user {user} is not served");
}

fn process(sandbox: &Sandbox, user: u32, count: u32) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    let name = "hostile::crowd::a_process_of_a_crowd_holds_what_it_gets";
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(SOCKET, sandbox.socket()).env(USER, user.to_string()).env(COUNT, count.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits elsewhere for what a process reports: how many of its connections are in. `None` if it ends without.
fn report(stderr: ChildStderr) -> Receiver<Option<u32>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let admitted = lines.inspect(|line| eprintln!("crowd: {line}")).find_map(|line| {
            let (_, count) = line.split_once(REPORT)?;
            count.parse().ok()
        });
        let _ = sender.send(admitted);
    });
    receiver
}

/// Becomes another user, or stays who it is, and may have as many descriptors as the system lets it have.
fn become_user(user: u32) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    if Uid::effective().as_raw() != user {
        setgid(Gid::from_raw(user)).unwrap();
        setuid(Uid::from_raw(user)).unwrap();
    }
}

fn ping() -> Vec<u8> {
    encode_request(1, &Request::Ping).unwrap()
}

const PROCESSES: u32 = 10;

/// How many connections each process wants.
const SHARE: u32 = 1000;

/// The first of the users who attack, and one who does not.
const MANY: u32 = 64_001;
const HONEST: u32 = 64_000;

/// What a process is told by its environment.
const SOCKET: &str = "PROCMGR_CROWD_SOCKET";
const USER: &str = "PROCMGR_CROWD_USER";
const COUNT: &str = "PROCMGR_CROWD_COUNT";

/// What a process says before the number of its connections that are in.
const REPORT: &str = "admitted ";
