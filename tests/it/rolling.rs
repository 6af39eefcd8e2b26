//! One daemon replaces another on the same addresses while pulls go on, as a DaemonSet with `maxSurge` does it.

mod with_containerd;

use std::time::Duration;

use cloudsim::image::Image;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::puller::Pulls;
use crate::support::{LIMIT, POLL, REPOSITORY, TAG};

/// Pulls at once.
const PULLS: usize = 200;

/// How often the daemon is replaced.
const REPLACEMENTS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_replaced_under_two_hundred_pulls_and_none_fails() {
    let cloud = CloudSim::start().await.expect("a cloud");
    let image = Image::random(2, 192 * 1024, 7);
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
    let mut daemon = Daemon::start(&cloud.node_config(Method::Rrsa)).await;
    let same_addresses = cloud.node_config_at(Method::Rrsa, &daemon.listen.to_string(), &daemon.admin.to_string());
    let operators = Mirror::at(daemon.admin);
    wait_until_ready(&operators).await;

    let pulls = Pulls::start(daemon.listen, &image, PULLS);
    pulls.more(PULLS).await;
    for _ in 0..REPLACEMENTS {
        let successor = Daemon::start(&same_addresses).await;
        // From now on the successor answers operators, as each asks on a connection of its own.
        wait_until_ready(&Mirror::at(successor.admin)).await;
        pulls.more(PULLS / 2).await;
        let predecessor = std::mem::replace(&mut daemon, successor);
        let ended =
            timeout(LIMIT, spawn_blocking(|| predecessor.stop())).await.expect("it ends").expect("with success");
        assert!(!ended.contains("requests are cut"), "{ended}");
        pulls.more(PULLS).await;
    }
    let outcome = pulls.end().await;
    println!("{} pulls, {} requests sent again, {} failed", outcome.done, outcome.sent_again, outcome.failures.len());
    assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nobody_to_take_over_pulls_are_refused_at_once() {
    let cloud = CloudSim::start().await.expect("a cloud");
    let daemon = Daemon::start(&cloud.node_config(Method::Rrsa)).await;
    let address = daemon.listen;
    daemon.stop();
    let refused = timeout(Duration::from_secs(1), tokio::net::TcpStream::connect(address)).await.expect("at once");
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

async fn wait_until_ready(operators: &Mirror) {
    let ready = async {
        while operators.get("/readyz").await.status != 200 {
            tokio::time::sleep(POLL).await;
        }
    };
    timeout(LIMIT, ready).await.expect("the daemon becomes ready");
}
