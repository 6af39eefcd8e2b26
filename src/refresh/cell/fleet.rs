//! A fleet on paper: ten thousand nodes start at once before a cloud that allows a hundred calls a second.
//!
//! Without anybody waiting, the start is spread and nothing is throttled. With a pull waiting on every node there is no
//! such choice: all ask now, and throttling spreads them.

mod day;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::RefreshCell;
use super::tests::{Failure, PausedClock};
use crate::clock::{SharedClock, later};
use crate::refresh::{Expiring, Jitter, Load, Policy, START_SPREAD};
use crate::telemetry::metrics::{Hop, Metrics};

const NODES: u64 = 10_000;
/// AssumeRole calls that one account may make in a second (STS FAQ).
const ALLOWED: u32 = 100;
/// How long the start is watched: renewals begin after half an hour.
const START: Duration = Duration::from_secs(600);
const POLICY: Policy = Policy::new(Duration::from_secs(900));
/// `expireDuration`, and so the life of every session.
const LIFE: Duration = Duration::from_secs(3600);
/// What a node makes of throttling that names no pause, as in `cloud::verdict`.
const THROTTLED_PAUSE: Duration = Duration::from_secs(2);
/// A kubelet asks again this long after a failed pull.
const KUBELET_PAUSE: Duration = Duration::from_secs(10);
/// How long a pull waits, as in `token::source`.
const PATIENCE: Duration = Duration::from_secs(12);

/// What the cloud saw, second by second.
#[derive(Debug)]
struct Account {
    clock: SharedClock,
    started: Instant,
    /// Calls of each second.
    seconds: Mutex<BTreeMap<u64, u32>>,
    /// When each node got its first session.
    served: Mutex<Vec<u64>>,
}

#[derive(Debug)]
struct NodeLoad(Arc<Account>);

impl Load for NodeLoad {
    type Value = ();
    type Error = Failure;

    async fn load(&self, _held: Option<Arc<Expiring<()>>>) -> Result<Expiring<()>, Arc<Failure>> {
        sleep(Duration::from_millis(40)).await;
        let second = self.0.started.elapsed().as_secs();
        {
            let mut seconds = self.0.seconds.lock().unwrap();
            let calls = seconds.entry(second).or_default();
            *calls += 1;
            if *calls > ALLOWED {
                return Err(Arc::new(Failure::Throttled(THROTTLED_PAUSE)));
            }
        }
        self.0.served.lock().unwrap().push(second);
        let issued = self.0.clock.now();
        Ok(Expiring { value: (), issued, expires: later(issued, LIFE) })
    }
}

/// What became of a start.
#[derive(Debug)]
struct Start {
    /// Seconds until 50, 99 and 100 % of the nodes held a session.
    held: [u64; 3],
    /// Most calls in one second.
    peak: u32,
    calls: u32,
    throttled: u32,
}

/// Starts all nodes at once; on this share of them a pull waits from a moment within the first ten seconds on.
async fn start(share_with_pulls: f64) -> Start {
    let clock = PausedClock::shared();
    let account = Arc::new(Account {
        clock: Arc::clone(&clock),
        started: Instant::now(),
        seconds: Mutex::default(),
        served: Mutex::default(),
    });
    let metrics = Metrics::new().instance(&crate::oci::InstanceId::parse("cri-fleet").unwrap());
    let mut tasks = Vec::new();
    for node in 0..NODES {
        let dice = Jitter::seeded(node);
        let (spread, pull) = (START_SPREAD.mul_f64(dice.throw()), Duration::from_secs(10).mul_f64(dice.throw()));
        let load = NodeLoad(Arc::clone(&account));
        let cell = RefreshCell::new(load, POLICY, Arc::clone(&clock), Hop::AssumeRole, Arc::clone(&metrics));
        let cell = cell.with_jitter(Jitter::seeded(node.wrapping_mul(0x9e37_79b9)));
        let pulls = dice.throw() < share_with_pulls;
        tasks.push(tokio::spawn({
            let cell = cell.clone();
            async move {
                sleep(spread).await;
                cell.keep().await;
            }
        }));
        tasks.extend(pulls.then(|| {
            tokio::spawn(async move {
                sleep(pull).await;
                while cell.fetch_within(PATIENCE).await.is_err() {
                    sleep(KUBELET_PAUSE).await;
                }
            })
        }));
    }
    sleep(START).await;
    for task in tasks {
        task.abort();
    }
    let served = account.served.lock().unwrap();
    let seconds = account.seconds.lock().unwrap();
    assert_eq!(served.len() as u64, NODES);
    let at = |share: usize| served[(served.len() * share / 100).min(served.len() - 1)];
    Start {
        held: [at(50), at(99), at(100)],
        peak: seconds.values().copied().max().unwrap(),
        calls: seconds.values().sum(),
        throttled: seconds.values().map(|calls| calls.saturating_sub(ALLOWED)).sum(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_starts_at_once_throttles_nobody() {
    let start = start(0.0).await;
    println!("no pull waits: {start:?}");
    // The limit itself allows no less than 100 s.
    assert!(start.held[2] <= 155, "{start:?}");
    assert_eq!(start.throttled, 0, "{start:?}");
}

#[tokio::test(start_paused = true)]
async fn pulls_that_wait_on_one_node_in_ten_are_served_at_once() {
    let start = start(0.1).await;
    println!("a pull waits on one node in ten: {start:?}");
    assert!(start.held[2] <= 160, "{start:?}");
    assert!(start.peak <= 300, "{start:?}");
}

#[tokio::test(start_paused = true)]
async fn pulls_that_wait_on_every_node_are_spread_by_the_throttling() {
    let start = start(1.0).await;
    println!("a pull waits on every node: {start:?}");
    assert!(start.held[2] <= 250, "{start:?}");
    assert!(f64::from(start.calls) <= 4.5 * NODES as f64, "{start:?}");
}
