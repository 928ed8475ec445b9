//! What the kernel tells of a process.
//!
//! Whose process it is is not known here.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Returns how long its threads have been on a processor, all together.
pub(super) fn processor_time(pid: u32) -> Result<Duration, String> {
    let times = threads(pid)?.into_iter().map(|thread| {
        let text = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
    });
    Ok(Duration::from_nanos(times.sum()))
}

/// Returns how many times a processor was taken from one of its threads, or left by one.
pub(super) fn switches(pid: u32) -> Result<u32, String> {
    let switches = threads(pid)?.into_iter().map(|thread| {
        let text = fs::read_to_string(thread.join("status")).unwrap_or_default();
        let counts = text.lines().filter(|line| line.contains("voluntary_ctxt_switches"));
        counts.filter_map(|line| line.split_whitespace().last()?.parse::<u32>().ok()).sum::<u32>()
    });
    Ok(switches.sum())
}

/// Returns its memory in KiB; what it shares with others counts in proportion.
pub(super) fn memory(pid: u32) -> Result<f64, String> {
    proportional(pid, "Pss:")
}

/// Returns the memory in KiB that it has written to. How many others there are does not matter to it.
pub(super) fn written_memory(pid: u32) -> Result<f64, String> {
    proportional(pid, "Pss_Anon:")
}

/// Returns the memory in KiB that it has mapped from files, text and tables; what it shares counts in proportion.
pub(super) fn mapped_memory(pid: u32) -> Result<f64, String> {
    proportional(pid, "Pss_File:")
}

fn proportional(pid: u32, what: &str) -> Result<f64, String> {
    let text = tells(pid, "smaps_rollup")?;
    let size = text.lines().find_map(|line| line.strip_prefix(what)?.trim().strip_suffix(" kB"));
    size.and_then(|size| size.parse().ok()).ok_or_else(|| format!("process {pid} has no memory"))
}

/// Returns how many pages its dead children have asked for. Each child asks for some, so it has had none for as long as
/// this does not grow.
pub(super) fn pages_of_children(pid: u32) -> Result<u32, String> {
    let text = tells(pid, "stat")?;
    // Behind the name, which may hold anything, the first field is the third.
    let mut fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields
        .nth(8)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| format!("process {pid} has no statistics"))
}

/// Returns its children.
pub(super) fn children(pid: u32) -> Result<Vec<u32>, String> {
    let text = tells(pid, &format!("task/{pid}/children"))?;
    Ok(text.split_whitespace().filter_map(|word| word.parse().ok()).collect())
}

fn threads(pid: u32) -> Result<Vec<PathBuf>, String> {
    let folder = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| gone(pid, &error))?;
    Ok(folder.flatten().map(|entry| entry.path()).collect())
}

fn tells(pid: u32, file: &str) -> Result<String, String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|error| gone(pid, &error))
}

fn gone(pid: u32, error: &io::Error) -> String {
    format!("process {pid} is gone: {error}")
}
