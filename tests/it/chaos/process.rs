//! The memory and the file descriptors of a process over time.

use std::fs;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often is looked.
const EVERY: Duration = Duration::from_millis(500);

/// When memory has settled, in a soak that is long enough; in a shorter one, after a third of it.
const SETTLED: Duration = Duration::from_secs(300);

/// Which share of a soak is averaged at the moment it has settled, and at its end.
const SHARE: u32 = 10;

/// One look.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    resident_kib: u64,
    descriptors: u64,
}

/// All looks at one process.
#[derive(Debug)]
pub(super) struct Samples(Vec<Sample>);

/// A figure when it had settled and at the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    pub(super) settled: u64,
    pub(super) end: u64,
    most: u64,
}

impl std::fmt::Display for Growth {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} when settled, {} at the end, {} at most", self.settled, self.end, self.most)
    }
}

impl Samples {
    /// Looks at `pid` until `end`.
    pub(super) async fn take(pid: u32, end: Instant) -> Self {
        let begun = Instant::now();
        let mut samples = Vec::new();
        while Instant::now() < end {
            samples.push(Sample {
                at: begun.elapsed(),
                resident_kib: resident_kib(pid),
                descriptors: descriptors(pid),
            });
            sleep(EVERY).await;
        }
        Self(samples)
    }

    pub(super) fn resident_kib(&self) -> Growth {
        self.growth(|sample| sample.resident_kib)
    }

    pub(super) fn descriptors(&self) -> Growth {
        self.growth(|sample| sample.descriptors)
    }

    /// Means, since either figure follows the load from moment to moment.
    fn growth(&self, of: impl Fn(&Sample) -> u64) -> Growth {
        let whole = self.0.last().map_or(Duration::ZERO, |sample| sample.at);
        let settled = SETTLED.min(whole / 3);
        let share = whole / SHARE;
        let mean = |from: Duration, to: Duration| {
            let values: Vec<u64> = self.0.iter().filter(|sample| (from..=to).contains(&sample.at)).map(&of).collect();
            values.iter().sum::<u64>() / (values.len() as u64).max(1)
        };
        let most = self.0.iter().map(&of).max().unwrap_or_default();
        Growth { settled: mean(settled, settled + share), end: mean(whole - share, whole), most }
    }
}

/// Resident memory, as the kernel counts it.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Open file descriptors.
pub(crate) fn descriptors(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there").count() as u64
}
