//! What is asked of the registry once, and what is asked before a client does.

use std::time::Duration;

use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::{Entry, Service};
use futures_util::future::join_all;
use http::{Method, StatusCode};

use super::support::{REPOSITORY, Setup, VPC, World};
use crate::upstream::BlobMode;

/// The manifest for this machine, and its config.
pub(super) fn own(image: &Image) -> (String, String) {
    let index = &image.manifests.last().unwrap().1.bytes;
    let index: serde_json::Value = serde_json::from_slice(index).unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let entries = index["manifests"].as_array().unwrap();
    let own = entries.iter().find(|entry| entry["platform"]["architecture"] == architecture).unwrap();
    let digest = own["digest"].as_str().unwrap().to_owned();
    let (_, manifest) = image.manifests.iter().find(|(name, _)| *name == digest).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest.bytes).unwrap();
    (digest, manifest["config"]["digest"].as_str().unwrap().to_owned())
}

pub(super) async fn until(world: &World, holds: impl Fn(&[Entry]) -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(10), world.cloud.journal().wait_for(holds)).await;
    assert!(waited.is_ok(), "{:#?}", world.cloud.journal().entries());
}

fn over(entries: &[Entry], part: &str) -> bool {
    entries
        .iter()
        .any(|entry| entry.path.contains(part) && entry.over && entry.status.is_some_and(|status| status < 400))
}

#[tokio::test]
async fn a_whole_pull_asks_the_registry_for_each_thing_once() {
    let world = World::new().await;
    let (manifest, config) = own(&world.image);
    let head = world.ask("HEAD", &world.target("manifests/v1"), &[]).await;
    assert_eq!((head.status, head.bytes().len()), (StatusCode::OK, 0));
    for digest in [world.image.digest.as_str(), &manifest] {
        let answer = world.get(&world.target(&format!("manifests/{digest}"))).await;
        let (_, stored) = world.image.manifests.iter().find(|(name, _)| name == digest).unwrap();
        assert_eq!((answer.bytes(), answer.header("content-type")), (&stored.bytes, stored.media_type.as_str()));
        assert_eq!(answer.header("docker-content-digest"), digest);
    }
    for digest in std::iter::once(&config).chain(&world.image.layers) {
        let answer = world.get(&world.target(&format!("blobs/{digest}"))).await;
        let (_, stored) = world.image.blobs.iter().find(|(name, _)| name == digest).unwrap();
        assert!(answer.bytes() == stored, "{digest}");
        assert_eq!(answer.header("docker-content-digest"), digest);
        assert_eq!(answer.header("content-length"), stored.len().to_string());
    }
    let journal = world.cloud.journal();
    let mut asked: Vec<_> = journal.of(Service::Registry).into_iter().map(|entry| (entry.method, entry.path)).collect();
    let all = asked.len();
    asked.sort_by_key(|(_, path)| path.clone());
    asked.dedup();
    assert_eq!((all, asked.len()), (5, 5), "tag, manifest, config and two layers: {asked:?}");
    assert!(asked.iter().all(|(method, _)| method == Method::GET));
    assert_eq!(journal.count(Service::Oss), 3);
}

#[tokio::test]
async fn after_an_index_the_nodes_manifest_its_config_and_the_places_of_its_layers_are_fetched() {
    let world = World::new().await;
    let (manifest, config) = own(&world.image);
    world.get(&world.target("manifests/v1")).await;
    for part in world.image.layers.iter().chain([&manifest, &config]) {
        until(&world, |entries| over(entries, part)).await;
    }
    until(&world, |entries| entries.iter().any(|entry| entry.service == Service::Oss && entry.over)).await;
    let journal = world.cloud.journal();
    assert_eq!(journal.count(Service::Oss), 1, "only the config is small");
    // None of it again for the same manifest.
    let before = journal.count(Service::Registry);
    world.get(&world.target(&format!("manifests/{}", world.image.digest))).await;
    world.get(&world.target(&format!("manifests/{manifest}"))).await;
    world.get(&world.target(&format!("blobs/{config}"))).await;
    assert_eq!((journal.count(Service::Registry), journal.count(Service::Oss)), (before, 1));
}

#[tokio::test]
async fn a_head_may_be_all_that_comes_so_no_blob_follows_it() {
    let world = World::new().await;
    let (manifest, _) = own(&world.image);
    world.ask("HEAD", &world.target("manifests/v1"), &[]).await;
    until(&world, |entries| over(entries, &manifest)).await;
    world.ask("HEAD", &world.target("manifests/v1"), &[]).await;
    let paths: Vec<_> = world.cloud.journal().entries().into_iter().map(|entry| entry.path).collect();
    assert_eq!(paths.iter().filter(|path| path.contains("/blobs/")).count(), 0, "{paths:?}");
    assert_eq!(paths.iter().filter(|path| path.ends_with(&manifest)).count(), 1, "{paths:?}");
}

#[tokio::test]
async fn a_tag_is_asked_each_time_and_shared_only_by_those_who_ask_at_once() {
    let world = World::new().await;
    let target = world.target("manifests/v1");
    world.cloud.fault(Fault::on(Service::Registry, Effect::Delay(Duration::from_millis(300))).once());
    let answers =
        join_all((0..20).map(|number| world.ask(if number % 2 == 0 { "GET" } else { "HEAD" }, &target, &[]))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    let asked = || world.cloud.journal().count_where(|entry| entry.path.ends_with("/manifests/v1"));
    assert_eq!(asked(), 1);
    world.ask("GET", &target, &[("accept", "application/vnd.oci.image.index.v1+json")]).await;
    assert_eq!(asked(), 2);
    let other = cloudsim::image::Image::random(1, 1000, 99);
    world.cloud.push(cloudsim::ram::setup::INSTANCE, REPOSITORY, "v1", &other).unwrap();
    assert_eq!(world.get(&target).await.header("docker-content-digest"), other.digest, "the tag has moved");
}

#[tokio::test]
async fn a_failure_is_shared_too_and_not_kept() {
    let world = World::new().await;
    let target = world.target("manifests/none");
    world.cloud.fault(Fault::on(Service::Registry, Effect::Delay(Duration::from_millis(300))).once());
    let answers = join_all((0..5).map(|_| world.get(&target))).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), answer.error().code.as_str()), (404, "MANIFEST_UNKNOWN"));
    }
    assert_eq!(world.cloud.journal().count(Service::Registry), 1);
    world.get(&target).await;
    assert_eq!(world.cloud.journal().count(Service::Registry), 2);
}

#[tokio::test]
async fn nothing_is_fetched_for_what_was_not_allowed() {
    let world = World::new().await;
    world.cloud.push(cloudsim::ram::setup::INSTANCE, "forbidden/app", "v1", &world.image).unwrap();
    let digest = &world.image.digest;
    world.get(&world.target(&format!("manifests/{digest}"))).await;
    let (manifest, _) = own(&world.image);
    until(&world, |entries| over(entries, &manifest)).await;
    // The same digest in a repository that the bearer does not open is not answered from memory.
    let answer = world.get(&format!("/v2/forbidden/app/manifests/{digest}?ns={VPC}")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(world.cloud.journal().count_where(|entry| entry.path.contains("forbidden/app/blobs")), 0);
}

#[tokio::test]
async fn a_blob_fetched_ahead_with_wrong_bytes_is_not_given_to_anybody() {
    let world = World::new().await;
    let (manifest, config) = own(&world.image);
    world.cloud.fault(Fault::on(Service::Oss, Effect::WrongBytes).once());
    world.get(&world.target(&format!("manifests/{manifest}"))).await;
    until(&world, |entries| entries.iter().any(|entry| entry.service == Service::Oss && entry.over)).await;
    let answer = world.get(&world.target(&format!("blobs/{config}"))).await;
    let (_, stored) = world.image.blobs.iter().find(|(name, _)| *name == config).unwrap();
    assert!(answer.bytes() == stored);
    assert_eq!(world.cloud.journal().count(Service::Oss), 2);
}

#[tokio::test]
async fn where_clients_follow_redirects_themselves_no_blob_is_fetched() {
    let world = World::with(Setup { mode: BlobMode::Redirect, ..Setup::default() }).await;
    let (manifest, _) = own(&world.image);
    world.get(&world.target("manifests/v1")).await;
    until(&world, |entries| over(entries, &manifest)).await;
    world.get(&world.target(&format!("manifests/{manifest}"))).await;
    assert_eq!(world.cloud.journal().count_where(|entry| entry.path.contains("/blobs/")), 0);
}

#[tokio::test]
async fn connections_are_kept_ready_for_who_pulled_and_for_nobody_else() {
    let world = World::new().await;
    world.upstream.stay_warm();
    assert!(world.tokens.expected.lock().unwrap().is_empty());
    world.get(&world.target("manifests/v1")).await;
    world.upstream.stay_warm();
    assert_eq!(*world.tokens.expected.lock().unwrap(), [VPC]);
}
