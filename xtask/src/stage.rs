//! Where something is played: the executable, freshly built, and a folder; afterwards nothing of it is left.
//!
//! What is played is not known here.

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A folder in which commands find the executable by its name.
pub(crate) struct Stage {
    /// Declared ahead of the folder, for it is dropped first, and ends what runs there.
    _sweeper: Sweeper,
    folder: TempDir,
    executable: PathBuf,
    search_path: OsString,
}

/// How an executable is built.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// Quickly.
    Dev,
    /// As it is installed.
    Release,
}

/// How an executable comes to the C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linking {
    /// It asks for that of the system that it runs on.
    Dynamic,
    /// It brings it along.
    Static,
}

/// The flag of the compiler for the latter.
pub(crate) const STATIC: &str = "-Ctarget-feature=+crt-static";

impl Stage {
    /// Builds procmgr and makes the folder.
    pub(crate) fn build(profile: Profile) -> Result<Self, String> {
        let executable = build("procmgr", profile, Linking::Dynamic)?;
        let own = executable.parent().map(Path::to_owned);
        let others = env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        let search_path = env::join_paths(own.into_iter().chain(env::split_paths(&others)))
            .map_err(because("cannot put the executable into the PATH"))?;
        let folder = tempfile::Builder::new()
            .prefix("procmgr-stage-")
            .tempdir()
            .map_err(because("cannot make a folder"))?;
        let sweeper = Sweeper::start(folder.path(), &search_path)?;
        Ok(Self { _sweeper: sweeper, folder, executable, search_path })
    }

    /// Lets other users into the folder, and puts copies of procmgr and of this executable there, which they can run
    /// whoever may enter the folders that these were built in.
    pub(crate) fn open_to_others(&self) -> Result<(), String> {
        let cannot = because("cannot open the folder to other users");
        fs::set_permissions(self.folder.path(), fs::Permissions::from_mode(0o755)).map_err(&cannot)?;
        fs::copy(&self.executable, self.path("procmgr")).map_err(&cannot)?;
        fs::copy(env::current_exe().map_err(&cannot)?, self.path("xtask")).map_err(&cannot)?;
        Ok(())
    }

    /// Writes a file, in which `@FOLDER` and `@UID` are replaced by what they stand for.
    pub(crate) fn put(&self, name: &str, text: &str) -> Result<(), String> {
        let folder =
            self.folder.path().to_str().ok_or("the path of the folder for temporary files is no text")?;
        let text = text.replace("@FOLDER", folder).replace("@UID", &self.uid()?.to_string());
        let path = self.folder.path().join(name);
        fs::write(&path, text).map_err(because("cannot write a file"))?;
        // Whatever the umask: root's daemon trusts no file that others may write.
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(because("cannot write a file"))
    }

    /// Returns the shell, with a command to run as a user at a terminal in this folder would.
    pub(crate) fn shell(&self, command: &str) -> Command {
        let mut shell = shell(self.folder.path(), &self.search_path);
        shell.arg("-c").arg(command).current_dir(self.folder.path());
        shell
    }

    /// Returns the path of the executable.
    pub(crate) fn executable(&self) -> &Path {
        &self.executable
    }

    /// Returns the path of a file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns whether root plays.
    pub(crate) fn is_root(&self) -> Result<bool, String> {
        Ok(self.uid()? == 0)
    }

    fn uid(&self) -> Result<u32, String> {
        fs::metadata(self.folder.path())
            .map(|folder| folder.uid())
            .map_err(because("cannot look at the folder"))
    }
}

/// A process that waits for the end of this one, whatever kind of end it is, and then clears up.
struct Sweeper(Child);

impl Sweeper {
    fn start(folder: &Path, search_path: &OsString) -> Result<Self, String> {
        let mut sweeper = shell(folder, search_path);
        sweeper.arg("-c").arg(SWEEP).arg("sweep").arg(folder).current_dir("/");
        sweeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Out of reach of the terminal's Ctrl-C, which is one of the ends it waits for.
        sweeper.process_group(0).spawn().map(Self).map_err(because("cannot run the shell"))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Ends the daemon first, or it would start again what is killed; then whatever works in the folder.
const SWEEP: &str = r#"
cat
procmgr -s
folder=$(cd "$1" && pwd -P)
for link in /proc/[0-9]*/cwd; do
    if [ "$link" -ef "$folder" ]; then
        pid=${link#/proc/}
        kill -KILL "${pid%/cwd}"
    fi
done
rm -rf "$1"
"#;

/// Builds an executable of this repository and returns its path, as Cargo tells it.
pub(crate) fn build(package: &str, profile: Profile, linking: Linking) -> Result<PathBuf, String> {
    let profile = match profile {
        Profile::Dev => "dev",
        Profile::Release => "release",
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--package", package, "--bin", package, "--profile", profile]);
    cargo
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"));
    if package == "xtask" {
        // What is measured beside procmgr has to be as fast as it can, and may be of any size; and most of the time
        // that building takes would be spent on what is left out here.
        for setting in ["opt-level=3", "lto='off'", "codegen-units=16"] {
            cargo.arg("--config").arg(format!("profile.release.{setting}"));
        }
    }
    match linking {
        Linking::Dynamic => {}
        Linking::Static => {
            // Named, so that the flags are not those of what only runs while it is built; and in a folder of its own.
            cargo.args(["--target", &machine()?, "--config", &format!("build.rustflags=['{STATIC}']")]);
            cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        }
    }
    let output = cargo.stderr(Stdio::inherit()).output().map_err(because("cannot run cargo"))?;
    if !output.status.success() {
        return Err(format!("cannot build {package}: cargo has ended with {}", output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let path = messages.lines().rev().find_map(|message| {
        let (_, path) = message.split_once(r#""executable":""#)?;
        path.split('"').next()
    });
    path.map(PathBuf::from).ok_or_else(|| "cargo has built no executable".to_owned())
}

/// Returns what the compiler calls this machine.
fn machine() -> Result<String, String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().map_err(because("cannot run rustc"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let machine = text.lines().find_map(|line| line.strip_prefix("host: "));
    machine.map(str::to_owned).ok_or_else(|| "rustc does not tell what machine this is".to_owned())
}

/// Returns a shell that finds this procmgr and this configuration, and no other.
fn shell(folder: &Path, search_path: &OsString) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.env("PATH", search_path).env("PROCMGR_CONFFILE", folder.join("procmgr.cfg"));
    for name in ["PROCMGR_SOCKET", "NOTIFY_SOCKET", "JOURNAL_STREAM"] {
        shell.env_remove(name);
    }
    shell
}

fn because<E: Display>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}
