//! What the daemon says about itself, read by those who will read it: Prometheus, promtool, and a log collector.

mod dashboard;
mod log;
mod prometheus;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use acr_pull_proxy::telemetry::metrics::Metrics;
use cloudsim::Method;
use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup::INSTANCE;
use serde_json::Value;

use self::prometheus::Prometheus;
use crate::support::node::get;
use crate::support::{DOMAIN, Node, REPOSITORY, TAG, blob, manifest};

/// How long a line of the log, or an answer of Prometheus, may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How often Prometheus is asked whether it has got there; nothing tells us.
const POLL: Duration = Duration::from_millis(100);

/// Pulls the whole image of a node.
async fn pull_everything(node: &Node) {
    node.mirror.head(&manifest(TAG)).await.expect(200);
    node.mirror.get(&manifest(TAG)).await.expect(200);
    for (digest, _) in &node.image.blobs {
        node.mirror.get(&blob(digest)).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say_about_the_metrics() {
    let node = Node::start().await;
    pull_everything(&node).await;
    let (_, text) = get(node.daemon.admin, "/metrics").await;
    let mut lint = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: tests/run does that, or names this test as left out");
    lint.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = lint.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_writes_never_becomes_a_series() {
    let node = Node::start().await;
    pull_everything(&node).await;
    let before = series(node.daemon.admin).await;
    let wild = ["evil.example.com", "a\"b{c}", "x\nnewline 1", "cri-0000000000000000", "..", "%7B%7D", ""];
    for (number, name) in wild.iter().enumerate() {
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        node.mirror.get(&format!("/v2/wild{number}/app/manifests/wild-{number}?ns={escaped}")).await;
        node.mirror.get(&format!("/v2/wild{number}/manifests/wild-{number}?ns={DOMAIN}")).await;
        node.mirror.ask(http::Method::GET, "/v2/", &[("host", "wild.example.com"), ("user-agent", "wild")]).await;
    }
    let after = series(node.daemon.admin).await;
    let new: Vec<_> = after.difference(&before).filter(|series| !is_known_to_come(series)).collect();
    assert!(new.is_empty(), "{new:?}");
    assert!(!after.iter().any(|series| series.contains("wild") || series.contains("evil")), "{after:?}");
    node.finish().await;
}

/// Histograms appear with the first event of a class of status that has not been seen before.
fn is_known_to_come(series: &str) -> bool {
    series.contains("_seconds_bucket{") || series.contains("_seconds_sum{") || series.contains("_seconds_count{")
}

/// Names and labels of everything that is exported.
async fn series(admin: SocketAddr) -> BTreeSet<String> {
    let (_, text) = get(admin, "/metrics").await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_counts_as_far_as_it_went_also_where_its_reader_leaves() {
    let node = Node::with(Method::Rrsa, Image::random(1, 8 << 20, 3)).await;
    let (digest, bytes) = node.image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().clone();
    let sent = || async { sum(node.daemon.admin, "acr_pull_proxy_response_bytes_total", "kind=\"blob\"").await };
    assert!(node.mirror.get(&blob(&digest)).await.expect(200).complete);
    assert!((sent().await - bytes.len() as f64).abs() < 0.5, "the whole body, once");
    drop(node.mirror.open(http::Method::GET, &blob(&digest), &[]).await);
    let left = async {
        while sum(node.daemon.admin, "acr_pull_proxy_requests_in_flight", "kind=\"blob\"").await > 0.0 {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(LIMIT, left).await.expect("a body whose reader left is let go of");
    let requests = sum(node.daemon.admin, "acr_pull_proxy_requests_total", "kind=\"blob\"").await;
    assert!((requests - 2.0).abs() < 0.5, "{requests}");
    assert!(sent().await < 2.0 * bytes.len() as f64, "what nobody read is not counted");
    node.finish().await;
}

/// The sum over all series of a family whose labels hold `label`.
async fn sum(admin: SocketAddr, family: &str, label: &str) -> f64 {
    let (_, text) = get(admin, "/metrics").await;
    let of_family = text.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix('{')?.rsplit_once("} "));
    of_family.filter(|(labels, _)| labels.contains(label)).map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_the_daemon_and_evaluates_the_rules() {
    let node = Node::start().await;
    pull_everything(&node).await;
    let prometheus = Prometheus::start(node.daemon.admin).await;
    assert!((prometheus.value("up{job=\"acr-pull-proxy\", node=\"this-node\"}").await - 1.0).abs() < 0.1);
    // The label `instance` is the ACR instance: nothing was renamed to make room for the address.
    let served =
        format!("sum(acr_pull_proxy_requests_total{{instance=\"{INSTANCE}\", node=\"this-node\", status=\"2xx\"}})");
    let expected = 2.0 + node.image.blobs.len() as f64;
    assert!((prometheus.value(&served).await - expected).abs() < 0.1);
    assert!(
        (prometheus.value("count(acr_pull_proxy_requests_total{exported_instance!=\"\"}) or vector(0)").await).abs()
            < 0.1
    );
    assert!(prometheus.value("acr_pull_proxy:token_life_left:ratio{hop=\"authorization_token\"}").await > 0.9);
    assert!(prometheus.value("process_resident_memory_bytes{job=\"acr-pull-proxy\"}").await > 0.0);
    let rules = prometheus.api("/api/v1/rules").await.unwrap();
    for rule in rules["data"]["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap())
    {
        assert_ne!(rule["health"], "err", "{rule}");
        assert_ne!(rule["state"], "firing", "{rule}");
    }
    let targets = prometheus.api("/api/v1/targets").await.unwrap();
    assert_eq!(targets["data"]["activeTargets"][0]["lastError"], "", "{targets}");
    drop(prometheus);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_the_reference_is_exported_once_it_has_something_to_say() {
    let node = Node::start().await;
    pull_everything(&node).await;
    let (_, text) = get(node.daemon.admin, "/metrics").await;
    for family in Metrics::new().reference() {
        let kind = format!("# TYPE {} {}", family.name, family.kind);
        assert!(text.lines().any(|line| line == kind), "'{kind}' is not exported");
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_how_each_of_the_last_pulls_ended() {
    let node = Node::with(Method::Rrsa, Image::random(1, 8 << 20, 3)).await;
    let (digest, bytes) = node.image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().clone();
    let cut = |after| Fault::on(Service::Oss, Effect::CutAfter(after)).once();

    node.mirror.get(&manifest("v2")).await.expect(404);
    node.mirror.get(&blob(&digest)).await.expect(200);
    node.cloud.fault(cut(1 << 20));
    node.cloud.fault(cut(1 << 20));
    assert!(node.mirror.get(&blob(&digest)).await.expect(200).complete);
    drop(node.mirror.open(http::Method::GET, &blob(&digest), &[]).await);
    until_ended(&node, 4).await;
    node.cloud.fault(cut(1 << 20));
    node.cloud.fault(Fault::on(Service::Oss, Effect::answer(http::StatusCode::NOT_FOUND, "")));
    assert!(!node.mirror.get(&blob(&digest)).await.expect(200).complete);

    let pulls = until_ended(&node, 5).await;
    let told: Vec<_> = pulls
        .iter()
        .map(|pull| {
            (pull["outcome"].as_str().unwrap(), pull["resumes"].as_u64().unwrap(), pull["bytes"].as_u64().unwrap())
        })
        .collect();
    let all = bytes.len() as u64;
    let [cut, left, resumed, whole, refused] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((cut.0, left.0), ("cut", "left"), "{told:?}");
    assert!(cut.2 < all && left.2 < all, "{told:?}");
    assert_eq!((resumed.0, resumed.2, *whole), ("complete", all, ("complete", 0, all)));
    assert!(resumed.1 > 0, "{told:?}");
    assert_eq!(refused.0, "refused");
    assert_eq!((pulls[0]["repository"].as_str(), pulls[0]["reference"].as_str()), (Some(REPOSITORY), Some(&*digest)));
    node.finish().await;
}

/// The recent pulls, the newest first, once there are as many; a body whose reader left ends a moment after.
async fn until_ended(node: &Node, count: usize) -> Vec<Value> {
    let pulls = async {
        loop {
            let status: Value = serde_json::from_str(&get(node.daemon.admin, "/status").await.1).unwrap();
            let pulls = status["recentPulls"].as_array().unwrap();
            if pulls.len() >= count {
                return pulls.clone();
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(LIMIT, pulls).await.expect("every pull ends")
}
