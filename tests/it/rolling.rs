//! One daemon replaces another on the same addresses while pulls go on, as a DaemonSet with `maxSurge` does it.

mod with_containerd;

use std::time::Duration;

use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use http::StatusCode;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::node::requests;
use crate::support::puller::Pulls;
use crate::support::{LIMIT, POLL, REPOSITORY, TAG, manifest};

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
async fn pulls_stay_with_the_old_daemon_until_the_new_one_has_a_login() {
    let cloud = CloudSim::start().await.expect("a cloud");
    let image = Image::random(1, 1024, 7);
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
    let old = Daemon::start(&cloud.node_config(Method::WorkerRole)).await;
    wait_until_ready(&Mirror::at(old.admin)).await;
    let pull = async || Mirror::at(old.listen).head(&manifest(TAG)).await;
    pull().await.expect(200);

    let broken = cloud.fault(Fault::on(Service::Sts, Effect::answer(StatusCode::SERVICE_UNAVAILABLE, "")));
    let beside = cloud.node_config_at(Method::WorkerRole, &old.listen.to_string(), "127.0.0.1:0");
    let new = Daemon::as_configured(&beside).await;
    let operators = Mirror::at(new.admin);
    for _ in 0..40 {
        pull().await.expect(200);
    }
    operators.get("/readyz").await.expect(503);

    cloud.faults().remove(broken);
    wait_until_ready(&operators).await;
    let comes = async {
        while requests(&new).await == 0.0 {
            pull().await.expect(200);
        }
    };
    timeout(LIMIT, comes).await.expect("pulls come to the new daemon");
    // And no longer to the old one, which may end at any time.
    let before = requests(&old).await;
    for _ in 0..40 {
        pull().await.expect(200);
    }
    assert_eq!(requests(&old).await, before);
    old.stop();
    Mirror::at(new.listen).head(&manifest(TAG)).await.expect(200);
    new.stop();
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
