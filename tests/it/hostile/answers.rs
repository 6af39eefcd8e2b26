//! Small answers: a pull needs one of each side before a byte of an image moves.

use cloudsim::journal::Service;

use super::{siege, weapons};
use crate::support::client::Reply;

/// An error that is no 401, and that names who must act.
fn refused(what: &str, reply: &Reply) {
    let status = reply.status.as_u16();
    assert!((500..505).contains(&status), "{what}: {status}");
    assert_eq!(reply.error().1, reply.reason, "{what}");
    let blamed = ["cloud: ", "network: ", "node: "].iter().any(|who| reply.reason.contains(who));
    assert!(blamed, "{what}: nobody must act in: {}", reply.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sts() {
    siege(Service::Sts, weapons(), refused).await;
}

/// It is read by the same lines as STS, so that a few are enough to see that it is.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_container_registry_api() {
    let few = ["endless headers", "endless JSON in chunks", "compressed JSON"];
    siege(Service::Cr, weapons().into_iter().filter(|(what, _)| few.contains(what)).collect(), refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_realm() {
    siege(Service::Realm, weapons(), refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_registry() {
    siege(Service::Registry, weapons(), refused).await;
}
