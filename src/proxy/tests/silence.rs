//! What hides behind a connection that was closed: another one that is silent.

use std::time::Duration;

use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use tokio::time::Instant;

use super::support::World;

/// Less than any limit on silence, and more than a busy machine takes for a connection.
const AT_ONCE: Duration = Duration::from_secs(5);
/// Less than two such limits.
const ONE_SILENCE: Duration = Duration::from_secs(17);

/// A layer over a connection that was used before and is closed under the request, where the next has this effect.
async fn closed_and_then(effect: Effect) {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    let target = world.target(&format!("blobs/{digest}"));
    assert!(world.get(&target).await.bytes() == bytes);
    let journal = world.cloud.journal();
    let used: Vec<_> = journal.of(Service::Oss).iter().map(|entry| entry.connection).collect();
    journal.clear();
    world.cloud.fault(Fault::on(Service::Oss, Effect::CloseBeforeHead).once());
    world.cloud.fault(Fault::on(Service::Oss, effect.clone()).once());
    let begun = Instant::now();
    assert!(world.get(&target).await.bytes() == bytes, "{effect:?}");
    let took = begun.elapsed();
    let [closed, silent, after, ..] = &journal.of(Service::Oss)[..] else { panic!("three requests") };
    assert!(used.contains(&closed.connection), "{effect:?}: the first was no pooled connection");
    assert!(!used.contains(&silent.connection), "{effect:?}: what was closed was tried again");
    assert_ne!(silent.connection, after.connection, "{effect:?}");
    let again = silent.arrived.duration_since(closed.arrived);
    assert!(again < AT_ONCE, "{effect:?}: asked again after {again:?}");
    assert!(took < ONE_SILENCE, "{effect:?}: {took:?}");
}

#[tokio::test]
async fn a_closed_connection_costs_nothing_and_the_silence_of_the_next_is_found_out_once() {
    tokio::join!(closed_and_then(Effect::Silence), closed_and_then(Effect::StallAfter(1_000)));
}
