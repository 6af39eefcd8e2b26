//! A small manifest, again and again over many connections, with everything warm: by digest, and by tag.
//!
//! By digest nothing has to be asked upstream: the daemon's memory against nginx with `proxy_cache`. By tag the registry is
//! always asked, over TLS: the daemon against nginx with `proxy_pass` and kept connections. A simulated registry that
//! verifies a signature for each request would be what is measured there, so the registry is an nginx of its own that
//! answers from files; only the way to a bearer goes to the simulated cloud. One tag is asked for by all connections, as when a
//! node starts many pods of one image: for those that ask at the same moment the daemon makes one request, which nginx does
//! not. Many tags in turn show what a request costs that nobody shares.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use cloudsim::CloudSim;
use cloudsim::image::{Image, ImageBuilder, Layer};
use cloudsim::pace::Pace;
use cloudsim::ram::setup;

use crate::conditions::installed;
use crate::node::Node;
use crate::part::LeftOut;
use crate::peers::{Load, Peer, wrk};
use crate::support::{DOMAIN, processor_seconds};
use crate::table::{Bar, Row};

const REPOSITORY: &str = "team/small";

/// Layers of an image whose manifest has about 1.5 KiB.
const LAYERS: u64 = 9;

/// Connections that ask at once.
const CONNECTIONS: usize = 32;

/// Tags of the repository, each of the same image.
const TAGS: usize = 256;

/// Files an nginx keeps open: all there are.
const OPEN_FILES: usize = TAGS + 64;

/// Seconds of one run: long enough for some hundred thousand requests.
const SECONDS: u64 = 3;

/// Workers of each nginx; the daemon takes as many threads as there are cores.
const CORES: &str = "auto";

/// Asks for a manifest in both ways.
pub(crate) async fn measure(runs: usize) -> Result<Vec<Row>, LeftOut> {
    if !installed("wrk") || !installed("nginx") {
        return Err(LeftOut("needs the packages wrk and nginx".to_owned()));
    }
    let layers = (0..LAYERS).map(|number| Layer::random(1024, number));
    let image = ImageBuilder::new().single_platform().layers(layers).build();
    let cloud = CloudSim::start().await.expect("the simulated cloud");
    cloud.push(setup::INSTANCE, REPOSITORY, "v1", &image).expect("pushed");
    let registry = registry(&cloud, &image).await?;
    let here = |address: &dyn Display| format!("\"{DOMAIN}\": {address}");
    let (simulated, files) = (here(&cloud.tls_addr()), here(&registry.listen));
    let node = Node::around(cloud, Pace::default(), |config| config.replace(&simulated, &files)).await;
    let proxy = proxy(&node.cloud, &registry).await?;

    let size = image.manifests[0].1.bytes.len();
    let path = |reference: &str| format!("/v2/{REPOSITORY}/manifests/{reference}?ns={DOMAIN}");
    let tags: Vec<_> = tags().map(|tag| path(&tag)).collect();
    let ways = [("by digest", vec![path(&image.digest)]), ("by tag", vec![path("v0")]), ("by many tags", tags.clone())];
    let daemon_spent = || processor_seconds(node.daemon.pid());
    let nginx_spent = || proxy.processor_seconds();
    let mut logged = Vec::new();
    for (_, paths) in &ways {
        let url = format!("http://{}", node.daemon.listen);
        logged.push(ask(&url, paths, &[], "daemon as it comes", &daemon_spent).await);
    }
    // Nothing else here writes a line for each request.
    node.configure_more("log: {level: warn}\n").await;
    let mut rows = Vec::new();
    for ((way, paths), logged) in ways.iter().zip(logged) {
        let (mut daemon, mut nginx) = (Vec::new(), Vec::new());
        let upstream = node.asked_registry().await;
        for _ in 0..runs {
            daemon.push(ask(&format!("http://{}", node.daemon.listen), paths, &[], "daemon", &daemon_spent).await);
            nginx.push(ask(&format!("http://{}", proxy.listen), paths, &[], "nginx", &nginx_spent).await);
        }
        rows.extend(compared(&format!("manifest of {size} bytes {way}"), &daemon, &nginx));
        let asked: f64 = daemon.iter().map(|asked| asked.load.requests).sum();
        let each = (node.asked_registry().await - upstream) / asked;
        rows.push(Row::alone(format!("the same {way}, requests to the registry for each"), each, Bar::None));
        let what = format!("the same {way} with the audit log, requests a second");
        rows.push(Row { judged: None, ..Row::alone(what, logged.load.per_second, Bar::None) });
    }
    let headers = [format!("Host: {DOMAIN}"), format!("Authorization: Bearer {}", bearer(&node.cloud))];
    let url = format!("https://{}", registry.listen);
    let ceiling = ask(&url, &tags, &headers, "registry itself", &|| registry.processor_seconds()).await;
    if let Some(by_tag) = rows.iter_mut().find(|row| row.what.contains("by many tags, requests a second")) {
        by_tag.beside.push(("the registry itself", ceiling.load.per_second));
    }
    Ok(rows)
}

/// So many that no two connections ask for the same one at the same moment.
fn tags() -> impl Iterator<Item = String> {
    (0..TAGS).map(|number| format!("v{number}"))
}

/// What wrk found, and microseconds of processor time for each request in whoever was asked.
struct Asked {
    load: Load,
    spent: f64,
}

fn compared(what: &str, daemon: &[Asked], nginx: &[Asked]) -> [Row; 4] {
    let row = |unit: &str, pick: fn(&Asked) -> f64, bar: Bar| {
        let figures = |asked: &[Asked]| asked.iter().map(pick).collect::<Vec<_>>();
        Row::of_runs(format!("{what}, {unit}"), &figures(daemon), &[("nginx", figures(nginx))], bar)
    };
    [
        row("requests a second", |asked| asked.load.per_second, Bar::AtLeast(1.0)),
        row("median, ms", |asked| asked.load.median, Bar::None),
        row("99 %, ms", |asked| asked.load.p99, Bar::AtMost(1.0)),
        row("processor time of a request, us", |asked| asked.spent, Bar::None),
    ]
}

async fn ask(url: &str, paths: &[String], headers: &[String], who: &str, spent: &dyn Fn() -> f64) -> Asked {
    let before = spent();
    let load = wrk(url, paths, headers, CONNECTIONS, SECONDS).await;
    let Load { requests, per_second, median, p99 } = load;
    let spent = (spent() - before) * 1e6 / requests;
    eprintln!(
        "{who}: {per_second:.0} a second, median {median:.3} ms, 99 % {p99:.3} ms, {spent:.1} us of processor time"
    );
    Asked { load, spent }
}

fn bearer(cloud: &CloudSim) -> String {
    cloud.bearer(setup::INSTANCE, REPOSITORY).expect("the instance")
}

/// The registry: whoever brings no bearer is challenged by the simulated one, all else comes from files.
async fn registry(cloud: &CloudSim, image: &Image) -> Result<Peer, LeftOut> {
    let (certificate, key) = cloud.certificate(DOMAIN).expect("a certificate");
    let (simulated, digest, manifest) = (cloud.tls_addr(), &image.digest, &image.manifests[0].1);
    Peer::nginx(CORES, |listen, directory| {
        let manifests = Path::new(directory).join("v2").join(REPOSITORY).join("manifests");
        fs::create_dir_all(&manifests).expect("a directory");
        for reference in tags().chain([digest.clone()]) {
            fs::write(manifests.join(reference), &manifest.bytes).expect("a manifest");
        }
        fs::write(format!("{directory}/certificate"), certificate).expect("a certificate");
        fs::write(format!("{directory}/key"), key).expect("a key");
        format!(
            "open_file_cache max={OPEN_FILES};\nserver {{ listen {listen} ssl http2; ssl_certificate {directory}/certificate;\n\
             ssl_certificate_key {directory}/key; ssl_protocols TLSv1.2 TLSv1.3; root {directory}; default_type {};\n\
             error_page 418 = @simulated;\n\
             location / {{ if ($http_authorization = '') {{ return 418; }}\n\
             try_files $uri @simulated; add_header Docker-Content-Digest {digest}; }}\n\
             location @simulated {{ proxy_pass https://{simulated}; proxy_http_version 1.1;\n\
             proxy_set_header Host {DOMAIN}; proxy_ssl_name {DOMAIN}; proxy_ssl_server_name on; }} }}",
            manifest.media_type
        )
    })
    .await
}

/// What stands beside the daemon: manifests by digest are kept, those by tag are asked for each time.
async fn proxy(cloud: &CloudSim, registry: &Peer) -> Result<Peer, LeftOut> {
    let (ca, bearer, registry) = (cloud.ca_file().display().to_string(), bearer(cloud), registry.listen);
    Peer::nginx(CORES, |listen, directory| {
        let pass = format!(
            "proxy_pass https://registry; proxy_http_version 1.1; proxy_set_header Connection '';\n\
             proxy_set_header Host {DOMAIN}; proxy_set_header Authorization 'Bearer {bearer}';\n\
             proxy_ssl_name {DOMAIN}; proxy_ssl_server_name on; proxy_ssl_verify on;\n\
             proxy_ssl_trusted_certificate {ca}; proxy_ssl_protocols TLSv1.3;\n\
             proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;"
        );
        format!(
            "open_file_cache max={OPEN_FILES};\nproxy_cache_path {directory}/cache keys_zone=manifests:1m;\n\
             upstream registry {{ server {registry}; keepalive 64; keepalive_requests 1000000000; }}\n\
             server {{ listen {listen};\n\
             location ~ /manifests/sha256: {{ proxy_cache manifests; proxy_cache_valid 200 1h; {pass} }}\n\
             location / {{ {pass} }} }}"
        )
    })
    .await
}
