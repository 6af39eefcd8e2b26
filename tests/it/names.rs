//! A name server that says nothing: what is known goes on, and what is not known says whose fault it is.

use cloudsim::image::Image;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};

use crate::support::client::Mirror;
use crate::support::daemon::{Daemon, PROGRAM};
use crate::support::dns::{self, Mood, NameServer};
use crate::support::{LIMIT, POLL, REPOSITORY, TAG, manifest};

/// What the name server calls the cloud.
const NAME: &str = "cloud.test";

async fn world() -> (CloudSim, NameServer, String) {
    let cloud = CloudSim::start().await.expect("a cloud");
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &Image::random(1, 1000, 1)).expect("pushed");
    let config = dns::by_name(&cloud.node_config(Method::Rrsa), cloud.tls_addr(), NAME);
    (cloud, NameServer::start(NAME), config)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_known_after_another_configuration_was_read() {
    let (_cloud, names, config) = world().await;
    let daemon = Daemon::through(&config, names.asked_by(PROGRAM)).await;
    let mirror = Mirror::at(daemon.listen);
    mirror.get(&manifest(TAG)).await.expect(200);

    names.set(Mood::Silent);
    let hosts = "network:\n  hosts:\n";
    let changed = config.replacen(hosts, &format!("{hosts}    \"elsewhere.test\": 192.0.2.1\n"), 1);
    assert_ne!(changed, config);
    std::fs::write(daemon.config_file(), changed).expect("another configuration");
    daemon.signal("HUP");
    let asked = names.asked();
    tokio::time::timeout(LIMIT, async {
        // The new clients have no connections yet.
        while names.asked() == asked {
            mirror.get(&manifest(TAG)).await.expect(200);
            tokio::time::sleep(POLL).await;
        }
    })
    .await
    .expect("the name server is asked");
    mirror.get(&manifest(TAG)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_silent_is_told() {
    let (_cloud, names, config) = world().await;
    names.set(Mood::Silent);
    let daemon = Daemon::through(&config, names.asked_by(PROGRAM)).await;
    let reply = Mirror::at(daemon.listen).get(&manifest(TAG)).await;
    let reply = reply.expect(503);
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    // The cloud's name or the registry's, whichever was looked for first.
    assert!(body.contains("acr-pull-proxy: network: ") && body.contains("no name server answers for "), "{body}");
}
