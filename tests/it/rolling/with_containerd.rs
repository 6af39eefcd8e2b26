//! The same with real containerds, which are told of no other place: what the daemon loses is lost.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloudsim::image::Image;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::wait_until_ready;
use crate::support::client::Mirror;
use crate::support::containerd::Containerd;
use crate::support::daemon::Daemon;
use crate::support::{DOMAIN, LIMIT, POLL, TAG, cri};

/// Nodes, as it were.
const CONTAINERDS: usize = 4;

/// Pulls at once in each: two hundred in all.
const AT_ONCE: usize = 50;

/// Images that each of them pulls: so many that some begin before, during and after every replacement.
const IMAGES: usize = 75;

/// How often the daemon is replaced.
const REPLACEMENTS: usize = 2;

/// One layer; what is measured is requests that meet a replacement, not bytes.
const LAYER: usize = 48 * 1024;

/// How long the first of them may take: fifty pulls of one containerd end at about the same time, and newer ones write what
/// they have pulled to the disk.
const ALL_LIMIT: Duration = Duration::from_secs(300);

/// What the containerds have pulled.
#[derive(Debug, Default)]
struct Progress {
    next: [AtomicUsize; CONTAINERDS],
    done: AtomicUsize,
}

impl Progress {
    /// Pulls one image after another until there is none left; what failed.
    async fn work(self: Arc<Self>, number: usize, socket: PathBuf) -> Vec<String> {
        let mut failures = Vec::new();
        loop {
            let image = self.next[number].fetch_add(1, Ordering::SeqCst);
            if image >= IMAGES {
                return failures;
            }
            let pulled = cri::pull_image(&socket, &format!("{DOMAIN}/{}:{TAG}", repository(image))).await;
            failures.extend(pulled.err());
            self.done.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn reach(&self, count: usize) {
        let reached = async {
            while self.done.load(Ordering::SeqCst) < count {
                sleep(POLL).await;
            }
        };
        let reached = timeout(ALL_LIMIT, reached).await;
        assert!(reached.is_ok(), "pulls have come to a halt: {} done", self.done.load(Ordering::SeqCst));
    }
}

fn repository(image: usize) -> String {
    format!("team/app-{image}")
}

/// Check 18 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_replaced_under_two_hundred_pulls_of_containerds_and_none_fails() {
    let cloud = CloudSim::start().await.expect("a cloud");
    for image in 0..IMAGES {
        let seed = u64::try_from(image).unwrap();
        cloud.push(setup::INSTANCE, &repository(image), TAG, &Image::random(2, LAYER, seed)).expect("pushed");
    }
    let mut daemon = Daemon::start(&cloud.node_config(Method::Rrsa)).await;
    let same_addresses = cloud.node_config_at(Method::Rrsa, &daemon.listen.to_string(), &daemon.admin.to_string());
    wait_until_ready(&Mirror::at(daemon.admin)).await;
    let mut containerds = Vec::new();
    for _ in 0..CONTAINERDS {
        let containerd = Containerd::start().await;
        containerd.send_pulls_to(DOMAIN, &format!("http://{}", daemon.listen));
        containerds.push(containerd);
    }

    let progress = Arc::new(Progress::default());
    let mut workers = JoinSet::new();
    let started = Instant::now();
    for (number, containerd) in containerds.iter().enumerate() {
        for _ in 0..AT_ONCE {
            workers.spawn(Arc::clone(&progress).work(number, containerd.socket()));
        }
    }
    let all = CONTAINERDS * IMAGES;
    for replacement in 1..=REPLACEMENTS {
        progress.reach(all * replacement / (REPLACEMENTS + 2)).await;
        let done = progress.done.load(Ordering::SeqCst);
        assert!(done < all, "nothing is left to be pulled before replacement {replacement}");
        let successor = Daemon::start(&same_addresses).await;
        wait_until_ready(&Mirror::at(successor.admin)).await;
        let predecessor = std::mem::replace(&mut daemon, successor);
        let ended = timeout(LIMIT, spawn_blocking(|| predecessor.stop())).await;
        let log = ended.expect("it ends").expect("with success");
        assert!(!log.contains("requests are cut"), "{log}");
        println!("replaced for the {replacement}. time, begun after {done} pulls");
    }
    let failures = workers.join_all().await.concat();
    println!("{all} pulls by {CONTAINERDS} containerds in {:?}, {} failed", started.elapsed(), failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
    daemon.stop();
}
