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
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

const DOMAIN: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
const REPOSITORY: &str = "team/app";
/// Large enough that connection set-up and slow start do not count.
const BLOB: usize = 256 << 20;
/// Manifest requests per side; the median of a skewed distribution needs some hundreds.
const MANIFESTS: usize = 2_000;
/// Blob streams per side.
const BLOBS: usize = 7;
/// Streams that are open at once when memory is read.
const STREAMS: usize = 16;
/// Bytes a client of images takes at once; containerd copies in pieces of 1 MiB.
const READ: usize = 1 << 20;

type Https = Client<hyper_rustls::HttpsConnector<HttpConnector<ToCloud>>, Empty<Bytes>>;

#[tokio::main]
async fn main() {
    let image = ImageBuilder::new().layers([Layer::random(BLOB, 1)]).build();
    let cloud = CloudSim::start().await.expect("the simulated cloud");
    cloud.push(setup::INSTANCE, REPOSITORY, "v1", &image).expect("pushed");
    let daemon =
        Daemon::start(&cloud.node_config(Method::Rrsa).replace("listen:", "log: {level: warn}\nlisten:")).await;
    let bench = Bench::new(cloud, daemon, &image);
    println!("memory idle: {:.1} MiB", bench.resident());
    bench.manifests().await;
    bench.blobs(Reader::Verifying).await;
    bench.blobs(Reader::Discarding).await;
    bench.streams().await;
}

/// What the client does with the bytes of a blob.
#[derive(Debug, Clone, Copy)]
enum Reader {
    /// Verifies the digest, as every client of images does.
    Verifying,
    /// Drops them: the strictest comparison, since the direct side then has nothing to do but decrypt.
    Discarding,
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
        let before = self.processor_seconds();
        for _ in 0..BLOBS {
            let name = ServerName::try_from(bucket.clone()).expect("a name");
            let tcp = connected(self.cloud.tls_addr()).await;
            let tls = self.tls.connect(name, tcp).await.expect("a trusted bucket");
            direct.push(drained(tls, &bucket, object, reader).await);
            let tcp = connected(self.daemon.listen).await;
            through.push(drained(tcp, "daemon", &format!("{path}?ns={DOMAIN}"), reader).await);
        }
        let cost = (self.processor_seconds() - before) / (BLOBS * BLOB) as f64 * f64::from(1 << 30);
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

    /// Processor time of the daemon so far, user and system, as the kernel counts it in hundredths of a second
    /// (`USER_HZ`, the same on every Linux).
    fn processor_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.daemon.pid())).expect("the daemon lives");
        let (_, fields) = stat.rsplit_once(')').expect("a command name");
        let ticks: f64 =
            fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().expect("ticks")).sum();
        ticks / 100.0
    }

    /// Resident memory of the daemon in MiB, as the kernel counts it.
    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.pid())).expect("the daemon lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib / 1024.0
    }
}

/// TLS that trusts the simulated cloud.
fn trusting(cloud: &CloudSim) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cloud.ca_pem().as_bytes()).expect("PEM")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    versions.expect("TLS 1.2 and 1.3").with_root_certificates(roots).with_no_client_auth()
}

/// A client that finds every https name at the simulated cloud.
fn client(cloud: &CloudSim) -> Https {
    let mut tcp = HttpConnector::new_with_resolver(ToCloud(cloud.tls_addr()));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let https = HttpsConnectorBuilder::new().with_tls_config(trusting(cloud)).https_or_http();
    Client::builder(TokioExecutor::new()).build(https.enable_http1().wrap_connector(tcp))
}

async fn connected(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("somebody listens");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

/// Asks for one blob and reads it to its end.
async fn drained(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str, path: &str, reader: Reader) -> Duration {
    let begun = Instant::now();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut buffer = vec![0; READ];
    let (mut read, mut head) = (0, true);
    while read < BLOB {
        let length = stream.read(&mut buffer).await.expect("a whole body");
        assert_ne!(length, 0, "the body ended early");
        let mut bytes = &buffer[..length];
        if head {
            // The head fits into the first read.
            assert!(bytes.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(bytes));
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("the end of the head");
            bytes = &bytes[end + 4..];
            head = false;
        }
        read += bytes.len();
        if matches!(reader, Reader::Verifying) {
            hash.update(bytes);
        }
    }
    std::hint::black_box(hash.finish());
    begun.elapsed()
}

/// Resolves every name to the simulated cloud.
#[derive(Debug, Clone)]
struct ToCloud(std::net::SocketAddr);

impl tower::Service<hyper_util::client::legacy::connect::dns::Name> for ToCloud {
    type Response = std::iter::Once<std::net::SocketAddr>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: hyper_util::client::legacy::connect::dns::Name) -> Self::Future {
        std::future::ready(Ok(std::iter::once(self.0)))
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
