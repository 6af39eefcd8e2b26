//! Clients that choose between mirror and registry once, by the first manifest.

use cloudsim::Method;
use cloudsim::journal::Service;

use super::name;
use super::outside::Outside;
use super::programs::{credentials_file, registries_conf, run, skopeo, told};
use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::network::{Network, VPC, VPC_HOSTS};
use crate::support::path::{Path, Way};
use crate::support::program::Place;
use crate::support::{DOMAIN, Node, REPOSITORY, TAG, manifest};

/// A node without a way to the bucket, whose daemon hands logins out at the place.
async fn without_bucket() -> (Node, Place, Vec<(String, Path)>) {
    let (network, place) = (Network::new().await, Place::new());
    assert_eq!(VPC, DOMAIN);
    network.cut(&[VPC_HOSTS[2]], Way::Refused).await;
    let socket = place.arguments();
    let daemon = Daemon::with(&network.config(Method::Rrsa), &[&socket[0], &socket[1]]).await;
    let mirror = Mirror::at(daemon.listen);
    (Node { cloud: network.cloud, image: network.image, daemon, mirror }, place, network.paths)
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_goes_on_to_the_registry_where_the_daemon_has_no_way_to_the_bucket() {
    let (node, place, _paths) = without_bucket().await;
    let outside = Outside::of(&node.cloud).await;
    let mut command = skopeo(&place);
    command.envs(outside.variables()).arg("--registries-conf").arg(registries_conf(&place, node.daemon.listen));
    command.args(["copy", "--authfile"]).arg(credentials_file(&place));
    command.args([&format!("docker://{}", name()), "dir:copied"]);
    let output = run(command).await;
    assert!(output.status.success(), "{}", told(&output));
    // The bytes came by its own way; the daemon's attempts ended before the bucket.
    assert!(node.cloud.journal().count(Service::Oss) >= node.image.layers.len());
    node.finish().await;
}

/// Whoever asks elsewhere for each thing gets what there is; the others get the reason, where they look for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_whose_blobs_are_out_of_reach_is_given_only_to_who_asks_elsewhere_for_them() {
    let (node, _place, paths) = without_bucket().await;
    node.mirror.get(&manifest(TAG)).await.expect(200);
    let by_path = |reference: &str| format!("/v2/{DOMAIN}/{REPOSITORY}/manifests/{reference}");
    let platform = &node.image.manifests[0].0;
    for reference in [TAG, platform] {
        let reply = node.mirror.get(&by_path(reference)).await;
        assert!(reply.status.is_server_error(), "{reply:?}");
        assert!(reply.error().1.contains("oss-cn-hangzhou-internal"), "{reply:?}");
        // It is there, and no more was asked.
        node.mirror.head(&by_path(reference)).await.expect(200);
    }
    let (_, bucket) = paths.iter().find(|(host, _)| host == VPC_HOSTS[2]).unwrap();
    bucket.make(Way::Open).await;
    for reference in [TAG, platform] {
        node.mirror.get(&by_path(reference)).await.expect(200);
    }
    node.finish().await;
}
