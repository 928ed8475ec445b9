//! A report for people, and for tools that know `FILE:LINE:COLUMN`.
//!
//! What is found, and where, is not decided here.

use std::fmt::Write as _;

use procmgr_config::Membership;
use procmgr_config::lint::people::People;
use procmgr_config::lint::rights::Privileged;
use procmgr_config::lint::{Finding, Place, Report};

use crate::check::excerpt::{around, harmless};
use crate::check::{Tally, errors};

/// Tells everything.
pub(super) fn all(report: &Report, add: &mut impl FnMut(&str)) {
    let file = file(report);
    for finding in report.findings() {
        add(&told(&file, &finding));
    }
    if !report.privileged.is_empty() {
        add("Scripts that run as root, and who else may have them run:\n");
    }
    for privileged in &report.privileged {
        add(&listed(&file, privileged, &report.people));
    }
    if report.privileged_omitted > 0 {
        add(&format!("    and {} more\n", report.privileged_omitted));
    }
    add(&summary(&file, Tally::of(report)));
}

/// Tells the errors, and nothing else.
pub(super) fn errors_only(report: &Report, add: &mut impl FnMut(&str)) {
    let file = file(report);
    for finding in errors(report) {
        add(&told(&file, &finding));
    }
}

fn file(report: &Report) -> String {
    harmless(&report.path.to_string_lossy())
}

fn told(file: &str, finding: &Finding<'_>) -> String {
    let Finding { place, severity, kind: _, text } = finding;
    match place {
        None => format!("{file}: {severity}: {text}\n"),
        Some(Place { line, column, source }) => {
            let (excerpt, ahead) = around(source, *column);
            let blank = " ".repeat(ahead);
            format!("{file}:{line}:{column}: {severity}: {text}\n    {excerpt}\n    {blank}^\n")
        }
    }
}

fn listed(file: &str, privileged: &Privileged, people: &People) -> String {
    let Privileged { program, action, script, line, column, allowed } = privileged;
    let mut text = format!("    {file}:{line}:{column}: {program} {action}");
    if action != script {
        let _ = write!(text, ", which runs the script of {script}");
    }
    let (users, more_users) = privileged.users();
    let (groups, more_groups) = privileged.groups();
    let users: Vec<_> = users.into_iter().map(|uid| person(people.user(uid), uid.0)).collect();
    let groups: Vec<_> = groups.into_iter().map(|gid| person(people.group(gid), gid.0)).collect();
    let kind = match allowed.membership {
        Membership::Effective => "group",
        Membership::Supplementary => "group or supplementary group",
    };
    let parts = [("user", users, more_users), (kind, groups, more_groups)];
    let parts = parts.into_iter().filter(|(_, people, _)| !people.is_empty()).map(|(kind, people, more)| {
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{kind} {}{more}", people.join(", "))
    });
    let _ = writeln!(text, ": {}", parts.collect::<Vec<_>>().join("; "));
    text
}

fn person(name: Option<&str>, number: u32) -> String {
    name.map_or_else(|| number.to_string(), |name| format!("{} ({number})", harmless(name)))
}

fn summary(file: &str, Tally { errors, warnings }: Tally) -> String {
    let counted = [(errors, "error"), (warnings, "warning")].into_iter().filter(|(number, _)| *number > 0);
    let counted: Vec<_> = counted
        .map(|(number, what)| format!("{number} {what}{}", if number == 1 { "" } else { "s" }))
        .collect();
    if counted.is_empty() {
        format!("{file}: no findings\n")
    } else {
        format!("{} in {file}\n", counted.join(", "))
    }
}
