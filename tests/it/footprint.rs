//! What one blob takes of a node while it is pulled: descriptors and memory, as the kernel counts them.

mod slow_readers;

use std::fs;
use std::time::Duration;

use cloudsim::Method;
use cloudsim::image::Image;
use cloudsim::pace::Pace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::readme::readme;
use crate::support::daemon::Daemon;
use crate::support::{DOMAIN, Node, REPOSITORY};

/// Blobs that are pulled at once.
const STREAMS: u32 = 48;

/// Far more than is read of one.
const BLOB: usize = 8 << 20;

/// A bucket that is far enough away for several connections to be worth while.
const PACE: Pace = Pace { round_trip: Duration::from_millis(10), bytes_per_second: Some(15_000_000), slow_start: true };

/// Of one stream: the client's connection, and up to `blobs.connections` to the bucket.
const DESCRIPTORS: u32 = 1 + 4;

/// Connections to the registry, the realm and the APIs, and to clients that ask for metrics: the same for all streams.
const SHARED: u32 = 32;

/// `blobs.memory` here, in KiB: little, so that what the streams themselves take can be seen.
const READ_AHEAD: u32 = 16 << 10;

/// Buffers of a stream's connections, of HTTP and TLS on both sides, in KiB. Measured were 200 to 310, in a build that is not
/// optimised as well.
const MEMORY: u32 = 512;

/// How long the readers take their time, and how often is looked meanwhile: less than a millisecond of work each.
const WATCHED: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(20);

fn descriptors(daemon: &Daemon) -> u32 {
    let count = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    u32::try_from(count).unwrap()
}

/// Resident memory in KiB.
fn memory(daemon: &Daemon) -> u32 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Reads one blob slowly, with a connection of its own, until it is stopped.
async fn sip(mut stream: TcpStream, path: String) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: node\r\n\r\n").as_bytes()).await.unwrap();
    let mut buffer = vec![0; 32 << 10];
    loop {
        stream.read_exact(&mut buffer).await.expect("the blob has not ended");
        tokio::time::sleep(Duration::from_millis(125)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_takes_few_descriptors_and_little_memory() {
    let image = Image::random(STREAMS as usize, BLOB, 19);
    let cloud = cloudsim::CloudSim::start().await.unwrap();
    cloud.push(cloudsim::ram::setup::INSTANCE, REPOSITORY, crate::support::TAG, &image).unwrap();
    cloud.paces().set(PACE);
    let config = format!("{}blobs:\n  memory: {}KiB\n", cloud.node_config(Method::Rrsa), READ_AHEAD);
    let daemon = Daemon::as_configured(&config).await;
    let mirror = crate::support::client::Mirror::at(daemon.listen);
    let node = Node { cloud, image, daemon, mirror };
    node.mirror.get(&format!("/v2/{REPOSITORY}/manifests/v1?ns={DOMAIN}")).await.expect(200);

    let idle = (descriptors(&node.daemon), memory(&node.daemon));
    let mut readers = JoinSet::new();
    for layer in &node.image.layers {
        let stream = TcpStream::connect(node.daemon.listen).await.unwrap();
        readers.spawn(sip(stream, format!("/v2/{REPOSITORY}/blobs/{layer}?ns={DOMAIN}")));
    }
    let (begun, mut most) = (Instant::now(), idle);
    while begun.elapsed() < WATCHED {
        most = (most.0.max(descriptors(&node.daemon)), most.1.max(memory(&node.daemon)));
        tokio::time::sleep(LOOK).await;
    }
    assert!(readers.try_join_next().is_none(), "a reader has ended");
    readers.shutdown().await;

    let of_one = most.1.saturating_sub(idle.1 + READ_AHEAD) / STREAMS;
    println!("idle {idle:?}, at most {most:?} with {STREAMS} streams (descriptors, KiB): {of_one} KiB for each");
    assert!(most.0 >= idle.0 + 2 * STREAMS, "every stream has a client and a bucket");
    assert!(most.0 <= idle.0 + SHARED + DESCRIPTORS * STREAMS, "{} descriptors", most.0);
    assert!(most.1 <= idle.1 + READ_AHEAD + MEMORY * STREAMS, "{} KiB", most.1);
    node.finish().await;
}

#[test]
fn the_readme_states_what_is_measured_here() {
    let readme = readme();
    for row in [
        format!("| file descriptors of one blob | 2 to {DESCRIPTORS}: "),
        format!("| memory of one blob | about 0.3 MiB, at most {} MiB; ", f64::from(MEMORY) / 1024.0),
    ] {
        assert!(readme.contains(&row), "README.md lacks {row}");
    }
}
