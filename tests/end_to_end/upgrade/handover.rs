//! What one image of the daemon hands to the next, in the words of other versions.
//!
//! That all of it reaches an image of the same version is shown in `clients` and `process`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{DEADLINE, Sandbox, answer, code, through_shell, wait_for, wait_until};
use crate::succession::{Stranger, started};

/// The state of a daemon as version 1 has handed it over, but for what differs each time.
const VERSION_1: &str = include_str!("../fixtures/handover-1.json");

/// A daemon that is about to go on as another image.
struct Former {
    sandbox: Sandbox,
    /// The main process of a program that runs, and of one that somebody waits for to end.
    mains: [Stranger; 2],
    listener: UnixListener,
    /// Both ends of the connection to whoever waits.
    waiting: (UnixStream, UnixStream),
}

impl Former {
    fn new() -> Self {
        let sandbox = Sandbox::installed("");
        let listener = UnixListener::bind(sandbox.socket()).unwrap();
        listener.set_nonblocking(true).unwrap();
        File::create(sandbox.path("socket.lock")).unwrap();
        fs::create_dir(sandbox.path("socket.state")).unwrap();
        fs::set_permissions(sandbox.path("socket.state"), fs::Permissions::from_mode(0o700)).unwrap();
        let waiting = UnixStream::pair().unwrap();
        waiting.0.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { sandbox, mains: [Stranger::new(), Stranger::new()], listener, waiting }
    }

    /// Returns its state in these words, with what differs each time filled in.
    fn state(&self, words: &str) -> String {
        let socket = fs::symlink_metadata(self.sandbox.socket()).unwrap();
        let folder = self.sandbox.path("").display().to_string();
        let [up, leaving] = [0, 1].map(|index| self.mains[index].pid());
        words
            .replace("FOLDER", folder.trim_end_matches('/'))
            .replace("33331", &socket.dev().to_string())
            .replace("33332", &socket.ino().to_string())
            .replace("11111", &up.to_string())
            .replace("11112", &started(up).to_string())
            .replace("22221", &leaving.to_string())
            .replace("22222", &started(leaving).to_string())
    }

    /// Executes procmgr in this role, with the descriptors that the state names.
    fn execute(&self, role: &str, state: &str) -> Child {
        let _ = fs::remove_file(self.sandbox.path("executed"));
        let sealed = seal(state.as_bytes());
        let mut command = self.sandbox.installed_command(self.sandbox.executable());
        command.args(["-l", "stderr", "-d", "-f"]).env("PROCMGR_UPGRADE", format!("{role} 3"));
        let state = format!("/proc/{}/fd/{}", std::process::id(), sealed.as_raw_fd());
        let preparation =
            format!("exec 3<{state} 4<&0 5>&1 6<>socket.lock 7<socket.state 0</dev/null 1>&2; : > executed");
        let mut command: Command = through_shell(&preparation, &command);
        command.current_dir(self.sandbox.path(""));
        command.stdin(OwnedFd::from(self.listener.try_clone().unwrap()));
        command.stdout(OwnedFd::from(self.waiting.1.try_clone().unwrap()));
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        wait_until("it has the state", || self.sandbox.path("executed").exists());
        child
    }
}

/// Returns a file in memory with these bytes, which nobody can change any more.
fn seal(bytes: &[u8]) -> OwnedFd {
    let mut file =
        File::from(memfd_create(c"state", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap());
    file.write_all(bytes).unwrap();
    let seals =
        SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    file.into()
}

#[test]
fn a_daemon_of_version_1_is_rehearsed() {
    let former = Former::new();

    let output = answer(former.execute("rehearse", &former.state(VERSION_1)));

    assert_eq!((output.code, output.stderr.as_str()), (0, "procmgr: ready to take over\n"));
    let files = ["executed", "procmgr", "procmgr.cfg", "socket", "socket.lock", "socket.state"];
    assert_eq!(former.sandbox.files(), files, "nothing has changed");
}

#[test]
fn a_daemon_of_version_1_goes_on() {
    let mut former = Former::new();
    let mut daemon = former.execute("take-over", &former.state(VERSION_1));
    let sandbox = &former.sandbox;

    assert_eq!(sandbox.succeed(&["-t"]), "running\n");
    let list = "up     : running adopted\nleaving: running lingering stopping adopted\n\
                due    : dead restarting\ndown   : dead\nstopped: dead\n";
    wait_until("what is due has been started and has died", || sandbox.list() == list);
    let [up, leaving] = &mut former.mains;
    assert_eq!(sandbox.main_process("up"), up.pid());
    leaving.0.kill().unwrap();
    leaving.0.wait().unwrap();
    let mut header = [0; 16];
    former.waiting.0.read_exact(&mut header).unwrap();
    assert_eq!((header[6], header[8]), (2, 9), "{header:?}");

    // Not by `-s`: that waits for the end of whoever has begun to listen, and that is this process.
    kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(code(wait_for(&mut daemon)), 0);
    let mut log = String::new();
    daemon.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("NOTE: the executable has taken over\n"), "{log}");
    assert!(log.contains("it is started again in 1000 s, restart 1 in a row\n"), "{log}");
    assert!(log.contains("program leaving action stop arguments 0: "), "{log}");
    assert_eq!(sandbox.files(), ["executed", "procmgr", "procmgr.cfg", "socket.state"]);
}

#[test]
fn a_daemon_of_a_version_that_is_not_known_is_refused() {
    for version in [0, 4, 4_294_967_295_u32] {
        let former = Former::new();
        let words = VERSION_1.replace("\"version\": 1", &format!("\"version\": {version}"));

        let output = answer(former.execute("rehearse", &former.state(&words)));

        let reason = format!("its state is of version {version}, and 1 to 3 are understood");
        assert_eq!(output.code, 1);
        assert!(
            output.stderr.ends_with(&format!("cannot take over from the running daemon: {reason}\n")),
            "{output:?}"
        );
    }
}

#[test]
fn words_that_make_no_sense_are_refused() {
    let former = Former::new();
    let state = former.state(VERSION_1);
    for (sense, nonsense) in [
        ("\"limit\"", "\"limits\""),
        ("\"socket\": 4", "\"socket\": 44"),
        ("\"socket\": 4", "\"socket\": 5"),
        ("\"file\": 6", "\"file\": 7"),
        ("\"directory\": 7", "\"directory\": -1"),
        ("\"stream\": 5", "\"stream\": 7"),
        ("\"definition\": null", "\"definition\": 0"),
        ("}", ""),
    ] {
        let output = answer(former.execute("rehearse", &state.replacen(sense, nonsense, 1)));
        assert_eq!(output.code, 1, "{nonsense}: {output:?}");
        assert!(output.stderr.contains("procmgr: cannot take over from the running daemon: "), "{output:?}");
    }
    assert_eq!(answer(former.execute("rehearse", &state)).code, 0);
}
