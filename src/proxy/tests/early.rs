//! The first layers of an image, opened before they are asked for.

use std::ops::Range;
use std::time::Duration;

use cloudsim::image::{Image, ImageBuilder, Layer};
use cloudsim::journal::{Entry, Service};
use cloudsim::pace::Pace;
use cloudsim::ram::setup as ram;
use http::StatusCode;

use super::ahead::{own, until};
use super::support::{REPOSITORY, Setup, World};

/// More than the first part, so that a layer has several.
const LAYER: usize = 5 << 20;
/// A bucket that is worth it.
const FAR: Duration = Duration::from_millis(10);

/// An image of five layers, of which it returns the digests, behind a bucket so far away.
async fn world(away: Duration) -> (World, Image) {
    world_with(Setup::default(), away).await
}

async fn world_with(setup: Setup, away: Duration) -> (World, Image) {
    let world = World::with(setup).await;
    let image = Image::random(5, LAYER, 5);
    world.cloud.push(ram::INSTANCE, REPOSITORY, "five", &image).unwrap();
    world.cloud.paces().set(Pace::round_trip(away));
    (world, image)
}

/// What the bucket was asked for of one layer.
fn parts<'a>(entries: &'a [Entry], digest: &str) -> Vec<&'a Entry> {
    let hex = digest.trim_start_matches("sha256:");
    entries.iter().filter(|entry| entry.service == Service::Oss && entry.path.contains(hex)).collect()
}

/// Whether all parts of a layer were asked for, and their answers have begun.
fn is_open(entries: &[Entry], digest: &str) -> bool {
    let parts = parts(entries, digest);
    parts.len() >= 4 && parts.iter().all(|part| part.bytes_sent > 0)
}

/// Whether a layer was found, so that it would have been opened.
fn is_found(entries: &[Entry], digest: &str) -> bool {
    entries.iter().any(|entry| entry.service == Service::Registry && entry.over && entry.path.ends_with(digest))
}

#[tokio::test]
async fn the_first_layers_are_opened_before_they_are_asked_for_and_read_by_the_client_only() {
    let (world, image) = world(FAR).await;
    world.get(&world.target("manifests/five")).await;
    let (first, others) = image.layers.split_at(3);
    until(&world, |entries| {
        first.iter().all(|layer| is_open(entries, layer)) && others.iter().all(|layer| is_found(entries, layer))
    })
    .await;
    let opened = world.cloud.journal().entries();
    assert!(others.iter().all(|layer| parts(&opened, layer).is_empty()));
    assert_eq!(world.upstream.arrived(), 0, "it was read");

    for layer in first {
        let answer = world.get(&world.target(&format!("blobs/{layer}"))).await;
        let (_, stored) = image.blobs.iter().find(|(name, _)| name == layer).unwrap();
        assert!(answer.status == StatusCode::OK && answer.bytes() == stored, "{layer}");
        assert_eq!(answer.header("docker-content-digest"), layer);
        assert_eq!(parts(&world.cloud.journal().entries(), layer).len(), parts(&opened, layer).len(), "asked twice");
    }
}

#[tokio::test]
async fn what_nobody_asks_for_is_dropped_unread_and_its_memory_given_back() {
    let (world, image) = world(FAR).await;
    world.get(&world.target("manifests/five")).await;
    until(&world, |entries| image.layers[..3].iter().all(|layer| is_open(entries, layer))).await;
    let whole = world.memory.size() / 4 * 3;
    assert!(world.memory.free() < whole);
    let dropped = async {
        while world.memory.free() < whole - (1 << 20) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), dropped).await.unwrap();
    assert_eq!(world.upstream.arrived(), 0);
    let answer = world.get(&world.target(&format!("blobs/{}", image.layers[0]))).await;
    assert!(answer.bytes().len() >= LAYER, "it can be had as ever");
}

#[tokio::test]
async fn a_layer_that_was_read_before_is_not_opened_for_another_image() {
    let (world, _) = world(FAR).await;
    let base = Layer::random(LAYER, 100);
    let on_base = |seeds: Range<u64>| {
        let own = seeds.map(|seed| Layer::random(LAYER, seed));
        ImageBuilder::new().layers(std::iter::once(base.clone()).chain(own)).build()
    };
    let (older, younger) = (on_base(101..102), on_base(102..106));
    for (tag, image) in [("older", &older), ("younger", &younger)] {
        world.cloud.push(ram::INSTANCE, REPOSITORY, tag, image).unwrap();
    }
    world.get(&world.target("manifests/older")).await;
    world.get(&world.target(&format!("blobs/{}", base.digest))).await;
    world.cloud.journal().clear();
    world.get(&world.target("manifests/younger")).await;
    let [_, new @ .., last] = younger.layers.as_slice() else { panic!("five layers") };
    until(&world, |entries| new.iter().all(|layer| is_open(entries, layer)) && is_found(entries, last)).await;
    let entries = world.cloud.journal().entries();
    assert!([&base.digest, last].iter().all(|layer| parts(&entries, layer).is_empty()));
}

#[tokio::test]
async fn nothing_is_opened_where_the_bucket_is_near() {
    let (world, image) = world(Duration::ZERO).await;
    world.get(&world.target("manifests/five")).await;
    until(&world, |entries| image.layers.iter().all(|layer| is_found(entries, layer))).await;
    // Whatever was opened would have been asked for before this is answered.
    world.get(&world.target("manifests/five")).await;
    assert!(image.layers.iter().all(|layer| parts(&world.cloud.journal().entries(), layer).is_empty()));
}

#[tokio::test]
async fn no_more_is_opened_than_there_is_memory_for_and_the_config_stays_in_it() {
    // Of 12 MiB of read-ahead, 10.5.
    let (world, image) = world_with(Setup { memory: 16 << 20, ..Setup::default() }, FAR).await;
    world.get(&world.target("manifests/five")).await;
    let [first, second, third, ..] = image.layers.as_slice() else { panic!("five layers") };
    let (_, config) = own(&image);
    until(&world, |entries| {
        [first, second].iter().all(|layer| parts(entries, layer).len() >= 2)
            && is_found(entries, third)
            && parts(entries, &config).iter().any(|entry| entry.over)
    })
    .await;
    let answer = world.get(&world.target(&format!("blobs/{config}"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let entries = world.cloud.journal().entries();
    assert_eq!((parts(&entries, &config).len(), parts(&entries, third).len()), (1, 0));
}
