//! The man pages: what there is to know of options, keys, statuses and codes is in them, and nothing that there is not.
//!
//! Whether they are true beyond that is for people to judge.

mod page;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use procmgr_config::keys::{global_keys, program_keys};
use procmgr_proto::event::State;
use procmgr_proto::message::Code;

use crate::harness::{Sandbox, installed, procmgr, run};
use crate::man_pages::page::Page;

const PAGES: [&str; 3] = ["procmgr.1", "procmgr.cfg.5", "procmgr-protocol.7"];

fn set<T: Into<String>>(words: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    words.into_iter().map(Into::into).collect()
}

fn path(page: &str) -> String {
    format!("{}/packaging/man/{page}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_option_has_an_item_and_no_page_names_another_one() {
    let help = run(procmgr().arg("-h")).stdout;
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names = lines.map(|line| line.split("  ").next().unwrap_or_default());
    let words = names.flat_map(|names| names.split([' ', ','])).filter(|word| word.starts_with('-'));
    // The help has no room for another name of an option.
    let expected = set(words.chain(["--pid"]));
    assert!(expected.len() >= 40, "{help}");
    let options = Page::read("procmgr.1").part(".Sh OPTIONS");
    let items = Page {
        text: options.items().iter().map(|item| format!(".It {item}")).collect::<Vec<_>>().join("\n"),
    };
    assert_eq!(set(items.options()), expected);
    for page in PAGES {
        let strange: Vec<_> =
            Page::read(page).options().into_iter().filter(|it| !expected.contains(it)).collect();
        assert_eq!(strange, [] as [String; 0], "{page}");
        // Those of examples, and of commands in the text, too.
        let text = Page::read(page).text.replace("\\-", "-");
        let words = text.split(|it: char| it != '-' && !it.is_ascii_alphanumeric());
        let mut long = words.filter(|word| word.len() > 2 && word.starts_with("--"));
        assert_eq!(long.find(|word| !expected.contains(*word)), None, "{page}");
    }
    // The synopsis has them all, save the long forms of short ones.
    let synopsis = set(Page::read("procmgr.1").part(".Sh SYNOPSIS").options());
    let help_items = help.lines().filter_map(|line| line.trim_start().split([',', ' ']).next());
    let first = help_items.filter(|it| it.starts_with('-'));
    let missing: Vec<_> = first.filter(|it| !synopsis.contains(*it)).collect();
    assert_eq!(missing, [] as [&str; 0]);
}

#[test]
fn every_key_has_an_item_with_its_default_and_no_other_has() {
    let page = Page::read("procmgr.cfg.5");
    let in_page = |heading: &str| {
        let part = page.part(heading);
        for entry in part.text.split("\n.It ").filter(|entry| entry.contains("Ns = ")) {
            assert!(entry.contains("\nDefault:"), "{entry}");
        }
        let keys: Vec<String> = part.items().iter().flat_map(|item| keys_of(item)).collect();
        assert_eq!(set(keys.clone()).len(), keys.len(), "{keys:?}");
        set(keys)
    };
    assert_eq!(in_page(".Ss Global keys"), set(global_keys()));
    let actions = ["start", "restart", "reload", "signal", "stop", "status"];
    let of_action = |key: &str| {
        let (kind, action) = key.split_once('-')?;
        let is_of_action = ["cmd", "uid", "gid", "suid", "sgid"].contains(&kind) && actions.contains(&action);
        is_of_action.then(|| format!("{kind}-ACTION"))
    };
    let expected = program_keys().map(|key| of_action(&key).unwrap_or(key));
    assert_eq!(in_page(".Ss Keys of a program"), set(expected));
}

#[test]
fn what_looks_like_a_key_is_one() {
    let kinds = Page::read("procmgr.cfg.5").part(".Sh DIAGNOSTICS").items();
    let kinds = kinds.iter().filter_map(|item| item.strip_prefix("Cm ")).flat_map(|words| words.split(" , "));
    let mut known = set(global_keys().chain(program_keys()));
    known.extend(set(kinds));
    known.extend(State::known().map(|state| state.to_string()));
    known.extend(set(["-1"]));
    for page in PAGES {
        let text = Page::read(page).text.replace('\\', "");
        let lines = text.lines().filter_map(|line| line.strip_prefix(".Cm "));
        // A hyphen at the end is ahead of the name of any action.
        let words =
            lines.flat_map(|line| line.split(' ')).filter(|it| it.contains('-') && !it.ends_with('-'));
        let unknown: Vec<_> = words.filter(|word| !known.contains(*word)).collect();
        assert_eq!(unknown, [] as [&str; 0], "{page}");
    }
}

/// Returns the keys of an item: what stands ahead of each `=`.
fn keys_of(item: &str) -> Vec<String> {
    let item = item.replace(" Ns Ar ACTION", "ACTION");
    let words: Vec<&str> = item.split(' ').collect();
    let keys = words.windows(3).filter(|words| words[1..] == ["Ns", "="]).map(|words| words[0].to_owned());
    keys.collect()
}

#[test]
fn what_a_key_is_by_default_is_what_the_reference_says() {
    let reference = fs::read_to_string(path("../../docs/CONFIGURATION.md")).unwrap();
    let page = Page::read("procmgr.cfg.5");
    for (heading, table) in [
        (".Ss Global keys", "| global key | value | default | meaning |"),
        (".Ss Keys of a program", "| key of a program | value | default | meaning |"),
    ] {
        let rows =
            reference.split_once(table).unwrap().1.lines().skip(2).take_while(|row| row.starts_with('|'));
        let part = page.part(heading);
        for row in rows {
            let cells: Vec<&str> = row.split(" | ").collect();
            let [keys, _, default, ..] = cells[..] else { panic!("{row}") };
            let key = keys.split('`').nth(1).unwrap();
            let mut entries = part.text.split(".It ").filter(|entry| {
                keys_of(&entry.lines().next().unwrap_or_default().replace('\\', ""))
                    .iter()
                    .any(|it| it == key)
            });
            let entry = entries.next().unwrap_or_else(|| panic!("{key}"));
            // Defaults that are words of the file; others are put in other words.
            let Some(word) = default.strip_prefix('`').and_then(|it| it.strip_suffix('`')) else { continue };
            if ["allow-uid`, `allow-gid", "default-suid`, `default-sgid"].contains(&word) {
                continue;
            }
            let told =
                entry.split_once("\nDefault:\n.Cm ").map(|(_, rest)| rest.split(['\n', ' ']).next().unwrap());
            assert_eq!(told, Some(word), "{key}");
        }
    }
}

#[test]
fn every_exit_status_has_an_item_and_no_other_has() {
    let sandbox = Sandbox::new("[prog-web]\n");
    let status = |arguments: &[&str]| sandbox.client(arguments).code;
    let mut statuses = vec![status(&["-V"]), status(&["-t"]), status(&["web"]), status(&["web", "start"])];
    // Connections are accepted by the kernel, and nobody answers.
    let _silent = UnixListener::bind(sandbox.socket()).unwrap();
    statuses.push(status(&["--timeout", "0.1", "-a"]));
    let expected = set(statuses.iter().map(ToString::to_string));
    assert_eq!(expected.len(), statuses.len());
    assert_eq!(set(Page::read("procmgr.1").part(".Sh EXIT STATUS").items()), expected);
}

#[test]
fn every_code_of_a_refusal_has_an_item_and_no_other_has() {
    let expected = set(Code::known().map(|code| code.to_string()));
    for page in ["procmgr.1", "procmgr-protocol.7"] {
        let items = Page::read(page).part(".Sh DIAGNOSTICS").items();
        let codes =
            items.iter().filter_map(|item| item.strip_prefix("Cm ")).flat_map(|codes| codes.split(" , "));
        assert_eq!(set(codes), expected, "{page}");
    }
}

#[test]
fn every_word_of_lists_and_every_state_has_an_item_and_no_other_has() {
    let part = Page::read("procmgr.1").part(".Ss Lists");
    let lists: Vec<&str> = part.text.split("\n.Bl ").skip(1).collect();
    let [words, states] = lists[..] else { panic!("{} lists", lists.len()) };
    let words_of = |list: &str| {
        let items = Page { text: list.to_owned() }.items();
        set(items.iter().filter_map(|item| item.strip_prefix("Cm ")).flat_map(|words| words.split(" , ")))
    };
    assert_eq!(words_of(states), set(State::known().map(|state| state.to_string())));
    let reference = fs::read_to_string(path("../../docs/CONFIGURATION.md")).unwrap();
    let rows = reference.split_once("\n## Lists").unwrap().1.split_once("| word | meaning |").unwrap().1;
    let rows = rows.lines().skip(2).take_while(|row| row.starts_with('|'));
    let expected = rows.flat_map(|row| quoted(row.split(" | ").next().unwrap()));
    assert_eq!(words_of(words), set(expected));
}

/// Returns what stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_kind_of_finding_has_an_item_and_no_other_has() {
    let items = Page::read("procmgr.cfg.5").part(".Sh DIAGNOSTICS").items();
    let told = items.iter().filter_map(|item| item.strip_prefix("Cm ")).flat_map(|words| words.split(" , "));
    let reference = fs::read_to_string(path("../../docs/CONFIGURATION.md")).unwrap();
    let rows = reference.split_once("| kind (with `--json`) | what is told |").unwrap().1;
    let rows = rows.lines().skip(2).take_while(|row| row.starts_with('|'));
    let expected = rows.flat_map(|row| quoted(row.split(" | ").next().unwrap()));
    assert_eq!(set(told), set(expected));
}

#[test]
fn every_message_has_an_item_with_its_number_and_no_other_has() {
    let protocol = fs::read_to_string(path("../../procmgr-proto/PROTOCOL.md")).unwrap();
    let page = Page::read("procmgr-protocol.7");
    for (heading, table) in [
        (".Sh REQUESTS", "| number | request | who may ask | answered by |"),
        (".Sh RESPONSES", "| number | response | fields |"),
    ] {
        let rows =
            protocol.split_once(table).unwrap().1.lines().skip(2).take_while(|row| row.starts_with('|'));
        let expected: Vec<String> = rows
            .map(|row| {
                let number = row.trim_start_matches("| ").split(' ').next().unwrap();
                format!("{number} Cm {}", quoted(row).next().unwrap())
            })
            .collect();
        assert!(expected.len() >= 10, "{expected:?}");
        assert_eq!(page.part(heading).items(), expected);
    }
    assert_eq!(page.part(".Sh EVENTS").items(), ["0 Cm changed"]);
}

#[test]
fn every_variable_that_is_looked_at_has_an_item_and_no_other_has() {
    let items = Page::read("procmgr.1").part(".Sh ENVIRONMENT").items();
    let told = set(items.iter().filter_map(|item| item.strip_prefix("Ev ")).flat_map(|it| it.split(" , ")));
    let root = env!("CARGO_MANIFEST_DIR");
    let folders = ["src", "procmgrd/src", "procmgr-cli/src"];
    let sources: Vec<_> = folders.iter().flat_map(|folder| sources(&format!("{root}/{folder}"))).collect();
    let looked_at = sources.iter().flat_map(|(file, text)| {
        let calls = ["var_os(\"", "env::var(\"", "variable(\""].into_iter();
        let names = calls.flat_map(|call| text.split(call).skip(1));
        names.filter_map(|rest| rest.split('"').next()).map(move |name| (name, file))
    });
    let untold: Vec<_> = looked_at.clone().filter(|(name, _)| !told.contains(*name)).collect();
    assert_eq!(untold, []);
    assert!(looked_at.count() >= 5);
    let is_known = |name: &String| sources.iter().any(|(_, text)| text.contains(&format!("\"{name}\"")));
    let unknown: Vec<_> = told.iter().filter(|name| !is_known(name)).collect();
    assert_eq!(unknown, [] as [&String; 0]);
}

/// Returns the files of Rust below a folder, each with its text up to the tests.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_dir() {
            found.extend(sources(&name));
        } else if Path::new(&name).extension().is_some_and(|it| it == "rs") && !name.ends_with("/tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((name, text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()));
        }
    }
    found
}

#[test]
fn the_examples_of_the_configuration_are_without_findings() {
    let examples = Page::read("procmgr.cfg.5").part(".Sh EXAMPLES").examples();
    assert_eq!(examples.len(), 2);
    let sandbox = Sandbox::with_daemon("");
    sandbox.configure(&examples.concat());
    let output = sandbox.client(&["-r"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
}

#[test]
fn pages_are_without_complaints() {
    let name = "pages_are_without_complaints";
    for page in PAGES {
        let text = Page::read(page);
        assert_eq!(text.soft_hyphens(), [] as [&str; 0], "{page}");
        assert!(!text.text.lines().any(|line| line != line.trim_end()), "{page}");
    }
    match installed("mandoc") {
        None => eprintln!("skipped: {name} needs mandoc for a part of it"),
        Some(mandoc) => {
            for page in PAGES {
                let output = run(Command::new(&mandoc).args(["-Tlint", &path(page)]));
                // Which other pages there are is up to the system.
                let complaints =
                    output.stdout.lines().filter(|it| !it.contains("referenced manual not found"));
                assert_eq!(complaints.collect::<Vec<_>>(), [] as [&str; 0]);
            }
        }
    }
    match installed("man").filter(|_| installed("groff").is_some()) {
        None => eprintln!("skipped: {name} needs man and groff for a part of it"),
        Some(man) => {
            for (page, width) in PAGES.iter().flat_map(|page| [(page, 60), (page, 80)]) {
                let arguments = ["--warnings", "-E", "UTF-8", "-l", &path(page)];
                let output = run(Command::new(&man)
                    .args(arguments)
                    .env("MANWIDTH", width.to_string())
                    .env("LC_ALL", "C.UTF-8"));
                assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{page} {width}");
                assert!(output.stdout.contains("SEE ALSO"), "{page}: {}", output.stdout);
                let mut lines = output.stdout.lines();
                assert_eq!(lines.find(|line| line.chars().count() > width), None, "{page} {width}");
            }
        }
    }
}
