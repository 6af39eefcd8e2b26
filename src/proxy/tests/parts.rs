//! Blobs in parts: what the bucket is asked for, over how many connections, and what becomes of failures.

use std::time::Duration;

use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::{Entry, Service};
use cloudsim::pace::Pace;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{Setup, World};

/// Enough for several parts at every connection.
const LAYER: usize = 24 * 1024 * 1024;
/// A limit for each connection, such that all of them together are far below what a debug build can move.
const LIMIT: Pace = Pace { round_trip: Duration::from_millis(2), bytes_per_second: Some(8_000_000), slow_start: false };

async fn world() -> World {
    let world = World::with(Setup { layer: LAYER, ..Setup::default() }).await;
    world.cloud.paces().set_of(Service::Oss, LIMIT);
    world
}

/// What the bucket was asked for, in order of position.
fn ranges(world: &World) -> Vec<(usize, usize)> {
    let read = |entry: Entry| {
        let range = entry.range.unwrap();
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        (first.parse().unwrap(), last.parse::<usize>().unwrap() + 1)
    };
    let mut ranges: Vec<_> = world.cloud.journal().of(Service::Oss).into_iter().map(read).collect();
    ranges.sort_unstable();
    ranges
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_behind_a_limit_for_each_connection_comes_over_several_at_once() {
    let world = world().await;
    let (digest, bytes) = world.layer();
    let answer = world.get(&world.target(&format!("blobs/{digest}"))).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-range")), (200, ""));
    assert_eq!(answer.header("content-length"), bytes.len().to_string());
    assert!(answer.bytes() == bytes);
    assert!(world.cloud.journal().connections(Service::Oss) >= 4);
    let ranges = ranges(&world);
    assert_eq!((ranges[0].0, ranges.last().unwrap().1), (0, bytes.len()));
    assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0), "no byte twice, none missing: {ranges:?}");
    assert_eq!(world.cloud.journal().count(Service::Registry), 1, "one redirect serves all parts");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_memory_to_read_ahead_one_connection_after_the_other_is_used() {
    let world = World::with(Setup { layer: LAYER, memory: 0, ..Setup::default() }).await;
    world.cloud.paces().set_of(Service::Oss, Pace { bytes_per_second: Some(40_000_000), ..LIMIT });
    let (digest, bytes) = world.layer();
    assert!(world.get(&world.target(&format!("blobs/{digest}"))).await.bytes() == bytes);
    assert!(world.cloud.journal().connections(Service::Oss) <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_used_until_shortly_before_it_dies() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    let target = world.target(&format!("blobs/{digest}"));
    for range in ["bytes=0-99", "bytes=5-", "bytes=-7"] {
        assert_eq!(world.ask("GET", &target, &[("range", range)]).await.status, 206);
    }
    assert!(world.get(&target).await.bytes() == bytes);
    let journal = world.cloud.journal();
    assert_eq!((journal.count(Service::Registry), journal.count(Service::Oss)), (1, 4));
    // One that dies within a minute is used for the request at hand only.
    let (digest, bytes) = world.image.blobs.iter().find(|(name, _)| *name == world.image.layers[1]).unwrap();
    world.cloud.configure(|settings| settings.blob_url.lifetime = jiff::SignedDuration::from_secs(50));
    for _ in 0..2 {
        assert!(world.get(&world.target(&format!("blobs/{digest}"))).await.bytes() == bytes);
    }
    assert_eq!(world.cloud.journal().count(Service::Registry), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_breaks_is_continued_within_its_bounds() {
    let world = world().await;
    let (digest, bytes) = world.layer();
    for (spare, effect) in [(1, Effect::CutAfter(100_000)), (2, Effect::ResetAfter(300_000)), (3, Effect::CutAfter(0))]
    {
        world.cloud.fault(Fault::on(Service::Oss, effect).after(spare).once());
    }
    world.cloud.fault(Fault::on(Service::Oss, Effect::ExpiredSignature).after(3).once());
    assert!(world.get(&world.target(&format!("blobs/{digest}"))).await.bytes() == bytes);
    assert_eq!(world.cloud.journal().count(Service::Registry), 2, "only what expired is asked for anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_not_the_one_asked_for_is_not_used() {
    let world = world().await;
    let (digest, bytes) = world.layer();
    world.cloud.fault(Fault::on(Service::Oss, Effect::answer(StatusCode::OK, "the whole")).after(2));
    let answer = world.get(&world.target(&format!("blobs/{digest}"))).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.is_err(), "a body of {} bytes seemed whole", bytes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_every_part_at_once() {
    let world = world().await;
    let (digest, _) = world.layer();
    let request = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", world.target(&format!("blobs/{digest}")));
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let several =
        |entries: &[Entry]| entries.iter().filter(|entry| entry.service == Service::Oss && !entry.over).count() >= 3;
    let read = async { while stream.read(&mut [0; 65536]).await.unwrap() > 0 {} };
    tokio::select! {
        () = world.cloud.journal().wait_for(several) => {}
        () = read => panic!("the blob was read before it was in parts"),
    }
    drop(stream);
    let all_over = |entries: &[Entry]| entries.iter().all(|entry| entry.over);
    tokio::time::timeout(Duration::from_secs(10), world.cloud.journal().wait_for(all_over)).await.unwrap();
    let sent: u64 = world.cloud.journal().of(Service::Oss).iter().map(|entry| entry.bytes_sent).sum();
    assert!(sent < LAYER as u64, "everything was fetched all the same");
}
