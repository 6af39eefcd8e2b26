//! What a GiB costs: processor time for one plain stream from the bucket over TLS, by the kernel's accounting.
//!
//! nginx and haproxy cannot follow a redirect, so they are handed the signed URL and proxy straight to the bucket, tuned
//! for large bodies. docker-registry goes the whole way, and stores what it fetches. The client drops the bytes.

use std::process::Command;

use cloudsim::CloudSim;
use cloudsim::image::{Image, ImageBuilder, Layer};
use cloudsim::pace::Pace;
use cloudsim::ram::setup;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Empty;
use tokio::net::TcpStream;

use crate::node::{Node, cloud_on_https};
use crate::part::LeftOut;
use crate::peers::Peer;
use crate::support::{DOMAIN, Reader, client, drained, processor_seconds};
use crate::table::{Bar, Row};

const REPOSITORY: &str = "team/bytes";

/// Bytes of one stream. A hundredth of a second, the grain of the accounting, is then less than a tenth of what it takes;
/// all runs are added up before they are compared, so that it is far less of the figure.
const BLOB: usize = 256 << 20;

/// The daemon and both proxies are given the one suite: the cheapest that all of them have.
const SUITE: &str = "TLS_AES_128_GCM_SHA256";

/// The one that goes the whole way by itself.
const REGISTRY: &str = "docker-registry";

/// One plain stream: the daemon's parallel ranges are for buckets that are far or limit a connection.
const PLAIN: &str = "blobs:\n  connections: 1\n";

/// Streams through everything there is, in turns.
pub(crate) async fn measure(runs: usize) -> Result<Vec<Row>, LeftOut> {
    let cloud = match cloud_on_https().await {
        Ok(cloud) => cloud,
        // All but docker-registry can be told another port.
        Err(_) => CloudSim::start().await.expect("the simulated cloud"),
    };
    let node = Node::around(cloud, Pace::default(), |config| config + PLAIN).await;
    let mut peers = Vec::new();
    let mut spent: Vec<(&'static str, f64)> = vec![("daemon", 0.0)];
    let mut streamed = 0;
    for run in 0..runs {
        let image = ImageBuilder::new().layers([Layer::random(BLOB, run as u64 + 1)]).build();
        node.cloud.push(setup::INSTANCE, REPOSITORY, "v1", &image).expect("pushed");
        let length = length(&image);
        let path = format!("/v2/{REPOSITORY}/blobs/{}", image.layers[0]);
        let signed = signed_url(&node.cloud, &path).await;
        if run == 0 {
            peers = proxies(&node, &signed).await;
            spent.extend(peers.iter().map(|(name, _)| (*name, 0.0)));
        }
        let object = signed.path_and_query().expect("a path").as_str();
        let before = processor_seconds(node.daemon.pid());
        stream(node.daemon.listen, &format!("{path}?ns={DOMAIN}"), length).await;
        spent[0].1 += processor_seconds(node.daemon.pid()) - before;
        for ((name, peer), (_, spent)) in peers.iter().zip(&mut spent[1..]) {
            let before = peer.processor_seconds();
            stream(peer.listen, if *name == REGISTRY { &path } else { object }, length).await;
            *spent += peer.processor_seconds() - before;
        }
        streamed += length;
        eprintln!("run {}: {spent:.2?} s so far for {} MiB", run + 1, streamed >> 20);
    }
    let gib = streamed as f64 / f64::from(1 << 30);
    let mut costs: Vec<_> = spent.into_iter().map(|(name, seconds)| (name, seconds / gib)).collect();
    let (_, daemon) = costs.remove(0);
    // The bar is the better of the two tuned proxies, which comes first; docker-registry does more, and is no bar.
    costs.sort_by(|one, other| (one.0 == REGISTRY).cmp(&(other.0 == REGISTRY)).then(one.1.total_cmp(&other.1)));
    let what = format!("processor time for a GiB in one plain stream ({SUITE}), all runs together, s");
    Ok(vec![Row::over(what, daemon, costs, Bar::AtMost(1.0))])
}

/// Length of the one layer.
fn length(image: &Image) -> usize {
    image.blobs.iter().find(|(digest, _)| *digest == image.layers[0]).map_or(0, |(_, bytes)| bytes.len())
}

async fn stream(listen: std::net::SocketAddr, path: &str, length: usize) {
    let mut tcp = TcpStream::connect(listen).await.expect("somebody listens");
    drained(&mut tcp, ("bench", path), length, Reader::Discarding).await;
}

/// Where the registry sends whoever asks for a blob.
async fn signed_url(cloud: &CloudSim, path: &str) -> Uri {
    let bearer = cloud.bearer(setup::INSTANCE, REPOSITORY).expect("the instance");
    let request = Request::get(format!("https://{DOMAIN}{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {bearer}"))
        .body(Empty::new())
        .expect("a request");
    let response = client(cloud).request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    response.headers()[header::LOCATION].to_str().expect("text").parse().expect("a URL")
}

/// The proxies that are installed.
async fn proxies(node: &Node, signed: &Uri) -> Vec<(&'static str, Peer)> {
    let (bucket, cloud) = (signed.host().expect("a host"), node.cloud.tls_addr());
    let ca = node.cloud.ca_file().display().to_string();
    let nginx = Peer::nginx("1", |listen, _| {
        format!(
            "upstream bucket {{ server {cloud}; keepalive 8; }}\nserver {{ listen {listen}; location / {{\n\
             proxy_pass https://bucket; proxy_http_version 1.1; proxy_set_header Connection '';\n\
             proxy_set_header Host {bucket}; proxy_ssl_name {bucket}; proxy_ssl_server_name on;\n\
             proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca}; proxy_ssl_protocols TLSv1.3;\n\
             proxy_ssl_conf_command Ciphersuites {SUITE};\n\
             proxy_buffers 16 256k; proxy_buffer_size 256k; proxy_busy_buffers_size 512k;\n\
             proxy_max_temp_file_size 0;\n}} }}"
        )
    });
    let haproxy = Peer::start(
        "haproxy",
        |listen, _| {
            format!(
                "global\n  tune.bufsize 262144\n  maxconn 64\n  nbthread 1\n  \
                 ssl-default-server-ciphersuites {SUITE}\n  \
                 ssl-default-server-options ssl-min-ver TLSv1.3\n\
                 defaults\n  mode http\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n\
                 frontend pulls\n  bind {listen}\n  default_backend bucket\n\
                 backend bucket\n  http-request set-header Host {bucket}\n  \
                 server bucket {cloud} ssl verify required ca-file {ca} sni str({bucket}) verifyhost {bucket}\n"
            )
        },
        |file| {
            let mut command = Command::new("haproxy");
            command.args(["-db", "-f", file]);
            command
        },
    );
    let mut running = Vec::new();
    let registry = Peer::docker_registry(node);
    for (name, started) in [("nginx", nginx.await), ("haproxy", haproxy.await), (REGISTRY, registry.await)] {
        match started {
            Ok(peer) => running.push((name, peer)),
            Err(LeftOut(why)) => eprintln!("left out: {why}"),
        }
    }
    running
}
