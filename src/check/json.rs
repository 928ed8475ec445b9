//! A report for scripts: an object in each line. The schema is documented in `docs/JSON.md`.
//!
//! How objects are written is `procmgr-cli`'s to say; what is found, and where, is not decided here.

use std::os::unix::ffi::OsStrExt;

use procmgr_cli::json::{self, SCHEMA};
use procmgr_config::Membership;
use procmgr_config::lint::people::People;
use procmgr_config::lint::rights::Privileged;
use procmgr_config::lint::{Finding, Report};
use serde::Serialize;

use crate::check::{Tally, errors};

/// Tells everything.
pub(super) fn all(report: &Report, add: &mut impl FnMut(&str)) {
    for finding in report.findings() {
        add(&line(&FindingObject::new(report, &finding)));
    }
    for privileged in &report.privileged {
        add(&line(&PrivilegedObject::new(report, privileged)));
    }
    let Tally { errors, warnings } = Tally::of(report);
    let privileged = report.privileged.len() + report.privileged_omitted;
    add(&line(&SummaryObject { common: Common::new("summary", report), errors, warnings, privileged }));
}

/// Tells the errors, and nothing else.
pub(super) fn errors_only(report: &Report, add: &mut impl FnMut(&str)) {
    for finding in errors(report) {
        add(&line(&FindingObject::new(report, &finding)));
    }
}

/// What all objects begin with.
#[derive(Serialize)]
struct Common<'a> {
    schema: u32,
    r#type: &'static str,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_bytes: Option<&'a [u8]>,
}

impl<'a> Common<'a> {
    fn new(kind: &'static str, report: &'a Report) -> Self {
        let bytes = report.path.as_os_str().as_bytes();
        Self { schema: SCHEMA, r#type: kind, file: text(bytes), file_bytes: bytes_of(bytes) }
    }
}

#[derive(Serialize)]
struct FindingObject<'a> {
    #[serde(flatten)]
    common: Common<'a>,
    line: Option<usize>,
    column: Option<usize>,
    severity: String,
    kind: &'static str,
    text: &'a str,
}

impl<'a> FindingObject<'a> {
    fn new(report: &'a Report, finding: &Finding<'a>) -> Self {
        Self {
            common: Common::new("finding", report),
            line: finding.place.map(|place| place.line),
            column: finding.place.map(|place| place.column),
            severity: finding.severity.to_string(),
            kind: finding.kind.name(),
            text: finding.text,
        }
    }
}

#[derive(Serialize)]
struct PrivilegedObject<'a> {
    #[serde(flatten)]
    common: Common<'a>,
    line: usize,
    column: usize,
    program: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    program_bytes: Option<&'a [u8]>,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_bytes: Option<&'a [u8]>,
    script: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_bytes: Option<&'a [u8]>,
    users: Vec<Person<'a>>,
    users_omitted: usize,
    groups: Vec<Person<'a>>,
    groups_omitted: usize,
    supplementary_groups: bool,
}

#[derive(Serialize)]
struct Person<'a> {
    id: u32,
    name: Option<&'a str>,
}

impl<'a> PrivilegedObject<'a> {
    fn new(report: &'a Report, privileged: &'a Privileged) -> Self {
        let Privileged { program, action, script, line, column, allowed } = privileged;
        let people: &People = &report.people;
        let (users, users_omitted) = privileged.users();
        let (groups, groups_omitted) = privileged.groups();
        Self {
            common: Common::new("privileged", report),
            line: *line,
            column: *column,
            program: text(program.as_bytes()),
            program_bytes: bytes_of(program.as_bytes()),
            action: text(action.name()),
            action_bytes: bytes_of(action.name()),
            script: text(script.name()),
            script_bytes: bytes_of(script.name()),
            users: users.into_iter().map(|uid| Person { id: uid.0, name: people.user(uid) }).collect(),
            users_omitted,
            groups: groups.into_iter().map(|gid| Person { id: gid.0, name: people.group(gid) }).collect(),
            groups_omitted,
            supplementary_groups: match allowed.membership {
                Membership::Effective => false,
                Membership::Supplementary => true,
            },
        }
    }
}

#[derive(Serialize)]
struct SummaryObject<'a> {
    #[serde(flatten)]
    common: Common<'a>,
    errors: usize,
    warnings: usize,
    privileged: usize,
}

fn line(object: &impl Serialize) -> String {
    String::from_utf8_lossy(&json::line(object)).into_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the bytes of what is no text.
fn bytes_of(bytes: &[u8]) -> Option<&[u8]> {
    str::from_utf8(bytes).is_err().then_some(bytes)
}
