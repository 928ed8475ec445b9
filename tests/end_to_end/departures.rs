//! Clients that go away at a bad moment: what they asked for counts, and they leave nothing behind.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use procmgr_proto::codec::encode_request;
use procmgr_proto::frame::{Header, Kind, VERSION};
use procmgr_proto::message::{Invocation, Request};
use procmgr_proto::stdio::send;

use crate::harness::{Sandbox, allowing_us, wait_until};

/// The header of a request whose body has this length.
fn header(length: u32) -> [u8; 16] {
    Header { version: VERSION, kind: Kind::Request, descriptors: 0, id: 1, length }.to_bytes()
}

fn invocation(id: u32, words: [&str; 2]) -> Vec<u8> {
    let [program, action] = words.map(|word| word.as_bytes().to_vec());
    encode_request(id, &Request::Invoke(Invocation { program, action, arguments: Vec::new() })).unwrap()
}

/// Returns how long the daemon has been on a processor.
fn busy(sandbox: &Sandbox) -> Duration {
    let statistic = fs::read_to_string(format!("/proc/{}/schedstat", sandbox.daemon_pid())).unwrap();
    Duration::from_nanos(statistic.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn the_deadline_of_half_a_request_goes_with_its_client() {
    let sandbox = Sandbox::with_daemon("");
    // Whoever looked whether the daemon serves may not have been let go yet.
    wait_until("nobody is connected", || sandbox.connections() == 0);
    let mut client = UnixStream::connect(sandbox.socket()).unwrap();
    client.write_all(&header(4)).unwrap();
    client.write_all(&[0]).unwrap();
    wait_until("the daemon has taken the client in", || sandbox.connections() == 1);
    // An honest answer means that what came before has been read, too.
    sandbox.succeed(&["-t"]);
    drop(client);
    wait_until("the daemon has let the client go", || sandbox.connections() == 0);
    // The deadline, 10 seconds, has to pass: that is the moment when a daemon that still knew of it would never rest
    // again.
    thread::sleep(Duration::from_secs(11));
    let busy_before = busy(&sandbox);
    thread::sleep(Duration::from_secs(1));
    assert!(busy(&sandbox) < busy_before + Duration::from_millis(500), "the daemon does not rest");
}

#[test]
fn half_a_long_request_whose_client_goes_at_once_counts_for_nobody() {
    let sandbox = Sandbox::with_daemon("");
    for _ in 0..40 {
        let mut client = UnixStream::connect(sandbox.socket()).unwrap();
        client.set_nonblocking(true).unwrap();
        client.write_all(&header(4 << 20)).unwrap();
        // As much as the socket takes, which is more than the daemon reads at a time.
        while client.write(&[0; 4096]).is_ok() {}
    }
    let client = || UnixStream::connect(sandbox.socket()).unwrap();
    let mut honest = procmgr_proto::client::Client::connect(&sandbox.socket()).unwrap();
    for _ in 0..3 {
        let mut client = client();
        client.write_all(&[&header(1 << 20)[..], &vec![0; 100_000]].concat()).unwrap();
        honest.ping().unwrap();
    }
    sandbox.succeed(&["-t"]);
}

#[test]
fn all_that_a_client_has_asked_for_before_it_went_is_done() {
    let names = ["p0", "p1", "p2", "p3", "p4"];
    let section = |name| format!("[prog-{name}]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\n");
    let programs = names.map(section).concat();
    let sandbox = Sandbox::with_daemon(&allowing_us(&programs));
    let client = UnixStream::connect(sandbox.socket()).unwrap();
    let null = File::open("/dev/null").unwrap();
    for (id, program) in ["p0", "p1", "nothing", "p2", "p3", "p4"].into_iter().enumerate() {
        let frame = invocation(u32::try_from(id).unwrap() + 1, [program, "start"]);
        send(&client, &frame, &[null.as_fd(); 3]).unwrap();
    }
    drop(client);
    wait_until("all programs run", || sandbox.succeed(&["-a"]).matches("running").count() == 5);
}

#[test]
fn a_word_with_a_nul_is_refused_before_anything_is_stopped_for_it() {
    let sandbox =
        Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\n"));
    sandbox.succeed(&["p", "start"]);
    let mut client = procmgr_proto::client::Client::connect(&sandbox.socket()).unwrap();
    let null = File::open("/dev/null").unwrap();
    let stdio =
        procmgr_proto::stdio::StdioRef { stdin: null.as_fd(), stdout: null.as_fd(), stderr: null.as_fd() };
    let invocation =
        Invocation { program: b"p".to_vec(), action: b"restart".to_vec(), arguments: vec![b"a\0b".to_vec()] };
    let error = client.invoke(invocation, stdio).unwrap_err();
    assert_eq!(error.to_string(), "(BADMSG) names and arguments hold no NUL");
    assert_eq!(sandbox.succeed(&["-a"]), "p: running\n");
}

#[test]
fn a_name_of_megabytes_is_neither_logged_nor_sent_back_whole() {
    let sandbox = Sandbox::with_daemon("");
    let mut client = procmgr_proto::client::Client::connect(&sandbox.socket()).unwrap();
    let null = File::open("/dev/null").unwrap();
    let stdio =
        procmgr_proto::stdio::StdioRef { stdin: null.as_fd(), stdout: null.as_fd(), stderr: null.as_fd() };
    let invocation =
        Invocation { program: vec![b'\x1b'; 4_000_000], action: vec![7; 100_000], arguments: Vec::new() };
    let error = client.invoke(invocation, stdio).unwrap_err().to_string();
    assert!(error.starts_with("(NOPROG) there is no program ") && error.len() < 1000, "{}", error.len());
    assert!(sandbox.log().contains("NOPROG"), "{}", sandbox.log());
    assert!(sandbox.log().len() < 10_000);
}
