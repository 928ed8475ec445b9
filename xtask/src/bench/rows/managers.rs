//! Other process managers, as far as they are installed: what is common to all of them, with one program that runs.
//!
//! Each is set up as its manual has it. How they manage programs is not compared.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::arena::Arena;
use crate::bench::daemon::{Daemon, Plan};
use crate::bench::figure::{Figure, Unit};
use crate::bench::floor::trivial;
use crate::bench::kernel::{children, memory, switches};
use crate::bench::samples::{Samples, micros};

/// A manager, and how it is used. `@` stands for a folder of its own.
#[derive(Debug)]
pub(in crate::bench) struct Manager {
    pub(in crate::bench) name: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// What runs it in the foreground.
    daemon: &'static [&'static str],
    /// What tells that the program runs.
    status: &'static [&'static str],
    /// What ends it, with the program.
    end: (Signal, &'static str),
}

impl Manager {
    /// Returns those that are installed.
    pub(in crate::bench) fn installed() -> Vec<&'static Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
        ALL.iter().filter(|it| is_there(it.daemon[0]) && is_there(it.status[0])).collect()
    }
}

pub(super) fn measure(arena: &Arena) -> Result<Vec<Figure>, String> {
    let mut results = Vec::new();
    for manager in arena.managers() {
        eprintln!("{} ...", manager.name);
        let measured = Managed::start(arena, manager).and_then(|managed| managed.measure(arena));
        results.push(measured.inspect_err(|reason| eprintln!("{} is left out: {reason}", manager.name)).ok());
    }
    let plan = Plan { programs: 1, keys: "cmd-start = exec sleep 1000\nautostart = yes", first: "" };
    let daemon = Daemon::start(arena, arena.own(), plan)?;
    let mut status = arena.client(&arena.own().executable);
    status.args(["p0", "status"]).env("PROCMGR_CONFFILE", &daemon.configuration);
    let own = measure_one(arena, &[daemon.pid()], &mut status)?;
    let floor = times(arena, &mut arena.client(Path::new(trivial::DYNAMIC)))?;
    let figure = |number: usize, what: String, unit| {
        let against = vec![None; arena.against().count()];
        let managers = results.iter().map(|samples| samples.as_ref().map(|samples| samples[number].clone()));
        Figure::new(what, unit, own[number].clone()).beside(against.into_iter().chain(managers).collect())
    };
    let idle = arena.extent.idle.as_secs();
    Ok(vec![
        figure(0, "status, whole process".to_owned(), Unit::Micros).above(floor),
        figure(1, format!("context switches in {idle} s"), Unit::Count),
        figure(2, "memory".to_owned(), Unit::KiB),
    ])
}

/// Returns how long a status takes, how often the processes are switched to when nobody asks, and their memory.
fn measure_one(arena: &Arena, processes: &[u32], status: &mut Command) -> Result<[Samples; 3], String> {
    let times = times(arena, status)?;
    // What came with the start, or with the questions, is over then.
    thread::sleep(Duration::from_secs(1));
    let count = || processes.iter().map(|pid| switches(*pid).map(f64::from)).sum::<Result<f64, _>>();
    let before = count()?;
    thread::sleep(arena.extent.idle);
    let switches = count()? - before;
    let memory = processes.iter().map(|pid| memory(*pid)).sum::<Result<f64, _>>()?;
    Ok([times, Samples::from_iter([switches]), Samples::from_iter([memory])])
}

fn times(arena: &Arena, command: &mut Command) -> Result<Samples, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    (0..arena.extent.processes).map(|_| trivial::time(command).map(micros)).collect()
}

/// A manager that runs. It is ended with its program when this is dropped.
struct Managed {
    manager: &'static Manager,
    process: Child,
    status: Command,
}

impl Managed {
    fn start(arena: &Arena, manager: &'static Manager) -> Result<Self, String> {
        let folder = arena.stage.path(&arena.new_name());
        let text = folder.to_string_lossy().into_owned();
        let fill = |word: &str| word.replace('@', &text);
        let failed = |error| format!("cannot write a file: {error}");
        for (name, content) in manager.files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap_or(&folder)).map_err(failed)?;
            fs::write(&path, fill(content)).map_err(failed)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
        // It must not survive whoever would end it.
        let mut daemon = arena.client(Path::new("setpriv"));
        daemon.args(["--pdeathsig", manager.end.1, "--"]).args(manager.daemon.iter().map(|word| fill(word)));
        daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = daemon.spawn().map_err(|error| format!("cannot start it: {error}"))?;
        let mut status = arena.client(Path::new(manager.status[0]));
        status.args(manager.status[1..].iter().map(|word| fill(word)));
        status.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { manager, process, status })
    }

    fn measure(mut self, arena: &Arena) -> Result<[Samples; 3], String> {
        let begin = Instant::now();
        while let Err(reason) = trivial::time(&mut self.status) {
            if begin.elapsed() > PATIENCE {
                return Err(reason);
            }
            thread::sleep(Duration::from_millis(50));
        }
        let main = self.process.id();
        let helpers = children(main)?.into_iter().filter(|pid| !is_program(*pid));
        let processes: Vec<u32> = [main].into_iter().chain(helpers).collect();
        measure_one(arena, &processes, &mut self.status)
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), self.manager.end.0);
        let begin = Instant::now();
        while let Ok(None) = self.process.try_wait() {
            if begin.elapsed() > PATIENCE {
                let _ = self.process.kill();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Returns whether a process is the program, and not part of the manager.
fn is_program(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep")
}

const ALL: [Manager; 4] = [
    Manager {
        name: "supervisor",
        files: &[("conf", SUPERVISOR)],
        daemon: &["supervisord", "-n", "-c", "@/conf"],
        status: &["supervisorctl", "-c", "@/conf", "status", "p0"],
        end: (Signal::TERM, "TERM"),
    },
    Manager {
        name: "runit",
        files: &[("services/p0/run", RUN)],
        daemon: &["runsvdir", "@/services"],
        status: &["sv", "status", "@/services/p0"],
        end: (Signal::HUP, "HUP"),
    },
    Manager {
        name: "s6",
        files: &[("p0/run", RUN)],
        daemon: &["s6-supervise", "@/p0"],
        status: &["s6-svstat", "@/p0"],
        end: (Signal::TERM, "TERM"),
    },
    Manager {
        name: "dinit",
        files: &[("services/p0", "type = process\ncommand = sleep 1000\n")],
        daemon: &["dinit", "-d", "@/services", "-p", "@/socket", "p0"],
        status: &["dinitctl", "-p", "@/socket", "status", "p0"],
        end: (Signal::TERM, "TERM"),
    },
];

const RUN: &str = "#!/bin/sh\nexec sleep 1000\n";

const SUPERVISOR: &str = "\
[unix_http_server]
file = @/socket
[supervisord]
logfile = /dev/null
logfile_maxbytes = 0
pidfile = @/pid
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl = unix://@/socket
[program:p0]
command = sleep 1000
";

const PATIENCE: Duration = Duration::from_secs(10);
