//! Where a session is played: a folder that stands for the system on which the reader has installed procmgr.
//!
//! When it goes, all that was started in it goes. What is played is not known here.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid, getsid};

use crate::harness::{Sandbox, procmgr};
use crate::succession::{all_of, end_all_of};

/// What is in the folder and not on the machine, wherever a path begins so.
const OURS: [&str; 6] = ["/etc/", "/run/", "/srv/", "/tmp/", "/usr/local/", "/var/"];

/// Folders that a system has.
const FOLDERS: [&str; 9] =
    ["etc", "run", "srv", "tmp", "usr/local/bin", "usr/local/lib", "usr/local/sbin", "var/log", "var/run"];

/// The port that stands for one that is free.
const PORT: &str = "8080";

pub(super) struct Place {
    sandbox: Sandbox,
    port: String,
    /// The sessions, as the kernel sees them, of whatever was seen to work here. Programs are in that of their daemon.
    sids: RefCell<HashSet<Pid>>,
}

impl Place {
    /// Makes a system with procmgr and nothing else, perhaps for other users as well.
    pub(super) fn new(for_others: bool) -> Self {
        let sandbox = Sandbox::new("");
        for folder in FOLDERS {
            fs::create_dir_all(sandbox.path(folder)).unwrap();
        }
        // Any port that nobody has now.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let place = Self { sandbox, port, sids: RefCell::default() };
        place.install(for_others);
        place
    }

    /// Puts procmgr where shells find it, with a file at its usual place for it to read. Other users may be unable to
    /// enter the folder that it was built in.
    fn install(&self, for_others: bool) {
        let (from, to) = (PathBuf::from(procmgr().get_program()), self.sandbox.path("usr/local/lib/procmgr"));
        if for_others {
            fs::copy(from, to).unwrap();
        } else {
            symlink(from, to).unwrap();
        }
        // The path of what is executed is also how daemons are found in the end.
        let wrapper = "#!/bin/sh\nexport PROCMGR_CONFFILE=\"${PROCMGR_CONFFILE-/etc/procmgr.cfg}\"\n\
                       exec /usr/local/lib/procmgr \"$@\"\n";
        self.put("/usr/local/bin/procmgr", wrapper, 0o755).unwrap();
    }

    /// Writes the configuration, with the socket in this folder and all allowed to whoever plays, if it does not say
    /// otherwise.
    pub(super) fn configure(&self, text: &str) {
        let says = |key| text.lines().any(|line: &str| line.starts_with(key));
        let mut lines = Vec::new();
        if !says("socket-path") {
            lines.push("socket-path = /var/run/procmgr\n".to_owned());
        }
        if !says("allow-uid") && !geteuid().is_root() {
            lines.push(format!("allow-uid = {}\n", geteuid()));
        }
        self.put("/etc/procmgr.cfg", &(lines.concat() + text), 0o644).unwrap();
    }

    /// Writes a file, whose folder is made if it has to be.
    pub(super) fn put(&self, path: &str, text: &str, mode: u32) -> io::Result<()> {
        let path = PathBuf::from(self.inwards(path));
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&path, self.inwards(text))?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    /// Returns the path of a file that no example knows of.
    pub(super) fn own_file(&self, name: &str) -> PathBuf {
        self.sandbox.path(name)
    }

    /// Returns the shell of somebody who has just come.
    pub(super) fn shell(&self) -> Command {
        // A session of its own, so that whatever is started from here can be found.
        let mut shell = Command::new("setsid");
        let path = std::env::var("PATH").unwrap_or_default();
        let own = self.sandbox.path("usr/local/bin");
        shell.arg("/bin/sh").current_dir(self.sandbox.path("srv")).env_clear();
        shell.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", own.display())).env("LC_ALL", "C");
        shell
    }

    /// Returns what a text of the document means here.
    pub(super) fn inwards(&self, text: &str) -> String {
        let mut result = String::new();
        let mut rest = text;
        let mut before = ' ';
        while let Some(first) = rest.chars().next() {
            let is_within = before.is_alphanumeric() || "/._".contains(before);
            if !is_within && OURS.iter().any(|ours| rest.starts_with(ours)) {
                result += self.folder().to_str().expect("the folder for temporary files has a name in UTF-8");
            }
            let token = if !is_within && rest.starts_with(PORT) { PORT } else { &rest[..first.len_utf8()] };
            result += if token == PORT { &self.port } else { token };
            before = first;
            rest = &rest[token.len()..];
        }
        result
    }

    /// Returns how an output would look on the reader's machine.
    pub(super) fn outwards(&self, output: &str) -> String {
        let folder = self.folder().to_string_lossy().into_owned();
        let output = output.replace(&folder, "").replace(&self.port, PORT);
        // Who plays is the user of the examples.
        let (uid, gid) = (geteuid(), nix::unistd::getegid());
        output.replace(&format!("uid {uid} gid {gid}"), "uid 1000 gid 1000")
    }

    /// Notices what works here, so that it can be ended.
    pub(super) fn look_around(&self) {
        let sids = all_of(&self.folder()).into_iter().filter_map(|pid| getsid(Some(pid)).ok());
        let own = getsid(None).unwrap();
        self.sids.borrow_mut().extend(sids.filter(|sid| *sid != own));
    }

    fn folder(&self) -> PathBuf {
        let path = self.sandbox.path("");
        // Without the slash at its end.
        path.components().collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.look_around();
        // Daemons first, or they would start anew what is killed.
        end_all_of(&self.folder());
        let sids = self.sids.borrow();
        let names =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        for pid in names.filter_map(|name| name.parse().ok()).map(Pid::from_raw) {
            if getsid(Some(pid)).is_ok_and(|sid| sids.contains(&sid)) {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
    }
}

/// Returns whether an executable is where shells look for it.
pub(super) fn is_installed(name: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').any(|folder| Path::new(folder).join(name).is_file())
}
