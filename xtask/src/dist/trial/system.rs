//! A bare Debian in a folder, made once and copied for each scene, and a container to play in.
//!
//! What is played there is not known here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::dist::release::Release;
use crate::dist::tools::{because, run, show, tool};

/// A system that nothing was done to so far. It is removed when it is dropped.
pub(super) struct System {
    root: PathBuf,
}

/// What has come of a scene that has not failed.
pub(super) enum Outcome {
    Passed,
    /// It could not be played here, for this reason.
    Skipped(String),
}

/// Returns why no container can be started on this machine, if that is so.
pub(super) fn obstacle() -> Option<String> {
    match run(container().args(["--directory=/", "--volatile=yes", "--as-pid2", "/usr/bin/true"])) {
        Ok(_) => None,
        Err(reason) => Some(reason.trim().to_owned()),
    }
}

impl System {
    /// Copies the bare Debian, which is made if there is none yet.
    pub(super) fn debian(release: &Release) -> Result<Self, String> {
        let system = Self::nothing(release)?;
        let suite = suite()?;
        let base = system.root.with_file_name(format!("{suite}+{}", PACKAGES.join("+")));
        if !base.exists() {
            make_base(&base, &suite)?;
        }
        show(tool("cp").args(["--archive", "--reflink=auto"]).arg(&base).arg(&system.root))?;
        Ok(system)
    }

    /// Makes a system without any library: busybox is all that there is, and it brings what it needs.
    pub(super) fn without_libraries(release: &Release) -> Result<Self, String> {
        let system = Self::nothing(release)?;
        let set = because("make a system without libraries");
        for folder in ["dev", "etc", "proc", "run", "sbin", "sys", "tmp", "usr/bin", "usr/sbin", "var"] {
            fs::create_dir_all(system.root.join(folder)).map_err(&set)?;
        }
        std::os::unix::fs::symlink("../run", system.root.join("var/run")).map_err(&set)?;
        system.invite(release, &["busybox-static"])?;
        for (name, text) in [("passwd", PASSWD), ("group", GROUP), ("os-release", "ID=bare\n")] {
            fs::write(system.root.join("etc").join(name), text).map_err(&set)?;
        }
        run(tool("chroot").arg(&system.root).args(["/bin/busybox", "--install", "-s"]))?;
        Ok(system)
    }

    fn nothing(release: &Release) -> Result<Self, String> {
        let folder = release.folder.join("systems");
        fs::create_dir_all(&folder).map_err(because("make a folder for systems"))?;
        let system = Self { root: folder.join("scene") };
        system.remove();
        Ok(system)
    }

    /// Unpacks packages that are not installed: what they would do to the system is not wanted.
    pub(super) fn invite(&self, release: &Release, guests: &[&str]) -> Result<(), String> {
        if guests.is_empty() {
            return Ok(());
        }
        let folder = release.folder.join("systems").join(guests.join("+"));
        if !folder.exists() {
            let draft = folder.with_extension("draft");
            let _ = fs::remove_dir_all(&draft);
            fs::create_dir_all(&draft).map_err(because("make a folder for packages"))?;
            run(tool("apt-get").current_dir(&draft).args(["--quiet", "download"]).args(guests))?;
            fs::rename(&draft, &folder).map_err(because("keep the packages"))?;
        }
        for entry in fs::read_dir(&folder).map_err(because("look at the packages"))? {
            let package = entry.map_err(because("look at the packages"))?.path();
            let unpack = r#"dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --keep-directory-symlink"#;
            run(tool("sh").args(["-c", unpack, "sh"]).arg(package).arg(&self.root))?;
        }
        Ok(())
    }

    /// Puts files where the scene finds them: in a folder of `/trial`.
    pub(super) fn put(&self, folder: &str, files: &[PathBuf]) -> Result<(), String> {
        let folder = self.root.join("trial").join(folder);
        fs::create_dir_all(&folder).map_err(because("set the scene"))?;
        for file in files {
            let name = file.file_name().unwrap_or_default();
            fs::copy(file, folder.join(name)).map_err(because("set the scene"))?;
        }
        Ok(())
    }

    /// Plays a scene without an init system, as in a container or a chroot.
    pub(super) fn play(&self, scene: &str) -> Result<Outcome, String> {
        show(self.container().arg("--as-pid2").arg(format!("/trial/{scene}.sh")))?;
        Ok(Outcome::Passed)
    }

    /// Plays a scene under a systemd that has booted the system.
    pub(super) fn boot(&self, scene: &str) -> Result<Outcome, String> {
        let units = self.root.join("etc/systemd/system");
        let wanted = units.join("multi-user.target.wants");
        let unit = UNIT.replace("@SCENE@", scene);
        let set = |result: std::io::Result<()>| result.map_err(because("set the scene"));
        set(fs::create_dir_all(&wanted))?;
        set(fs::write(units.join("trial.service"), unit))?;
        set(std::os::unix::fs::symlink("../trial.service", wanted.join("trial.service")))?;
        let booted = run(self.container().arg("--boot"));
        let read = |name: &str| fs::read_to_string(self.root.join("trial").join(name)).ok();
        let Some(log) = read("log") else {
            // The scene has not begun, so nothing of ours can be the reason.
            let reason = booted.err().unwrap_or_default();
            return Ok(Outcome::Skipped(format!("no systemd can be booted here: {}", reason.trim())));
        };
        print!("{log}");
        match read("outcome").as_deref().map(str::trim) {
            Some("0") => Ok(Outcome::Passed),
            Some(status) => Err(format!("dist: scene {scene} has failed, exit status {status}")),
            None => Err(format!("dist: scene {scene} has not come to its end")),
        }
    }

    fn container(&self) -> Command {
        let mut container = container();
        container.arg("--directory").arg(&self.root);
        container
    }

    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Returns a command that starts a container, and ends it if it takes too long.
fn container() -> Command {
    let mut container = tool("timeout");
    container.args([PATIENCE, "systemd-nspawn", "--quiet", "--register=no", "--keep-unit"]).args([
        "--private-network",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=pipe",
    ]);
    container
}

/// Returns the release of Debian that this machine has: packages are tried where they are made.
fn suite() -> Result<String, String> {
    let told = fs::read_to_string("/etc/os-release").map_err(because("ask which system this is"))?;
    let suite = told.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    suite.map(str::to_owned).ok_or_else(|| "dist: this is no release of Debian".to_owned())
}

/// Makes the bare system, from wherever the machine takes its own packages.
fn make_base(base: &Path, suite: &str) -> Result<(), String> {
    let draft = base.with_extension("draft");
    let _ = fs::remove_dir_all(&draft);
    println!("dist: making a bare system, once");
    let format = "--format=$(REPO_URI) $(CODENAME)";
    let sources = run(tool("apt-get").args(["indextargets", format, "Created-By: Packages"]))?;
    let mirror = sources.lines().find_map(|line| line.strip_suffix(&format!(" {suite}")));
    let mirror = mirror.ok_or_else(|| format!("dist: apt knows no source of {suite}"))?;
    run(tool("debootstrap")
        .arg("--variant=minbase")
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(suite)
        .arg(&draft)
        .arg(mirror))?;
    // The scenes have a redis of their own.
    let mask = draft.join("etc/systemd/system/redis-server.service");
    std::os::unix::fs::symlink("/dev/null", mask).map_err(because("prepare the bare system"))?;
    fs::rename(draft, base).map_err(because("keep the bare system"))
}

/// What the scenes need beside the least that there is.
const PACKAGES: [&str; 6] = ["dbus", "procps", "redis-server", "rpm", "systemd", "systemd-sysv"];

const PASSWD: &str = "root:x:0:0:root:/:/bin/sh\nworker:x:1000:100::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nusers:x:100:\nhelpers:x:2000:worker\n";

/// How many seconds a scene may take.
const PATIENCE: &str = "600";

const UNIT: &str = "\
[Unit]
Description=The scene that this system is for

[Service]
Type=oneshot
ExecStart=/bin/sh -c '/bin/bash /trial/@SCENE@.sh > /trial/log 2>&1; echo $? > /trial/outcome'
ExecStopPost=systemctl --no-block poweroff
";
