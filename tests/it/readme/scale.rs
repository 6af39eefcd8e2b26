//! The table on scale: what one node asks of the cloud is counted, the rest is arithmetic.

use cloudsim::Method;
use cloudsim::image::Image;
use cloudsim::journal::Service;

use super::readme;
use crate::support::{Node, TAG, blob, manifest};

const FLEETS: [u64; 3] = [10, 1_000, 10_000];

/// Of the image that the table is about; so does the one that `cargo bench --bench pull` pulls.
const LAYERS: usize = 8;
const MEGABYTES: u64 = 200;

/// Requests to the registry: what it wants to be asked with, the tag, the manifest, and each blob.
const REGISTRY: u64 = 3 + OSS;

/// Requests to the bucket: each blob.
const OSS: u64 = LAYERS as u64 + 1;

/// `AssumeRole` calls a second that an account may make (STS FAQ).
const ALLOWED: f64 = 100.0;

/// Renewals a day at sessions of an hour; the simulation of a day in the library's tests has the same.
const RENEWALS: u64 = 37;

/// What the buckets of an account have, in megabytes a second: 10 Gbit/s (OSS, limits).
const BANDWIDTH: f64 = 1_250.0;

/// As people write it: 37,000.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

/// A row of a count that grows with the nodes.
fn row(what: &str, each: u64) -> String {
    let fleets = FLEETS.map(|nodes| grouped(nodes * each));
    format!("| {what} | {} | {} |", grouped(each), fleets.join(" | "))
}

/// A row of what follows from the number of nodes.
fn derived(what: &str, of: impl Fn(f64) -> f64, unit: &str) -> String {
    let of = |nodes: u64| {
        let value = of(nodes as f64);
        match value < 10.0 {
            true => format!("{}{unit}", (value * 1000.0).round() / 1000.0),
            false => format!("{}{unit}", grouped(value.round() as u64)),
        }
    };
    format!("| {what} | | {} |", FLEETS.map(of).join(" | "))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_on_scale_is_what_a_node_asks_for_times_the_nodes() {
    let node = Node::with(Method::Rrsa, Image::random(LAYERS, 64 << 10, 3)).await;
    node.mirror.head(&manifest(TAG)).await.expect(200);
    // What one platform needs: the index is the last of the manifests, and each has its config behind the layers.
    let (index, _) = node.image.manifests.last().unwrap();
    for digest in [index, &node.image.manifests[0].0] {
        node.mirror.get(&manifest(digest)).await.expect(200);
    }
    for (digest, bytes) in &node.image.blobs[..=LAYERS] {
        assert_eq!(node.mirror.get(&blob(digest)).await.expect(200).body, *bytes);
    }
    let journal = node.cloud.journal();
    for call in ["AssumeRoleWithOIDC", "AssumeRole", "GetAuthorizationToken"] {
        assert_eq!(journal.count_action(call), 1, "{call}");
    }
    // What is asked for ahead may be asked for twice on a machine that is busy.
    for (service, least) in [(Service::Registry, REGISTRY), (Service::Realm, 1), (Service::Oss, OSS)] {
        let count = u64::try_from(journal.count(service)).unwrap();
        assert!((least..=least + 2).contains(&count), "{service:?}: {count}");
    }
    let seconds = 86_400.0;
    let rows = [
        row("calls for a login: `AssumeRoleWithOIDC`, `AssumeRole`, `GetAuthorizationToken`, of each", 1),
        derived("the least time for them, at 100 `AssumeRole` a second", |nodes| nodes / ALLOWED, " s"),
        row("renewals a day, of each", RENEWALS),
        derived("the same a second, on average", |nodes| nodes * RENEWALS as f64 / seconds, ""),
        row("one image, nothing known: requests to the registry", REGISTRY),
        row("the same: requests to the token realm", 1),
        row("the same: requests to OSS, where one connection does", OSS),
        row("the same: megabytes from OSS", MEGABYTES),
        derived("the least time for them, at 10 Gbit/s", |nodes| nodes * MEGABYTES as f64 / BANDWIDTH, " s"),
    ];
    let readme = readme();
    for row in &rows {
        assert!(readme.contains(row), "README.md lacks this row; all of them are\n{}", rows.join("\n"));
    }
    node.finish().await;
}
