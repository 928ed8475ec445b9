//! The socket file: that one daemon has it, that nothing else is harmed for it, and that it stays where it is.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use procmgr_proto::client::Client;

use crate::harness::{Output, Sandbox, allowing_us, through_shell, wait_until};

#[test]
fn a_second_daemon_fails_and_disturbs_nothing() {
    let mut sandbox = Sandbox::new(&allowing_us("[prog-p]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\n"));
    let pidfile = sandbox.path("pid").display().to_string();
    sandbox.start_daemon(&["-P", &pidfile]);
    sandbox.succeed(&["p", "start"]);
    let before = (sandbox.files(), identity(&sandbox.socket()), sandbox.read("pid"));

    for mode in ["-d", "-df"] {
        let expected = format!("procmgr: a daemon is running already at {}\n", sandbox.socket().display());
        assert_eq!(sandbox.client(&["-P", &pidfile, mode]), failure(expected));
    }

    assert_eq!((sandbox.files(), identity(&sandbox.socket()), sandbox.read("pid")), before);
    assert_eq!(sandbox.succeed(&["-a"]), "p: running\n");
}

#[test]
fn a_second_daemon_fails_even_if_the_socket_file_of_the_first_is_removed() {
    let sandbox = Sandbox::with_daemon("");
    // The first one is not to have a chance to make it anew.
    kill(sandbox.daemon_pid(), Signal::SIGSTOP).unwrap();
    fs::remove_file(sandbox.socket()).unwrap();
    let output = sandbox.client(&["-df"]);
    kill(sandbox.daemon_pid(), Signal::SIGCONT).unwrap();

    let expected = format!("procmgr: a daemon is running already at {}\n", sandbox.socket().display());
    assert_eq!(output, failure(expected));
    wait_until("the first daemon is back", || sandbox.client(&["-t"]).code == 0);
}

#[test]
fn of_many_daemons_that_start_at_once_one_serves() {
    let mut sandbox = Sandbox::new("");
    let start = || {
        let mut command = sandbox.command();
        command.args(["-d", "-f"]).stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    let mut daemons: Vec<_> = (0..8).map(|_| start()).collect();
    wait_until("all but one have given up", || {
        daemons.retain_mut(|daemon| match daemon.try_wait().unwrap() {
            Some(status) => {
                assert_eq!(status.code(), Some(1));
                false
            }
            None => true,
        });
        daemons.len() == 1
    });
    wait_until("that one serves", || sandbox.client(&["-t"]).code == 0);
    sandbox.succeed(&["-s"]);
    assert!(daemons[0].wait().unwrap().success());
    sandbox.start_daemon(&[]);
}

#[test]
fn the_socket_of_a_daemon_that_was_killed_is_replaced() {
    let mut sandbox = Sandbox::with_daemon("");
    kill(sandbox.daemon_pid(), Signal::SIGKILL).unwrap();
    sandbox.wait_for_daemon();
    assert!(sandbox.socket().exists());
    sandbox.start_daemon(&[]);
}

#[test]
fn a_socket_that_nobody_serves_is_replaced() {
    let mut sandbox = Sandbox::new("");
    drop(UnixListener::bind(sandbox.socket()).unwrap());
    sandbox.start_daemon(&[]);
    assert_eq!(sandbox.terminate_daemon().code(), Some(0));
    drop(UnixDatagram::bind(sandbox.socket()).unwrap());
    sandbox.start_daemon(&[]);
}

#[test]
fn a_stream_socket_that_somebody_serves_is_left_alone() {
    let sandbox = Sandbox::new("");
    let server = UnixListener::bind(sandbox.socket()).unwrap();
    is_left_alone(&sandbox, "a socket that somebody serves");
    server.set_nonblocking(true).unwrap();
    // It may find out that somebody has looked.
    while server.accept().is_ok() {}
    let _client = UnixStream::connect(sandbox.socket()).unwrap();
    assert!(server.accept().is_ok());
}

#[test]
fn a_stream_socket_whose_queue_is_full_is_left_alone() {
    let sandbox = Sandbox::new("");
    let _server = UnixListener::bind(sandbox.socket()).unwrap();
    let probe = || {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
        let socket_flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let client = socket(AddressFamily::Unix, SockType::Stream, socket_flags, None).unwrap();
        let address = UnixAddr::new(&sandbox.socket()).unwrap();
        connect(std::os::fd::AsRawFd::as_raw_fd(&client), &address).map(|()| client)
    };
    let _waiting: Vec<_> = std::iter::from_fn(|| probe().ok()).collect();
    is_left_alone(&sandbox, "a socket that somebody serves");
}

#[test]
fn a_datagram_socket_that_somebody_serves_is_left_alone() {
    let sandbox = Sandbox::new("");
    let server = UnixDatagram::bind(sandbox.socket()).unwrap();
    is_left_alone(&sandbox, "a socket that somebody serves");
    server.set_nonblocking(true).unwrap();
    assert_eq!(server.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_file_is_left_alone() {
    let sandbox = Sandbox::new("");
    fs::write(sandbox.socket(), "precious").unwrap();
    is_left_alone(&sandbox, "a file that is no socket");
    assert_eq!(sandbox.read("socket"), "precious");
}

#[test]
fn a_folder_is_left_alone() {
    let sandbox = Sandbox::new("");
    fs::create_dir(sandbox.socket()).unwrap();
    is_left_alone(&sandbox, "a directory");
}

#[test]
fn a_link_is_left_alone_whatever_it_leads_to() {
    let sandbox = Sandbox::new("");
    drop(UnixListener::bind(sandbox.path("stale")).unwrap());
    for target in ["nowhere", "stale"] {
        symlink(sandbox.path(target), sandbox.socket()).unwrap();
        is_left_alone(&sandbox, "a file that is no socket");
        assert_eq!(fs::read_link(sandbox.socket()).unwrap(), sandbox.path(target));
        fs::remove_file(sandbox.socket()).unwrap();
    }
    assert!(sandbox.path("stale").exists());
}

#[test]
fn everybody_may_connect_whatever_the_umask() {
    for mask in ["000", "022", "077", "777"] {
        let mut sandbox = Sandbox::new("");
        let mut command = sandbox.command();
        command.args(["-d", "-f"]);
        sandbox.run_daemon(through_shell(&format!("umask {mask}"), &command));
        let mode = fs::metadata(sandbox.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o777, "umask {mask}");
    }
}

#[test]
fn a_socket_made_anew_lets_everybody_connect_too() {
    let mut sandbox = Sandbox::new("");
    let mut command = sandbox.command();
    command.args(["-d", "-f"]);
    sandbox.run_daemon(through_shell("umask 077", &command));
    fs::remove_file(sandbox.socket()).unwrap();
    wait_for_socket(&sandbox);
    assert_eq!(fs::metadata(sandbox.socket()).unwrap().permissions().mode() & 0o7777, 0o777);
}

#[test]
fn a_socket_that_is_removed_comes_back_by_itself() {
    let sandbox = Sandbox::with_daemon("");
    let before = sandbox.descriptors_of_idle_daemon();
    for _ in 0..5 {
        fs::remove_file(sandbox.socket()).unwrap();
        wait_for_socket(&sandbox);
    }
    wait_until("all descriptors are closed", || sandbox.descriptors_of_idle_daemon() == before);
}

#[test]
fn a_socket_that_is_renamed_comes_back_by_itself() {
    let sandbox = Sandbox::with_daemon("");
    for number in 0..5 {
        let elsewhere = sandbox.path(number.to_string());
        fs::rename(sandbox.socket(), &elsewhere).unwrap();
        wait_for_socket(&sandbox);
        assert!(is_socket(&elsewhere), "the renamed one is somebody's now");
    }
}

#[test]
fn clients_that_were_connected_before_keep_working_when_the_socket_is_made_anew() {
    let sandbox = Sandbox::with_daemon("");
    let mut client = Client::connect(&sandbox.socket()).unwrap();
    client.ping().unwrap();
    fs::remove_file(sandbox.socket()).unwrap();
    wait_for_socket(&sandbox);
    client.ping().unwrap();
}

#[test]
fn clients_that_have_connected_but_were_not_accepted_are_served_when_the_socket_is_made_anew() {
    let sandbox = Sandbox::with_daemon("");
    kill(sandbox.daemon_pid(), Signal::SIGSTOP).unwrap();
    let clients: Vec<Client> = (0..20).map(|_| Client::connect(&sandbox.socket()).unwrap()).collect();
    fs::remove_file(sandbox.socket()).unwrap();
    kill(sandbox.daemon_pid(), Signal::SIGCONT).unwrap();
    for mut client in clients {
        client.ping().unwrap();
    }
}

#[test]
fn another_file_in_place_of_the_socket_is_left_alone_until_there_is_room_again() {
    let mut sandbox = Sandbox::with_daemon("");
    let pid = sandbox.daemon_pid();
    fs::write(sandbox.path("other"), "precious").unwrap();
    fs::rename(sandbox.path("other"), sandbox.socket()).unwrap();
    let complaint =
        format!("cannot create socket {}: a file that is no socket is there", sandbox.socket().display());
    wait_until("the daemon has told", || sandbox.log().contains(&complaint));
    assert_eq!(sandbox.read("socket"), "precious");

    fs::remove_file(sandbox.socket()).unwrap();
    kill(pid, Signal::SIGHUP).unwrap();
    wait_until("the daemon is back", || sandbox.client(&["-t"]).code == 0);
    assert_eq!(sandbox.terminate_daemon().code(), Some(0));
    assert_eq!(sandbox.files(), ["log", "procmgr.cfg"]);
}

#[test]
fn a_stale_socket_in_place_of_the_socket_is_replaced() {
    let sandbox = Sandbox::with_daemon("");
    fs::rename(sandbox.socket(), sandbox.path("moved")).unwrap();
    wait_for_socket(&sandbox);
    // The daemon closes the former one as soon as it gets to it.
    wait_until("nobody listens at it", || UnixStream::connect(sandbox.path("moved")).is_err());
    fs::rename(sandbox.path("moved"), sandbox.socket()).unwrap();
    wait_for_socket(&sandbox);
}

#[test]
fn a_socket_whose_folder_was_moved_is_made_anew_by_a_reload() {
    let mut sandbox = Sandbox::new("");
    fs::create_dir(sandbox.path("folder")).unwrap();
    sandbox.configure_exactly("socket-path = @/folder/socket\n");
    sandbox.start_daemon(&[]);
    fs::rename(sandbox.path("folder"), sandbox.path("moved")).unwrap();
    fs::create_dir(sandbox.path("folder")).unwrap();
    kill(sandbox.daemon_pid(), Signal::SIGHUP).unwrap();
    wait_until("the socket is served", || sandbox.client(&["-t"]).code == 0);
}

#[test]
fn a_client_that_was_connected_before_can_have_the_socket_made_anew_by_a_reload() {
    let sandbox = Sandbox::with_daemon("");
    let mut client = Client::connect(&sandbox.socket()).unwrap();
    fs::write(sandbox.path("other"), "precious").unwrap();
    fs::rename(sandbox.path("other"), sandbox.socket()).unwrap();
    client.reload().unwrap();
    assert_eq!(sandbox.read("socket"), "precious");
    fs::remove_file(sandbox.socket()).unwrap();
    client.reload().unwrap();
    sandbox.succeed(&["-t"]);
    // It is watched again as well.
    fs::remove_file(sandbox.socket()).unwrap();
    wait_for_socket(&sandbox);
}

#[test]
fn another_file_in_place_of_the_socket_outlives_the_daemon() {
    let mut sandbox = Sandbox::with_daemon("");
    fs::write(sandbox.path("other"), "precious").unwrap();
    fs::rename(sandbox.path("other"), sandbox.socket()).unwrap();
    assert_eq!(sandbox.terminate_daemon().code(), Some(0));
    assert_eq!(sandbox.read("socket"), "precious");
}

#[test]
fn nobody_else_can_take_the_lock() {
    let sandbox = Sandbox::with_daemon("");
    let mode = fs::metadata(sandbox.path("socket.lock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_link_in_place_of_the_lock_is_not_followed() {
    let sandbox = Sandbox::new("");
    symlink(sandbox.path("victim"), sandbox.path("socket.lock")).unwrap();
    let output = sandbox.client(&["-df"]);
    assert_eq!((output.code, output.stderr.lines().count()), (1, 1), "{}", output.stderr);
    assert!(output.stderr.contains("socket.lock"), "{}", output.stderr);
    assert!(!sandbox.path("victim").exists());
}

/// Asserts that no daemon starts where the socket is to be, and that all files are as before.
fn is_left_alone(sandbox: &Sandbox, what: &str) {
    let before = (sandbox.files(), identity(&sandbox.socket()));
    for mode in ["-d", "-df"] {
        let expected =
            format!("procmgr: cannot create socket {}: {what} is there\n", sandbox.socket().display());
        assert_eq!(sandbox.client(&[mode]), failure(expected));
    }
    assert_eq!((sandbox.files(), identity(&sandbox.socket())), before);
}

fn failure(stderr: String) -> Output {
    Output { code: 1, stdout: String::new(), stderr }
}

/// Returns what tells this file from any other that may have its name.
fn identity(path: &Path) -> (u64, u64) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.dev(), metadata.ino())
}

/// Waits until there is a socket again that is served. Until there is one, nothing can be asked of the daemon.
fn wait_for_socket(sandbox: &Sandbox) {
    wait_until("the socket is there again", || is_socket(&sandbox.socket()));
    // The system makes the file a moment before it takes connections.
    wait_until("the socket is served", || sandbox.client(&["-t"]).code == 0);
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}
