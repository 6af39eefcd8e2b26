//! Small answers: a pull needs one of each side before a byte of an image moves.

use cloudsim::journal::Service;

use super::{siege, weapons};
use crate::support::client::Reply;

/// An error that is no 401, and that names who must act.
pub(super) fn refused(what: &str, reply: &Reply) {
    let status = reply.status.as_u16();
    assert!((500..505).contains(&status), "{what}: {status}");
    assert_eq!(reply.error().1, reply.reason, "{what}");
    let blamed = ["cloud: ", "network: ", "node: "].iter().any(|who| reply.reason.contains(who));
    assert!(blamed, "{what}: nobody must act in: {}", reply.reason);
}

/// What the Container Registry API says is read by the same lines as STS, so that a few are enough to see that it is.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_cloud() {
    let few = ["endless headers", "endless JSON in chunks", "compressed JSON"];
    let few = weapons().into_iter().filter(|(what, _)| few.contains(what)).collect();
    tokio::join!(siege(Service::Sts, weapons(), refused), siege(Service::Cr, few, refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_registry_and_its_realm() {
    tokio::join!(siege(Service::Realm, weapons(), refused), siege(Service::Registry, weapons(), refused));
}
