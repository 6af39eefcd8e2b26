//! The real binary as a service: what its log says, how it goes over to a new configuration, how it ends.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cloudsim::{CloudSim, Method};
use http::StatusCode;
use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::node::get;

/// How long a test waits for a line of the log; a changed file is noticed within seconds.
const LINE_LIMIT: Duration = Duration::from_secs(20);

/// The first line of the log with this message.
async fn line(daemon: &mut Daemon, message: &str) -> Value {
    daemon.wait_for_line(LINE_LIMIT, |line| line["msg"] == message).await
}

#[tokio::test]
async fn sigterm_ends_in_good_order_with_exit_code_0() {
    let cloud = CloudSim::start().await.unwrap();
    let daemon = Daemon::start(&cloud.node_config(Method::WorkerRole)).await;
    assert_eq!(get(daemon.listen, "/v2/").await.0, StatusCode::OK);
    let log = daemon.stop();
    assert!(log.contains("\"msg\":\"ended\""), "{log}");
    for line in log.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value["time"].is_string() && value["level"].is_string() && value["msg"].is_string(), "{line}");
    }
}

/// Check 24 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_bad_new_configuration_keeps_the_old_one_and_says_why() {
    let cloud = CloudSim::start().await.unwrap();
    let good = cloud.node_config(Method::WorkerRole);
    let mut daemon = Daemon::start(&good).await;
    let file = daemon.config_file();
    let domain = cloudsim::ram::setup::CUSTOM_DOMAIN;

    std::fs::write(&file, format!("{good}blobs:\n  conections: 2\n")).unwrap();
    daemon.signal("HUP");
    let refused = line(&mut daemon, "the new configuration is refused").await;
    assert!(refused["problem"].as_str().unwrap().contains("did you mean 'connections'?"), "{refused}");
    let (_, metrics) = get(daemon.admin, "/metrics").await;
    assert!(metrics.contains("\nacr_pull_proxy_config_reload_success 0\n"));
    let (_, status) = get(daemon.admin, "/status").await;
    assert!(status.contains("blobs.conections") && status.contains(domain), "{status}");

    // No signal this time: the change of the file is enough.
    std::fs::write(&file, good.replace(domain, "other.example.com")).unwrap();
    line(&mut daemon, "the new configuration is in use").await;
    let (_, metrics) = get(daemon.admin, "/metrics").await;
    assert!(metrics.contains("\nacr_pull_proxy_config_reload_success 1\n"));
    let (_, status) = get(daemon.admin, "/status").await;
    assert!(!status.contains("blobs.conections") && status.contains("other.example.com"), "{status}");
}

#[tokio::test]
async fn an_address_in_use_is_exit_code_1_and_one_sentence() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config/minimal.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
    command.env_clear().args(["serve", "--admin", "127.0.0.1:0", "--listen", &address, "--config"]).arg(sample);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!("cannot listen on {address}")) && told.contains("choose a free address"), "{told}");
}
