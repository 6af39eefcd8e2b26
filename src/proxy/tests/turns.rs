//! The layer whose turn comes next, begun before it is asked for.

use std::time::Duration;

use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::{Entry, Service};
use cloudsim::pace::Pace;
use cloudsim::ram::setup as ram;
use http::StatusCode;

use super::support::{REPOSITORY, World};

/// More than the first part, so that a layer has several.
const LAYER: usize = 5 << 20;
/// Far enough for several connections to be worth while.
const FAR: Duration = Duration::from_millis(10);

/// A bucket and a registry far away, with an image of six layers; its manifest has been asked for, and all its layers
/// have been found.
async fn world(pace: Pace) -> (World, Image) {
    let world = World::new().await;
    let image = Image::random(6, LAYER, 5);
    world.cloud.push(ram::INSTANCE, REPOSITORY, "six", &image).unwrap();
    world.cloud.paces().set(pace);
    assert_eq!(world.get(&world.target("manifests/six")).await.status, StatusCode::OK);
    let journal = world.cloud.journal();
    let located = |entries: &[Entry]| {
        let found = |digest: &String| entries.iter().any(|entry| entry.over && entry.path.ends_with(digest.as_str()));
        image.layers.iter().all(found)
    };
    tokio::time::timeout(Duration::from_secs(10), journal.wait_for(located)).await.unwrap();
    (world, image)
}

/// How often the bucket was asked for a layer.
fn asked(entries: &[Entry], digest: &str) -> usize {
    let hex = digest.trim_start_matches("sha256:");
    entries.iter().filter(|entry| entry.service == Service::Oss && entry.path.contains(hex)).count()
}

#[tokio::test]
async fn when_a_layer_is_nearly_over_the_one_that_follows_those_under_way_is_begun_and_asked_for_once() {
    let (world, image) = world(Pace::round_trip(FAR)).await;
    let [first, _, _, fourth, fifth, _] = image.layers.as_slice() else { panic!("six layers") };
    let answer = world.get(&world.target(&format!("blobs/{first}"))).await;
    assert!(answer.bytes().len() >= LAYER);
    let journal = world.cloud.journal();
    let begun = journal.wait_for(|entries| asked(entries, fourth) >= 2);
    tokio::time::timeout(Duration::from_secs(10), begun).await.unwrap();
    assert_eq!(asked(&journal.entries(), fifth), 0);

    let answer = world.get(&world.target(&format!("blobs/{fourth}"))).await;
    let (_, stored) = image.blobs.iter().find(|(name, _)| name == fourth).unwrap();
    assert!(answer.status == StatusCode::OK && answer.bytes() == stored);
    assert_eq!(answer.header("docker-content-digest"), fourth);
    let of_first = asked(&journal.entries(), first);
    assert!(asked(&journal.entries(), fourth) <= of_first, "it was asked for again");
}

#[tokio::test]
async fn a_layer_that_was_asked_for_already_is_not_begun_again() {
    let (world, image) = world(Pace::round_trip(FAR)).await;
    let [first, _, _, fourth, ..] = image.layers.as_slice() else { panic!("six layers") };
    world.get(&world.target(&format!("blobs/{fourth}"))).await;
    let before = asked(&world.cloud.journal().entries(), fourth);
    world.get(&world.target(&format!("blobs/{first}"))).await;
    // Whatever was begun would have been asked for before this is answered.
    world.get(&world.target("manifests/six")).await;
    assert_eq!(asked(&world.cloud.journal().entries(), fourth), before);
}

#[tokio::test]
async fn nothing_is_begun_for_who_reads_a_range() {
    let (world, image) = world(Pace::round_trip(FAR)).await;
    let first = world.target(&format!("blobs/{}", image.layers[0]));
    let range = format!("bytes=0-{}", LAYER - 1);
    assert_eq!(world.ask("GET", &first, &[("range", &range)]).await.status, StatusCode::PARTIAL_CONTENT);
    // Whatever was begun would have been asked for before this is answered.
    world.get(&world.target("manifests/six")).await;
    assert_eq!(asked(&world.cloud.journal().entries(), &image.layers[3]), 0);
}

#[tokio::test]
async fn all_parts_of_a_layer_are_asked_for_at_once_where_its_length_is_known() {
    let (world, image) = world(Pace::round_trip(FAR)).await;
    // None of those that are opened early.
    let layer = &image.layers[4];
    let hex = layer.trim_start_matches("sha256:");
    // Whichever part comes first waits, and the others do not wait for it.
    world.cloud.fault(Fault::on(Service::Oss, Effect::Silence).path_contains(hex).once());
    let request = world.target(&format!("blobs/{layer}"));
    let journal = world.cloud.journal();
    let others = journal.wait_for(|entries| asked(entries, layer) >= 2);
    tokio::select! {
        _ = world.get(&request) => panic!("an answer without its first byte"),
        waited = tokio::time::timeout(Duration::from_secs(5), others) => {
            assert!(waited.is_ok(), "{:#?}", journal.entries());
        }
    }
}
