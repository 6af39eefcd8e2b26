//! Checks in which hours pass: in this process, whose time can be moved on, with that of the cloud.

use std::time::Duration;

use cloudsim::fault::{Effect, Fault, FaultId};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::value;
use crate::support::node::{Node, get};
use crate::support::{REPOSITORY, TAG, manifest};

/// One step of the two clocks.
const MINUTE: Duration = Duration::from_secs(60);

/// How long the token file is away.
const AWAY: Duration = Duration::from_secs(1);

/// What is left to calls that go on in the background before time jumps: they would see it as their answer's delay.
const CALLS: Duration = Duration::from_millis(30);

/// A node and its cloud, for which time passes together.
struct Hours {
    cloud: CloudSim,
    node: Node,
}

impl Hours {
    async fn with(method: Method, change: impl FnOnce(String) -> String) -> Self {
        let cloud = CloudSim::start().await.unwrap();
        cloud.push(setup::INSTANCE, REPOSITORY, TAG, &Image::random(1, 1024, 31)).unwrap();
        let node = Node::start(&change(cloud.node_config(method))).await;
        node.ready().await;
        Self { cloud, node }
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(CALLS).await;
        self.cloud.clock().advance(SignedDuration::try_from(time).unwrap());
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    }

    /// Fails the test, and says at which point of the story, unless a pull comes through.
    async fn pull(&self, point: &str) {
        let (status, body) = get(self.node.app.listen_addr(), &manifest(TAG)).await;
        assert_eq!(status, StatusCode::OK, "{point}: {body}");
    }

    async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        value(&get(self.node.app.admin_addr(), "/metrics").await.1, name, labels)
    }

    async fn status(&self) -> Value {
        serde_json::from_str(&get(self.node.app.admin_addr(), "/status").await.1).unwrap()
    }

    fn fail(&self, service: Service) -> FaultId {
        self.cloud.fault(Fault::on(service, Effect::answer(StatusCode::SERVICE_UNAVAILABLE, "")))
    }
}

/// Check 7.
#[tokio::test]
async fn twenty_minutes_without_sts_with_forty_left_fail_no_pull_and_the_gauge_counts_down() {
    let hours = Hours::with(Method::WorkerRole, |config| config).await;
    let mut down = Vec::new();
    let mut left_before = f64::MAX;
    for minute in 0..80 {
        match minute {
            20 => down.extend([Service::Sts, Service::Cr, Service::Imds].map(|service| hours.fail(service))),
            40 => down.iter().for_each(|fault| hours.cloud.faults().remove(*fault)),
            _ => {}
        }
        hours.pull(&format!("minute {minute}")).await;
        if (20..40).contains(&minute) {
            let labels = [("instance", setup::INSTANCE), ("hop", "authorization_token")];
            let expires = hours.metric("token_expiry_timestamp_seconds", &labels).await;
            let left = expires - hours.cloud.clock().now().as_millisecond() as f64 / 1000.0;
            assert!(left > 0.0 && left < left_before, "minute {minute}: {left} s left after {left_before}");
            left_before = left;
        }
        hours.pass(MINUTE).await;
    }
    assert!(left_before <= 22.0 * 60.0, "{left_before} s were left at the end of the outage");
}

/// Check 8.
#[tokio::test]
async fn a_login_ends_with_the_short_session_that_asked_for_it() {
    let quarter = |config: String| config.replace("expireDuration: 3600", "expireDuration: 900");
    for method in [Method::WorkerRole, Method::Rrsa] {
        let hours = Hours::with(method, quarter).await;
        let status = hours.status().await;
        let hops = status["instances"][0]["hops"].as_array().unwrap();
        let expires: Vec<Timestamp> = hops.iter().filter_map(|hop| hop["expires"].as_str()?.parse().ok()).collect();
        let login = expires.last().unwrap();
        let lives = login.duration_since(hours.cloud.clock().now());
        assert!(lives <= SignedDuration::from_secs(900), "{method:?}: {lives:?} in {status}");
        for minute in 0..60 {
            hours.pull(&format!("{method:?}, minute {minute}")).await;
            hours.pass(MINUTE).await;
            hours.cloud.rotate_oidc_token().unwrap();
        }
    }
}

/// Check 9.
#[tokio::test]
async fn a_token_file_that_was_rotated_or_is_away_for_a_second_fails_no_pull() {
    let hours = Hours::with(Method::Rrsa, |config| config).await;
    let exchanges = || hours.cloud.journal().count_action("AssumeRoleWithOIDC");
    hours.pull("at first").await;
    // Everything has expired, the first token too.
    hours.pass(120 * MINUTE).await;
    hours.cloud.rotate_oidc_token().unwrap();
    let before = exchanges();
    hours.pull("with the new token").await;
    assert!(exchanges() > before);

    hours.pass(120 * MINUTE).await;
    std::fs::remove_file(hours.cloud.oidc_token_file()).unwrap();
    let before = exchanges();
    let kubelet = async {
        tokio::time::sleep(AWAY).await;
        hours.cloud.rotate_oidc_token().unwrap();
    };
    tokio::join!(hours.pull("with a file that was away"), kubelet);
    assert!(exchanges() > before);
}

/// Check 23.
#[tokio::test]
async fn a_clock_that_is_off_by_ten_minutes_costs_nothing_and_is_measured() {
    for off in [600, -600] {
        // The cloud is behind, so the node is ahead.
        let shift = SignedDuration::from_secs(-off);
        let cloud = CloudSim::start().await.unwrap();
        cloud.clock().set_offset(shift);
        cloud.rotate_oidc_token().unwrap();
        cloud.push(setup::INSTANCE, REPOSITORY, TAG, &Image::random(1, 1024, 32)).unwrap();
        let node = Node::start(&cloud.node_config(Method::Rrsa)).await;
        node.ready().await;
        for _ in 0..3 {
            assert_eq!(get(node.app.listen_addr(), &manifest(TAG)).await.0, StatusCode::OK, "{off}");
        }
        assert_eq!(cloud.journal().count_action("GetAuthorizationToken"), 1, "{off}: a login was thought dead");
        assert_eq!(cloud.journal().count(Service::Realm), 1, "{off}: a bearer was thought dead");
        let skew = value(&get(node.app.admin_addr(), "/metrics").await.1, "clock_skew_seconds", &[]);
        assert!((skew - off as f64).abs() < 5.0, "{off}: {skew}");
    }
}
