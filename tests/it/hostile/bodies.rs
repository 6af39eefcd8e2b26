//! Large answers: manifests, the bytes of blobs, and the way to them.
//!
//! The head of a blob is passed on as soon as it is there, so a lie that is told later cannot become an error any more.
//! It becomes a body that is cut, or one whose digest does not fit: containerd takes neither for the blob.

use bytes::Bytes;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::task::JoinSet;

use super::{attack, besieged, recovers};
use crate::support::client::Reply;
use crate::support::{TAG, blob, manifest};

/// What a client sees of a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// An error before any byte.
    Error,
    /// A body that ends before its announced length.
    Cut,
    /// A whole body of other bytes.
    OtherBytes,
}

fn seen(reply: &Reply, expected: &[u8]) -> Seen {
    if !reply.status.is_success() {
        assert!(["cloud: ", "network: ", "node: "].iter().any(|who| reply.reason.contains(who)), "{}", reply.reason);
        return Seen::Error;
    }
    assert!(reply.body.as_ref() != expected || !reply.complete, "the lie was no lie");
    if reply.complete { Seen::OtherBytes } else { Seen::Cut }
}

fn raw(first: String, again: &[u8]) -> Effect {
    Effect::Raw { first: first.into(), again: Bytes::copy_from_slice(again) }
}

fn ok(length: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n{length}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_bucket() {
    // The simulator's layer has 256 KiB and its tar's headers.
    let bytes = vec![7; 64 * 1024];
    let lies = vec![
        ("endless headers", raw("HTTP/1.1 200 OK\r\n".to_owned(), b"X-More: and more and more\r\n"), Seen::Error),
        ("more than announced", raw(ok("Content-Length: 1000\r\n"), &bytes), Seen::OtherBytes),
        ("less than announced", raw(ok("Content-Length: 1000000\r\n") + "short", b""), Seen::Cut),
        (
            "another range",
            raw(ok("Content-Length: 9\r\nContent-Range: bytes 0-8/9\r\n") + "123456789", b""),
            Seen::OtherBytes,
        ),
        ("no HTTP at all", raw("\u{0}\u{1}\u{2}".to_owned(), b""), Seen::Error),
        ("other bytes", Effect::WrongBytes, Seen::OtherBytes),
        ("a short body", Effect::ShortBody(1000), Seen::OtherBytes),
        ("cut after every kilobyte", Effect::CutAfter(1024), Seen::Cut),
        ("a wrong certificate", Effect::WrongCertificate, Seen::Error),
        ("a redirect to itself", Effect::Redirect("/docker/registry/v2/again".to_owned()), Seen::Error),
        ("a redirect to a stranger", Effect::Redirect("https://collector.example.com/".to_owned()), Seen::Error),
        (
            "a redirect into the node",
            Effect::Redirect("http://100.100.100.200/latest/meta-data/".to_owned()),
            Seen::Error,
        ),
        ("a redirect to a file", Effect::Redirect("file:///etc/shadow".to_owned()), Seen::Error),
    ];
    let mut fights = JoinSet::new();
    for (what, effect, expected) in lies {
        fights.spawn(async move {
            let what = format!("Oss, {what}");
            let node = besieged(Fault::on(Service::Oss, effect)).await;
            let layer = node.image.layers.first().expect("a layer").clone();
            let bytes = node.image.blobs.iter().find(|(digest, _)| *digest == layer).expect("its bytes").1.clone();
            let reply = attack(&what, &node, &blob(&layer)).await;
            assert_eq!(seen(&reply, &bytes), expected, "{what}: {} of {} bytes", reply.body.len(), bytes.len());
            recovers(&what, node).await;
        });
    }
    while let Some(fight) = fights.join_next().await {
        fight.expect("a fight ends well");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_registry() {
    let digest = HeaderName::from_static("docker-content-digest");
    let other = HeaderValue::from_static("sha256:0000000000000000000000000000000000000000000000000000000000000000");
    let answer = |headers, body: Vec<u8>| Effect::Answer { status: StatusCode::OK, headers, body: body.into() };
    let lies = [
        ("a wrong digest header", answer(vec![(digest.clone(), other)], b"{}".to_vec())),
        ("no digest at all", answer(vec![(digest, HeaderValue::from_static("sha256:x"))], b"{}".to_vec())),
        // One byte more than containerd takes.
        ("a manifest beyond all measure", answer(Vec::new(), vec![b' '; 4_393_217])),
        ("other bytes", Effect::WrongBytes),
        ("cut again and again", Effect::CutAfter(100)),
        ("a stall", Effect::StallAfter(100)),
        ("a redirect in circles", Effect::Redirect(manifest(TAG))),
        ("too many redirects", Effect::Redirect("/v2/team/app/manifests/v1".to_owned())),
    ];
    let mut fights = JoinSet::new();
    for (what, effect) in lies {
        fights.spawn(async move {
            let what = format!("Registry, {what}");
            let node = besieged(Fault::on(Service::Registry, effect).path_contains("/manifests/")).await;
            let reply = attack(&what, &node, &manifest(TAG)).await;
            assert_eq!(seen(&reply, &[]), Seen::Error, "{what}");
            assert_eq!(reply.error().1, reply.reason, "{what}");
            recovers(&what, node).await;
        });
    }
    while let Some(fight) = fights.join_next().await {
        fight.expect("a fight ends well");
    }
}
