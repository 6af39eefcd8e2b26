//! Resident memory of the daemon: idle, and with many blob streams whose readers are slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloudsim::CloudSim;
use cloudsim::image::{Image, ImageBuilder, Layer};
use cloudsim::pace::Pace;
use cloudsim::ram::setup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::node::Node;
use crate::support::{DOMAIN, memory};
use crate::table::{Bar, Row};

const REPOSITORY: &str = "team/streams";

/// Streams that are open at once.
const STREAMS: u64 = 64;

/// Bytes of each: far more than is read of it.
const BLOB: usize = 16 << 20;

/// A bucket that makes reading ahead worth while.
const PACE: Pace = Pace { round_trip: Duration::from_millis(10), bytes_per_second: Some(15_000_000), slow_start: true };

/// What a reader takes at once, and how often: 256 KiB a second.
const SIP: usize = 32 << 10;
const REST: Duration = Duration::from_millis(125);

/// How long memory is watched.
const WATCHED: Duration = Duration::from_secs(10);

/// How often it is read meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// The bar without read-ahead, in MiB.
const IDLE_BAR: f64 = 20.0;

/// `blobs.memory` in MiB: the default, and so little that what the streams themselves take can be seen.
const READ_AHEAD: [u32; 2] = [128, 16];

/// Watches memory; once, since it depends on no timing.
pub(crate) async fn measure() -> Vec<Row> {
    let mut rows = Vec::new();
    for read_ahead in READ_AHEAD {
        let (idle, most) = watch(read_ahead).await;
        if rows.is_empty() {
            rows.push(Row::alone("resident memory, idle after a pull, MiB", idle, Bar::AtMost(IDLE_BAR)));
        }
        let what = format!("resident memory, {STREAMS} streams, slow readers, blobs.memory {read_ahead} MiB, MiB");
        rows.push(Row::alone(what, most, Bar::AtMost(IDLE_BAR + f64::from(read_ahead))));
    }
    rows
}

/// MiB, idle and at most, with so much memory for reading ahead.
async fn watch(read_ahead: u32) -> (f64, f64) {
    let cloud = CloudSim::start().await.expect("the simulated cloud");
    let image = image();
    cloud.push(setup::INSTANCE, REPOSITORY, "v1", &image).expect("pushed");
    let more = format!("blobs:\n  memory: {read_ahead}MiB\n");
    let node = Node::around(cloud, PACE, |config| config + &more).await;
    let pid = node.daemon.pid();
    let idle = memory(pid, "VmRSS");

    let read = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    let begun = Instant::now();
    for layer in &image.layers {
        let path = format!("/v2/{REPOSITORY}/blobs/{layer}?ns={DOMAIN}");
        readers.spawn(sip(node.daemon.listen, path, Arc::clone(&read), begun + WATCHED));
    }
    let mut most = idle;
    while begun.elapsed() < WATCHED {
        most = most.max(memory(pid, "VmRSS"));
        sleep(LOOK).await;
    }
    readers.join_all().await;
    let rate = (read.load(Ordering::Relaxed) / WATCHED.as_secs() / STREAMS) >> 10;
    eprintln!("idle {idle:.1} MiB, at most {most:.1} MiB with {STREAMS} streams that were read at {rate} KiB/s each");
    (idle, most)
}

fn image() -> Image {
    ImageBuilder::new().layers((0..STREAMS).map(|number| Layer::random(BLOB, number))).build()
}

/// Reads one blob slowly until the watch is over.
async fn sip(listen: SocketAddr, path: String, read: Arc<AtomicU64>, end: Instant) {
    let mut stream = TcpStream::connect(listen).await.expect("the daemon listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut sip = vec![0; SIP];
    let mut next = Instant::now();
    while next < end {
        let length = stream.read_exact(&mut sip).await.expect("the blob has not ended");
        read.fetch_add(length as u64, Ordering::Relaxed);
        next += REST;
        sleep_until(next).await;
    }
}
