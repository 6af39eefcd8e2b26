//! Hundreds of readers who take next to nothing, over HTTP/1.1 and HTTP/2: what waits for them is not read from the bucket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cloudsim::image::Image;
use cloudsim::{CloudSim, Method};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{LOOK, WATCHED, memory};
use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::{LIMIT, POLL, REPOSITORY, TAG, blob, manifest};

/// Readers at once.
const READERS: u32 = 300;
/// Those who share an HTTP/2 connection; the daemon allows 32 requests at once on one.
const SHARING: u32 = 30;

/// Layers that they read, each far larger than what any buffer between holds.
const LAYERS: usize = 4;
const LAYER: usize = 32 << 20;

/// What one takes at once, and how often: 16 KiB a second.
const SIP: usize = 4 << 10;
const REST: Duration = Duration::from_millis(250);

/// Input that the kernel holds for a reader, so that the daemon has to wait for it.
const INPUT: u32 = 64 << 10;

/// `blobs.memory`, in KiB.
const READ_AHEAD: u32 = 32 << 10;

/// What one more reader may cost, in KiB: the buffers of its connections on both sides, of HTTP and TLS. With as much again as
/// is measured.
const EACH: u32 = 512;

struct Site {
    cloud: CloudSim,
    daemon: Daemon,
    /// A blob for each layer.
    paths: Vec<String>,
}

impl Site {
    async fn start() -> Self {
        let image = Image::random(LAYERS, LAYER, 23);
        let cloud = CloudSim::start().await.expect("a cloud");
        cloud.push(cloudsim::ram::setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
        let config = format!("{}blobs:\n  memory: {READ_AHEAD}KiB\n", cloud.node_config(Method::WorkerRole));
        let daemon = Daemon::as_configured(&config).await;
        Mirror::at(daemon.listen).get(&manifest(TAG)).await.expect(200);
        Self { cloud, daemon, paths: image.layers.iter().map(|layer| blob(layer)).collect() }
    }

    fn path(&self, reader: u32) -> String {
        self.paths[reader as usize % self.paths.len()].clone()
    }

    /// Waits until `reading` counts all readers, and then watches them. None may be gone at the end.
    #[expect(clippy::print_stdout, reason = "the figures are wanted where somebody asks for them")]
    async fn watch(self, what: &str, idle: u32, mut readers: JoinSet<()>, reading: Arc<AtomicU32>) {
        let all = async {
            while reading.load(Ordering::Relaxed) < READERS {
                sleep(POLL).await;
            }
        };
        let begun = timeout(LIMIT, all).await;
        assert!(begun.is_ok(), "{what}: {} of {READERS} readers have begun", reading.load(Ordering::Relaxed));
        let (begun, mut most) = (Instant::now(), 0);
        while begun.elapsed() < WATCHED {
            most = most.max(memory(&self.daemon));
            sleep(LOOK).await;
        }
        assert!(readers.try_join_next().is_none(), "{what}: a reader has ended");
        readers.shutdown().await;
        println!("{what}: idle {idle} KiB, at most {most} KiB with {READERS} slow readers");
        assert!(most <= idle + READ_AHEAD + EACH * READERS, "{what}: {most} KiB after {idle}");
        self.daemon.stop();
        drop(self.cloud);
    }
}

async fn connect(listen: SocketAddr) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(INPUT).expect("a size");
    socket.connect(listen).await.expect("the daemon listens")
}

/// Check 20 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn over_http1() {
    let site = Site::start().await;
    let idle = memory(&site.daemon);
    let (mut readers, reading) = (JoinSet::new(), Arc::<AtomicU32>::default());
    for reader in 0..READERS {
        let (listen, path, reading) = (site.daemon.listen, site.path(reader), Arc::clone(&reading));
        readers.spawn(async move {
            let mut stream = connect(listen).await;
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: node\r\n\r\n").as_bytes()).await.expect("sent");
            let mut sip = [0; SIP];
            stream.read_exact(&mut sip).await.expect("an answer");
            assert!(sip.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&sip));
            reading.fetch_add(1, Ordering::Relaxed);
            loop {
                sleep(REST).await;
                stream.read_exact(&mut sip).await.expect("the blob has not ended");
            }
        });
    }
    site.watch("HTTP/1.1", idle, readers, reading).await;
}

/// Check 20 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn over_http2() {
    let site = Site::start().await;
    let idle = memory(&site.daemon);
    let (mut readers, reading) = (JoinSet::new(), Arc::<AtomicU32>::default());
    let mut connections = JoinSet::new();
    for first in (0..READERS).step_by(SHARING as usize) {
        let stream = TokioIo::new(connect(site.daemon.listen).await);
        let mut client = http2::Builder::new(TokioExecutor::new());
        client.initial_stream_window_size(INPUT).initial_connection_window_size(INPUT * SHARING);
        let (sender, connection) = client.handshake(stream).await.expect("HTTP/2");
        connections.spawn(connection);
        for reader in first..first + SHARING {
            let (mut sender, reading) = (sender.clone(), Arc::clone(&reading));
            let request = http::Request::get(format!("http://node{}", site.path(reader)));
            readers.spawn(async move {
                let request = request.body(Empty::<Bytes>::new()).expect("a request");
                let mut answer = sender.send_request(request).await.expect("an answer");
                assert_eq!(answer.status(), 200);
                while let Some(frame) = answer.body_mut().frame().await {
                    let length = frame.expect("the blob goes on").data_ref().map_or(0, Bytes::len);
                    if answer.extensions_mut().insert(Begun).is_none() {
                        reading.fetch_add(1, Ordering::Relaxed);
                    }
                    // A frame holds several sips.
                    sleep(REST * u32::try_from(length.div_ceil(SIP)).expect("few")).await;
                }
                panic!("the blob has ended");
            });
        }
    }
    site.watch("HTTP/2", idle, readers, reading).await;
}

/// Notes at an answer that its first bytes have come.
#[derive(Clone)]
struct Begun;
