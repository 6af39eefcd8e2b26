//! Clients that ask for everything with a range: containerd 2.1.0 to 2.1.2 always, all from 2.1 on where they fetch a
//! layer in chunks.

use std::time::Duration;

use bytes::Bytes;
use cloudsim::image::Image;
use cloudsim::journal::{Entry, Service};
use cloudsim::pace::Pace;
use cloudsim::ram::setup as ram;
use futures_util::future::join_all;
use http_body_util::BodyExt;

use super::ahead::{own, until};
use super::support::{REPOSITORY, Setup, World};

const MIB: usize = 1 << 20;
/// Enough for several parts at every connection.
const LAYER: usize = 24 * MIB;
/// A limit for each connection, such that all of them together are far below what a debug build can move.
const LIMIT: Pace = Pace { round_trip: Duration::from_millis(2), bytes_per_second: Some(8_000_000), slow_start: false };

/// Enough to read one layer over all connections, and too little to open one before it is asked for, as is done where the
/// bucket seems to be far away: on a busy machine it does.
const MEMORY: u64 = 26 << 20;

/// A world whose image a client was given, so that its layers are known.
async fn world() -> World {
    let world = World::with(Setup { layer: LAYER, memory: MEMORY, ..Setup::default() }).await;
    world.cloud.paces().set_of(Service::Oss, LIMIT);
    give_manifest(&world).await;
    world
}

async fn give_manifest(world: &World) {
    let (manifest, _) = own(&world.image);
    world.get(&world.target(&format!("manifests/{manifest}"))).await;
    let located = |digest: &String, entries: &[Entry]| {
        entries.iter().any(|entry| entry.over && entry.path.ends_with(digest.as_str()))
    };
    until(world, |entries| world.image.layers.iter().all(|layer| located(layer, entries))).await;
    until(world, |entries| entries.iter().any(|entry| entry.service == Service::Oss && entry.over)).await;
}

fn layer(world: &World, number: usize) -> (String, Bytes) {
    let digest = &world.image.layers[number];
    let (_, bytes) = world.image.blobs.iter().find(|(name, _)| name == digest).unwrap();
    (digest.clone(), bytes.clone())
}

/// What the bucket was asked for of a blob, in order of position.
fn asked(world: &World, digest: &str) -> Vec<(usize, usize)> {
    let hex = digest.trim_start_matches("sha256:");
    let of_it = world.cloud.journal().of(Service::Oss).into_iter().filter(|entry| entry.path.contains(hex));
    let read = |entry: Entry| {
        let range = entry.range.unwrap();
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        (first.parse().unwrap(), last.parse::<usize>().unwrap() + 1)
    };
    let mut ranges: Vec<_> = of_it.map(read).collect();
    ranges.sort_unstable();
    ranges
}

fn without_gap(ranges: &[(usize, usize)]) -> bool {
    ranges.windows(2).all(|pair| pair[0].1 == pair[1].0)
}

#[tokio::test]
async fn a_small_blob_fetched_ahead_answers_every_range_of_it() {
    let world = World::new().await;
    give_manifest(&world).await;
    let (_, config) = own(&world.image);
    let (_, bytes) = world.image.blobs.iter().find(|(name, _)| *name == config).unwrap();
    let (target, total) = (world.target(&format!("blobs/{config}")), bytes.len());
    for (range, part) in [
        ("bytes=0-", 0..total),
        ("bytes=10-", 10..total),
        ("bytes=5-9", 5..10),
        ("bytes=-3", total - 3..total),
        ("bytes=7-99999999", 7..total),
    ] {
        let answer = world.ask("GET", &target, &[("range", range)]).await;
        assert_eq!((answer.status.as_u16(), answer.bytes().as_ref()), (206, &bytes[part.clone()]), "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes {}-{}/{total}", part.start, part.end - 1));
        assert_eq!(answer.header("docker-content-digest"), config);
    }
    let beyond = world.ask("GET", &target, &[("range", &format!("bytes={total}-"))]).await;
    assert_eq!((beyond.status.as_u16(), beyond.header("content-range")), (416, format!("bytes */{total}").as_str()));
    assert!(world.get(&target).await.bytes() == bytes);
    assert_eq!(world.cloud.journal().count(Service::Oss), 1);
    // Whoever had it whole does not ask again, so its memory is free for others.
    assert_eq!(world.memory.free(), (128 << 20) / 4 * 3);
    assert!(world.get(&target).await.bytes() == bytes);
    assert_eq!(world.cloud.journal().count(Service::Oss), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_layer_by_a_range_comes_as_fast_as_without() {
    let world = world().await;
    let (digest, bytes) = layer(&world, 0);
    let answer = world.ask("GET", &world.target(&format!("blobs/{digest}")), &[("range", "bytes=0-")]).await;
    assert_eq!(answer.status, 206);
    assert_eq!(answer.header("content-range"), format!("bytes 0-{}/{}", bytes.len() - 1, bytes.len()));
    assert_eq!(answer.header("content-length"), bytes.len().to_string());
    assert!(answer.bytes() == &bytes);
    let ranges = asked(&world, &digest);
    assert!(ranges.len() >= 4 && without_gap(&ranges), "no byte twice, none missing: {ranges:?}");
    assert_eq!((ranges[0].0, ranges.last().unwrap().1), (0, bytes.len()));
    assert!(world.cloud.journal().connections(Service::Oss) >= 4);
    let located = world.cloud.journal().count_where(|entry| entry.path.ends_with(&digest));
    assert_eq!(located, 1, "one redirect serves all parts");
}

#[tokio::test]
async fn a_layer_that_was_begun_before_its_turn_is_given_to_who_asks_for_all_of_it_by_a_range() {
    let world = World::new().await;
    let image = Image::random(4, 5 * MIB, 5);
    world.cloud.push(ram::INSTANCE, REPOSITORY, "four", &image).unwrap();
    world.cloud.paces().set(Pace::round_trip(Duration::from_millis(10)));
    world.get(&world.target("manifests/four")).await;
    let located = |digest: &String, entries: &[Entry]| {
        entries.iter().any(|entry| entry.over && entry.path.ends_with(digest.as_str()))
    };
    until(&world, |entries| image.layers.iter().all(|layer| located(layer, entries))).await;
    let of_fourth = image.layers[3].trim_start_matches("sha256:");
    let count = |entries: &[Entry]| {
        entries.iter().filter(|entry| entry.service == Service::Oss && entry.path.contains(of_fourth)).count()
    };
    let all = [("range", "bytes=0-")];
    let first = world.ask("GET", &world.target(&format!("blobs/{}", image.layers[0])), &all).await;
    assert!(first.bytes().len() >= 5 * MIB);
    until(&world, |entries| count(entries) >= 2).await;
    let fourth = world.ask("GET", &world.target(&format!("blobs/{}", image.layers[3])), &all).await;
    let (_, stored) = image.blobs.iter().find(|(name, _)| *name == image.layers[3]).unwrap();
    assert!(fourth.status == 206 && fourth.bytes() == stored);
    assert_eq!(fourth.header("content-range"), format!("bytes 0-{}/{}", stored.len() - 1, stored.len()));
    let ranges = asked(&world, &image.layers[3]);
    assert!(without_gap(&ranges), "it was asked for again: {ranges:?}");
}

/// Reads so many bytes and leaves.
async fn chunk(world: &World, target: &str, from: usize, bytes: usize) -> Vec<u8> {
    let range = format!("bytes={from}-");
    let mut body = world.begin("GET", target, &[("range", &range)]).await.into_body();
    let mut read = Vec::new();
    while read.len() < bytes {
        read.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    read.truncate(bytes);
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_a_layer_in_chunks_gets_each_over_one_connection() {
    let world = world().await;
    let (digest, bytes) = layer(&world, 0);
    let target = world.target(&format!("blobs/{digest}"));
    let size = 8 * MIB;
    let begins: Vec<_> = (0..bytes.len()).step_by(size).collect();
    let chunks = begins.iter().map(|from| chunk(&world, &target, *from, size.min(bytes.len() - from)));
    assert!(join_all(chunks).await.concat() == bytes);

    // The next layer: nothing is fetched that the client has not come to.
    let (digest, bytes) = layer(&world, 1);
    let target = world.target(&format!("blobs/{digest}"));
    let mut first = world.begin("GET", &target, &[("range", "bytes=0-")]).await;
    assert_eq!(
        (first.status().as_u16(), first.headers()["content-length"].to_str().unwrap()),
        (206, bytes.len().to_string().as_str())
    );
    let second = chunk(&world, &target, size, 1000).await;
    assert!(second == bytes[size..size + 1000]);
    let begin = first.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(begin == bytes[..begin.len()]);
    assert_eq!(asked(&world, &digest), [(0, 4 * MIB), (size, size + 4 * MIB)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_with_a_layer_gets_the_rest_over_several_connections() {
    let world = world().await;
    let (digest, bytes) = layer(&world, 0);
    let answer = world.ask("GET", &world.target(&format!("blobs/{digest}")), &[("range", "bytes=1048576-")]).await;
    assert_eq!(answer.status, 206);
    assert_eq!(answer.header("content-range"), format!("bytes {MIB}-{}/{}", bytes.len() - 1, bytes.len()));
    assert!(answer.bytes() == &bytes[MIB..]);
    let ranges = asked(&world, &digest);
    assert_eq!((ranges[0].0, ranges.last().unwrap().1), (MIB, bytes.len()));
    assert!(ranges.len() >= 4 && without_gap(&ranges), "no byte twice, none missing: {ranges:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_compete_for_memory_all_come_and_give_it_back() {
    let memory = 6 << 20;
    let world = World::with(Setup { layer: LAYER, memory, ..Setup::default() }).await;
    world.cloud.paces().set_of(Service::Oss, LIMIT);
    let all = (0..2).map(|number| {
        let (digest, bytes) = layer(&world, number);
        let target = world.target(&format!("blobs/{digest}"));
        let world = &world;
        async move { assert!(world.get(&target).await.bytes() == &bytes, "{digest}") }
    });
    join_all(all).await;
    assert!(world.cloud.journal().connections(Service::Oss) > 2, "nobody read ahead");
    for number in 0..2 {
        let ranges = asked(&world, &layer(&world, number).0);
        assert!(without_gap(&ranges), "{ranges:?}");
    }
    let given_back = async {
        while world.memory.free() != memory / 4 * 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), given_back).await.unwrap();
}
