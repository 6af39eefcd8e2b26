//! Answers that never come to an end: silence, a stall, and a byte a second, which looks alive.

use cloudsim::fault::Effect;
use cloudsim::journal::Service;

use super::answers::refused;
use super::siege;
use crate::support::client::Reply;

fn weapons() -> Vec<(&'static str, Effect)> {
    let drip = |first: &'static str| Effect::Drip(first.into());
    vec![
        ("silence", Effect::Silence),
        ("a stall behind the head", Effect::StallAfter(0)),
        ("a stall in the body", Effect::StallAfter(10)),
        ("a drip of the first line", drip("HTTP/1.1 ")),
        ("a drip of a header", drip("HTTP/1.1 200 OK\r\nX-Slow: ")),
        ("a drip of a body with a length", drip("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")),
        ("a drip of a body without one", drip("HTTP/1.1 200 OK\r\n\r\n{")),
    ]
}

/// An error that says at which step it happened.
fn named(what: &str, reply: &Reply) {
    refused(what, reply);
    let step = match what.split(',').next() {
        Some("Sts") => "AssumeRole",
        Some("Cr") => "GetAuthorizationToken",
        Some("Realm") => "dockerauth",
        _ => "demo-registry",
    };
    assert!(reply.reason.contains(step), "{what}: no {step} in: {}", reply.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_cloud() {
    tokio::join!(siege(Service::Sts, weapons(), named), siege(Service::Cr, weapons(), named));
}

/// The body of a challenge is nobody's business, so that a registry whose head came is asked for a manifest next.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_registry_and_its_realm() {
    let registry = weapons().into_iter().filter(|(what, _)| !what.contains("body")).collect();
    tokio::join!(siege(Service::Realm, weapons(), named), siege(Service::Registry, registry, refused));
}
