//! Where credentials and requests may go: the peers' check 10, one test for each part of it. Realm on a foreign host;
//! redirect to http, to the metadata service, to another bucket, to a relative URL, in a loop: refused or followed as
//! documented, and `Authorization` never leaves the registry and its realm.
//!
//! The simulated cloud is on the loopback network, which is why every name of it stands in `network.hosts`.

use bytes::Bytes;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use cloudsim::settings::RealmHost;
use cloudsim::{CloudSim, Method};

use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::{DOMAIN, Node, blob, manifest};
use crate::support::{REPOSITORY, TAG};

/// A name beside `localhost` that leads to this node, which every machine has in `/etc/hosts`: its own, or one of those
/// that Debian puts there for IPv6.
fn name_of_this_node() -> String {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap();
    let lines = hosts.lines().filter_map(|line| line.split_once(char::is_whitespace));
    let here = lines.filter(|(address, _)| address.starts_with("127.") || ["::1", "ff02::1"].contains(address));
    let mut names = here.flat_map(|(_, names)| names.split_whitespace());
    let plain = |name: &&str| !name.contains("localhost") && *name == name.to_lowercase();
    names.find(plain).expect("a name of this node in /etc/hosts").to_owned()
}

/// The largest blob of the image, and its content.
fn layer(node: &Node) -> (String, Bytes) {
    let (digest, bytes) = node.image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).expect("a layer");
    (digest.clone(), bytes.clone())
}

/// A node whose configuration has one more line in `network`.
async fn node_with(line: &str) -> Node {
    let node = Node::start().await;
    let config = node.cloud.node_config(Method::Rrsa).replace("network:\n", &format!("network:\n  {line}\n"));
    let daemon = Daemon::start(&config).await;
    let mirror = Mirror::at(daemon.listen);
    Node { daemon, mirror, ..node }
}

fn redirect(node: &Node, target: &str) -> cloudsim::fault::FaultId {
    node.cloud.fault(Fault::on(Service::Registry, Effect::Redirect(target.to_owned())).path_contains("/blobs/").once())
}

/// Whoever was given a credential, and what kind.
fn credentials(cloud: &CloudSim) -> Vec<(Service, String)> {
    let given = cloud.journal().filter(|entry| entry.authorization.is_some());
    let mut given: Vec<_> =
        given.into_iter().map(|entry| (entry.service, entry.authorization.unwrap_or_default())).collect();
    given.sort();
    given.dedup();
    given
}

#[tokio::test(flavor = "multi_thread")]
async fn check_10_each_credential_goes_to_whom_it_was_issued_for_and_to_nobody_else() {
    let node = Node::start().await;
    let (digest, bytes) = layer(&node);
    let of_the_client = [("authorization", "Bearer of-the-client"), ("proxy-authorization", "Basic eDp5")];
    node.mirror.ask(http::Method::GET, &manifest(TAG), &of_the_client).await.expect(200);
    assert_eq!(node.mirror.ask(http::Method::GET, &blob(&digest), &of_the_client).await.expect(200).body, bytes);
    let expected = [
        (Service::Sts, "ACS3-HMAC-SHA256"),
        (Service::Cr, "ACS3-HMAC-SHA256"),
        (Service::Realm, "Basic"),
        (Service::Registry, "Bearer"),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(service, scheme)| (service, scheme.to_owned())).collect();
    assert_eq!(credentials(&node.cloud), expected);
    let journal = node.cloud.journal().entries();
    assert!(journal.iter().all(|entry| !entry.header_names.iter().any(|name| name == "proxy-authorization")));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_10_a_realm_that_is_not_the_registrys_gets_nothing() {
    let node = Node::start().await;
    // Without the realms to come, whose addresses the simulator would offer.
    let config = node.cloud.node_config(Method::Rrsa);
    for realm in [
        "https://collector.example.com/auth",
        "http://dockerauth.cn-hangzhou.aliyuncs.com/auth",
        "https://dockerauth.cn-hangzhou.aliyuncs.com:8443/auth",
        "https://user@dockerauth.cn-hangzhou.aliyuncs.com/auth",
        "https://dockerauth.cn-hangzhou.aliyuncs.com.example.com/auth",
        "https://127.0.0.1/auth",
        "https://localhost/auth",
        "https://100.100.100.200/latest/meta-data",
        "https://[::ffff:169.254.169.254]/auth",
        "/auth",
    ] {
        node.cloud.configure(|settings| settings.realm.host = RealmHost::Url(realm.to_owned()));
        // A daemon of its own each time, since a challenge is remembered.
        let daemon = Daemon::start(&config).await;
        let reply = Mirror::at(daemon.listen).get(&manifest(TAG)).await;
        assert!(reply.status.is_server_error() && reply.error().1.contains("realm"), "{realm}: {reply:?}");
    }
    let journal = node.cloud.journal();
    assert_eq!(journal.count(Service::Realm) + journal.count(Service::Stranger), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_10_a_realm_that_redirects_is_not_followed_with_the_login() {
    let node = Node::start().await;
    let elsewhere = "https://images.example.com/auth";
    node.cloud.fault(Fault::on(Service::Realm, Effect::Redirect(elsewhere.to_owned())));
    let reply = node.mirror.get(&manifest(TAG)).await;
    assert!(reply.status.is_server_error(), "{reply:?}");
    let strangers = node.cloud.journal().filter(|entry| entry.host == "images.example.com");
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_10_plain_http_to_a_bucket_is_made_https_and_to_nobody_else() {
    let node = Node::start().await;
    let (digest, bytes) = layer(&node);
    node.cloud.configure(|settings| settings.blob_url.plain_http = true);
    assert_eq!(node.mirror.get(&blob(&digest)).await.expect(200).body, bytes);
    let asked = node.cloud.journal().of(Service::Oss);
    assert!(!asked.is_empty() && asked.iter().all(|entry| entry.tls_name.is_some()));
    redirect(&node, "http://images.example.com/blob");
    let reply = node.mirror.get(&blob(&format!("sha256:{}", "1".repeat(64)))).await.expect(502);
    assert!(reply.reason.contains("plain http"), "{}", reply.reason);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_10_redirects_lead_to_buckets_and_named_hosts_only() {
    let node = Node::start().await;
    let (digest, bytes) = layer(&node);
    // With everything at hand that a pull needs, so that whoever is asked from here on is asked because of a redirect. A
    // manifest that there is would have its blobs fetched ahead.
    node.mirror.get(&manifest("absent")).await.expect(404);
    let beside_the_registry = || node.cloud.journal().filter(|entry| entry.service != Service::Registry).len();
    let before = beside_the_registry();
    for target in [
        "https://169.254.169.254/latest/meta-data",
        "http://169.254.169.254/latest/meta-data",
        "https://100.100.100.200/latest/meta-data/ram/security-credentials/",
        "https://127.0.0.1:7081/metrics",
        "https://localhost/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://elsewhere.example.com/x?sig=1",
        "https://bucket.oss-cn-hangzhou.aliyuncs.com.example.com/",
        "https://bucket.oss-cn-hangzhou.aliyuncs.com:8443/",
        "https://user:secret@bucket.oss-cn-hangzhou.aliyuncs.com/",
        "https://sts.cn-hangzhou.aliyuncs.com/",
        "/v2/other/blobs/sha256:0",
        "blob",
        "ftp://bucket.oss-cn-hangzhou.aliyuncs.com/",
        "",
    ] {
        redirect(&node, target);
        let reply = node.mirror.get(&blob(&digest)).await.expect(502);
        // Not because nobody answers there.
        let judged = reply.reason.contains("redirect refused") || reply.reason.contains("unusable redirect");
        assert!(judged, "{target}: {}", reply.reason);
        assert!(!reply.reason.contains("sig=") && !reply.reason.contains("secret"), "{}", reply.reason);
    }
    let journal = node.cloud.journal();
    assert_eq!(beside_the_registry(), before, "a target was asked");
    assert_eq!(journal.count(Service::Oss) + journal.count(Service::Stranger), 0);
    let elsewhere = journal.filter(|entry| entry.service == Service::Registry && entry.path.contains("/v2/other"));
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert_eq!(node.mirror.get(&blob(&digest)).await.expect(200).body, bytes);
    node.finish().await;
}

/// Which bucket an instance keeps its layers in is the instance's business, and the URL is signed for that one object; so
/// another bucket is asked, without any credential, and its refusal is the end of it.
#[tokio::test(flavor = "multi_thread")]
async fn check_10_another_bucket_is_asked_without_a_credential() {
    let node = Node::start().await;
    let (digest, _) = layer(&node);
    redirect(&node, "https://other.oss-cn-hangzhou.aliyuncs.com/docker/data?Signature=x&Expires=1");
    node.mirror.get(&blob(&digest)).await;
    let asked = node.cloud.journal().filter(|entry| entry.host == "other.oss-cn-hangzhou.aliyuncs.com");
    assert!(!asked.is_empty() && asked.iter().all(|entry| entry.authorization.is_none()), "{asked:?}");
    assert!(node.cloud.journal().authorizations_at(Service::Oss).is_empty());
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_10_a_loop_of_redirects_ends() {
    let node = Node::start().await;
    let (digest, _) = layer(&node);
    let back = "https://cri-abcd1234efgh5678-registry.oss-cn-hangzhou.aliyuncs.com/again";
    node.cloud.fault(Fault::on(Service::Oss, Effect::Redirect(back.to_owned())));
    let reply = node.mirror.get(&blob(&digest)).await.expect(502);
    assert!(reply.reason.contains("too many hops"), "{}", reply.reason);
    let hops = node.cloud.journal().count(Service::Oss);
    assert!(hops <= 5, "{hops} hops");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_name_that_leads_to_this_node_is_not_dialled() {
    let name = name_of_this_node();
    for part in ["blob", "realm"] {
        let key = if part == "blob" { "blobHosts" } else { "realms" };
        let node = node_with(&format!("{key}: [\"{name}\"]")).await;
        let reply = if part == "blob" {
            redirect(&node, &format!("https://{name}/blob?sig=1"));
            node.mirror.get(&blob(&layer(&node).0)).await
        } else {
            let realm = RealmHost::Url(format!("https://{name}/auth"));
            node.cloud.configure(|settings| settings.realm.host = realm);
            node.mirror.get(&manifest(TAG)).await
        };
        assert!(reply.status.is_server_error(), "{part}: {reply:?}");
        assert!(reply.error().1.contains(&format!("refused to connect to {name}")), "{part}: {}", reply.reason);
        node.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_host_sends_blobs_and_gets_no_credential() {
    // Reached by the name in `network.blobHosts`, at the address in `network.hosts`.
    let node = node_with("blobHosts: [images.example.com]").await;
    let (digest, _) = layer(&node);
    redirect(&node, "https://images.example.com/v2/");
    node.mirror.get(&blob(&digest)).await;
    let asked = node.cloud.journal().filter(|entry| entry.host == "images.example.com");
    assert!(!asked.is_empty() && asked.iter().all(|entry| entry.authorization.is_none()), "{asked:?}");
    node.mirror.get(&format!("/v2/{REPOSITORY}/manifests/{TAG}?ns={DOMAIN}")).await.expect(200);
    node.finish().await;
}
