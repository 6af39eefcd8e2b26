//! Checks of what many bytes, and the end of the daemon while they flow, do.

use std::time::Duration;

use bytes::Bytes;
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::pace::Pace;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::chaos::process::resident_kib;
use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::{Node, POLL, REPOSITORY, TAG, blob, manifest};

/// Streams at once.
const STREAMS: usize = 8;

/// A layer. The check speaks of 5 GB in each stream: what is tested is that memory does not follow the bytes, and
/// that shows as well when each stream carries [`ROUNDS`] of these, more than the limit in every round. By hand it is
/// run at full size: `ACR_LOAD_GIB=40`.
const LAYER: usize = 32 << 20;
const ROUNDS: usize = 9;
const SIZE: &str = "ACR_LOAD_GIB";

/// The first rounds, in which the allocator finds its size; those after them are compared, one half with the other.
const SETTLING: usize = 3;

/// The limit of the check, in KiB.
const LIMIT_KIB: u64 = 128 * 1024;

/// What may stay with the daemon between rounds in the later ones beyond those before. While bytes flow, memory is up or
/// down by a part or two as the streams happen to meet, and after most rounds it is back where it was; so the lowest that was
/// kept after one round is compared. Some 768 MiB pass from one half to the other: no byte in two hundred may stay.
const FLAT_KIB: u64 = 4 * 1024;

/// What the kernel may book on a process that writes no content: a few pages of directories that its sockets are made in.
const PAGES: u64 = 64 * 1024;

/// The time that pulls under way are given at the end (`proxy::Params::drain`).
const DRAIN: Duration = Duration::from_secs(20);

/// Check 20, at the size of a test: 2304 MiB through a daemon that may read 32 MiB ahead. Half of the clients are slow, so that
/// what is read ahead waits for them.
#[tokio::test(flavor = "multi_thread")]
async fn eight_streams_of_layers_larger_than_the_limit_leave_memory_flat() {
    let cloud = CloudSim::start().await.unwrap();
    let image = Image::random(1, LAYER, 41);
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).unwrap();
    let config = format!("{}blobs:\n  memory: 32MiB\n", cloud.node_config(Method::WorkerRole));
    let daemon = Daemon::as_configured(&config).await;
    let mirror = Mirror::at(daemon.listen);
    let (digest, bytes) = image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    mirror.head(&manifest(TAG)).await.expect(200);

    let all = ROUNDS.max((gib() << 30) / (STREAMS * LAYER));
    let mut kept = Vec::with_capacity(all);
    let rounds = async {
        for round in 0..all {
            let mut streams = JoinSet::new();
            for stream in 0..STREAMS {
                let slow = (stream + round) % 2 == 0;
                streams.spawn(read(mirror.clone(), blob(digest), bytes.clone(), slow));
            }
            streams.join_all().await;
            kept.push(resident_kib(daemon.pid()));
        }
    };
    let begun = Instant::now();
    let mut most = 0;
    let watch = async {
        loop {
            most = resident_kib(daemon.pid()).max(most);
            sleep(POLL * 5).await;
        }
    };
    tokio::select! {
        () = rounds => {}
        () = watch => {}
    }
    println!("{} MiB in {:?}: {most} KiB at most", (STREAMS * all * LAYER) >> 20, begun.elapsed());
    println!("{kept:?} KiB after each round");
    assert!(most < LIMIT_KIB, "{most} KiB");
    let (earlier, later) = kept[SETTLING..].split_at((all - SETTLING) / 2);
    assert!(later.iter().min() <= earlier.iter().min().map(|kept| kept + FLAT_KIB).as_ref(), "{kept:?} KiB");
    // What is not written to a file cannot fill the page cache.
    let io = std::fs::read_to_string(format!("/proc/{}/io", daemon.pid())).unwrap();
    let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse::<u64>().ok());
    assert!(written.is_some_and(|bytes| bytes <= PAGES), "{io}");
    daemon.stop();
}

/// `ACR_LOAD_GIB`: at how many GiB the check is run.
#[expect(clippy::disallowed_methods, reason = "a test is told by its environment how large it is to be")]
fn gib() -> usize {
    std::env::var(SIZE).map_or(0, |gib| gib.parse().expect("ACR_LOAD_GIB: a number"))
}

/// Reads a blob to its end, with or without rests.
async fn read(mirror: Mirror, path: String, expected: Bytes, slow: bool) {
    let mut response = mirror.open(http::Method::GET, &path, &[]).await;
    assert_eq!(response.status(), 200);
    let mut at = 0;
    let mut rest_at = 0;
    while let Some(frame) = response.body_mut().frame().await {
        let data = frame.unwrap().into_data().unwrap_or_default();
        assert!(expected.slice(at..at + data.len()) == data, "wrong bytes at {at}");
        at += data.len();
        if slow && at > rest_at + (1 << 20) {
            rest_at = at;
            sleep(POLL).await;
        }
    }
    assert_eq!(at, expected.len());
}

/// Check 21. The stream would last half an hour and more.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_half_an_hour_is_drained_until_the_deadline_and_then_cut() {
    let cloud = CloudSim::start().await.unwrap();
    let image = Image::random(1, 8 << 20, 42);
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).unwrap();
    cloud.paces().set_of(Service::Oss, Pace { bytes_per_second: Some(4_000), ..Pace::default() });
    let node = Node::around(cloud, Method::WorkerRole, image).await;
    node.mirror.head(&manifest(TAG)).await.expect(200);
    let (digest, bytes) = node.image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let mut response = node.mirror.open(http::Method::GET, &blob(digest), &[]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-length"], bytes.len().to_string());

    let operators = Mirror::at(node.daemon.admin);
    operators.get("/readyz").await.expect(200);
    let told = Instant::now();
    node.daemon.signal("TERM");
    while operators.get("/readyz").await.status == 200 {
        sleep(POLL).await;
    }
    let unready = told.elapsed();
    assert!(unready < DRAIN / 10, "ready for {unready:?} after the signal");
    operators.get("/livez").await.expect(200);

    let mut got = 0;
    let broken = loop {
        match response.body_mut().frame().await {
            Some(Ok(frame)) => got += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    let cut = told.elapsed();
    println!("not ready after {unready:?}, {got} bytes until the cut after {cut:?}");
    assert!(broken && got > 0, "{got} bytes, broken: {broken}");
    assert!(cut > DRAIN - Duration::from_secs(1) && cut < DRAIN + Duration::from_secs(5), "{cut:?}");
    node.daemon.stop();
}
