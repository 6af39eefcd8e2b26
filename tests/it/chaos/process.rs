//! The memory and the file descriptors of a process over time.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::node::get;

/// How often is looked.
const EVERY: Duration = Duration::from_millis(500);

/// When memory has settled, in a soak that is long enough; in a shorter one, after a third of it.
const SETTLED: Duration = Duration::from_secs(300);

/// Which share of a soak is looked at as one, at the moment it has settled, and at its end.
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
    /// Medians of all parts, one after the other.
    course: [u64; SHARE as usize],
}

impl std::fmt::Display for Growth {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} when settled, {} at the end; on the way {:?}", self.settled, self.end, self.course)
    }
}

impl Samples {
    /// Looks until `end` at the process that answers pulls at `listen` and operators at `admin`.
    pub(super) async fn take(pid: u32, (listen, admin): (SocketAddr, SocketAddr), end: Instant) -> Self {
        let begun = Instant::now();
        let mut samples = Vec::new();
        while Instant::now() < end {
            samples.push(Sample {
                at: begun.elapsed(),
                resident_kib: resident_kib(pid),
                descriptors: descriptors(admin).await.saturating_sub(held_by_clients(listen)),
            });
            sleep(EVERY).await;
        }
        Self(samples)
    }

    pub(super) fn resident_kib(&self) -> Growth {
        self.growth(|sample| sample.resident_kib)
    }

    /// Without the connections that clients hold open: how many those are, they decide. containerd leaves those of each
    /// pull to time out, so that there are the more of them the faster it pulls.
    pub(super) fn descriptors(&self) -> Growth {
        self.growth(|sample| sample.descriptors)
    }

    /// Medians, since either figure follows the load from moment to moment, and what one burst of it takes is not what stays.
    fn growth(&self, of: impl Fn(&Sample) -> u64) -> Growth {
        let whole = self.0.last().map_or(Duration::ZERO, |sample| sample.at);
        let settled = SETTLED.min(whole / 3);
        let share = whole / SHARE;
        let median = |from: Duration, to: Duration| {
            let mut values: Vec<u64> =
                self.0.iter().filter(|sample| (from..=to).contains(&sample.at)).map(&of).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let course = std::array::from_fn(|part| {
            let part = u32::try_from(part).expect("a small number");
            median(share * part, share * (part + 1))
        });
        Growth { settled: median(settled, settled + share), end: median(whole - share, whole), course }
    }
}

/// Resident memory, as the kernel counts it.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Open file descriptors, as the process counts them itself: it lets nobody but root look.
async fn descriptors(admin: SocketAddr) -> u64 {
    let (_, metrics) = get(admin, "/metrics").await;
    let count = metrics.lines().find_map(|line| line.strip_prefix("process_open_fds "));
    count.and_then(|count| count.parse().ok()).expect("the metric")
}

/// Connections to `listen` that neither side has closed.
fn held_by_clients(listen: SocketAddr) -> u64 {
    const ESTABLISHED: &str = "01";
    let port = format!(":{:04X}", listen.port());
    let connections = fs::read_to_string("/proc/net/tcp").expect("the kernel lists its connections");
    let of_listener = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&port)) && fields.nth(1) == Some(ESTABLISHED)
    };
    connections.lines().filter(of_listener).count() as u64
}
