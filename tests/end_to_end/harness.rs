//! A daemon in a folder of its own, and clients of it.
//!
//! What is promised of either is in the tests, not here.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, geteuid};
use procmgr_proto::client::Client;
use tempfile::TempDir;

use crate::succession::end_all_of;

/// How long anything may take before a test gives up: far longer than it takes, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A folder with a configuration, and perhaps a daemon that serves it.
///
/// When it is dropped, the daemon and whatever it runs are ended.
pub(crate) struct Sandbox {
    folder: TempDir,
    daemon: Option<Child>,
}

impl Sandbox {
    /// Makes a folder with this configuration. The socket is in the folder; `@` in the text stands for the folder.
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Other users are to find the socket.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let sandbox = Self { folder, daemon: None };
        sandbox.configure(config);
        sandbox
    }

    /// Makes a folder with this configuration and starts a daemon in the foreground, which logs everything.
    pub(crate) fn with_daemon(config: &str) -> Self {
        let mut sandbox = Self::new(config);
        sandbox.start_daemon(&[]);
        sandbox
    }

    /// Starts a daemon in the foreground, with these options beside the usual ones, and waits until it serves.
    pub(crate) fn start_daemon(&mut self, options: &[&str]) {
        let mut command = self.command();
        command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]).args(options);
        self.run_daemon(command);
    }

    /// Runs this command as the daemon, with its standard error as the log, and waits until it serves.
    pub(crate) fn run_daemon(&mut self, command: Command) {
        self.run_daemon_on(Stdio::null(), command);
    }

    /// Does the same with this as its standard input.
    pub(crate) fn run_daemon_on(&mut self, input: Stdio, mut command: Command) {
        assert!(self.daemon.is_none(), "one daemon at a time");
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        command.stdin(input).stdout(Stdio::null()).stderr(log);
        self.daemon = Some(command.spawn().unwrap());
        wait_until("the daemon serves", || {
            let daemon = self.daemon.as_mut().unwrap();
            assert!(daemon.try_wait().unwrap().is_none(), "the daemon has ended: {}", self.log());
            self.client(&["-t"]).code == 0
        });
    }

    /// Replaces the configuration; the daemon does not know yet.
    pub(crate) fn configure(&self, config: &str) {
        let config = config.replace('@', self.folder.path().to_str().unwrap());
        let path = self.config();
        fs::write(&path, format!("socket-path = {}\n{config}", self.socket().display())).unwrap();
        // Root's daemon trusts no file that others may write, whatever the umask of whoever runs the tests.
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// Returns the executable with the configuration named, for more arguments to be added.
    pub(crate) fn command(&self) -> Command {
        let mut command = procmgr();
        command.arg("-c").arg(self.config());
        command
    }

    /// Runs a client to its end.
    pub(crate) fn client(&self, arguments: &[&str]) -> Output {
        run(self.command().args(arguments))
    }

    /// Runs a client that must succeed and say nothing on standard error. Returns its standard output.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{arguments:?}");
        output.stdout
    }

    /// Ends the daemon by SIGTERM and returns how it ended. What it runs goes on.
    pub(crate) fn terminate_daemon(&mut self) -> ExitStatus {
        kill(self.daemon_pid(), Signal::SIGTERM).unwrap();
        self.wait_for_daemon()
    }

    /// Waits for the end of the daemon.
    pub(crate) fn wait_for_daemon(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("there is a daemon");
        wait_for(&mut daemon)
    }

    /// Returns the pid of the daemon.
    pub(crate) fn daemon_pid(&self) -> Pid {
        Pid::from_raw(self.daemon.as_ref().expect("there is a daemon").id().cast_signed())
    }

    /// Returns how many descriptors the daemon has open.
    pub(crate) fn daemon_descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.daemon_pid())).unwrap().count()
    }

    /// Returns what the daemon has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Returns the configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.path("procmgr.cfg")
    }

    /// Returns the socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("socket")
    }

    /// Returns the path of a file in the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the contents of a file in the folder; empty if there is none.
    pub(crate) fn read(&self, name: impl AsRef<Path>) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let pid = Pid::from_raw(daemon.id().cast_signed());
            let scripts = children(pid);
            let _ = kill(pid, Signal::SIGKILL);
            let _ = daemon.wait();
            for script in scripts {
                // Each script leads a process group of its own.
                let _ = killpg(script, Signal::SIGKILL);
            }
        }
        // Programs may have outlived the daemon that has started them.
        end_all_of(self.folder.path());
    }
}

/// What a process has left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// Its exit status; 128 and the signal if one has killed it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Returns the executable under test, without any of the environment that could lead it elsewhere.
///
/// `PROCMGR_UNDER_TEST` names another one, such as a release build.
pub(crate) fn procmgr() -> Command {
    let path = std::env::var_os("PROCMGR_UNDER_TEST").unwrap_or_else(|| env!("CARGO_BIN_EXE_procmgr").into());
    let mut command = Command::new(path);
    for name in ["PROCMGR_CONFFILE", "PROCMGR_SOCKET", "NOTIFY_SOCKET", "JOURNAL_STREAM"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end, without input.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { code: code(output.status), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Returns what a shell would have in `$?`.
pub(crate) fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap()
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < DEADLINE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for the end of a child.
#[track_caller]
pub(crate) fn wait_for(child: &mut Child) -> ExitStatus {
    let mut status = None;
    wait_until("a child has ended", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Returns the children of a process.
pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

/// Returns whether a process exists and has not ended.
pub(crate) fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// Returns whether the tests run as root; otherwise says that the test named is skipped.
pub(crate) fn is_root(test: &str) -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("skipped: {test} needs root");
    }
    is_root
}

/// Returns the executable of that name in the system's folders, if it is installed.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

/// Returns an argument that is not UTF-8.
pub(crate) fn raw(bytes: &[u8]) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

/// Returns the configuration with every action allowed to whoever runs the tests, be it root or not.
pub(crate) fn allowing_us(config: &str) -> String {
    format!("allow-uid = {}\n{config}", geteuid())
}

/// Starts a client and does not wait for it.
pub(crate) fn ask(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    let mut command = sandbox.command();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits for the end of a client that was asked to write to pipes.
#[track_caller]
pub(crate) fn answer(mut client: Child) -> Output {
    wait_for(&mut client);
    let output = client.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { code: code(output.status), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Waits until a file in the folder holds as many whole lines, and returns them.
#[track_caller]
pub(crate) fn lines(sandbox: &Sandbox, name: &str, count: usize) -> Vec<String> {
    wait_until(&format!("{name} has {count} lines"), || sandbox.read(name).matches('\n').count() >= count);
    sandbox.read(name).lines().map(str::to_owned).collect()
}

impl Sandbox {
    /// Replaces the configuration, the path of the socket included. `@` stands for the folder.
    pub(crate) fn configure_exactly(&self, config: &str) {
        let path = self.config();
        fs::write(&path, config.replace('@', self.folder.path().to_str().unwrap())).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// Returns how many descriptors the daemon has open apart from a client that has just been served.
    ///
    /// Clients that left before are not counted: the daemon notices their end before it serves a later one.
    pub(crate) fn descriptors_of_idle_daemon(&self) -> usize {
        let mut client = Client::connect(&self.socket()).unwrap();
        client.ping().unwrap();
        let count = self.daemon_descriptors() - 1;
        drop(client);
        // A process that another test is about to execute has a copy of its socket for a moment, and it has a place so
        // long.
        wait_until("the client is gone", || self.daemon_descriptors() <= count);
        count
    }

    /// Returns a number that the kernel tells about the daemon in its `status` file, such as `VmRSS` in KiB.
    pub(crate) fn daemon_statistic(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon_pid())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        value.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Returns the names of all files in the folder, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Returns how many connections to the socket there are, those that are not accepted yet included.
    pub(crate) fn connections(&self) -> usize {
        let table = fs::read_to_string("/proc/net/unix").unwrap();
        let end = format!(" {}", self.socket().display());
        // One line is the listener's own.
        table.lines().filter(|line| line.ends_with(&end)).count() - 1
    }
}

/// Returns a command that does something in the shell before it becomes another one.
pub(crate) fn through_shell(preparation: &str, command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("{preparation}; exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Waits until the daemon sleeps, whatever its clients do.
#[track_caller]
pub(crate) fn wait_until_daemon_sleeps(sandbox: &Sandbox) {
    let switches = || {
        ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"].map(|name| sandbox.daemon_statistic(name))
    };
    wait_until("the daemon sleeps", || {
        let before = switches();
        // This is the time that is measured.
        thread::sleep(Duration::from_millis(200));
        switches() == before
    });
}
