//! The example configuration, with nginx, redis and postgres themselves.
//!
//! How a configuration works in general is shown elsewhere, with scripts.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

use crate::harness::{DEADLINE, Sandbox, children, installed, is_alive, run, wait_until};

const NGINX: &[&str] = &["nginx", "pkill", "bash"];
const REDIS: &[&str] = &["redis-server", "redis-cli"];
const POSTGRES: &[&str] = &["pg_isready"];

#[test]
fn nginx_serves_is_reloaded_comes_back_and_leaves() {
    let Some(services) = Services::new("nginx", NGINX) else { return };
    services.succeed("nginx", "start");
    wait_until("nginx answers", || services.page().is_some());
    assert_eq!(services.page().unwrap(), "hello\n");
    assert_eq!(services.succeed("nginx", "status").trim_end(), "HTTP/1.1 200 OK");
    let master = services.main_process();
    wait_until("the master has both workers", || services.processes().len() == 3);
    let workers = children(master);

    services.edit("nginx/nginx.conf", "hello", "good day");
    services.succeed("nginx", "reload");
    // Until then they answer as well, and with the old page.
    wait_until("the old workers have left", || !workers.iter().copied().any(is_alive));
    assert_eq!(services.page().unwrap(), "good day\n");
    assert_eq!(services.main_process(), master);

    services.edit("nginx/nginx.conf", "return 200", "retrun 200");
    let refused = services.sandbox.client(&["nginx", "reload"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("unknown directive \"retrun\""), "{}", refused.stderr);
    assert_eq!(services.page().unwrap(), "good day\n");
    services.edit("nginx/nginx.conf", "retrun 200", "return 200");

    services.kill_and_see_it_come_back("nginx", || services.page().is_some());
    assert_eq!(services.page().unwrap(), "good day\n");

    services.stop("nginx");
    assert!(TcpStream::connect(services.address).is_err());
}

#[test]
fn redis_answers_is_reconfigured_comes_back_with_its_data_and_leaves() {
    let Some(services) = Services::new("redis", REDIS) else { return };
    services.succeed("redis", "start");
    wait_until("redis answers", || services.redis("PING").as_deref() == Some("+PONG"));
    assert_eq!(services.succeed("redis", "status"), "PONG\n");
    services.assert_runs_as("redis");
    let main = services.main_process();

    services.edit("redis/settings.conf", "maxmemory 64mb", "maxmemory 96mb");
    services.succeed("redis", "reload");
    assert_eq!(services.redis("CONFIG GET maxmemory").unwrap(), "*2 $9 maxmemory $9 100663296");
    assert_eq!(services.main_process(), main);

    services.edit("redis/settings.conf", "maxmemory 96mb", "maxmemory plenty");
    let refused = services.sandbox.client(&["redis", "reload"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stdout.contains("argument must be a memory value"), "{}", refused.stdout);
    services.edit("redis/settings.conf", "maxmemory plenty", "maxmemory 96mb");

    assert_eq!(services.redis("SET fruit apple").unwrap(), "+OK");
    services.kill_and_see_it_come_back("redis", || services.redis("PING").as_deref() == Some("+PONG"));
    assert_eq!(services.redis("GET fruit").unwrap(), "$5 apple");

    services.stop("redis");
    assert_eq!(services.redis("PING"), None);
}

#[test]
fn postgres_answers_is_reloaded_comes_back_with_its_data_and_leaves() {
    let Some(services) = Services::new("postgres", POSTGRES) else { return };
    services.succeed("postgres", "signal");
    services.succeed("postgres", "start");
    wait_until("PostgreSQL answers", || services.sql("SELECT 1").as_deref() == Some("1"));
    assert!(services.succeed("postgres", "status").ends_with(" - accepting connections\n"));
    services.assert_runs_as("postgres");
    let postmaster = services.main_process();

    assert_eq!(services.sql("SHOW work_mem").unwrap(), "4MB");
    services.edit("postgres/data/postgresql.conf", "#work_mem = 4MB", "work_mem = 5MB");
    services.succeed("postgres", "reload");
    wait_until("PostgreSQL has the new setting", || services.sql("SHOW work_mem").as_deref() == Some("5MB"));
    assert_eq!(services.main_process(), postmaster);

    services.sql("CREATE TABLE fruit AS SELECT 'apple' AS name").unwrap();
    services.kill_and_see_it_come_back("postgres", || services.sql("SELECT 1").is_some());
    assert_eq!(services.sql("SELECT name FROM fruit").unwrap(), "apple");

    services.stop("postgres");
    assert_eq!(services.sql("SELECT 1"), None);
}

#[test]
fn the_daemon_starts_all_of_them() {
    let needed = [NGINX, REDIS, POSTGRES].concat();
    let Some(mut services) = Services::new("postgres", &needed) else { return };
    services.succeed("postgres", "signal");
    services.sandbox.terminate_daemon();
    services.sandbox.start_daemon(&[]);
    for program in ["nginx", "redis", "postgres"] {
        wait_until("it is well", || services.sandbox.client(&[program, "status"]).code == 0);
    }
    assert_eq!(
        services.sandbox.succeed(&["-a"]),
        "nginx   : running\nredis   : running\npostgres: running\n"
    );
    for program in ["nginx", "redis", "postgres"] {
        services.succeed(program, "stop");
    }
    services.wait_until_nothing_is_left();
}

/// A copy of the example folder, with a daemon that has started nothing yet.
struct Services {
    sandbox: Sandbox,
    /// Where nginx listens.
    address: SocketAddr,
    postgres: PathBuf,
    /// Is dropped after the daemon, which would start the programs again.
    _remains: Remains,
}

impl Services {
    /// Sets the example up as its README says, unless something that the program needs is not installed.
    fn new(program: &str, needed: &[&str]) -> Option<Self> {
        let postgres = installed_postgres().unwrap_or_default();
        let mut missing: Vec<&str> =
            needed.iter().copied().filter(|name| installed(name).is_none()).collect();
        if program == "postgres" && !postgres.join("initdb").exists() {
            missing.push("PostgreSQL");
        }
        if program == "postgres" && User::from_uid(geteuid()).unwrap().is_none() {
            missing.push("a name of the user, without which PostgreSQL does not run");
        }
        if !missing.is_empty() {
            eprintln!("skipped: {program} needs {}", missing.join(", "));
            return None;
        }

        let sandbox = Sandbox::new("");
        let folder = sandbox.path("");
        copy_example(&folder);
        let mut services = Self { address: free_address(), postgres, _remains: Remains(folder), sandbox };
        services.adapt();
        services.sandbox.start_daemon(&["--autostart", "no"]);
        Some(services)
    }

    /// Puts this folder, address and user in the place of those of the example.
    fn adapt(&self) {
        let (ip, port) = (self.address.ip().to_string(), self.address.port().to_string());
        self.edit("nginx/nginx.conf", "127.0.0.1:8080", &self.address.to_string());
        self.edit("services.cfg", "127.0.0.1", &ip);
        self.edit("services.cfg", "8080", &port);
        self.edit("services.cfg", "/usr/lib/postgresql/15/bin", self.postgres.to_str().unwrap());
        self.edit("services.cfg", "/srv/procmgr-example", self.folder().to_str().unwrap());
        self.edit("services.cfg", "allow-uid = 1000", &format!("allow-uid = {}", geteuid()));
        let user = |program| if geteuid().is_root() { User::from_name(program).unwrap() } else { None };
        for program in ["redis", "postgres"] {
            let (head, section) = split(&self.sandbox.read("services.cfg"), &format!("[prog-{program}]"));
            let section = match user(program) {
                Some(user) => {
                    let owner = format!("{}:{}", user.uid, user.gid);
                    let chown =
                        run(Command::new("chown").arg("-R").arg(owner).arg(self.sandbox.path(program)));
                    assert_eq!(chown.code, 0, "{}", chown.stderr);
                    let section = set(&section, "default-suid", Some(user.uid.as_raw()));
                    set(&section, "default-sgid", Some(user.gid.as_raw()))
                }
                None => set(&set(&section, "default-suid", None), "default-sgid", None),
            };
            fs::write(self.sandbox.path("services.cfg"), head + &section).unwrap();
        }
        fs::copy(self.sandbox.path("services.cfg"), self.sandbox.config()).unwrap();
    }

    /// Has an action done, which must succeed and complain of nothing.
    #[track_caller]
    fn succeed(&self, program: &str, action: &str) -> String {
        self.sandbox.succeed(&[program, action])
    }

    /// Kills the main process of the only program that runs, and waits for another that answers.
    #[track_caller]
    fn kill_and_see_it_come_back(&self, program: &str, mut answers: impl FnMut() -> bool) {
        let killed = self.main_process();
        let before = self.processes();
        kill(killed, Signal::SIGKILL).unwrap();
        wait_until("whatever it was has ended", || !before.iter().copied().any(is_alive));
        wait_until("it answers again", &mut answers);
        wait_until("it is well again", || self.sandbox.client(&[program, "status"]).code == 0);
        assert_ne!(self.main_process(), killed);
    }

    /// Stops the only program that runs, which must end cleanly and leave nothing behind.
    #[track_caller]
    fn stop(&self, program: &str) {
        self.succeed(program, "stop");
        self.wait_until_nothing_is_left();
        assert_eq!(self.sandbox.succeed(&["-a"]).matches("dead").count(), 3);
        assert_ne!(self.sandbox.client(&[program, "status"]).code, 0);
    }

    /// Waits for the end of the last process: the script that stops a program may outlive it by a moment.
    #[track_caller]
    fn wait_until_nothing_is_left(&self) {
        wait_until("nothing is left", || self.processes().is_empty());
    }

    /// Replaces a text, which must be there, in a file.
    #[track_caller]
    fn edit(&self, file: &str, old: &str, new: &str) {
        let text = self.sandbox.read(file);
        assert!(text.contains(old), "no {old} in {file}");
        fs::write(self.sandbox.path(file), text.replace(old, new)).unwrap();
    }

    #[track_caller]
    fn assert_runs_as(&self, user: &str) {
        let uid = if geteuid().is_root() { User::from_name(user).unwrap().unwrap().uid } else { geteuid() };
        let status = fs::read_to_string(format!("/proc/{}/status", self.main_process())).unwrap();
        assert!(status.contains(&format!("\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")), "{status}");
    }

    /// Returns the main process of the only program that runs.
    #[track_caller]
    fn main_process(&self) -> Pid {
        let children = children(self.sandbox.daemon_pid());
        assert_eq!(children.len(), 1);
        children[0]
    }

    /// Returns every process that works in the folder.
    fn processes(&self) -> Vec<Pid> {
        processes_in(&self.folder())
    }

    fn folder(&self) -> PathBuf {
        self.sandbox.path("")
    }

    /// Asks nginx for its page.
    fn page(&self) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let answer = converse(&mut stream, "GET / HTTP/1.0\r\n\r\n")?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
    }

    /// Has redis do something and returns the lines of its answer, separated by spaces.
    fn redis(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.sandbox.path("redis/socket")).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let answer = converse(&mut stream, &format!("{command}\r\nQUIT\r\n"))?;
        let answer = answer.strip_suffix("\r\n+OK\r\n")?;
        Some(answer.replace("\r\n", " "))
    }

    /// Has postgres do something, as the user that it runs as.
    fn sql(&self, statement: &str) -> Option<String> {
        let mut psql = Command::new(self.postgres.join("psql"));
        psql.arg("-h").arg(self.sandbox.path("postgres"));
        psql.args(["-d", "postgres", "-AtqXc", statement]).env_clear().current_dir("/");
        if geteuid().is_root() {
            let user = User::from_name("postgres").unwrap().unwrap();
            psql.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let output = run(&mut psql);
        (output.code == 0).then(|| output.stdout.trim_end().to_owned())
    }
}

/// What a test that fails has left running in a folder: killed when this is dropped.
struct Remains(PathBuf);

impl Drop for Remains {
    fn drop(&mut self) {
        for pid in processes_in(&self.0) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

fn processes_in(folder: &Path) -> Vec<Pid> {
    let is_there =
        |pid: &Pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|at| at.starts_with(folder));
    let names =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).map(Pid::from_raw).filter(is_there).collect()
}

/// Copies the example into a folder.
fn copy_example(folder: &Path) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/.");
    let copy = run(Command::new("cp").arg("-r").arg(example).arg(folder));
    assert_eq!(copy.code, 0, "{}", copy.stderr);
    fs::create_dir(folder.join("postgres")).unwrap();
}

/// Returns the newest postgres installation's folder of executables.
fn installed_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let newest =
        versions.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok()).max()?;
    Some(PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin")))
}

/// Returns an address on the loopback network that nobody else comes upon: its host part is made of this process's pid
/// (22 bits) and a number, and its port is not one that the kernel gives away.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let host = (std::process::id() << 2) | (NEXT.fetch_add(1, Ordering::Relaxed) & 3);
    let ip = Ipv4Addr::from_bits(0x7f00_0000 | host);
    let is_free = |port: &u16| TcpListener::bind((ip, *port)).is_ok();
    (ip, (8080..30000).find(is_free).expect("some port is free")).into()
}

/// Sends a request and returns all that comes.
fn converse(stream: &mut (impl Read + Write), request: &str) -> Option<String> {
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Splits a text ahead of a mark in it.
fn split(text: &str, mark: &str) -> (String, String) {
    let (head, tail) = text.split_at(text.find(mark).expect("the mark is in the text"));
    (head.to_owned(), tail.to_owned())
}

/// Replaces the first value of a key, or deletes its line.
fn set(text: &str, key: &str, value: Option<u32>) -> String {
    let (head, tail) = split(text, key);
    let (_, rest) = tail.split_once('\n').expect("the file ends with a line feed");
    match value {
        Some(value) => format!("{head}{key} = {value}\n{rest}"),
        None => head + rest,
    }
}
