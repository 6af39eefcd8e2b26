//! The containerd that runs, as `/proc` shows it: which configuration it was started with, and when.
//!
//! Another user or a container sees none; then nothing is said about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::{Clock, SystemClock, Timestamp};

/// The name of the program, by which its shims are told from it.
const PROGRAM: &str = "containerd";

/// The configuration of the containerd that dockerd starts for itself, without the CRI plugin.
const OF_DOCKERD: &str = "docker/containerd/containerd.toml";

/// Ticks in a second of what `/proc/PID/stat` counts in: `USER_HZ`, the same on every architecture that is built for.
const TICKS_PER_SECOND: u64 = 100;

/// Where the start stands in `/proc/PID/stat`, counted behind the name in brackets (man `proc_pid_stat`, field 22).
const START_FIELD: usize = 19;

/// How much later than the start a file must be written to count as newer: the start is known to a tick, and a
/// script writes the file and restarts containerd in one breath.
const SAME_TIME: Duration = Duration::from_secs(1);

/// A containerd that runs in this mount namespace.
#[derive(Debug)]
pub(super) struct Running {
    id: u32,
    /// What `--config` names; `None`: the file in the usual place.
    pub(super) config: Option<PathBuf>,
    started: Timestamp,
}

impl Running {
    /// The first of `files` that was written after the start, so that this containerd does not know what is in it.
    pub(super) fn unread<'a>(&self, files: &'a [PathBuf]) -> Option<&'a Path> {
        let now = SystemClock.now();
        let written = |file: &Path| Timestamp::try_from(fs::metadata(file).ok()?.modified().ok()?).ok();
        let known_until = self.started.checked_add(SAME_TIME).unwrap_or(Timestamp::MAX);
        // A time to come is one of a clock that was wrong, and says nothing.
        let is_newer = |file: &&PathBuf| written(file).is_some_and(|written| written > known_until && written <= now);
        files.iter().find(is_newer).map(PathBuf::as_path)
    }
}

/// Every containerd that runs, the oldest process id first.
pub(super) fn running(root: &Path) -> Vec<Running> {
    let proc = root.join("proc");
    let entries = fs::read_dir(&proc).into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found: Vec<_> = ids.filter_map(|id| one(&proc, id)).collect();
    found.sort_by_key(|running| running.id);
    found
}

fn one(proc: &Path, id: u32) -> Option<Running> {
    let directory = proc.join(id.to_string());
    let name = fs::read_to_string(directory.join("comm")).ok()?;
    // One that runs in a container, as on nodes of kind, reads files of its own.
    if name.trim_end() != PROGRAM || namespace(&directory) != namespace(&proc.join("self")) {
        return None;
    }
    let line = fs::read(directory.join("cmdline")).ok()?;
    let config = configuration(&String::from_utf8_lossy(&line));
    if config.as_deref().is_some_and(|config| config.ends_with(OF_DOCKERD)) {
        return None;
    }
    Some(Running { id, config, started: started(proc, &directory)? })
}

/// The mount namespace of a process, where that can be seen.
fn namespace(directory: &Path) -> Option<PathBuf> {
    fs::read_link(directory.join("ns/mnt")).ok()
}

/// What `--config` names on a command line with zero bytes between its words.
fn configuration(line: &str) -> Option<PathBuf> {
    let mut words = line.split('\0');
    while let Some(word) = words.next() {
        let value = match word.split_once('=') {
            Some(("--config" | "-config" | "-c" | "--c", value)) => Some(value),
            None if matches!(word, "--config" | "-config" | "-c" | "--c") => words.next(),
            _ => None,
        };
        if let Some(value) = value {
            return Some(PathBuf::from(value)).filter(|path| path.is_absolute());
        }
    }
    None
}

/// When a process started, by the clock as it is now.
fn started(proc: &Path, directory: &Path) -> Option<Timestamp> {
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    // The name may hold brackets and spaces of its own.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').nth(START_FIELD)?.parse().ok()?;
    let after_boot = Duration::from_millis(ticks * (1000 / TICKS_PER_SECOND));
    let uptime = fs::read_to_string(proc.join("uptime")).ok()?;
    let uptime = Duration::try_from_secs_f64(uptime.split(' ').next()?.parse().ok()?).ok()?;
    SystemClock.now().checked_sub(uptime.saturating_sub(after_boot)).ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::configuration;

    #[test]
    fn the_configuration_is_found_in_every_form_of_the_flag() {
        for (line, expected) in [
            ("containerd\0", None),
            ("containerd\0--config\0/a.toml\0", Some("/a.toml")),
            ("/usr/bin/containerd\0-c\0/a.toml\0--root\0/b\0", Some("/a.toml")),
            ("containerd\0--log-level\0debug\0--config=/a.toml\0", Some("/a.toml")),
            ("containerd\0--config\0relative.toml\0", None),
            ("containerd\0--config\0", None),
        ] {
            assert_eq!(configuration(line), expected.map(PathBuf::from), "{line:?}");
        }
    }
}
