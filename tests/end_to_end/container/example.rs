//! The example of a container: what its Dockerfile says is done, and the probes of its pod are run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::container::Container;
use crate::harness::{Output, children, installed, procmgr, run, wait_for, wait_until};

/// Where an image has its executables, if nothing else is said.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes a root of this system's folders and the files of the image, and becomes process 1 in it.
const SCRIPT: &str = r#"
set -e
cd "$ROOT"
for part in bin sbin lib lib32 lib64 usr dev; do
    if [ -L "/$part" ]; then cp -P "/$part" .; elif [ -d "/$part" ]; then mkdir -p "$part"; mount --rbind "/$part" "$part"; fi
done
mkdir -p proc run etc
mount -t proc none proc
mount -t tmpfs none usr/local
copy() { mkdir -p "$(dirname "./$3")"; install -m "$1" "$2" "./$3"; }
"#;

/// A container made of the example.
struct Pod {
    folder: TempDir,
    outside: Option<Child>,
}

impl Pod {
    /// Makes a folder for its root. `None` if there can be none, which is told.
    fn new(test: &str) -> Option<Self> {
        // It says so itself if there is no namespace.
        Container::folder(test, "")?;
        let missing =
            ["nsenter", "chroot", "mount", "install"].into_iter().find(|tool| installed(tool).is_none());
        let may_mount =
            run(Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"])).code == 0;
        if missing.is_some() || !may_mount {
            eprintln!("skipped: {test} needs nsenter, chroot, mount and install, and may not mount anything");
            return None;
        }
        Some(Self { folder: tempfile::tempdir().unwrap(), outside: None })
    }

    /// Starts it. The root is as the last one has left it.
    fn start(&mut self) {
        let root = self.folder.path().join("root");
        fs::create_dir_all(&root).unwrap();
        let copies = instructions("COPY ").into_iter().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [mode, source, target] = words[..] else { panic!("{line}") };
            let mode = mode.strip_prefix("--chmod=").unwrap();
            let executable = PathBuf::from(procmgr().get_program());
            let source = if source == "procmgr" { executable } else { example(source) };
            format!("copy {mode} '{}' {target}\n", source.display())
        });
        let copies: String = copies.collect();
        let script = format!("{SCRIPT}{copies}exec env -i \"PATH=$PATH\" chroot . \"$@\"\n");
        let entry = quoted(&instructions("ENTRYPOINT ")[0]);
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount", "/bin/sh", "-c", &script, "sh"]);
        command.args(entry).env("ROOT", &root).env("PATH", PATH);
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.outside = Some(command.spawn().unwrap());
    }

    /// Runs a command in it, as its engine does.
    fn exec(&self, words: &[impl AsRef<str>]) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init().to_string(), "--mount", "--pid", "--root", "--wd"]);
        command.args(words.iter().map(AsRef::as_ref)).env_clear().env("PATH", PATH);
        run(&mut command)
    }

    fn init(&self) -> Pid {
        let outside = Pid::from_raw(self.outside.as_ref().unwrap().id().cast_signed());
        wait_until("there is process 1", || !children(outside).is_empty());
        children(outside)[0]
    }

    fn signal(&self, signal: Signal) {
        kill(self.init(), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        wait_for(&mut self.outside.take().unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    #[track_caller]
    fn wait_until_succeeds(&self, probe: &[String]) {
        wait_until("the probe succeeds", || self.exec(probe).code == 0);
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(mut outside) = self.outside.take() {
            // All else ends with it.
            let _ = outside.kill();
            let _ = outside.wait();
        }
    }
}

#[test]
fn the_image_that_the_example_describes_lives_is_ready_and_ends_in_order() {
    let test = "the_image_that_the_example_describes_lives_is_ready_and_ends_in_order";
    let Some(mut pod) = Pod::new(test) else { return };
    let (liveness, readiness) = (probe("livenessProbe"), probe("readinessProbe"));
    pod.start();
    pod.wait_until_succeeds(&liveness);
    pod.wait_until_succeeds(&readiness);
    assert_eq!(pod.exec(&liveness).stdout, "running\n");
    assert_eq!(pod.exec(&readiness).stdout, "ready\n");
    assert_eq!(pod.exec(&["procmgr", "-a"]).stdout, "web   : running\nworker: running\n");
    assert!(pod.log().contains("worker has worked\n"), "{}", pod.log());

    // What dies comes back.
    let log = pod.log();
    let main = log.lines().find_map(|line| line.split_once("web: started as pid ")).unwrap().1;
    assert_eq!(pod.exec(&["sh", "-c", &format!("kill -KILL {main}")]).code, 0);
    wait_until("it is started again", || pod.log().matches("web: started as pid ").count() == 2);
    pod.wait_until_succeeds(&readiness);

    // A program that is down makes it unready, and nothing else.
    assert_eq!(pod.exec(&["procmgr", "web", "stop"]).code, 128 + 15);
    let unready = pod.exec(&readiness);
    assert_eq!((unready.code, unready.stdout.as_str()), (1, "not ready\n"));
    assert_eq!(pod.exec(&liveness).code, 0);
    assert_eq!(pod.exec(&["procmgr", "web", "start"]).code, 0);
    pod.wait_until_succeeds(&readiness);

    pod.signal(Signal::SIGHUP);
    wait_until("it has reloaded", || {
        pod.log().contains("the configuration is in force: nothing has changed\n")
    });
    pod.signal(Signal::SIGTERM);
    assert_eq!(pod.wait().code(), Some(0), "{}", pod.log());
    assert!(!pod.log().contains("is killed"), "{}", pod.log());
}

#[test]
fn a_container_that_was_killed_is_started_again_on_what_it_has_left() {
    let test = "a_container_that_was_killed_is_started_again_on_what_it_has_left";
    let Some(mut pod) = Pod::new(test) else { return };
    let readiness = probe("readinessProbe");
    for _ in 0..2 {
        pod.start();
        pod.wait_until_succeeds(&readiness);
        assert_eq!(
            pod.exec(&["procmgr", "-a"]).stdout,
            "web   : running\nworker: running\n",
            "{}",
            pod.log()
        );
        pod.signal(Signal::SIGKILL);
        assert!(!pod.wait().success());
    }
}

#[test]
fn the_documents_of_the_example_name_the_same_probes() {
    let readme = fs::read_to_string(example("README.md")).unwrap();
    for name in ["livenessProbe", "readinessProbe"] {
        let command = probe(name).join(" ");
        assert!(readme.contains(&format!("`{command}`")), "{command}");
    }
}

/// Returns the path of a file of the example.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/container").join(name)
}

/// Returns what follows this word in the lines of the Dockerfile that begin with it.
fn instructions(word: &str) -> Vec<String> {
    let text = fs::read_to_string(example("Dockerfile")).unwrap();
    text.lines().filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect()
}

/// Returns the command of a probe.
fn probe(name: &str) -> Vec<String> {
    let text = fs::read_to_string(example("pod.yaml")).unwrap();
    let lines = text.lines().skip_while(|line| line.trim() != format!("{name}:"));
    quoted(lines.map(str::trim).find_map(|line| line.strip_prefix("command: ")).unwrap())
}

/// Returns the words of a list such as `["a", "b"]`.
fn quoted(list: &str) -> Vec<String> {
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}
