//! The daemon as a whole, in this process, on the simulated cloud: it starts, tells how it is, changes, and ends.

use std::time::Duration;

use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use http::StatusCode;

use crate::support::node::{Node, fetch, get};

const REPOSITORY: &str = "team/app";

fn manifest_path() -> String {
    format!("/v2/{REPOSITORY}/manifests/v1?ns={}", setup::CUSTOM_DOMAIN)
}

async fn cloud() -> CloudSim {
    let cloud = CloudSim::start().await.unwrap();
    cloud.push(setup::INSTANCE, REPOSITORY, "v1", &Image::random(2, 1 << 16, 7)).unwrap();
    cloud
}

#[tokio::test]
async fn a_pull_comes_through_with_each_method_and_the_status_tells_the_chain() {
    for method in Method::ALL {
        let cloud = cloud().await;
        let node = Node::start(&cloud.node_config(method)).await;
        let (status, _) = get(node.app.listen_addr(), &manifest_path()).await;
        assert_eq!(status, StatusCode::OK, "{method:?}");

        let (status, text) = get(node.app.admin_addr(), "/status").await;
        assert_eq!(status, StatusCode::OK);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let instance = &json["instances"][0];
        assert_eq!((instance["id"].as_str(), instance["ready"].as_bool()), (Some(setup::INSTANCE), Some(true)));
        let hops = instance["hops"].as_array().unwrap();
        let expected = match method {
            Method::AccessKey => 2,
            Method::Rrsa | Method::WorkerRole => 3,
            Method::MultiHop => 4,
        };
        assert_eq!(hops.len(), expected, "{method:?}: {text}");
        assert!(hops.last().unwrap()["expires"].is_string(), "{text}");

        let (_, metrics) = get(node.app.admin_addr(), "/metrics").await;
        assert!(metrics.contains("acr_pull_proxy_build_info{"), "{metrics}");
        let count = format!(
            "acr_pull_proxy_requests_total{{instance=\"{}\",kind=\"manifest\",method=\"GET\",status=\"2xx\"}} 1",
            setup::INSTANCE
        );
        assert!(metrics.contains(&count), "{count}\n{metrics}");
        let (_, page) = get(node.app.admin_addr(), "/").await;
        for secret in cloud.issued_secrets() {
            for shown in [&text, &metrics, &page] {
                assert!(!shown.contains(&secret), "{method:?}: a secret is shown");
            }
        }
        node.app.shutdown().await;
    }
}

#[tokio::test]
async fn a_start_without_the_cloud_is_not_ready_and_heals_by_itself() {
    let cloud = cloud().await;
    let fault = cloud.fault(Fault::on(Service::Sts, Effect::answer(StatusCode::SERVICE_UNAVAILABLE, "")));
    let node = Node::start(&cloud.node_config(Method::WorkerRole)).await;
    let (status, _) = get(node.app.listen_addr(), &manifest_path()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let (status, why) = get(node.app.admin_addr(), "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(why.starts_with(setup::INSTANCE), "{why}");
    assert_eq!(get(node.app.admin_addr(), "/livez").await.0, StatusCode::OK);

    cloud.faults().remove(fault);
    node.ready().await;
    assert_eq!(get(node.app.listen_addr(), &manifest_path()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_reload_keeps_the_tokens_of_what_did_not_change() {
    let cloud = cloud().await;
    let text = cloud.node_config(Method::WorkerRole);
    let node = Node::start(&text).await;
    node.ready().await;
    let logins = || cloud.journal().count_action("GetAuthorizationToken");
    let before = logins();

    // Another allow list: the upstream is built anew, the tokens stay.
    let narrower = text.replacen("  - instanceId", "  - repositories: [other/*]\n    instanceId", 1);
    assert_ne!(narrower, text);
    node.app.reload(&Node::parse(&narrower)).unwrap();
    assert_eq!(get(node.app.listen_addr(), &manifest_path()).await.0, StatusCode::FORBIDDEN);
    node.app.reload(&Node::parse(&text)).unwrap();
    assert_eq!(get(node.app.listen_addr(), &manifest_path()).await.0, StatusCode::OK);
    assert_eq!(logins(), before, "no login was fetched again");
}

#[tokio::test]
async fn domains_that_are_not_configured_are_asked_of_the_cloud() {
    let cloud = cloud().await;
    let text = cloud.node_config(Method::WorkerRole);
    let without: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("domains")).collect();
    let node = Node::start(&(without.join("\n") + "\n")).await;
    node.ready().await;
    assert_eq!(cloud.journal().count_action("ListInstanceEndpoint"), 1);
    let (_, text) = get(node.app.admin_addr(), "/status").await;
    assert!(text.contains("-registry-vpc."), "{text}");
}

/// Check 13 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_domain_that_is_not_served_costs_the_cloud_nothing() {
    let cloud = cloud().await;
    let node = Node::start(&cloud.node_config(Method::WorkerRole)).await;
    node.ready().await;
    cloud.journal().clear();
    let path = format!("/v2/{REPOSITORY}/manifests/v1?ns=elsewhere.example.com");
    assert_eq!(get(node.app.listen_addr(), &path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(cloud.journal().entries().len(), 0);
}

/// Check 21 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_pull_under_way_ends_whole_when_the_daemon_ends() {
    let cloud = CloudSim::start().await.unwrap();
    let image = Image::random(1, 1 << 20, 7);
    cloud.push(setup::INSTANCE, REPOSITORY, "v1", &image).unwrap();
    let (digest, bytes) = image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    cloud.fault(Fault::on(Service::Oss, Effect::Delay(Duration::from_millis(500))));
    let node = Node::start(&cloud.node_config(Method::WorkerRole)).await;
    let (listen, admin) = (node.app.listen_addr(), node.app.admin_addr());

    let path = format!("/v2/{REPOSITORY}/blobs/{digest}?ns={}", setup::CUSTOM_DOMAIN);
    let pull = tokio::spawn(async move { fetch(listen, &path).await });
    cloud.journal().wait_for(|entries| entries.iter().any(|entry| entry.service == Service::Oss)).await;
    node.app.shutdown().await;
    let (status, body) = pull.await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(body == **bytes, "{} of {} bytes came", body.len(), bytes.len());
    for address in [listen, admin] {
        assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_start_that_fails() {
    let cloud = cloud().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = Node::parse(&cloud.node_config_at(Method::WorkerRole, &address, "127.0.0.1:0"));
    let error = acr_pull_proxy::app::App::start(config, Default::default()).await.unwrap_err();
    assert!(error.to_string().contains(&address), "{error}");
}
