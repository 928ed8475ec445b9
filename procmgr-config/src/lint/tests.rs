//! What no sample of findings shows: where findings end, and what is left alone.
//!
//! Whole reports are tested where they are shown.

use std::io;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;

use crate::accounts::{Account, Accounts, Database};
use crate::diagnostic::{Kind, Severity};
use crate::lint::paths::{Flaw, Paths, Trusted};
use crate::lint::surroundings::{Facts, Form, Surroundings};
use crate::lint::{MAX_FINDINGS, Report, check, judge};
use crate::load::LoadError;
use crate::{Gid, Uid};

/// Knows users and groups with numbers below 100, each user with a group of the same number.
const DATABASE: Database = Database {
    account: |uid| Ok(Account { uid, gid: Some(Gid(uid.0)), groups: [Gid(uid.0)].into() }),
    user: |_| Ok(None),
    group: |_| Ok(None),
    name_of_user: |uid| Ok((uid.0 < 100).then(|| format!("u{}", uid.0))),
    name_of_group: |gid| Ok((gid.0 < 100).then(|| format!("g{}", gid.0))),
};

/// A tree in which names say what they are: `d755` is a folder of root, `d755-7` one of user and group 7.
fn look_at(path: &Path) -> io::Result<Facts> {
    let name = path.file_name().map_or("d755", |name| name.to_str().unwrap_or_default());
    let facts = |form, mode: &str| {
        let (mode, owner) = mode.split_once('-').unwrap_or((mode, "0"));
        let (mode, owner) = (u32::from_str_radix(mode, 8).ok()?, owner.parse().ok()?);
        Some(Facts { form, owner: Uid(owner), group: Gid(owner), mode })
    };
    let found = match name {
        "null" => facts(Form::Null, "666"),
        "loop" => facts(Form::Link(path.to_path_buf()), "777"),
        "up" => facts(Form::Link("..".into()), "777"),
        "away" => facts(Form::Link("/d777/f755".into()), "777"),
        "link-7" => facts(Form::Link("/d755/f755".into()), "777-7"),
        "secret" => return Err(io::ErrorKind::PermissionDenied.into()),
        _ => match name.split_at_checked(1) {
            Some(("d", mode)) => facts(Form::Folder, mode),
            Some(("f", mode)) => facts(Form::Other, mode),
            _ => None,
        },
    };
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn surroundings(daemon: u32) -> Surroundings {
    Surroundings { daemon: Uid(daemon), folder: PathBuf::from("/d755"), database: DATABASE, look_at }
}

fn report(text: &str) -> Report {
    judge(Path::new("f644"), text.as_bytes().to_vec(), &surroundings(0))
}

fn kinds(report: &Report) -> Vec<Kind> {
    report.findings().map(|finding| finding.kind).collect()
}

/// Returns what is wrong with a path: nothing, `missing`, `itself`, or the folder.
fn flaw(path: &str, trusted: &[u32]) -> String {
    let trusted = Trusted::new(trusted.iter().copied().map(Uid), &mut Accounts::new(DATABASE));
    match Paths::new(&surroundings(0)).flaw(Path::new(path), &trusted) {
        None => String::new(),
        Some(Flaw::Missing) => "missing".to_owned(),
        Some(Flaw::WritableItself(_)) => "itself".to_owned(),
        Some(Flaw::Writable(folder, _)) => folder.display().to_string(),
    }
}

#[test]
fn whoever_may_write_a_file_or_a_folder_on_the_way_is_seen() {
    for (path, expected) in [
        ("/d755/f755", ""),
        ("/", ""),
        ("/d755/x", "missing"),
        ("/d755/x/y", "missing"),
        ("/d755/f775", "itself"),
        ("/d755/f757", "itself"),
        ("/d755/f755-7", "itself"),
        ("/d755/null", ""),
        ("/d777/f755", "/d777"),
        ("/d775/d755/f755", "/d775"),
        ("/d755-7/f755", "/d755-7"),
        ("/d777/../f755", ""),
        ("/d755/up/f755", ""),
        ("/d755/away", "/d777"),
        ("/d755/link-7", ""),
        ("/d755/loop", "missing"),
        ("/d755/secret/f777", ""),
        // In a folder such as /tmp everybody may only replace what is theirs.
        ("/d1777/f755", ""),
        ("/d1777/f755-7", "/d1777"),
        ("/d1777/link-7", "/d1777"),
        ("/d1777", "itself"),
        ("/d1777-7/f755", "/d1777-7"),
        ("relative", ""),
    ] {
        assert_eq!(flaw(path, &[]), expected, "{path}");
    }
}

#[test]
fn who_is_trusted_may_write_and_so_may_a_group_of_the_same_number() {
    for (path, expected) in [
        ("/d755-7/f755", ""),
        ("/d755-7/f664-7", ""),
        ("/d775-7/f664-7", ""),
        ("/d755-7/f666-7", "itself"),
        ("/d755-8/f644-7", "/d755-8"),
        ("/d1777/f755-7", ""),
        ("/d775/f755-7", "/d775"),
    ] {
        assert_eq!(flaw(path, &[7]), expected, "{path}");
    }
}

#[test]
fn a_path_longer_than_the_kernel_takes_is_left_alone() {
    assert_eq!(flaw(&format!("{}/x", "/d755".repeat(2000)), &[]), "");
}

#[test]
fn a_file_of_others_is_an_error_for_root_and_a_warning_for_anybody_else() {
    let judged = |path: &str, daemon| {
        let report = judge(Path::new(path), Vec::new(), &surroundings(daemon));
        report.findings().map(|finding| (finding.severity, finding.kind)).collect::<Vec<_>>()
    };
    assert_eq!(judged("f666", 0), [(Severity::Error, Kind::Untrusted)]);
    assert_eq!(judged("f666", 7), [(Severity::Warning, Kind::Writable)]);
    assert_eq!(judged("/d777/f644", 0), [(Severity::Warning, Kind::Writable)]);
    assert_eq!(judged("f664-7", 7), []);
    // Another process's pipe has been read, but is nowhere to be found.
    assert_eq!(judged("pipe:[1]", 0), []);
}

#[test]
fn a_hundred_findings_are_not_the_last_ones_and_of_very_many_the_rest_is_counted() {
    let report = report(&"x\n".repeat(MAX_FINDINGS + 1));
    assert_eq!(report.findings().count(), MAX_FINDINGS + 1);
    let last = report.findings().last().unwrap();
    assert_eq!((last.kind, last.severity, last.text), (Kind::More, Severity::Error, "1 more finding"));
}

#[test]
fn a_finding_has_its_line_also_behind_a_byte_order_mark() {
    let report = report("\u{feff}x\n\ny");
    let places: Vec<_> = report.findings().filter_map(|finding| finding.place).collect();
    let places: Vec<_> = places.iter().map(|place| (place.line, place.column, place.source)).collect();
    assert_eq!(places, [(1, 1, &b"x"[..]), (3, 1, b"y")]);
}

#[test]
fn a_file_that_says_nothing_of_rights_is_not_flooded_with_warnings() {
    let script = "cmd-start = exec /d755/f755\ncmd-stop = kill $PID\ncmd-x = :\n";
    assert_eq!(kinds(&report(&format!("[prog-a]\n{script}"))), []);
    assert_eq!(kinds(&report(&format!("allow-uid = none\n[prog-a]\n{script}uid-x = 7"))), []);
    assert_eq!(kinds(&report(&format!("[prog-a]\nallow-gid = none\n{script}uid-x = 7"))), []);
    assert_eq!(kinds(&report(&format!("[prog-a]\n{script}uid-x = 0"))), []);
    assert_eq!(kinds(&report(&format!("[prog-a]\n{script}uid-x = 7"))), [Kind::RootOnly, Kind::RootOnly]);
    let said = format!("[prog-a]\n{script}uid-x = 7\nuid-start = none\nuid-stop = none");
    assert_eq!(kinds(&report(&said)), []);
}

#[test]
fn numbers_of_the_system_are_known_and_others_are_told_each() {
    let text = "allow-uid = 0 99 100\nallow-gid = 100 4294967294\n[prog-a]\nsuid-start = 99\nsgid-start = 100\n\
                cmd-start = exec x\ncwd = /d755";
    assert_eq!(kinds(&report(text)), [Kind::UnknownId; 4]);
}

#[test]
fn supplementary_groups_are_of_use_where_any_rule_names_groups() {
    let yes = "supplementary-groups = yes\n";
    let used = [
        format!("{yes}[prog-a]\ngid-status = 7"),
        format!("{yes}allow-gid = 7\n[prog-a]"),
        format!("allow-gid = 7\n[prog-a]\n{yes}"),
        format!("[prog-a]\n{yes}allow-gid = 7"),
        "supplementary-groups = no\n[prog-a]".to_owned(),
    ];
    for text in used {
        assert_eq!(kinds(&report(&text)), [], "{text}");
    }
    for text in [format!("{yes}[prog-a]\nuid-stop = 7"), format!("[prog-a]\n{yes}[prog-b]\ngid-stop = 7")] {
        assert_eq!(kinds(&report(&text)), [Kind::NoEffect], "{text}");
    }
}

#[test]
fn whoever_may_restart_has_the_scripts_of_stop_and_start_run() {
    let listed = |text: &str| {
        let report =
            report(&format!("[prog-a]\nuid-start = none\nuid-stop = none\nuid-restart = none\n{text}"));
        let listed = report.privileged.iter().map(|it| format!("{} {} {}", it.action, it.script, it.line));
        listed.collect::<Vec<_>>()
    };
    let scripts = "cmd-start = exec x\ncmd-stop = :\n";
    assert_eq!(listed(&format!("{scripts}uid-reload = 7")), ["reload stop 6", "reload start 5"]);
    assert_eq!(listed(&format!("{scripts}uid-reload = 7\ncmd-restart = exec x")), ["reload restart 8"]);
    assert_eq!(listed(&format!("{scripts}uid-reload = 7\ncmd-reload = :")), ["reload reload 8"]);
    assert_eq!(listed(&format!("{scripts}uid-reload = 7\nsuid-start = 7")), ["reload stop 6"]);
    assert_eq!(listed("cmd-start =\nuid-reload = 7"), Vec::<String>::new());
    let of_user = judge(Path::new("f644"), b"[prog-a]\nallow-uid = 7\ncmd-stop = :".into(), &surroundings(7));
    assert_eq!(of_user.privileged, []);
}

#[test]
fn very_many_people_are_counted_and_not_all_told() {
    let ids = |from: u32, to: u32| (from..to).map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
    let report = report(&format!(
        "allow-uid = {}\nallow-gid = {}\n[prog-a]\ncmd-stop = :\n",
        ids(0, 20_000),
        ids(0, 102)
    ));
    let (users, more_users) = report.privileged[0].users();
    let (groups, more_groups) = report.privileged[0].groups();
    assert_eq!((users.len(), more_users, groups.len(), more_groups), (100, 19_899, 100, 2));
    // No more are looked up than there is time for.
    assert_eq!(report.findings().filter(|finding| finding.kind == Kind::UnknownId).count(), 10_000 - 100 + 2);
}

proptest! {
    #[test]
    fn every_finding_of_whatever_file_is_in_it_and_harmless(pieces in vec(select(PIECES), 0..60)) {
        let text = pieces.concat();
        let report = judge(Path::new("f644"), text.clone(), &surroundings(0));
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        for finding in report.findings() {
            let place = finding.place.unwrap();
            prop_assert_eq!(place.source, lines[place.line - 1]);
            prop_assert!((1..=place.source.len() + 1).contains(&place.column), "{:?}", finding);
            prop_assert!(finding.text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{:?}", finding);
        }
    }
}

/// What files that are worth checking are made of.
const PIECES: &[&[u8]] = &[
    b"[prog-a]\n",
    b"[prog-b]\n",
    b"\n",
    b" ",
    b"uid-start = 7 100 ",
    b"gid-x = none",
    b"cmd-start = ",
    b"cmd-x = ",
    b"suid-start = 7\n",
    b"cwd = /d777\n",
    b"supplementary-groups = yes\n",
    b"allow-uid = 1\n",
    b"/d777/f755 ",
    b"exec ",
    b"/dev/stdout",
    b"'",
    b"\"",
    b"\\",
    b"$",
    b"$(",
    b"${",
    b"`",
    b"(",
    b")",
    b"}",
    b"{ ",
    b";",
    b"&",
    b"|",
    b"<",
    b"2>",
    b"#",
    b"a",
    b"A=",
    b"[",
    b"]",
    b"*",
    b"~",
    b"if ",
    b"case ",
    b"\xff",
    b"\0",
    b"/",
];

#[test]
fn a_file_that_cannot_be_read_has_no_report() {
    let refusal = |path: &str| check(Path::new(path), &surroundings(0)).unwrap_err();
    assert!(matches!(refusal("/no/such/file"), LoadError::Unreadable { .. }));
    assert!(matches!(refusal("/"), LoadError::NotAFile { .. }));
}
