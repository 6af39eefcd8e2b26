//! Three networks times three methods of authorisation: the configurations that the documentation shows, each checked as
//! it stands, and pulled with on a network that has nothing but what it needs.

use std::fmt::Write as _;
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;

use cloudsim::journal::Service;
use cloudsim::ram::setup;

use super::pull;
use crate::readme::blocks;
use crate::support::Node;
use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::network::{Network, PUBLIC, PUBLIC_APIS, PUBLIC_HOSTS, VPC, VPC_APIS, VPC_HOSTS};
use crate::support::path::Way;

const METHODS: [&str; 3] = ["rrsa", "worker-role", "access-key"];

/// A network: its name, what stands for an address of the examples, and the ways that are closed on it.
struct Case {
    name: &'static str,
    addresses: &'static [(&'static str, &'static str)],
    closed: &'static [&'static str],
    /// The domain that must be asked.
    asked: &'static str,
}

const API: &str = VPC_APIS[1];

/// Everything that is in public only.
const IN_PUBLIC: [&str; 5] = [PUBLIC, PUBLIC_HOSTS[1], PUBLIC_HOSTS[2], PUBLIC_APIS[0], PUBLIC_APIS[1]];

const CASES: [Case; 3] = [
    Case { name: "public", addresses: &[], closed: &[VPC, VPC_HOSTS[1], VPC_HOSTS[2], API], asked: PUBLIC },
    Case { name: "vpc-peering", addresses: &[("192.168.0.10", VPC)], closed: &IN_PUBLIC, asked: VPC },
    Case {
        name: "cen",
        addresses: &[
            ("192.168.0.10", VPC),
            ("100.103.7.181", VPC_HOSTS[1]),
            ("100.118.28.45", VPC_HOSTS[2]),
            ("100.114.102.45", VPC_HOSTS[2]),
            ("100.103.22.120", API),
        ],
        closed: &IN_PUBLIC,
        asked: VPC,
    },
];

fn file(network: &str, method: &str) -> PathBuf {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/data/config/networks").join(format!("{network}-{method}.yaml"))
}

#[test]
fn each_combination_is_a_good_configuration() {
    for case in &CASES {
        for method in METHODS {
            let file = file(case.name, method);
            let mut check = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
            let output = check.env_clear().args(["check", "--config"]).arg(&file).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {told}", file.display());
        }
    }
}

/// The README shows the three networks with RRSA: these very files.
#[test]
fn what_the_readme_shows_is_what_is_tested() {
    for (case, shown) in CASES.iter().zip([blocks::PUBLIC, blocks::PEERING, blocks::CEN]) {
        let text = std::fs::read_to_string(file(case.name, "rrsa")).unwrap();
        assert_eq!(shown.text(), text, "{}", case.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_combination_pulls_over_its_own_ways() {
    let mut all = tokio::task::JoinSet::new();
    for case in &CASES {
        for method in METHODS {
            all.spawn(pulls(case, method));
        }
    }
    all.join_all().await;
}

async fn pulls(case: &Case, method: &str) {
    let network = Network::new().await;
    network.cut(case.closed, Way::Refused).await;
    let keys = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(file(case.name, method)).unwrap();
    let daemon = Daemon::start(&at_simulator(&text, case, &network, keys.path())).await;
    let mirror = Mirror::at(daemon.listen);
    let node = Node { cloud: network.cloud, image: network.image, daemon, mirror };
    // Pods name the public domain everywhere.
    pull(&node, PUBLIC).await;
    let asked = super::asked(&node, Service::Registry);
    assert_eq!(asked, [case.asked], "{}-{method}", case.name);
    // The first credential is the one that the configuration names, and no other.
    let journal = node.cloud.journal();
    let calls = |action| journal.count_action(action);
    // The region is asked of the metadata service anyway.
    let asked_for_role = journal.of(Service::Imds).iter().any(|entry| entry.path.contains("security-credentials"));
    let used = (calls("AssumeRoleWithOIDC"), !asked_for_role, calls("AssumeRole"));
    let expected = match method {
        "rrsa" => (1, true, 1),
        "worker-role" => (0, false, 1),
        _ => (0, true, 0),
    };
    assert_eq!(used, expected, "{}-{method}", case.name);
    assert_eq!(calls("GetAuthorizationToken"), 1, "{}-{method}", case.name);
    node.finish().await;
}

/// The same configuration where the cloud is simulated: its addresses are those of the paths, DNS is a list, and the node's
/// own files are where the test has them.
fn at_simulator(text: &str, case: &Case, network: &Network, keys: &FilePath) -> String {
    let mut text = text.to_owned();
    for (address, host) in case.addresses {
        assert!(text.contains(address), "{address} is not in the example");
        text = text.replace(address, &format!("\"{}\"", network.path(host).address));
    }
    let cloud = &network.cloud;
    let key = cloud.directory().access_key(setup::USER_B).expect("a key of account B");
    for (name, value) in [("key-id", &key.id), ("key-secret", &key.secret)] {
        let path = keys.join(name);
        std::fs::write(&path, value).unwrap();
        let place = format!("/run/credentials/acr-pull-proxy.service/{name}");
        text = text.replace(&place, &path.display().to_string());
    }
    let token = format!("rrsa: {{ enable: true, tokenFile: {} }}", cloud.oidc_token_file().display());
    text = text.replace("rrsa: { enable: true }", &token);
    if !text.contains("\nnetwork:\n") {
        text.push_str("network:\n  hosts:\n");
    }
    // What DNS says on such a node.
    for (name, address) in cloud.hosts() {
        if !text.contains(&format!("{name}: ")) && !text.contains(&format!("\"{name}\": ")) {
            let known = PUBLIC_HOSTS.iter().chain(&VPC_HOSTS).chain(&VPC_APIS).chain(&PUBLIC_APIS);
            let path = known.into_iter().find(|host| **host == name);
            let address = path.map_or(address, |host| network.path(host).address);
            writeln!(text, "    \"{name}\": {address}").unwrap();
        }
    }
    writeln!(text, "  caFile: {}", cloud.ca_file().display()).unwrap();
    writeln!(text, "endpoints: {{ metadata: \"{}\" }}", cloud.imds_url()).unwrap();
    format!("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{text}")
}
