//! Where the configuration of this daemon comes from, the first time and every time after.
//!
//! What it says is `procmgr-config`'s to tell, what follows from it the supervisor's.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use procmgr_config::load::{LoadError, Loaded, Writers, load};
use procmgr_config::{Definition, OnExit, ProgramName};

use crate::places::beside;

/// The file of the configuration, and what goes for it while the daemon runs.
#[derive(Debug)]
pub(crate) struct ConfigSource {
    /// The file, by its absolute path.
    path: PathBuf,
    /// The socket of a configuration that names none.
    default_socket: PathBuf,
    writers: Writers,
    /// Where relative paths in the file begin: the folder in which the daemon was started.
    base: PathBuf,
}

impl ConfigSource {
    /// Names the file. Relative paths, of the file and in it, are taken from `base`.
    pub(crate) fn new(path: &Path, default_socket: PathBuf, base: PathBuf) -> Self {
        // Its scripts run as the daemon: whoever may write it is root, too.
        let writers = if geteuid().is_root() { Writers::Root } else { Writers::Anybody };
        Self { path: base.join(path), default_socket, writers, base }
    }

    /// Returns where relative paths begin.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Reads the file. Of each program that it defines `in_force` tells by which definition it lives already, if it
    /// does; that one stays where both mean the same, so that a reload leaves everything where it is that it does not
    /// change.
    pub(crate) fn load<'d>(
        &self,
        in_force: impl Fn(&ProgramName) -> Option<&'d Arc<Definition>>,
    ) -> Result<Loaded, LoadError> {
        let mut keep = |mut definition: Definition| {
            definition.cwd = definition.cwd.map(|folder| self.base.join(folder).into());
            let same = in_force(&definition.name).filter(|it| ***it == definition);
            same.map_or_else(|| Arc::new(definition), Arc::clone)
        };
        let mut loaded = load(&self.path, &self.default_socket, self.writers, &mut keep)?;
        let config = &mut loaded.config;
        config.socket_path = self.base.join(&config.socket_path);
        config.state_path = Some(match &config.state_path {
            Some(path) => self.base.join(path),
            None => beside(&config.socket_path, ".state"),
        });
        if process::id() == INIT {
            config.on_exit = OnExit::Stop;
        }
        Ok(loaded)
    }
}

/// The first process of a system or container. When it ends, the kernel kills all others: better they end before.
const INIT: u32 = 1;

/// Returns how long programs may take to end when this daemon does, if their definitions do not say it; `None` waits
/// for them without end. Whoever ends a container is not patient for long.
pub(crate) fn patience() -> Option<Duration> {
    (process::id() == INIT).then_some(Duration::from_secs(10))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    const TEXT: &str = "allow-uid = 7
[prog-a]
cmd-start = exec sleep 1
cmd-dance = echo dance
cwd = a
[prog-b]
cmd-start = exec sleep 2
uid-start = 8
restart-delay = 5
[prog-c]
";

    /// A file in a folder where relative paths begin, and the definitions that are in force.
    struct World {
        folder: TempDir,
        source: ConfigSource,
        in_force: Vec<Arc<Definition>>,
    }

    impl World {
        fn new() -> Self {
            let folder = TempDir::new().unwrap();
            let source = ConfigSource::new(Path::new("file"), "/socket".into(), folder.path().into());
            let mut world = Self { folder, source, in_force: Vec::new() };
            world.in_force = world.load(TEXT);
            world
        }

        /// Returns the definitions in a text.
        fn load(&self, text: &str) -> Vec<Arc<Definition>> {
            let file = self.folder.path().join("file");
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
            let in_force = |name: &ProgramName| self.in_force.iter().find(|it| it.name == *name);
            self.source.load(in_force).unwrap().config.programs
        }

        /// Returns the names of those programs in a text whose definitions are not those in force.
        fn new_in(&self, text: &str) -> Vec<String> {
            let is_new = |it: &Arc<Definition>| !self.in_force.iter().any(|same| Arc::ptr_eq(it, same));
            self.load(text).into_iter().filter(is_new).map(|it| it.name.to_string()).collect()
        }
    }

    #[test]
    fn a_file_that_says_the_same_leaves_every_definition_where_it_is() {
        let world = World::new();
        assert_eq!(world.new_in(TEXT), [] as [&str; 0]);
        // In other words, at another place and beside others it is the same, too.
        let text = "[prog-c]\nallow-uid = 007\n[prog-b]\nuid-start=8\nrestart-delay=5\nallow-uid=7\n\
                    cmd-start = exec sleep 2\n";
        assert_eq!(world.new_in(text), [] as [&str; 0]);
    }

    #[test]
    fn where_one_key_has_changed_one_definition_is_new() {
        let world = World::new();
        for (key, changed) in [
            ("cmd-start = exec sleep 2", "cmd-start = exec sleep 3"),
            ("uid-start = 8", "uid-start = 9"),
            ("uid-start = 8", "gid-start = 8"),
            ("restart-delay = 5", "restart-delay = 6"),
            ("restart-delay = 5", "restart-delay = 5\nstop-timeout = 5"),
            ("uid-start = 8\n", ""),
        ] {
            assert_eq!(world.new_in(&TEXT.replace(key, changed)), ["b"], "{changed}");
        }
        assert_eq!(world.new_in(&TEXT.replace("cwd = a", "cwd = b")), ["a"]);
        assert_eq!(world.new_in(&TEXT.replace("prog-c", "prog-d")), ["d"]);
        assert_eq!(world.new_in(&TEXT.replace("allow-uid = 7", "allow-uid = 9")), ["a", "b", "c"]);
    }

    #[test]
    fn relative_folders_are_taken_from_where_the_daemon_was_started() {
        let world = World::new();
        let folder = |number: usize| world.in_force[number].cwd.as_deref();
        assert_eq!((folder(0), folder(1)), (Some(&*world.folder.path().join("a")), None));
        assert_eq!(world.load("[prog-a]\ncwd = /a/../b\n")[0].cwd.as_deref(), Some(Path::new("/a/../b")));
    }
}
