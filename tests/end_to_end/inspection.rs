//! What the daemon tells of programs beyond their states, of a reload to come, and of what somebody may do.
//!
//! How that is laid out is in `lists`; when something may be done at all, in `rights`.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Output, Sandbox, allowing_us, is_root, wait_until};
use crate::rights::client_as;

const NAP: &str = "[prog-nap]\ncmd-start = exec sleep 1000 > /dev/null 2>&1\n";

/// Returns the value of a field, as JSON has it, in the only line of a list, or in the line about that program.
fn field(sandbox: &Sandbox, program: &str, name: &str) -> String {
    let list = sandbox.succeed(&["-a", "--json"]);
    let beginning = format!(r#"{{"schema":1,"program":"{program}","#);
    let line = list.lines().find_map(|line| line.strip_prefix(&beginning)).unwrap();
    let (_, rest) = line.split_once(&format!(r#""{name}":"#)).unwrap();
    let is_object = rest.starts_with('{');
    let end = rest
        .find(if is_object { '}' } else { ',' })
        .map_or(rest.len() - 1, |end| end + usize::from(is_object));
    rest[..end].trim_end_matches('}').to_owned() + if is_object { "}" } else { "" }
}

/// Returns the seconds of a time of day.
fn seconds(time: &str) -> u64 {
    let time = time.trim_matches('"');
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    let number = |place: std::ops::Range<usize>| time[place].parse::<u64>().unwrap();
    (number(11..13) * 60 + number(14..16)) * 60 + number(17..19)
}

// What a program has gone through.

#[test]
fn a_program_that_runs_is_told_with_its_process_and_since_when() {
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!("{NAP}[prog-idle]\n")));
    sandbox.succeed(&["nap", "start"]);

    let since = field(&sandbox, "nap", "since");
    seconds(&since);
    let pid = field(&sandbox, "nap", "pid");
    assert!(pid.parse::<u32>().is_ok(), "{pid}");
    assert_eq!(field(&sandbox, "nap", "last_exit"), "null");
    assert_eq!(field(&sandbox, "nap", "next_start"), "null");
    for name in ["pid", "since", "last_exit", "next_start"] {
        assert_eq!(field(&sandbox, "idle", name), "null", "{name}");
    }
    let table = sandbox.succeed(&["-a", "--long"]);
    let words: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    let since = format!("{}Z", &since[1..20]);
    assert_eq!(words[1], ["nap", "running", &pid, &since, "0", "-", "-"]);
    assert_eq!(words[2], ["idle", "down", "-", "-", "0", "-", "-"]);
    // It does not change while nothing does.
    assert_eq!(sandbox.succeed(&["-a", "--long"]), table);
}

#[test]
fn a_program_that_has_ended_is_told_with_how_and_when() {
    let sandbox = Sandbox::with_daemon(&allowing_us(NAP));
    sandbox.succeed(&["nap", "start"]);
    assert_eq!(sandbox.client(&["nap", "stop"]).code, 143);

    let exit = field(&sandbox, "nap", "last_exit");

    let time = exit.strip_prefix(r#"{"how":"killed","signal":15,"time":"#).unwrap();
    seconds(time.trim_end_matches('}'));
    assert!(sandbox.succeed(&["-a", "--long"]).contains("  signal 15 20"));
}

#[test]
fn a_program_in_back_off_is_told_with_when_it_is_started_again() {
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!("{NAP}restart-delay = 3600\n")));
    sandbox.succeed(&["nap", "start"]);
    let pid = field(&sandbox, "nap", "pid").parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_until("the program waits to be started again", || {
        field(&sandbox, "nap", "state") == r#""back-off""#
    });

    let exit = field(&sandbox, "nap", "last_exit");
    let exit = exit.strip_prefix(r#"{"how":"killed","signal":9,"time":"#).unwrap().trim_end_matches('}');
    let next = field(&sandbox, "nap", "next_start");

    // The pause is counted by another clock, from the moment at which the death was noticed.
    let pause = (24 * 3600 + seconds(&next) - seconds(exit)) % (24 * 3600);
    assert!((3599..=3601).contains(&pause), "{exit} {next}");
    assert_eq!(field(&sandbox, "nap", "since"), "null");
}

// A reload to come.

#[test]
fn a_preview_tells_what_a_reload_would_change_and_changes_nothing() {
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!("{NAP}[prog-old]\n[prog-same]\n")));
    sandbox.succeed(&["nap", "start"]);
    let pid = field(&sandbox, "nap", "pid");
    let list = sandbox.succeed(&["-a"]);
    assert_eq!(sandbox.succeed(&["-rn"]), "nothing would change\n");

    let changed = NAP.replace("1000", "2000");
    sandbox.configure(&allowing_us(&format!("{changed}[prog-same]\n[prog-new]\n")));
    let preview = format!(
        "nap: changed cmd-start; runs under an older definition (pid {pid})\nnew: added\nold: removed\n"
    );
    assert_eq!(sandbox.succeed(&["-rn"]), preview);
    assert_eq!(sandbox.succeed(&["-r", "--dry-run"]), preview);
    assert_eq!(sandbox.succeed(&["-a"]), list);

    sandbox.succeed(&["-r"]);
    let unchanged = format!("nap: unchanged; runs under an older definition (pid {pid})\n");
    assert_eq!(sandbox.succeed(&["-rn"]), unchanged);
    sandbox.configure("");
    let removed = format!("nap: removed; goes on until it ends (pid {pid})\nsame: removed\nnew: removed\n");
    assert_eq!(sandbox.succeed(&["-rn"]), removed);
}

#[test]
fn a_preview_finds_what_a_reload_finds() {
    let sandbox = Sandbox::with_daemon("");
    sandbox.configure("[nonsense]\n");
    let (preview, reload) = (sandbox.client(&["-rn"]), sandbox.client(&["-r"]));
    assert_eq!((preview.code, reload.code), (0, 0));
    assert!(preview.stderr.contains(": warning: "), "{preview:?}");
    assert_eq!(preview.stderr, reload.stderr);

    sandbox.configure("[prog-p]\nnonsense\n");
    let (preview, reload) = (sandbox.client(&["-rn"]), sandbox.client(&["-r"]));
    assert_eq!((preview.code, preview.stdout.as_str()), (1, ""));
    assert!(preview.stderr.starts_with("ERROR: (BADCONF) 1 error in "), "{preview:?}");
    assert_eq!(preview, reload);
}

// What somebody may do.

const SHARED: &str = "\
[prog-mine]\nuid-reload = 12345\ngid-rotate = 23456\ncmd-rotate = exit\ncmd-start = exit\n\
[prog-yours]\nallow-uid = 23456\n\
[prog-ours]\ncmd-start = exit\nallow-uid = 12345\n";

#[test]
fn whoever_asks_is_told_what_they_may_do_and_nothing_else() {
    if !is_root("whoever_asks_is_told_what_they_may_do_and_nothing_else") {
        return;
    }
    let sandbox = Sandbox::with_daemon(SHARED);
    let told = |ids, arguments: &[&str]| {
        let Output { code, stdout, stderr } = client_as(&sandbox, ids, arguments);
        assert_eq!((code, stderr.as_str()), (0, ""));
        stdout
    };

    let mine = told((12345, 1), &["--allowed"]);
    assert_eq!(mine, "mine: reload\nours: start restart reload stop status\n");
    assert_eq!(told((1, 23456), &["--allowed"]), "mine: rotate\n");
    assert_eq!(told((1, 1), &["--allowed"]), "");
    assert_eq!(
        told((1, 23456), &["--allowed", "--json"]),
        "{\"schema\":1,\"program\":\"mine\",\"actions\":[\"rotate\"]}\n"
    );
    for line in mine.lines() {
        let (program, actions) = line.split_once(": ").unwrap();
        for action in actions.split(' ') {
            let refusal = client_as(&sandbox, (12345, 1), &[program.trim_end(), action]).stderr;
            assert!(!refusal.contains("BADAUTH"), "{program} {action}: {refusal}");
        }
    }
}

#[test]
fn whoever_may_not_reload_may_not_preview_and_anybody_may_look() {
    if !is_root("whoever_may_not_reload_may_not_preview_and_anybody_may_look") {
        return;
    }
    let sandbox = Sandbox::with_daemon(NAP);
    let refused = client_as(&sandbox, (12345, 12345), &["-rn"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.starts_with("ERROR: (EPERM) "), "{refused:?}");
    for arguments in [&["-t", "--json"][..], &["-a", "--long"], &["-a", "--json"], &["--allowed"]] {
        assert_eq!(client_as(&sandbox, (12345, 12345), arguments).code, 0, "{arguments:?}");
    }
}
