//! A fleet on paper: ten thousand nodes start at once before a cloud that allows a hundred calls a second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::RefreshCell;
use super::tests::{Failure, PausedClock};
use crate::clock::{SharedClock, later};
use crate::refresh::{Expiring, Jitter, Load, Policy};
use crate::telemetry::metrics::{Hop, Metrics};

const NODES: u64 = 10_000;
/// AssumeRole calls that one account may make in a second (STS FAQ).
const ALLOWED: u32 = 100;
/// The spread of the first call of each node, as in `token::source`.
const START_SPREAD: Duration = Duration::from_secs(2);

/// What the cloud saw, second by second.
#[derive(Debug)]
struct Account {
    clock: SharedClock,
    started: Instant,
    /// Calls and throttled calls of each second.
    seconds: Mutex<BTreeMap<u64, (u32, u32)>>,
    /// When each node got its first session.
    served: Mutex<Vec<u64>>,
}

#[derive(Debug)]
struct NodeLoad(Arc<Account>);

impl Load for NodeLoad {
    type Value = ();
    type Error = Failure;

    async fn load(&self, held: Option<Arc<Expiring<()>>>) -> Result<Expiring<()>, Arc<Failure>> {
        sleep(Duration::from_millis(40)).await;
        let second = self.0.started.elapsed().as_secs();
        {
            let mut seconds = self.0.seconds.lock().unwrap();
            let (calls, throttled) = seconds.entry(second).or_default();
            *calls += 1;
            if *calls > ALLOWED {
                *throttled += 1;
                return Err(Arc::new(Failure::Throttled(Duration::ZERO)));
            }
        }
        if held.is_none() {
            self.0.served.lock().unwrap().push(second);
        }
        let issued = self.0.clock.now();
        Ok(Expiring { value: (), issued, expires: later(issued, Duration::from_secs(3600)) })
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_nodes_start_at_once_and_settle() {
    let clock = PausedClock::shared();
    let account = Arc::new(Account {
        clock: Arc::clone(&clock),
        started: Instant::now(),
        seconds: Mutex::default(),
        served: Mutex::default(),
    });
    let metrics = Metrics::new().instance(&crate::oci::InstanceId::parse("cri-fleet").unwrap());
    let policy = Policy { expiring_threshold: Duration::from_secs(900) };
    let nodes: Vec<_> = (0..NODES)
        .map(|node| {
            let load = NodeLoad(Arc::clone(&account));
            let cell = RefreshCell::new(load, policy, Arc::clone(&clock), Hop::AssumeRole, Arc::clone(&metrics));
            let cell = cell.with_jitter(Jitter::seeded(node.wrapping_mul(0x9e37_79b9)));
            let spread = START_SPREAD.mul_f64(Jitter::seeded(node).throw());
            tokio::spawn(async move {
                sleep(spread).await;
                cell.keep().await;
            })
        })
        .collect();
    sleep(Duration::from_secs(2 * 3600)).await;
    for node in nodes {
        node.abort();
    }
    let served = account.served.lock().unwrap().clone();
    let at = |share: usize| served[(served.len() * share / 100).min(served.len() - 1)];
    let seconds = account.seconds.lock().unwrap();
    let settled: Vec<_> = seconds.range(1800..).map(|(_, calls)| *calls).collect();
    let busiest = settled.iter().map(|(calls, _)| *calls).max().unwrap();
    let throttled: u32 = settled.iter().map(|(_, throttled)| throttled).sum();
    let report = format!("50/99/100 % after {}/{}/{} s, later at most {busiest} calls/s", at(50), at(99), at(100));
    println!("{report}");
    assert_eq!(served.len(), usize::try_from(NODES).unwrap());
    // The limit itself allows no less than 100 s.
    assert!(at(100) <= 150, "{report}");
    assert_eq!(throttled, 0, "the fleet throttles itself after it has settled: {report}");
}
