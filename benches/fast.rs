//! A whole pull over a simulated wide-area network: how long it takes through the daemon, and directly.
//!
//! `cargo bench --bench fast`. The simulated cloud runs in this process, the daemon as a process of its own. The client
//! asks as containerd does: HEAD of the tag, index, manifest, then config and layers, three at a time. The direct client
//! holds its bearer and its connections already, which no containerd does, so its figures are a lower bound.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../tests/it/support/daemon.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod daemon;

use std::time::Duration;

use bytes::Bytes;
use cloudsim::image::{Image, ImageBuilder, Layer};
use cloudsim::pace::Pace;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use daemon::Daemon;
use futures_util::StreamExt;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::Instant;

const DOMAIN: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
const REPOSITORY: &str = "team/app";
/// The image of the bars: eight layers, 200 MB.
const LAYERS: u64 = 8;
const LAYER: usize = 25_000_000;
/// How many layers containerd asks for at once.
const AT_ONCE: usize = 3;
/// Runs of each side; the median counts.
const RUNS: usize = 3;

#[tokio::main]
async fn main() {
    let networks = [
        ("no latency, no limit", Pace::default()),
        ("50 ms", Pace { slow_start: true, ..Pace::round_trip(Duration::from_millis(50)) }),
        (
            "10 ms, 15 MB/s per connection",
            Pace { round_trip: Duration::from_millis(10), bytes_per_second: Some(15_000_000), slow_start: true },
        ),
    ];
    for (name, pace) in networks {
        let (mut direct, mut through) = (Vec::new(), Vec::new());
        for run in 0..RUNS {
            // A new cloud and a new daemon each time: nothing is warm but what a start warms.
            let image = image(run as u64);
            let cloud = CloudSim::start().await.expect("the simulated cloud");
            cloud.push(setup::INSTANCE, REPOSITORY, "v1", &image).expect("pushed");
            let config = cloud.node_config(Method::Rrsa).replace("listen:", "log: {level: warn}\nlisten:");
            let daemon = Daemon::start(&config).await;
            tokio::time::sleep(Duration::from_secs(4)).await;
            cloud.paces().set(pace);
            let bearer = cloud.bearer(setup::INSTANCE, REPOSITORY).expect("the instance");
            let base = format!("https://{DOMAIN}");
            direct.push(Puller { client: client(&cloud), base, query: "", bearer: Some(bearer) }.pull(&image).await);
            let base = format!("http://{}", daemon.listen);
            let query = "?ns=demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
            let begun = cpu(daemon.pid());
            through.push(Puller { client: client(&cloud), base, query, bearer: None }.pull(&image).await);
            println!(
                "  {name}: {} connections to the bucket, {:.2} CPU s, {:.1} MiB at most",
                cloud.journal().connections(cloudsim::journal::Service::Oss),
                cpu(daemon.pid()) - begun,
                peak(daemon.pid()),
            );
        }
        println!("{name}: direct {}; daemon {}", Times::median(&direct), Times::median(&through));
    }
}

fn image(seed: u64) -> Image {
    let layers = (0..LAYERS).map(|number| Layer::random(LAYER, seed * 100 + number));
    ImageBuilder::new().layers(layers).build()
}

/// When what was there, from the start of the pull.
#[derive(Debug, Clone, Copy)]
struct Times {
    first_byte: Duration,
    first_layer: Duration,
    whole: Duration,
}

impl Times {
    fn median(all: &[Self]) -> String {
        let middle = |pick: fn(&Self) -> Duration| {
            let mut times: Vec<_> = all.iter().map(pick).collect();
            times.sort_unstable();
            times[times.len() / 2]
        };
        format!(
            "first byte {:.3} s, first layer {:.3} s, whole {:.3} s",
            middle(|times| times.first_byte).as_secs_f64(),
            middle(|times| times.first_layer).as_secs_f64(),
            middle(|times| times.whole).as_secs_f64()
        )
    }
}

type Https = Client<hyper_rustls::HttpsConnector<HttpConnector<ToCloud>>, Empty<Bytes>>;

struct Puller {
    client: Https,
    base: String,
    query: &'static str,
    bearer: Option<String>,
}

impl Puller {
    async fn pull(&self, image: &Image) -> Times {
        let begun = Instant::now();
        self.ask(http::Method::HEAD, "manifests/v1").await;
        self.ask(http::Method::GET, &format!("manifests/{}", image.digest)).await;
        self.ask(http::Method::GET, &format!("manifests/{}", image.manifests[0].0)).await;
        let manifest: serde_json::Value = serde_json::from_slice(&image.manifests[0].1.bytes).expect("JSON");
        let config = manifest["config"]["digest"].as_str().expect("a digest").to_owned();
        let blobs = std::iter::once(config).chain(image.layers.iter().cloned());
        let done: Vec<_> = futures_util::stream::iter(blobs)
            .map(|digest| async move {
                let first = self.ask(http::Method::GET, &format!("blobs/{digest}")).await;
                (first, Instant::now())
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let first_byte = done[1].0.expect("a body") - begun;
        Times { first_byte, first_layer: done[1].1 - begun, whole: begun.elapsed() }
    }

    /// Reads one answer, over a redirect if need be, and says when its first byte came.
    async fn ask(&self, method: http::Method, what: &str) -> Option<Instant> {
        let mut request =
            Request::builder().method(method).uri(format!("{}/v2/{REPOSITORY}/{what}{}", self.base, self.query));
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let request = request.body(Empty::new()).expect("a request");
        let mut response = self.client.request(request).await.expect("an answer");
        if response.status() == StatusCode::TEMPORARY_REDIRECT {
            let location = response.headers()[header::LOCATION].to_str().expect("text").to_owned();
            let request = Request::get(location).body(Empty::new()).expect("a request");
            response = self.client.request(request).await.expect("an answer");
        }
        assert_eq!(response.status(), StatusCode::OK, "{what}");
        let mut first = None;
        while let Some(frame) = response.body_mut().frame().await {
            frame.expect("a whole body");
            first.get_or_insert_with(Instant::now);
        }
        first
    }
}

/// User and system time of a process, from the kernel's accounting.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the daemon lives");
    let fields: Vec<_> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().map(|&field: &usize| fields[field].parse::<f64>().expect("a number")).sum();
    // USER_HZ is 100 on every Linux that this runs on.
    ticks / 100.0
}

/// The most memory a process had resident, in MiB.
fn peak(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the daemon lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}

/// A client that trusts the simulated cloud and finds every https name there.
fn client(cloud: &CloudSim) -> Https {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cloud.ca_pem().as_bytes()).expect("PEM")).expect("a root");
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut tcp = HttpConnector::new_with_resolver(ToCloud(cloud.tls_addr()));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    Client::builder(TokioExecutor::new()).build(https)
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
