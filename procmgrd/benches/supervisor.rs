//! What it takes to decide, in time and in allocations, and how that grows with the number of programs.
//!
//! Whether it is decided rightly is for the tests to say.

use divan::{AllocProfiler, Bencher};
use procmgrd::benchmark::World;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = PROGRAMS)]
fn answer_a_ping(bencher: Bencher<'_, '_>, programs: u32) {
    let mut world = World::new(programs);
    bencher.bench_local(|| world.ping());
}

#[divan::bench(args = PROGRAMS)]
fn answer_a_status(bencher: Bencher<'_, '_>, programs: u32) {
    let mut world = World::new(programs);
    bencher.bench_local(|| world.status());
}

#[divan::bench(args = PROGRAMS)]
fn run_a_script(bencher: Bencher<'_, '_>, programs: u32) {
    let mut world = World::new(programs);
    bencher.bench_local(|| world.script());
}

#[divan::bench(args = PROGRAMS)]
fn restart_after_a_death(bencher: Bencher<'_, '_>, programs: u32) {
    let mut world = World::new(programs);
    bencher.bench_local(|| world.death());
}

#[divan::bench(args = PROGRAMS)]
fn list_all(bencher: Bencher<'_, '_>, programs: u32) {
    let mut world = World::new(programs);
    bencher.bench_local(|| world.list());
}

#[divan::bench(args = PROGRAMS)]
fn take_a_new_file_that_changes_nothing(bencher: Bencher<'_, '_>, programs: u32) {
    let mut world = World::new(programs);
    bencher.bench_local(|| world.reload());
}

const PROGRAMS: [u32; 3] = [1, 100, 10_000];
