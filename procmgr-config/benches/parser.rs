//! What it takes to understand a configuration file, in time and in allocations, and how that grows.
//!
//! Whether it is understood rightly is for the tests to say.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use procmgr_config::load::{parse, socket_path};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// What a daemon does with it.
#[divan::bench(args = [1, 100, 10_000])]
fn understand_a_file(bencher: Bencher<'_, '_>, programs: usize) {
    let text = text(programs);
    bencher
        .counter(BytesCount::of_slice(text.as_bytes()))
        .bench_local(|| parse(Path::new("file"), black_box(text.as_bytes()), Path::new("/run/socket")));
}

/// What a client does with it.
#[divan::bench(args = [1, 10_000])]
fn find_the_socket(bencher: Bencher<'_, '_>, programs: usize) {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let path = folder.path().join("procmgr.cfg");
    fs::write(&path, text(programs)).expect("the folder is ours");
    bencher.bench_local(|| socket_path(black_box(&path)).expect("it names one"));
}

/// As much as programs have as a rule.
fn text(programs: usize) -> String {
    let mut text = "socket-path = /run/procmgr\nallow-uid = 1000\n".to_owned();
    for number in 0..programs {
        let program = format!(
            "[prog-{number}]
cmd-start = exec /usr/bin/some-daemon --foreground --config /etc/some-daemon.conf
cmd-reload = kill -HUP $PID
allow-uid = 1000
restart-delay = 5
autostart = no
"
        );
        text.write_str(&program).expect("a text takes everything");
    }
    text
}
