//! What the daemon costs when everything is warm: a manifest, one blob stream, memory.
//!
//! `cargo bench --bench overhead`. The simulated cloud runs in this process, the daemon as a process of its own. Both
//! sides of each comparison are asked in turns in the same run, by the same client, and the medians are compared:
//!
//! - *direct*: over TLS to the registry, or to the bucket with a signed URL, with a bearer at hand;
//! - *daemon*: over loopback HTTP to the daemon, which then does the same.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../tests/it/support/daemon.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod daemon;

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "the other benchmarks use more of it")]
mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudsim::image::{Image, ImageBuilder, Layer};
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use daemon::Daemon;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use rustls::pki_types::ServerName;
use support::{DOMAIN, Https, Reader, client, drained, median, memory, processor_seconds, trusting};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

const REPOSITORY: &str = "team/app";
/// Large enough that connection set-up and slow start do not count.
const BLOB: usize = 256 << 20;
/// Manifest requests per side; the median of a skewed distribution needs some hundreds.
const MANIFESTS: usize = 2_000;
/// Blob streams per side.
const BLOBS: usize = 7;
/// Streams that are open at once when memory is read.
const STREAMS: usize = 16;
#[tokio::main]
async fn main() {
    let image = ImageBuilder::new().layers([Layer::random(BLOB, 1)]).build();
    let cloud = CloudSim::start().await.expect("the simulated cloud");
    cloud.push(setup::INSTANCE, REPOSITORY, "v1", &image).expect("pushed");
    let daemon = Daemon::as_configured(&cloud.node_config(Method::Rrsa)).await;
    let bench = Bench::new(cloud, daemon, &image);
    println!("memory idle: {:.1} MiB", bench.resident());
    bench.manifests().await;
    bench.blobs(Reader::Verifying).await;
    bench.blobs(Reader::Discarding).await;
    bench.streams().await;
}

struct Bench {
    cloud: CloudSim,
    daemon: Daemon,
    client: Https,
    tls: TlsConnector,
    bearer: String,
    manifest: String,
    layer: String,
}

impl Bench {
    fn new(cloud: CloudSim, daemon: Daemon, image: &Image) -> Self {
        let bearer = cloud.bearer(setup::INSTANCE, REPOSITORY).expect("the instance");
        let (manifest, layer) = (image.digest.clone(), image.layers[0].clone());
        let (client, tls) = (client(&cloud), TlsConnector::from(Arc::new(trusting(&cloud))));
        Self { client, tls, cloud, daemon, bearer, manifest, layer }
    }

    /// The same small manifest by digest, again and again.
    async fn manifests(&self) {
        let path = format!("/v2/{REPOSITORY}/manifests/{}", self.manifest);
        let (mut direct, mut through) = (Vec::new(), Vec::new());
        for _ in 0..MANIFESTS {
            direct.push(self.timed(&format!("https://{DOMAIN}{path}"), Some(&self.bearer)).await);
            through.push(self.timed(&format!("http://{}{path}?ns={DOMAIN}", self.daemon.listen), None).await);
        }
        let (direct, through) = (median(direct), median(through));
        let more = through.saturating_sub(direct);
        println!("manifest: direct {direct:?}, daemon {through:?}, {more:?} more (bar: below 1ms)");
    }

    /// One large blob at a time, on a connection that is open already, into a buffer that is used again and again, as
    /// containerd does it.
    async fn blobs(&self, reader: Reader) {
        let path = format!("/v2/{REPOSITORY}/blobs/{}", self.layer);
        let signed: http::Uri = self.signed_url(&path).await.parse().expect("a URL");
        let bucket = signed.host().expect("a host").to_owned();
        let object = signed.path_and_query().expect("a path").as_str();
        let (mut direct, mut through) = (Vec::new(), Vec::new());
        let before = processor_seconds(self.daemon.pid());
        for _ in 0..BLOBS {
            let name = ServerName::try_from(bucket.clone()).expect("a name");
            let tcp = connected(self.cloud.tls_addr()).await;
            let mut tls = self.tls.connect(name, tcp).await.expect("a trusted bucket");
            direct.push(drained(&mut tls, (&bucket, object), BLOB, reader).await.whole);
            let mut tcp = connected(self.daemon.listen).await;
            let path = format!("{path}?ns={DOMAIN}");
            through.push(drained(&mut tcp, ("daemon", &path), BLOB, reader).await.whole);
        }
        let cost = (processor_seconds(self.daemon.pid()) - before) / (BLOBS * BLOB) as f64 * f64::from(1 << 30);
        let rate = |time: Duration| BLOB as f64 / time.as_secs_f64() / f64::from(1 << 20);
        let (direct, through) = (rate(median(direct)), rate(median(through)));
        let share = 100.0 * through / direct;
        println!(
            "blob, {reader:?} reader: direct {direct:.0} MiB/s, daemon {through:.0} MiB/s, {share:.0} % (bar: 80 %)"
        );
        println!("blob, {reader:?} reader: {cost:.2} CPU s/GiB in the daemon");
    }

    /// Memory of the daemon while many streams are open and their readers have stopped in the middle.
    async fn streams(&self) {
        let url = format!("http://{}/v2/{REPOSITORY}/blobs/{}?ns={DOMAIN}", self.daemon.listen, self.layer);
        let mut open = Vec::new();
        for _ in 0..STREAMS {
            let mut response = self.ask(&url, None).await;
            let mut read = 0;
            while read < BLOB / 8 {
                let frame = response.body_mut().frame().await.expect("more").expect("a whole body");
                read += frame.data_ref().map_or(0, Bytes::len);
            }
            open.push(response);
        }
        println!("memory with {STREAMS} streams: {:.1} MiB (bar: below 40 MiB)", self.resident());
        drop(open);
    }

    async fn signed_url(&self, path: &str) -> String {
        let response = self.ask(&format!("https://{DOMAIN}{path}"), Some(&self.bearer)).await;
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        response.headers()[header::LOCATION].to_str().expect("text").to_owned()
    }

    async fn timed(&self, url: &str, bearer: Option<&str>) -> Duration {
        let begun = Instant::now();
        let mut response = self.ask(url, bearer).await;
        assert_eq!(response.status(), StatusCode::OK);
        while let Some(frame) = response.body_mut().frame().await {
            frame.expect("a whole body");
        }
        begun.elapsed()
    }

    async fn ask(&self, url: &str, bearer: Option<&str>) -> Response<Incoming> {
        let mut request = Request::get(url);
        if let Some(bearer) = bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        self.client.request(request.body(Empty::new()).expect("a request")).await.expect("an answer")
    }

    /// Resident memory of the daemon in MiB.
    fn resident(&self) -> f64 {
        memory(self.daemon.pid(), "VmRSS")
    }
}

async fn connected(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("somebody listens");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}
