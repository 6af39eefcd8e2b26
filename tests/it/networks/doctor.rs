//! What `doctor` says of a network with one part missing: which host, and whether it is the name, the route or TLS.

use std::process::Command;

use cloudsim::Method;
use cloudsim::fault::{Effect, Fault};
use serde_json::Value;

use crate::support::network::{Network, VPC, VPC_HOSTS};
use crate::support::path::Way;

const STS: &str = "sts-vpc.cn-hangzhou.aliyuncs.com";
const API: &str = "cr-vpc.cn-hangzhou.aliyuncs.com";

/// Every finding about the way to the cloud that is not good, as outcome, step and fix.
async fn complaints(network: &Network) -> Vec<[String; 3]> {
    complaints_with(&network.config(Method::Rrsa)).await
}

async fn complaints_with(config: &str) -> Vec<[String; 3]> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
    doctor.env_clear().args(["doctor", "--output", "json", "--instance", "cri-abcd1234efgh5678", "--config"]);
    doctor.arg(file.path());
    let output = tokio::task::spawn_blocking(move || doctor.output().unwrap()).await.unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = answer["findings"].as_array().unwrap().iter();
    let of_the_way = findings.filter(|finding| {
        let step = text(finding, "step");
        ["name of", "route to", "TLS of", "blob proxy"].iter().any(|part| step.starts_with(part))
            && finding["outcome"] != "ok"
    });
    of_the_way.map(|finding| ["outcome", "step", "fix"].map(|key| text(finding, key))).collect()
}

/// A network of which only the VPC's part is used.
async fn vpc_only() -> Network {
    let mut network = Network::new().await;
    network.instance = vec![format!("pullFrom: {VPC}")];
    network
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_of_ways_that_are_open() {
    assert_eq!(complaints(&vpc_only().await).await, Vec::<[String; 3]>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_that_is_missing_is_named() {
    for (host, what, outcome) in [
        (VPC, "registry", "failed"),
        (VPC_HOSTS[1], "token realm", "failed"),
        // Known for certain only with an image.
        (VPC_HOSTS[2], "blob host", "warning"),
        (STS, "STS endpoint", "failed"),
        (API, "API endpoint", "failed"),
    ] {
        let mut network = vpc_only().await;
        network.cut(&[host], Way::Refused).await;
        let address = network.path(host).address.ip().to_string();
        let [cut] = &complaints(&network).await[..] else { panic!("{what}") };
        assert_eq!((cut[0].as_str(), cut[1].as_str()), (outcome, format!("route to the {what}").as_str()));
        assert!(cut[2].contains(&address) && cut[2].contains("network.hosts"), "{cut:?}");

        network.instead = vec![(host.to_owned(), "no-such-name.invalid".to_owned())];
        let [unknown] = &complaints(&network).await[..] else { panic!("{what}") };
        assert_eq!((unknown[0].as_str(), unknown[1].as_str()), (outcome, format!("name of the {what}").as_str()));
        assert!(unknown[2].contains("network.hosts"), "{unknown:?}");

        network.instead.clear();
        network.cut(&[host], Way::Open).await;
        let name = host.replace('*', "cri-abcd1234efgh5678-registry");
        network.cloud.fault(Fault::on_any(Effect::WrongCertificate).host(&name));
        let [wrong] = &complaints(&network).await[..] else { panic!("{what}") };
        assert_eq!((wrong[0].as_str(), wrong[1].as_str()), (outcome, format!("TLS of the {what}").as_str()));
        assert!(wrong[2].contains("network.caFile"), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_does_not_answer_beside_one_that_does_is_a_warning() {
    let mut network = vpc_only().await;
    let living = network.path(VPC).address;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    network.instead = vec![(VPC.to_owned(), format!("[\"{closed}\", \"{living}\"]"))];
    let [half] = &complaints(&network).await[..] else { panic!("one finding") };
    assert_eq!((half[0].as_str(), half[1].as_str()), ("warning", "route to the registry"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_proxy_that_does_not_answer_is_a_warning() {
    let network = vpc_only().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (proxy, expected) in [(closed, 1), (network.cloud.tls_addr(), 0)] {
        let with = format!("network:\n  blobProxy: http://{proxy}\n");
        let config = network.config(Method::Rrsa).replace("network:\n", &with);
        let found = complaints_with(&config).await;
        assert_eq!(found.len(), expected, "{found:?}");
        assert!(found.iter().all(|[outcome, step, _]| outcome == "warning" && step == "blob proxy"), "{found:?}");
    }
}
