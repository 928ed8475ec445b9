//! How scripts run: shell, arguments, environment, terminal, folder.
//!
//! As which user they run is tested in `rights`.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getegid, geteuid};

use crate::harness::{
    Sandbox, allowing_us, answer, ask, lines, raw, run, through_shell, wait_for, wait_until,
};

/// Starts a daemon on which `p signal` runs this script. More keys of its section may follow.
fn with_signal_script(script: &str) -> Sandbox {
    Sandbox::with_daemon(&allowing_us(&format!("[prog-p]\ncmd-signal = {script}\n")))
}

/// Returns what this script writes to the client's standard output.
fn output_of(script: &str) -> String {
    with_signal_script(script).succeed(&["p", "signal"])
}

/// Returns the daemon's command.
fn daemon(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.command();
    command.args(["-l", "stderr", "-L", "DEBUG", "-d", "-f"]);
    command
}

// Shell and arguments.

#[test]
fn a_script_is_run_by_the_shell_with_its_text_and_the_arguments() {
    let sandbox = with_signal_script("cat /proc/$$/cmdline");

    let output = sandbox.succeed(&["p", "signal", "one", "two"]);

    assert_eq!(output, "/bin/sh\0-c\0cat /proc/$$/cmdline\0one\0two\0");
    assert!(sandbox.succeed(&["-h"]).contains("\nShell of scripts: /bin/sh\n"));
}

#[test]
fn the_first_argument_is_what_the_shell_calls_itself() {
    let sandbox = with_signal_script("echo \"$0|$1|$#\"");

    assert_eq!(sandbox.succeed(&["p", "signal", "one", "two"]), "one|two|1\n");
    assert_eq!(sandbox.succeed(&["p", "signal"]), "/bin/sh||0\n");
}

/// A script that writes each of its arguments, one of which may be empty, before a NUL byte.
const SHOW_ARGUMENTS: &str = r#"printf '%s\0' "$0" "${@}""#;

#[test]
fn arguments_reach_the_script_untouched() {
    // The harness takes the sign for its folder.
    let sandbox =
        with_signal_script(&SHOW_ARGUMENTS.replace("${@}", "$1\" \"$2\" \"$3\" \"$4\" \"$5\" \"$6\" \"$7"));
    let cases: [[&[u8]; 8]; 4] = [
        [b"-x", b"--help", b"--", b"", b"a  b", b"\xff\xfe", b"\n", b"-c"],
        [b"--", b"--", b"-d", b"-V", b"-0", b"--config=/none", b"-", b""],
        [b"", b"", b"", b"", b"", b"", b"", b""],
        [b"$HOME", b"`id`", b"'", b"\"", b"*", b"\\", b"a=b", "\u{1f980}".as_bytes()],
    ];
    for arguments in cases {
        let mut command = sandbox.command();
        command.args(["p", "signal"]).args(arguments.map(raw)).stdin(Stdio::null());

        let output = command.output().unwrap();

        let expected: Vec<u8> =
            arguments.iter().flat_map(|argument| [argument, &b"\0"[..]].concat()).collect();
        assert_eq!(output.stdout.escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert!(output.status.success());
    }
}

#[test]
fn arguments_are_no_part_of_the_script() {
    let sandbox = with_signal_script("echo one; :");

    let output = sandbox.succeed(&["p", "signal", "; echo two", "$(echo three >&2)"]);

    assert_eq!(output, "one\n");
}

#[test]
fn each_action_hands_its_arguments_on() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = echo $ACTION $0; exec sleep 1000 >/dev/null 2>&1\n\
         cmd-restart = echo $ACTION $0; kill $PID; exec sleep 1000 >/dev/null 2>&1\n\
         cmd-reload = echo $ACTION $0\ncmd-signal = echo $ACTION $0\ncmd-status = echo $ACTION $0\n\
         cmd-stop = echo $ACTION $0; kill $PID\n",
    ));
    for action in ["start", "restart", "reload", "signal", "status", "stop"] {
        assert_eq!(sandbox.client(&["p", action, "word"]).stdout, format!("{action} word\n"));
    }
}

#[test]
fn an_empty_script_is_a_script_that_does_nothing() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-status =\ncmd-start =\n"));

    assert_eq!(sandbox.succeed(&["p", "start"]), "");

    assert_eq!(sandbox.succeed(&["p", "status"]), "");
}

// Environment.

/// Returns what a process finds in its environment, from `/proc`: the shell itself adds to its own.
fn variables(environ: &str) -> Vec<String> {
    let mut variables: Vec<_> = environ.split_terminator('\0').map(str::to_owned).collect();
    variables.sort();
    variables
}

#[test]
fn the_environment_is_empty_but_for_five_variables() {
    let mut sandbox = Sandbox::new(&allowing_us("[prog-my program]\ncmd-signal = cat /proc/$$/environ\n"));
    let mut command = daemon(&sandbox);
    command
        .env("HOME", "/home")
        .env("LANG", "C")
        .env("PID", "7")
        .env("ACTION", "x")
        .env("PATH", "/usr/bin:/bin");
    sandbox.run_daemon(command);
    let mut client = sandbox.command();
    client.args(["my program", "signal"]).env("OF_THE_CLIENT", "1");

    let output = run(&mut client);

    assert_eq!(
        variables(&output.stdout),
        [
            "ACTION=signal",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PID=",
            "PROGNAME=my program",
            "SHELL=/bin/sh"
        ]
    );
}

#[test]
fn what_a_script_executes_finds_the_variables_in_its_environment() {
    let output = output_of("exec cat /proc/self/environ");

    let variables = variables(&output);
    for expected in ["ACTION=signal", "PID=", "PROGNAME=p", "SHELL=/bin/sh"] {
        assert!(variables.iter().any(|variable| variable == expected), "{variables:?}");
    }
    // `PWD` is dash's own doing; other shells may add `_` or `SHLVL`.
    let added =
        |variable: &str| ["PWD=", "OLDPWD=", "_=", "SHLVL="].iter().any(|name| variable.starts_with(name));
    assert_eq!(variables.iter().filter(|variable| !added(variable)).count(), 5, "{variables:?}");
}

#[test]
fn path_is_where_scripts_find_executables_and_what_is_elsewhere_needs_its_path() {
    let sandbox = with_signal_script("command -v tool || @/tool");
    fs::write(sandbox.path("tool"), "").unwrap();
    let mut client = sandbox.command();
    client.args(["p", "signal"]).env("PATH", sandbox.path(""));

    let output = run(&mut client);

    // It is not executable, and the shell says so only if it was looked for there.
    assert_eq!((output.code, output.stdout.as_str()), (126, ""));
    assert!(
        sandbox
            .succeed(&["-h"])
            .ends_with("\nPATH of scripts: /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")
    );
}

#[test]
fn pid_is_that_of_the_program_or_empty() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = echo \"[$PID]\"; echo $$ > @/pid; exec sleep 1000 >/dev/null 2>&1\n\
         cmd-signal = echo \"[$PID]\"\ncmd-status = echo \"[$PID]\"\ncmd-reload = echo \"[$PID]\"\n\
         cmd-stop = echo \"[$PID]\"; kill $PID\n",
    ));
    assert_eq!(sandbox.succeed(&["p", "signal"]), "[]\n");
    assert_eq!(sandbox.succeed(&["p", "start"]), "[]\n");
    let pid = lines(&sandbox, "pid", 1).remove(0);

    for action in ["signal", "status", "reload", "stop"] {
        assert_eq!(sandbox.client(&["p", action]).stdout, format!("[{pid}]\n"), "{action}");
    }

    assert_eq!(sandbox.succeed(&["p", "status"]), "[]\n");
}

// Process.

#[test]
fn a_script_is_a_child_of_the_daemon_in_a_process_group_of_its_own() {
    let sandbox = with_signal_script("echo $PPID $$ $(cut -d ' ' -f 5 /proc/$$/stat)");

    let output = sandbox.succeed(&["p", "signal"]);

    let ids: Vec<_> = output.split_whitespace().collect();
    assert_eq!(ids[0], sandbox.daemon_pid().to_string());
    assert_eq!(ids[1], ids[2], "the script leads its group");
    assert_ne!(ids[0], ids[2]);
}

/// A script that tells which signals it blocks and ignores. It takes the place of the shell, which would block all of
/// them for a while to start a child.
pub(crate) const SHOW_SIGNALS: &str = "exec grep ^Sig /proc/self/status";

/// Returns a set of signals from the text of `/proc/PID/status`, a bit each, the first one for signal 1.
///
/// Without 32 and 33, which the GNU C library keeps for itself: its `posix_spawn` has every child ignore them.
pub(crate) fn signals(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap() & !(0b11 << 31)
}

#[test]
fn signals_have_their_default_effect_whatever_the_daemon_was_started_with() {
    let mut sandbox = Sandbox::new(&allowing_us(&format!("[prog-p]\ncmd-signal = {SHOW_SIGNALS}\n")));
    let command = through_shell("trap '' HUP INT QUIT PIPE USR1 CHLD ALRM", &daemon(&sandbox));
    // What a thread blocks, its children block as well.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut blocked = SigSet::empty();
            for signal in [Signal::SIGUSR2, Signal::SIGTERM, Signal::SIGCHLD, Signal::SIGHUP] {
                blocked.add(signal);
            }
            blocked.thread_block().unwrap();
            sandbox.run_daemon(command);
        });
    });

    let output = sandbox.succeed(&["p", "signal"]);

    assert_eq!(signals(&output, "SigBlk"), 0, "{output}");
    assert_eq!(signals(&output, "SigIgn"), 0, "{output}");
    // The daemon itself heeds them as ever.
    assert_eq!(crate::harness::code(sandbox.terminate_daemon()), 0);
}

#[test]
fn the_limit_on_descriptors_is_that_of_whoever_started_the_daemon() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let mut sandbox = Sandbox::new(&allowing_us("[prog-p]\ncmd-signal = ulimit -S -n; ulimit -H -n\n"));
    let command = through_shell("ulimit -S -n 123", &daemon(&sandbox));
    sandbox.run_daemon(command);

    let output = sandbox.succeed(&["p", "signal"]);

    assert_eq!(output, format!("123\n{hard}\n"));
}

#[test]
fn a_script_runs_as_the_user_of_the_daemon_unless_told_otherwise() {
    let output = output_of("id -u; id -g");

    assert_eq!(output, format!("{}\n{}\n", geteuid(), getegid()));
}

// Terminal.

/// A script that tells where its standard streams lead, in the file `links`.
///
/// It asks before it opens that file, for which some shells move their own streams for a while.
const SHOW_LINKS: &str =
    "links=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo \"$links\" > @/links";

#[test]
fn a_script_has_the_standard_streams_of_its_client() {
    let sandbox = with_signal_script(SHOW_LINKS);
    let [stdin, stdout, stderr] = ["in", "out", "err"].map(|name| sandbox.path(name));
    fs::write(&stdin, "").unwrap();
    let mut client = sandbox.command();
    client.args(["p", "signal"]);
    client.stdin(File::open(&stdin).unwrap()).stdout(File::create(&stdout).unwrap());
    client.stderr(File::create(&stderr).unwrap());

    assert!(client.status().unwrap().success());

    let paths = [stdin, stdout, stderr].map(|path| path.display().to_string());
    assert_eq!(lines(&sandbox, "links", 3), paths);
}

#[test]
fn a_script_reads_and_writes_as_if_the_client_did() {
    let sandbox = with_signal_script("read line; echo \"got $line\"; echo \"oops $line\" >&2");
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(sandbox.path("file"))
        .unwrap();
    file.write_all(b"first\nsecond\n").unwrap();
    file.rewind().unwrap();
    let mut client = sandbox.command();
    client.args(["p", "signal"]).stdin(file.try_clone().unwrap());

    let output = client.output().unwrap();

    assert_eq!((output.stdout, output.stderr), (b"got first\n".to_vec(), b"oops first\n".to_vec()));
    // It is the same open file: what the script has read is read.
    let mut rest = String::new();
    file.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "second\n");
}

#[test]
fn the_standard_streams_of_every_action_are_those_of_its_client() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = read word; echo $word; exec sleep 1000 </dev/null >/dev/null 2>&1\n\
         cmd-restart = read word; echo $word; kill $PID; exec sleep 1000 </dev/null >/dev/null 2>&1\n\
         cmd-reload = read word; echo $word\ncmd-signal = read word; echo $word\n\
         cmd-status = read word; echo $word\ncmd-stop = read word; echo $word; kill $PID\n",
    ));
    for action in ["start", "restart", "reload", "signal", "status", "stop"] {
        let mut client = sandbox.command();
        client.args(["p", action]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = client.spawn().unwrap();
        writeln!(client.stdin.take().unwrap(), "{action}").unwrap();

        let output = client.wait_with_output().unwrap();

        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{action}\n"));
    }
}

#[test]
fn a_script_has_no_other_descriptor_whatever_the_daemon_was_started_with() {
    let mut sandbox = Sandbox::new(&allowing_us(
        // The `:` keeps the shell from becoming the `ls`.
        "[prog-p]\ncmd-signal = ls /proc/$$/fd; :\n\
         cmd-start = exec sleep 1000 >/dev/null 2>&1\ncmd-status = ls /proc/$PID/fd; :\n",
    ));
    let command = through_shell("exec 3</dev/null 5</dev/null 9>/dev/null", &daemon(&sandbox));
    sandbox.run_daemon(command);
    sandbox.succeed(&["p", "start"]);

    assert_eq!(sandbox.succeed(&["p", "signal"]), "0\n1\n2\n");

    assert_eq!(sandbox.succeed(&["p", "status"]), "0\n1\n2\n");
}

#[test]
fn descriptors_that_the_client_was_started_with_stay_with_the_client() {
    let sandbox = with_signal_script("ls /proc/$$/fd; :");
    let mut client = sandbox.command();
    client.args(["p", "signal"]);

    let output = run(&mut through_shell("exec 3</dev/null 9>/dev/null", &client));

    assert_eq!(output.stdout, "0\n1\n2\n");
}

#[test]
fn the_daemon_keeps_no_copy_of_the_descriptors_of_a_client() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = echo started; exec sleep 1000 </dev/null >/dev/null 2>&1\n\
         cmd-stop = echo stopped; kill $PID\ncmd-reload = echo reloaded\n",
    ));
    let descriptors = sandbox.daemon_descriptors();

    // Each returns only when nobody can write to its pipes any more.
    assert_eq!(sandbox.succeed(&["p", "start"]), "started\n");
    assert_eq!(sandbox.succeed(&["p", "reload"]), "reloaded\n");
    assert_eq!(sandbox.succeed(&["p", "restart"]), "stopped\nstarted\n");
    assert_eq!(sandbox.succeed(&["p", "signal"]), "");
    assert_eq!(sandbox.succeed(&["p", "status"]), "running\n");
    assert_eq!(sandbox.client(&["p", "start"]).code, 125);
    assert_eq!(sandbox.client(&["p", "stop"]).stdout, "stopped\n");

    wait_until("the daemon has no more descriptors than before", || {
        sandbox.daemon_descriptors() <= descriptors
    });
}

#[test]
fn a_stop_that_waits_keeps_no_descriptor_of_its_client() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-start = exec sleep 1000 >/dev/null 2>&1\ncmd-signal = echo $PID\n",
    ));
    sandbox.succeed(&["p", "start"]);
    let pid = Pid::from_raw(sandbox.succeed(&["p", "signal"]).trim().parse().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    wait_until("the program stands still", || {
        fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ")
    });
    let mut stop = ask(&sandbox, &["p", "stop"]);
    wait_until("the program is stopping", || sandbox.succeed(&["-a"]) == "p: running stopping\n");

    stop.kill().unwrap();
    let output = stop.wait_with_output().unwrap();

    assert_eq!(output.stdout, b"", "the pipe has come to its end");
    kill(pid, Signal::SIGKILL).unwrap();
}

#[test]
fn a_client_whose_streams_are_closed_passes_the_null_device() {
    for (closed, expected) in [
        ("exec <&- >&- 2>&-", ["/dev/null"; 3]),
        ("exec <&- >@/out 2>@/err", ["/dev/null", "@/out", "@/err"]),
        ("exec <@/in >&- 2>@/err", ["@/in", "/dev/null", "@/err"]),
        ("exec <@/in >@/out 2>&-", ["@/in", "@/out", "/dev/null"]),
    ] {
        let sandbox = with_signal_script(SHOW_LINKS);
        fs::write(sandbox.path("in"), "").unwrap();
        let folder = sandbox.path("");
        let folder = folder.to_str().unwrap().trim_end_matches('/');
        let mut client = sandbox.command();
        client.args(["p", "signal"]);

        let output = run(&mut through_shell(&closed.replace('@', folder), &client));

        assert_eq!(output.code, 0, "{closed}");
        assert_eq!(lines(&sandbox, "links", 3), expected.map(|path| path.replace('@', folder)), "{closed}");
    }
}

// Folder.

#[test]
fn cwd_is_where_the_scripts_of_a_program_run() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncwd = @/a folder\ncmd-start = pwd; exec sleep 1000 >/dev/null 2>&1\n\
         cmd-signal = pwd\ncmd-stop = pwd; kill $PID\n",
    ));
    fs::create_dir(sandbox.path("a folder")).unwrap();
    let expected = format!("{}\n", sandbox.path("a folder").display());

    for action in ["signal", "start", "stop"] {
        assert_eq!(sandbox.client(&["p", action]).stdout, expected, "{action}");
    }
}

#[test]
fn without_cwd_scripts_run_where_the_daemon_does() {
    let mut sandbox = Sandbox::new(&allowing_us("[prog-p]\ncmd-signal = readlink /proc/$$/cwd\n"));
    let mut command = daemon(&sandbox);
    command.current_dir(sandbox.path(""));
    sandbox.run_daemon(command);

    let output = sandbox.succeed(&["p", "signal"]);

    assert_eq!(Path::new(output.trim_end()), fs::canonicalize(sandbox.path("")).unwrap());
}

#[test]
fn a_folder_that_is_not_there_keeps_the_script_from_running_and_is_told() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncwd = @/none\ncmd-signal = echo > @/ran\n[prog-q]\ncwd = @/procmgr.cfg\ncmd-signal = echo > @/ran\n",
    ));
    let folder = sandbox.path("");
    let folder = folder.to_str().unwrap();

    let absent = sandbox.client(&["p", "signal"]);
    let no_folder = sandbox.client(&["q", "signal"]);

    assert_eq!((absent.code, no_folder.code), (125, 125));
    assert_eq!(
        absent.stderr,
        format!(
            "ERROR: (SPAWN) cannot run signal of p: cannot enter {folder}none: No such file or directory (os error 2)\n"
        )
    );
    assert_eq!(
        no_folder.stderr,
        format!(
            "ERROR: (SPAWN) cannot run signal of q: cannot enter {folder}procmgr.cfg: Not a directory (os error 20)\n"
        )
    );
    assert!(!sandbox.path("ran").exists());
}

// For nobody.

/// A program that the daemon starts itself, and that tells what it was started with; `more` keys may follow.
fn unattended(more: &str) -> String {
    allowing_us(&format!(
        "[prog-p]\nautostart = yes\ncmd-start = {SHOW_LINKS}; echo \"$#|$0|$PID\" > @/arguments\
         ; echo to stdout; echo to stderr >&2; ls /proc/$$/fd; echo > @/done; exec sleep 1000\n{more}"
    ))
}

#[test]
fn an_unattended_start_has_no_arguments() {
    let sandbox = Sandbox::with_daemon(&unattended(""));

    lines(&sandbox, "done", 1);

    assert_eq!(sandbox.read("arguments"), "0|/bin/sh|\n");
}

#[test]
fn an_unattended_restart_has_no_arguments_of_an_earlier_start() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\nrestart-delay = 1\ncmd-start = echo \"$#|$0\" >> @/arguments; exec sleep 1000 >/dev/null 2>&1\n\
         cmd-signal = kill $PID\n",
    ));
    sandbox.succeed(&["p", "start", "a", "b"]);
    assert_eq!(lines(&sandbox, "arguments", 1), ["1|a"]);

    sandbox.succeed(&["p", "signal"]);

    assert_eq!(lines(&sandbox, "arguments", 2)[1], "0|/bin/sh");
}

#[test]
fn an_unattended_script_reads_nothing_and_writes_to_the_log_of_a_daemon_in_the_foreground() {
    let sandbox = Sandbox::with_daemon(&unattended(""));

    lines(&sandbox, "done", 1);

    let log = sandbox.path("log").display().to_string();
    assert_eq!(lines(&sandbox, "links", 3), ["/dev/null", &log, &log]);
    let log = sandbox.log();
    // Other lines may come in between.
    assert!(log.contains("to stdout\n") && log.contains("to stderr\n"), "{log}");
    assert!(log.contains("\n0\n1\n2\n") && !log.contains("\n3\n"), "it has no other descriptors: {log}");
}

#[test]
fn an_unattended_script_writes_nowhere_if_the_daemon_is_in_the_background() {
    let sandbox = Sandbox::new(&unattended("cmd-signal = kill $PID\n"));
    let mut daemon = sandbox.command();
    daemon.arg("-d").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    assert!(wait_for(&mut daemon.spawn().unwrap()).success());

    wait_until("the program has said all", || sandbox.path("done").exists());

    assert_eq!(lines(&sandbox, "links", 3), ["/dev/null"; 3]);
    assert_eq!(answer(ask(&sandbox, &["p", "signal"])).code, 0);
    sandbox.succeed(&["-s"]);
}
