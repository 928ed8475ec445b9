//! Who may know whom: the arrows between crates, the adapters of other people's crates, and the pure core.
//!
//! The tables here are the design; a change of it begins with a change of them.

use std::collections::BTreeMap;

use crate::tidy::Violation;
use crate::tidy::repository::{File, Repository};
use crate::tidy::rust::Source;

/// Our crates, and which others of ours each may depend on.
const ARROWS: [(&str, &[&str]); 7] = [
    ("procmgr", &["procmgr-cli", "procmgrd", "procmgr-config", "procmgr-proto"]),
    ("procmgrd", &["procmgr-config", "procmgr-proto"]),
    ("procmgr-config", &[]),
    ("procmgr-cli", &["procmgr-proto"]),
    ("procmgr-proto", &[]),
    ("procmgr-fuzz", &["procmgrd", "procmgr-config", "procmgr-proto"]),
    ("xtask", &[]),
];

/// Paths of other people's crates, and the files that may name them, tests aside.
const ADAPTERS: [(&str, &[&str]); 21] = [
    ("bincode", &["procmgr-proto/src/codec.rs"]),
    ("crc32fast", &["procmgrd/src/state/line.rs"]),
    (
        "divan",
        &[
            "procmgr-config/benches/parser.rs",
            "procmgr-proto/benches/codec.rs",
            "procmgrd/benches/supervisor.rs",
        ],
    ),
    ("env_logger", &["src/logging.rs"]),
    ("humantime", &["procmgr-cli/src/time.rs", "src/logging.rs"]),
    ("lexopt", &["src/args.rs"]),
    (
        "libfuzzer_sys",
        &[
            "fuzz/fuzz_targets/config/main.rs",
            "fuzz/fuzz_targets/frame.rs",
            "fuzz/fuzz_targets/message.rs",
            "fuzz/fuzz_targets/supervisor.rs",
        ],
    ),
    ("log", &["procmgrd/src/journal.rs", "src/logging.rs"]),
    (
        "nix",
        &[
            "procmgr-config/src/accounts.rs",
            "procmgr-config/src/accounts/files.rs",
            "procmgr-config/src/accounts/library.rs",
            "procmgr-config/src/fuzz.rs",
            "procmgr-config/src/lint/surroundings.rs",
            "procmgr-config/src/load.rs",
            "procmgr-proto/src/client/process.rs",
            "procmgrd/src/background.rs",
            "procmgrd/src/clock.rs",
            "procmgrd/src/config_source.rs",
            "procmgrd/src/descriptors.rs",
            "procmgrd/src/fork.rs",
            "procmgrd/src/heap.rs",
            "procmgrd/src/lib.rs",
            "procmgrd/src/listener.rs",
            "procmgrd/src/membership.rs",
            "procmgrd/src/notify.rs",
            "procmgrd/src/pidfd.rs",
            "procmgrd/src/pidfile.rs",
            "procmgrd/src/poll.rs",
            "procmgrd/src/probe.rs",
            "procmgrd/src/server.rs",
            "procmgrd/src/signals.rs",
            "procmgrd/src/spawn.rs",
            "procmgrd/src/stat.rs",
            "procmgrd/src/state/folder.rs",
            "procmgrd/src/state/signature.rs",
            "procmgrd/src/state/store.rs",
            "procmgrd/src/upgrade.rs",
            "procmgrd/src/wards.rs",
            "src/log_stream.rs",
            "src/logging.rs",
            "src/system_log.rs",
        ],
    ),
    (
        "nix::libc",
        &[
            "procmgrd/src/descriptors.rs",
            "procmgrd/src/fork.rs",
            "procmgrd/src/heap.rs",
            "procmgrd/src/membership.rs",
            "procmgrd/src/pidfd.rs",
            "procmgrd/src/signals.rs",
        ],
    ),
    ("nix::sys::epoll", &["procmgrd/src/poll.rs"]),
    ("nix::sys::signal", &["procmgrd/src/fork.rs", "procmgrd/src/signals.rs"]),
    ("nix::syslog", &["src/logging.rs", "src/system_log.rs"]),
    ("rustc_hash", &["procmgr-config/src/document.rs", "procmgrd/src/maps.rs"]),
    (
        "rustix",
        &[
            "procmgr-cli/src/reader.rs",
            "procmgr-cli/src/watch.rs",
            "procmgr-proto/src/client/process.rs",
            "procmgr-proto/src/deadline.rs",
            "procmgr-proto/src/stdio.rs",
            "procmgrd/src/activation.rs",
            "procmgrd/src/connection.rs",
            "procmgrd/src/fork.rs",
            "procmgrd/src/lock.rs",
            "procmgrd/src/parcel.rs",
            "procmgrd/src/places.rs",
            "procmgrd/src/pidfd.rs",
            "procmgrd/src/poll.rs",
            "procmgrd/src/process.rs",
            "procmgrd/src/signals.rs",
            "procmgrd/src/state/folder.rs",
            "procmgrd/src/stream.rs",
            "procmgrd/src/upgrade/rehearsal.rs",
            "xtask/src/bench/crowd/attacker.rs",
            "xtask/src/bench/daemon.rs",
            "xtask/src/bench/floor/echo.rs",
            "xtask/src/bench/floor/spawner.rs",
            "xtask/src/bench/floor/watch.rs",
            "xtask/src/bench/rows/managers.rs",
            "xtask/src/bench/rows/restart.rs",
            "xtask/src/bench/rows/swarm.rs",
            "xtask/src/bench/signs.rs",
            "xtask/src/chaos/identity.rs",
            "xtask/src/chaos/namespace.rs",
            "xtask/src/chaos/part.rs",
            "xtask/src/wire.rs",
        ],
    ),
    (
        "serde",
        &[
            "procmgr-cli/src/json.rs",
            "procmgr-cli/src/json/lists.rs",
            "procmgr-cli/src/json/sighting.rs",
            "procmgr-proto/src/codec.rs",
            "procmgr-proto/src/details.rs",
            "procmgr-proto/src/event.rs",
            "procmgr-proto/src/message.rs",
            "procmgrd/src/clock.rs",
            "procmgrd/src/connection/packed.rs",
            "procmgrd/src/descriptors.rs",
            "procmgrd/src/journal.rs",
            "procmgrd/src/latin.rs",
            "procmgrd/src/listener.rs",
            "procmgrd/src/lock.rs",
            "procmgrd/src/notify.rs",
            "procmgrd/src/packed.rs",
            "procmgrd/src/parcel.rs",
            "procmgrd/src/places.rs",
            "procmgrd/src/reader/packed.rs",
            "procmgrd/src/server/packed.rs",
            "procmgrd/src/state/folder.rs",
            "procmgrd/src/state/stored.rs",
            "procmgrd/src/upgrade/handover.rs",
            "procmgrd/src/upgrade/words.rs",
            "src/check/json.rs",
        ],
    ),
    (
        "serde_json",
        &[
            "procmgr-cli/src/json.rs",
            "procmgrd/src/state/reading.rs",
            "procmgrd/src/state/store.rs",
            "procmgrd/src/upgrade/handover.rs",
            "xtask/src/bench/report.rs",
            "xtask/src/dist/inventory.rs",
        ],
    ),
    ("signal_hook", &["procmgr-cli/src/reader.rs", "procmgrd/src/signals.rs"]),
    ("strsim", &["procmgr-config/src/check.rs"]),
    ("tempfile", &["procmgr-config/benches/parser.rs", "xtask/src/demo/session.rs", "xtask/src/stage.rs"]),
    ("unicode_width", &["procmgr-cli/src/text.rs"]),
];

/// Where decisions are made.
const CORE: &str = "procmgrd/src/supervisor/";

/// What the core has no use for.
const NOT_IN_CORE: [&str; 7] =
    ["std::env", "std::fs", "std::io", "std::net", "std::os", "std::process", "std::thread"];

/// The rooms of its crate that the core may name: its own, and one of mere data.
const ROOMS_OF_CORE: [&str; 2] = ["supervisor", "maps"];

/// The crates that the core may name; its tests may name those that are made for tests, too.
const CRATES_OF_CORE: [&str; 2] = ["procmgr_config", "procmgr_proto"];
const CRATES_OF_TESTS: [&str; 1] = ["proptest"];

/// Our crates depend on each other as the table says, and on others' crates that have an adapter.
pub(super) fn arrows(repository: &Repository) -> Vec<Violation> {
    let manifests = manifests(repository);
    let mut violations = Vec::new();
    for (name, file) in &manifests {
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| crate_name == name) else {
            violations.push(Violation::new(
                &file.path,
                1,
                format!("crate {name} has no place in the design"),
            ));
            continue;
        };
        for (line, dependency) in dependencies(file) {
            let is_ours = manifests.contains_key(&dependency);
            let has_adapter = ADAPTERS.iter().any(|(path, _)| *path == dependency.replace('-', "_"));
            let text = match (is_ours, allowed.contains(&dependency.as_str()), has_adapter) {
                (true, false, _) => format!("{name} must not depend on {dependency}"),
                (false, _, false) => format!("{dependency} has no adapter: name the files that may use it"),
                _ => continue,
            };
            violations.push(Violation::new(&file.path, line, text));
        }
    }
    violations
}

/// Each of other people's crates is named in its adapters only.
pub(super) fn adapters(repository: &Repository) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in repository.sources() {
        let path = source.file.path.as_str();
        for named in source.paths().into_iter().filter(|named| !source.is_test(named.line)) {
            for (adapted, _) in
                ADAPTERS.iter().filter(|(adapted, files)| named.is_below(adapted) && !files.contains(&path))
            {
                let text = format!("{adapted} is named outside of its adapters");
                violations.push(Violation::new(path, named.line, text));
            }
        }
    }
    violations
}

/// The core knows no clock, file, socket, process, thread or environment, and no room of the shell around it.
pub(super) fn core(repository: &Repository) -> Vec<Violation> {
    let foreign = foreign_crates(repository);
    let sources = repository.sources().filter(|source| source.file.path.starts_with(CORE));
    sources.flat_map(|source| impurities(&source, &foreign)).collect()
}

fn impurities(source: &Source<'_>, foreign: &[String]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for named in source.paths() {
        let is_test = source.is_test(named.line);
        let segments: Vec<&str> = named.segments.iter().map(String::as_str).collect();
        let reads_clock = segments.contains(&"SystemTime") || segments.ends_with(&["Instant", "now"]);
        let is_foreign = foreign.iter().any(|name| named.is_below(name))
            && !(is_test && CRATES_OF_TESTS.contains(&segments[0]));
        let is_impure = NOT_IN_CORE.iter().any(|path| named.is_below(path));
        let leaves_core = matches!(segments[..], ["crate", room, ..] if !ROOMS_OF_CORE.contains(&room));
        // Tests begin their own time somewhere.
        if is_impure || is_foreign || leaves_core || (reads_clock && !is_test) {
            let text = format!("the core must not name {}", segments.join("::"));
            violations.push(Violation::new(&source.file.path, named.line, text));
        }
    }
    violations
}

/// Returns the crates that the core must not name, as code spells them.
fn foreign_crates(repository: &Repository) -> Vec<String> {
    let manifests = manifests(repository);
    let ours = manifests.keys().cloned();
    let others = manifests.values().flat_map(|file| dependencies(file)).map(|(_, name)| name);
    let known = ADAPTERS.iter().map(|(path, _)| (*path).to_owned());
    ours.chain(others)
        .map(|name| name.replace('-', "_"))
        .chain(known)
        .filter(|name| !CRATES_OF_CORE.contains(&name.as_str()))
        .collect()
}

/// Returns the manifests of our crates by their names.
fn manifests(repository: &Repository) -> BTreeMap<String, &File> {
    let manifests =
        repository.files().filter(|file| file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml"));
    manifests.filter_map(|file| Some((package_name(file)?, file))).collect()
}

fn package_name(manifest: &File) -> Option<String> {
    let mut lines = manifest.text.lines().skip_while(|line| line.trim() != "[package]");
    let name = lines.find_map(|line| line.trim().strip_prefix("name = "))?;
    Some(name.trim_matches('"').to_owned())
}

/// Returns what a crate depends on beyond its tests, each with the number of its line.
fn dependencies(manifest: &File) -> Vec<(usize, String)> {
    let mut dependencies = Vec::new();
    let mut is_inside = false;
    for (number, line) in manifest.lines() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            let parts: Vec<&str> = header.trim_end_matches(']').split('.').collect();
            let is_list = |part: &&str| matches!(*part, "dependencies" | "build-dependencies");
            let counts = parts[0] != "workspace";
            is_inside = counts && parts.last().is_some_and(is_list);
            if let [.., list, name] = parts[..] {
                dependencies.extend((counts && is_list(&list)).then(|| (number, name.to_owned())));
            }
        } else if is_inside && let Some((key, value)) = line.split_once('=') {
            let renamed = value.split_once("package = \"").and_then(|(_, rest)| rest.split('"').next());
            let name = key.split('.').next().unwrap_or(key).trim().trim_matches('"');
            if !name.starts_with('#') {
                dependencies.push((number, renamed.unwrap_or(name).to_owned()));
            }
        }
    }
    dependencies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(violations: &[Violation]) -> Vec<String> {
        violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_arrow_that_is_not_in_the_design_is_found() {
        let repository = Repository::of(&[
            ("procmgr-proto/Cargo.toml", "[package]\nname = \"procmgr-proto\"\n"),
            (
                "procmgrd/Cargo.toml",
                "[package]\nname = \"procmgrd\"\n[dependencies]\nprocmgr-proto.workspace = true\n",
            ),
            (
                "procmgr-cli/Cargo.toml",
                "[package]\nname = \"procmgr-cli\"\n[dependencies]\nprocmgrd = { path = \"../procmgrd\" }\n\
                 [dev-dependencies]\nprocmgrd.workspace = true\n",
            ),
        ]);
        assert_eq!(
            told(&arrows(&repository)),
            ["procmgr-cli/Cargo.toml:4: procmgr-cli must not depend on procmgrd"]
        );
    }

    #[test]
    fn neither_a_rename_nor_a_section_of_its_own_hides_an_arrow() {
        let repository = Repository::of(&[
            ("procmgrd/Cargo.toml", "[package]\nname = \"procmgrd\"\n"),
            (
                "xtask/Cargo.toml",
                "[package]\nname = \"xtask\"\n[build-dependencies]\nd = { package = \"procmgrd\", path = \"\" }\n\
                 [target.'cfg(unix)'.dependencies.procmgrd]\npath = \"\"\n",
            ),
        ]);
        assert_eq!(arrows(&repository).len(), 2);
    }

    #[test]
    fn a_crate_or_a_dependency_without_a_place_is_found() {
        let repository = Repository::of(&[
            ("new/Cargo.toml", "[package]\nname = \"new\"\n"),
            (
                "procmgrd/Cargo.toml",
                "[package]\nname = \"procmgrd\"\n[dependencies]\ntokio = \"1\"\nsignal-hook = \"0\"\n",
            ),
        ]);
        assert_eq!(
            told(&arrows(&repository)),
            [
                "new/Cargo.toml:1: crate new has no place in the design",
                "procmgrd/Cargo.toml:4: tokio has no adapter: name the files that may use it",
            ]
        );
    }

    #[test]
    fn a_crate_named_outside_of_its_adapter_is_found() {
        let repository = Repository::of(&[
            ("procmgr-proto/src/codec.rs", "use bincode::Options;\n"),
            ("procmgr-proto/src/frame.rs", "fn f() {\n    bincode::serialize(1);\n}\n"),
            ("procmgr-proto/src/tests.rs", "use bincode::Options;\n"),
            ("procmgrd/src/server.rs", "use nix::{sys::{epoll::Epoll, socket::bind}};\n"),
        ]);
        assert_eq!(
            told(&adapters(&repository)),
            [
                "procmgr-proto/src/frame.rs:2: bincode is named outside of its adapters",
                "procmgrd/src/server.rs:1: nix::sys::epoll is named outside of its adapters",
            ]
        );
    }

    #[test]
    fn whatever_is_impure_is_found_in_the_core() {
        for line in [
            "use std::{env, mem};",
            "use std::io::{Write};",
            "fn f() { std::thread::yield_now() }",
            "fn f() { let now = Instant::now(); }",
            "fn f() { std::time::Instant::now() }",
            "use std::time::SystemTime;",
            "use nix::unistd::Pid;",
            "use nix::libc::kill;",
            "fn f() { log::info!() }",
            "use crate::spawn::Spawner;",
        ] {
            let repository = Repository::of(&[("procmgrd/src/supervisor/program.rs", line)]);
            assert_eq!(core(&repository).len(), 1, "{line}");
            let repository = Repository::of(&[("procmgrd/src/process.rs", line)]);
            assert_eq!(core(&repository).len(), 0, "{line}");
        }
    }

    #[test]
    fn what_the_core_needs_is_left_alone() {
        let text = "//! No `std::fs` here.\nuse std::time::Instant;\nuse crate::supervisor::event::Pid;\n\
                    use procmgr_config::Uid;\nfn f(now: Instant) -> &'static str { \"nix::unistd\" }\n";
        let tests = "use proptest::prelude::any;\nfn f() { Instant::now(); }\n";
        let repository = Repository::of(&[
            ("procmgrd/src/supervisor/mod.rs", text),
            ("procmgrd/src/supervisor/tests/model.rs", tests),
        ]);
        assert_eq!(core(&repository), []);
    }

    #[test]
    fn tests_of_the_core_are_pure_but_for_their_clock() {
        let repository =
            Repository::of(&[("procmgrd/src/supervisor/tests/mod.rs", "use std::thread::sleep;\n")]);
        assert_eq!(core(&repository).len(), 1);
    }
}
