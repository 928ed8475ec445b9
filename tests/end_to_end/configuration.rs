//! Configuration files: what they mean, and what is said of those that are wrong.
//!
//! What each value may be is tested beside the code; here is what becomes of a file as a whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use nix::unistd::geteuid;

use crate::harness::{Output, Sandbox, allowing_us, answer, is_root, lines, procmgr, run, wait_until};

/// Has a daemon try to serve this configuration, which stands in its file from line 2 on.
///
/// Returns how it failed, with the path of the file replaced by `FILE`.
fn rejection(config: &str) -> Output {
    let sandbox = Sandbox::new(config);
    let output = attempt(&sandbox);
    Output { stderr: output.stderr.replace(&sandbox.config().display().to_string(), "FILE"), ..output }
}

/// Runs a daemon that is to end at once.
fn attempt(sandbox: &Sandbox) -> Output {
    let mut daemon = sandbox.command();
    daemon.args(["-d", "-f"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    answer(daemon.spawn().unwrap())
}

// What is wrong.

#[test]
fn all_errors_of_a_file_are_told_at_once_with_their_places_and_the_daemon_does_not_start() {
    let output = rejection(
        "allow-uid = 12x\n\
         nonsense\n\
         \x20 [prog-p\n\
         restart-delay = 1s\n\
         autostart =\n\
         uid-start = +5\n\
         [prog-q]\n\
         gid-stop = 4294967296\n\
         cmd-start = a\0b\n\
         cwd =\n",
    );

    assert_eq!((output.code, output.stdout.as_str()), (1, ""));
    let (findings, others): (Vec<_>, Vec<_>) =
        output.stderr.lines().partition(|line| line.contains(": error: "));
    let places: Vec<_> = findings.iter().map(|line| line.split(": error: ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "FILE:2:13",
            "FILE:3:1",
            "FILE:4:3",
            "FILE:5:17",
            "FILE:6:12",
            "FILE:7:13",
            "FILE:9:12",
            "FILE:10:14",
            "FILE:11:6"
        ],
        "{output:?}"
    );
    assert_eq!(
        others,
        ["FILE:7:1: warning: uid-start has no effect without cmd-start", "procmgr: 9 errors in FILE"]
    );
}

#[test]
fn a_file_with_an_error_leaves_no_socket_behind() {
    let sandbox = Sandbox::new("nonsense\n");

    assert_eq!(attempt(&sandbox).code, 1);

    assert!(!sandbox.socket().exists());
    assert_eq!(sandbox.client(&["-t"]).code, 1);
}

#[test]
fn each_error_says_what_is_wrong() {
    for (line, expected) in [
        ("nonsense", "2:1: error: neither a [section] nor a comment nor \"key = value\""),
        ("[prog-p", "2:1: error: a section must end its line with \"]\""),
        ("[prog-p] # comment", "2:1: error: a section must end its line with \"]\""),
        ("a = \0", "2:5: error: NUL byte"),
        (
            "allow-uid = 1 none",
            "2:13: error: invalid allow-uid \"1 none\": expected names or ids (0 to 4294967294) of users, or none",
        ),
        ("allow-uid = root no-such-user", "2:18: error: unknown user \"no-such-user\""),
        ("default-sgid = no-such-group", "2:16: error: unknown group \"no-such-group\""),
        (
            "allow-gid =",
            "2:12: error: invalid allow-gid \"\": expected names or ids (0 to 4294967294) of groups, or none",
        ),
        ("socket-path =", "2:14: error: invalid socket-path \"\": expected a path"),
        (
            "do-autostart = -1",
            "2:16: error: invalid do-autostart \"-1\": expected yes, no, or a number from 0 to 4294967295",
        ),
        (
            "[prog-p]\nrestart-delay = 99999999999",
            "3:17: error: invalid restart-delay \"99999999999\": \
             expected a number of seconds from -2147483648 to 2147483647, or none",
        ),
    ] {
        let output = rejection(&format!("{line}\n"));

        assert_eq!(output.code, 1, "{line}");
        let errors: Vec<_> = output.stderr.lines().filter(|line| line.contains(": error: ")).collect();
        assert_eq!(errors, [format!("FILE:{expected}")], "{line}");
    }
}

#[test]
fn warnings_are_told_and_keep_nothing_from_working() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "colour = red\n[prog-p]\ncmd-strat = :\ncmd-signal = echo one\ncmd-signal = echo two\nsuid-stop = 4\n[group-x]\n",
    ));

    let reload = sandbox.client(&["-r"]);

    assert_eq!((reload.code, reload.stdout.as_str()), (0, ""));
    let file = sandbox.config();
    let expected = [
        "3:1: warning: unknown key \"colour\"",
        "5:1: warning: cmd-strat defines an action of its own: did you mean \"cmd-start\"?",
        "6:1: warning: cmd-signal is ignored: the one in line 7 counts",
        "8:1: warning: suid-stop has no effect without cmd-stop",
        "9:2: warning: unknown section \"group-x\": those of programs begin with \"prog-\"",
    ]
    .map(|warning| format!("{}:{warning}\n", file.display()));
    assert_eq!(reload.stderr, expected.concat());
    for warning in expected {
        assert!(
            sandbox.log().contains(&warning),
            "the daemon has told it when it started: {}",
            sandbox.log()
        );
    }
    assert_eq!(sandbox.succeed(&["p", "signal"]), "two\n");
}

#[test]
fn a_daemon_without_a_log_tells_warnings_to_whoever_starts_it() {
    let mut sandbox = Sandbox::new("colour = red\n");
    let mut command = sandbox.command();
    command.args(["-d", "-f"]);

    sandbox.run_daemon(command);

    assert_eq!(
        sandbox.log(),
        format!("{}:2:1: warning: unknown key \"colour\"\n", sandbox.config().display())
    );
}

// What a file means.

#[test]
fn every_value_may_be_left_out() {
    let sandbox = Sandbox::with_daemon("[prog-p]\n");

    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

#[test]
fn a_file_may_define_no_program_at_all() {
    let sandbox = Sandbox::with_daemon("");

    assert_eq!(sandbox.succeed(&["-a"]), "");
    assert!(sandbox.client(&["p", "start"]).stderr.starts_with("ERROR: (NOPROG) "));
}

#[test]
fn a_file_may_define_any_number_of_programs() {
    let names: Vec<String> = (0..1000).map(|number| format!("p{number:03}")).collect();
    let sections: Vec<_> =
        names.iter().map(|name| format!("[prog-{name}]\ncmd-signal = echo {name}\n")).collect();

    let sandbox = Sandbox::with_daemon(&allowing_us(&sections.concat()));

    let list = sandbox.succeed(&["-a"]);
    assert!(list.lines().eq(names.iter().map(|name| format!("{name}: dead"))), "{list}");
    assert_eq!(sandbox.succeed(&["p999", "signal"]), "p999\n");
}

#[test]
fn the_order_of_declarations_does_not_matter() {
    let ours = geteuid();
    let keys =
        [format!("allow-uid = {ours}\n"), "cmd-signal = echo hello\n".to_owned(), "cwd = /\n".to_owned()];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let section = order.map(|number| keys[number].as_str()).concat();
        let sandbox = Sandbox::with_daemon(&format!("[prog-p]\n{section}"));

        assert_eq!(sandbox.succeed(&["p", "signal"]), "hello\n");
    }
}

#[test]
fn global_values_stand_ahead_of_the_first_section_only() {
    let sandbox = Sandbox::with_daemon(
        "allow-uid = none\n[other]\nsocket-path = @/elsewhere\n[prog-p]\ncmd-start = exec sleep 1000\nautostart = 2\n\
         socket-path = @/elsewhere\ndo-autostart = 2\n",
    );

    assert!(!sandbox.path("elsewhere").exists());
    assert_eq!(sandbox.succeed(&["-a"]), "p: dead\n");
}

#[test]
fn of_same_named_sections_only_the_last_is_considered() {
    let sandbox = Sandbox::with_daemon(&allowing_us(
        "[prog-p]\ncmd-signal = echo first\ncmd-status = echo first\n[prog-q]\n[prog-p]\ncmd-signal = echo last\n",
    ));

    assert_eq!(sandbox.succeed(&["-a"]), "q: dead\np: dead\n");
    assert_eq!(sandbox.succeed(&["p", "signal"]), "last\n");
    assert_eq!(sandbox.client(&["p", "status"]).stdout, "not running\n", "nothing of the first counts");
}

#[test]
fn of_same_named_values_only_the_last_is_considered() {
    let sandbox = Sandbox::with_daemon(&format!(
        "allow-uid = x\nallow-uid = {}\n[prog-p]\ncmd-signal = echo first\nrestart-delay = x\n\
         cmd-signal = echo last\nrestart-delay = 1\n",
        geteuid()
    ));

    assert_eq!(sandbox.succeed(&["p", "signal"]), "last\n");
}

#[test]
fn spacing_and_comments_are_decoration() {
    let plain = allowing_us("[prog-p]\ncmd-signal = echo 'a  b'\n[prog-q]\ncmd-signal = echo q\n");
    let decorated = format!(
        "\n\n # A comment.\n; Another = one\n\tallow-uid={} \n\n\n[prog-p]\r\n\
         \x20 # cmd-signal = no\n   cmd-signal   =   echo 'a  b'  \t\r\n\n\n\n \t [prog-q] \n\x0bcmd-signal=echo q",
        geteuid()
    );
    for config in [plain, decorated] {
        let sandbox = Sandbox::with_daemon(&config);

        assert_eq!(sandbox.succeed(&["p", "signal"]), "a  b\n");
        assert_eq!(sandbox.succeed(&["q", "signal"]), "q\n");
    }
}

#[test]
fn values_are_taken_as_they_are() {
    let script =
        r#"cat /proc/$$/cmdline; : "double" 'single' # ; [x] a=b = == \n \\ %s ${HOME} $(:) `:` é ~ , \"#;
    let sandbox = Sandbox::with_daemon(&allowing_us(&format!("[prog-p]\ncmd-signal = {script}\n")));

    let output = sandbox.succeed(&["p", "signal"]);

    assert_eq!(output, format!("/bin/sh\0-c\0{script}\0"));
}

#[test]
fn a_program_may_have_any_name() {
    let names = ["a b", "-x", "x]y", "[", "=", "prog-", "Zoë", "a\tb", "--"];
    let section = |name: &str| format!("[prog-{name}]\ncmd-signal = echo \"$PROGNAME\"\n");
    let sandbox = Sandbox::with_daemon(&allowing_us(&names.map(section).concat()));

    for name in names {
        assert_eq!(sandbox.succeed(&["--", name, "signal"]), format!("{name}\n"));
    }
}

#[test]
fn the_example_of_the_manual_works() {
    let sandbox = Sandbox::new("");
    // Its keys and values, but for the paths and the user, and with a shell script as the game server.
    let config = format!(
        "socket-path = @/procmgr-local\n\
         # The group that may do everything.\n\
         allow-gid = 99\n\
         \n\
         # Asked for by its name, \"procmgr game-server ACTION\".\n\
         [prog-game-server]\n\
         # And a user.\n\
         allow-uid = {}\n\
         # With exec, so that the server is watched and not its shell.\n\
         cmd-start = exec sh @/game.server\n\
         # The server's process.\n\
         cmd-reload = kill -HUP $PID\n",
        geteuid()
    );
    fs::write(
        sandbox.path("game.server"),
        "cd \"${0%/*}\"; trap 'echo $$ >> reloads' HUP; echo $$ > pid; exec >/dev/null 2>&1\n\
         while [ -e pid ]; do sleep 0.02; done\n",
    )
    .unwrap();
    sandbox.configure(&config);
    let mut sandbox = sandbox;
    sandbox.start_daemon(&[]);

    sandbox.succeed(&["game-server", "start"]);
    let pid = lines(&sandbox, "pid", 1);
    sandbox.succeed(&["game-server", "reload"]);
    assert_eq!(lines(&sandbox, "reloads", 1), pid);
    assert_eq!(sandbox.succeed(&["game-server", "status"]), "running\n");
    assert_eq!(sandbox.client(&["game-server", "stop"]).code, 128 + 15);

    assert!(sandbox.path("procmgr-local").exists() && !sandbox.socket().exists());
}

// Which file.

#[test]
fn the_client_reads_the_file_only_up_to_the_first_section() {
    let mut sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\n"));
    sandbox.configure("allow-uid = nonsense\n[prog-p]\nnonsense\n[\n\0");

    assert_eq!(sandbox.succeed(&["-t"]), "running\n");
    assert_eq!(sandbox.succeed(&["p", "signal"]), "");
    assert_eq!(sandbox.succeed(&["-s"]), "");

    assert!(sandbox.wait_for_daemon().success());
}

#[test]
fn a_mistake_ahead_of_the_first_section_is_an_error_of_the_client_too() {
    let sandbox = Sandbox::new("nonsense\n[prog-p]\n");
    let file = sandbox.config();
    let file = file.display();

    let output = sandbox.client(&["p", "start"]);

    let stderr = format!(
        "{file}:2:1: error: neither a [section] nor a comment nor \"key = value\"\nERROR: 1 error in {file}\n"
    );
    assert_eq!(output, Output { code: 125, stdout: String::new(), stderr });
}

#[test]
fn the_command_line_beats_the_environment_and_a_named_socket_beats_both_files() {
    let served = Sandbox::with_daemon(&allowing_us("[prog-p]\n"));
    let idle = Sandbox::new("");
    let by_option = |config: &Sandbox| ["-c".to_owned(), config.config().display().to_string()];
    let asked = |arguments: &[String], variables: &[(&str, &Path)]| {
        let mut command = procmgr();
        run(command.args(arguments).arg("-t").envs(variables.iter().copied())).stdout
    };
    let (running, not_running) = ("running\n", "not running\n");
    let (config, socket) = ("PROCMGR_CONFFILE", "PROCMGR_SOCKET");

    assert_eq!(asked(&by_option(&served), &[]), running);
    assert_eq!(asked(&[], &[(config, &served.config())]), running);
    assert_eq!(asked(&by_option(&served), &[(config, &idle.config())]), running);
    assert_eq!(asked(&by_option(&idle), &[(config, &served.config())]), not_running);
    assert_eq!(asked(&by_option(&idle), &[(socket, &served.socket())]), running);
    assert_eq!(asked(&by_option(&served), &[(socket, &idle.socket())]), not_running);
    assert_eq!(asked(&[], &[(config, &served.config()), (socket, &idle.socket())]), not_running);
    // Variables that are set to nothing are not set.
    assert_eq!(asked(&by_option(&served), &[(config, Path::new("")), (socket, Path::new(""))]), running);
}

#[test]
fn a_client_that_is_told_the_socket_needs_no_configuration() {
    let sandbox = Sandbox::with_daemon(&allowing_us("[prog-p]\ncmd-signal = echo hello\n"));
    let mut command = procmgr();
    command.args(["-c", "/nonexistent", "p", "signal"]).env("PROCMGR_SOCKET", sandbox.socket());

    let output = run(&mut command);

    assert_eq!((output.code, output.stdout.as_str()), (0, "hello\n"));
}

#[test]
fn the_daemon_finds_its_file_by_the_environment_and_its_socket_by_the_file() {
    let mut sandbox = Sandbox::new(&allowing_us("[prog-p]\n"));
    let mut daemon = procmgr();
    daemon.args(["-d", "-f"]).env("PROCMGR_CONFFILE", sandbox.config());
    // This one is for clients.
    daemon.env("PROCMGR_SOCKET", sandbox.path("elsewhere"));

    sandbox.run_daemon(daemon);

    assert!(sandbox.socket().exists() && !sandbox.path("elsewhere").exists());
}

#[test]
fn without_any_file_the_client_uses_the_socket_that_is_built_in() {
    if ["/etc/procmgr.cfg", "/var/run/procmgr"].into_iter().any(|path| Path::new(path).exists()) {
        eprintln!("skipped: procmgr is installed on this system");
        return;
    }

    let output = run(procmgr().args(["p", "start"]));

    let stderr =
        "ERROR: cannot connect to /var/run/procmgr: there is no such socket; does a daemon run?\n".to_owned();
    assert_eq!(output, Output { code: 125, stdout: String::new(), stderr });
    let help = run(procmgr().arg("-h")).stdout;
    assert!(help.contains("$PROCMGR_CONFFILE, else /etc/procmgr.cfg\n"), "{help}");
    assert!(help.contains("else /var/run/procmgr\n"), "{help}");
}

#[test]
fn a_named_file_that_cannot_be_read_is_an_error() {
    let sandbox = Sandbox::new("");
    let absent = sandbox.path("absent");
    let message =
        format!("cannot read configuration {}: No such file or directory (os error 2)", absent.display());

    for (arguments, code) in [(vec!["p", "start"], 125), (vec!["-t"], 1), (vec!["-s"], 1), (vec!["-a"], 1)] {
        let named = run(procmgr().arg("-c").arg(&absent).args(&arguments));
        let by_environment = run(procmgr().env("PROCMGR_CONFFILE", &absent).args(&arguments));

        let stderr = format!("ERROR: {message}\n");
        assert_eq!(named, Output { code, stdout: String::new(), stderr });
        assert_eq!(by_environment, named);
    }
    let daemon = run(procmgr().arg("-c").arg(&absent).args(["-d", "-f"]));
    assert_eq!(daemon, Output { code: 1, stdout: String::new(), stderr: format!("procmgr: {message}\n") });
}

#[test]
fn a_folder_is_no_configuration() {
    let sandbox = Sandbox::new("");

    for (arguments, code) in [(vec!["p", "start"], 125), (vec!["-d", "-f"], 1)] {
        let output = run(procmgr().arg("-c").arg(sandbox.path("")).args(&arguments));

        assert_eq!((output.code, output.stdout.as_str()), (code, ""));
        assert!(output.stderr.ends_with(": it is a directory\n"), "{output:?}");
    }
}

#[test]
fn relative_paths_are_taken_from_the_working_directory_of_whoever_starts() {
    let sandbox = Sandbox::new("socket-path = here\n[prog-p]\ncmd-signal = pwd\n");
    sandbox.configure(&allowing_us("socket-path = here\n[prog-p]\ncmd-signal = pwd\n"));
    let in_folder = |arguments: &[&str]| {
        let mut command = procmgr();
        command.args(["-c", "procmgr.cfg"]).args(arguments).current_dir(sandbox.path(""));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        answer(command.spawn().unwrap())
    };

    assert_eq!(in_folder(&["-d"]).code, 0);

    assert!(sandbox.path("here").exists());
    assert_eq!(in_folder(&["p", "signal"]).stdout, "/\n", "the daemon itself has gone to the root");
    assert_eq!(in_folder(&["-r"]).code, 0);
    assert_eq!(in_folder(&["-s"]).code, 0);
    wait_until("the socket is gone", || !sandbox.path("here").exists());
}

#[test]
fn the_daemon_of_root_takes_no_file_that_others_may_write() {
    if !is_root("the_daemon_of_root_takes_no_file_that_others_may_write") {
        return;
    }
    let sandbox = Sandbox::new("[prog-p]\n");
    fs::set_permissions(sandbox.config(), fs::Permissions::from_mode(0o664)).unwrap();

    let output = attempt(&sandbox);

    assert_eq!((output.code, output.stdout.as_str()), (1, ""));
    let expected = format!(
        "procmgr: cannot trust configuration {}: others than root may write it (owner 0, mode 0664)\n",
        sandbox.config().display()
    );
    assert_eq!(output.stderr, expected);
}
