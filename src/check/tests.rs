//! Whole reports, of files that stand beside, on a system that is made up.
//!
//! `UPDATE=1 cargo test check::` writes the reports anew; whether they are right is then for the eye to judge.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::{env, fs};

use nix::errno::Errno;
use procmgr_cli::Format;
use procmgr_config::accounts::{Account, Database, Found};
use procmgr_config::diagnostic::Kind;
use procmgr_config::lint::surroundings::{Facts, Form, Surroundings};
use procmgr_config::lint::{Report, judge};
use procmgr_config::{Gid, Uid};

use crate::args::CheckArgs;
use crate::check::show;

/// Knows root, user 7, "anna", and group 70, "staff"; and fails to tell about names that begin with "lost".
const DATABASE: Database = Database {
    account: |uid| {
        let gid = (uid == Uid(7)).then_some(Gid(70));
        Ok(Account { uid, gid, groups: gid.into_iter().collect() })
    },
    user: |name| named(name, &[(b"root", 0), (b"anna", 7)]).map(|found| found.map(Uid)),
    group: |name| named(name, &[(b"root", 0), (b"staff", 70)]).map(|found| found.map(Gid)),
    name_of_user: |uid| {
        Ok([(Uid(0), "root"), (Uid(7), "anna")].iter().find(|(it, _)| *it == uid).map(|it| it.1.to_owned()))
    },
    name_of_group: |gid| Ok((gid == Gid(70)).then(|| "staff".to_owned())),
};

fn named(name: &[u8], known: &[(&[u8], u32)]) -> Found<u32> {
    if name.starts_with(b"lost") {
        return Err(Errno::EIO);
    }
    Ok(known.iter().find(|(it, _)| *it == name).map(|(_, id)| *id))
}

/// What stands where, whose it is, and who may write it.
fn look_at(path: &Path) -> io::Result<Facts> {
    let (form, owner, mode) = match path.to_str().unwrap() {
        "/" | "/etc" | "/usr" | "/usr/bin" | "/home" => (Form::Folder, 0, 0o755),
        "/usr/bin/sleep" | "/open/run" | "/etc/clean.cfg" => (Form::Other, 0, 0o755),
        "/etc/broken.cfg" => (Form::Other, 0, 0o664),
        "/open" => (Form::Folder, 0, 0o777),
        "/sticky" => (Form::Folder, 0, 0o1777),
        "/sticky/of-anna" | "/home/anna/run" => (Form::Other, 7, 0o755),
        "/shared" => (Form::Link(PathBuf::from("home/anna")), 0, 0o777),
        "/home/anna" => (Form::Folder, 7, 0o700),
        _ => return Err(io::ErrorKind::NotFound.into()),
    };
    Ok(Facts { form, owner: Uid(owner), group: Gid(owner), mode })
}

/// Returns the report of a file, as a daemon of this user would find it.
fn report(name: &str, daemon: Uid) -> Report {
    let surroundings = Surroundings { daemon, folder: PathBuf::from("/etc"), database: DATABASE, look_at };
    judge(Path::new(name), fs::read(fixture(name)).unwrap(), &surroundings)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/check/fixtures").join(name)
}

fn shown(report: &Report, format: Format, is_quiet: bool) -> String {
    let mut shown = String::new();
    show(report, CheckArgs { format, is_quiet }, &mut |text| shown.push_str(text));
    shown
}

#[track_caller]
fn expect(name: &str, found: &str) {
    if env::var_os("UPDATE").is_some() {
        fs::write(fixture(name), found).unwrap();
    }
    let expected = fs::read_to_string(fixture(name)).unwrap();
    assert_eq!(found, expected, "{found}");
}

#[test]
fn a_file_with_one_finding_of_each_kind_is_reported_to_people() {
    let report = report("broken.cfg", Uid::ROOT);
    expect("broken.txt", &shown(&report, Format::Lines, false));
}

#[test]
fn a_file_with_one_finding_of_each_kind_is_reported_to_scripts() {
    let report = report("broken.cfg", Uid::ROOT);
    expect("broken.json", &shown(&report, Format::Json, false));
}

#[test]
fn the_sample_has_a_finding_of_each_kind() {
    let report = report("broken.cfg", Uid::ROOT);
    let found: BTreeSet<Kind> = report.findings().map(|finding| finding.kind).collect();
    // It takes more findings than a sample can have.
    let expected = Kind::ALL.into_iter().filter(|kind| *kind != Kind::More).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_daemon_of_a_user_may_have_what_that_user_may_write() {
    let report = report("broken.cfg", Uid(7));
    expect("broken-of-user.txt", &shown(&report, Format::Lines, false));
}

#[test]
fn a_clean_file_has_no_findings() {
    let report = report("clean.cfg", Uid::ROOT);
    assert_eq!(shown(&report, Format::Lines, false), "clean.cfg: no findings\n");
    let summary =
        r#"{"schema":1,"type":"summary","file":"clean.cfg","errors":0,"warnings":0,"privileged":0}"#;
    assert_eq!(shown(&report, Format::Json, false), format!("{summary}\n"));
}

#[test]
fn quiet_leaves_the_errors() {
    let report = report("broken.cfg", Uid::ROOT);
    let all = shown(&report, Format::Json, false);
    let errors: Vec<&str> = all.lines().filter(|line| line.contains(r#""severity":"error""#)).collect();
    assert_eq!(shown(&report, Format::Json, true).lines().collect::<Vec<_>>(), errors);
    let lines = shown(&report, Format::Lines, true);
    assert_eq!(lines.lines().filter(|line| line.contains(": error: ")).count(), errors.len());
    assert!(!lines.contains(": warning: ") && !lines.contains("warnings in") && !lines.contains("Scripts"));
}
