//! Under what conditions the figures were taken, so that nobody compares what cannot be compared.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

/// Programs that may stand beside the daemon, with what makes them say their version.
const PROGRAMS: [(&str, &[&str]); 5] = [
    ("containerd", &["--version"]),
    ("nginx", &["-v"]),
    ("haproxy", &["-v"]),
    ("docker-registry", &["--version"]),
    ("wrk", &["-v"]),
];

/// Whether a program is installed.
pub(crate) fn installed(program: &str) -> bool {
    PROGRAMS.iter().any(|(name, arguments)| *name == program && Command::new(name).args(*arguments).output().is_ok())
}

/// Whether this process is root's.
pub(crate) fn root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// What to print below the table.
pub(crate) fn lines(runs: usize) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    let mut lines = vec![
        format!("{cores} cores, {}, {}", processor(), kernel()),
        format!("load average before: {}", load()),
        format!(
            "medians of {runs} runs (a local whole pull: of more; the first byte: of the blobs of one), both sides in turns; \
             memory: the most of one watch; the simulated cloud shares the cores"
        ),
    ];
    lines.extend(PROGRAMS.iter().map(|(name, arguments)| {
        let version = version(name, arguments).unwrap_or_else(|| "not installed".to_owned());
        format!("{name}: {version}")
    }));
    lines
}

/// The first line a program answers with, on either stream.
fn version(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).lines().find(|line| !line.trim().is_empty()).map(str::to_owned)
}

fn processor() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "an unnamed processor".to_owned(), |(_, name)| name.to_owned())
}

/// What the machine was busy with in the last minute: figures taken beside other work are noise.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}
