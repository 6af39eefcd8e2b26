//! The main job on a simulated cloud: `cargo run --release --example demo`.
//!
//! Starts a cloud with a private image in account B, starts the daemon as a node of account A would, shows the role
//! chain hop by hop, pulls the image through the daemon, and stays up with commands to try. `-- --once` ends there.

#![expect(clippy::print_stdout, reason = "a demonstration speaks to a person")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use acr_pull_proxy::app::{App, Surroundings};
use acr_pull_proxy::config::{Environment, Overlay, load};
use cloudsim::image::{Image, ImageBuilder, Layer};
use cloudsim::journal::Service;
use cloudsim::pace::Pace;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use oci_client::Reference;
use oci_client::client::{Client as OciClient, ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use serde_json::Value;
use tokio::time::Instant;

/// The name that a pod would write.
const DOMAIN: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
const REPOSITORY: &str = "team/app";
const TAG: &str = "v1";
/// Layers that take a moment, so that there is something to watch.
const LAYERS: [usize; 4] = [48 << 20, 32 << 20, 24 << 20, 8 << 20];
/// The instance is in another region.
const ROUND_TRIP: Duration = Duration::from_millis(20);
/// As many layers at once as containerd fetches.
const AT_ONCE: usize = 3;
/// The status page of the daemon is far below this.
const LONGEST_PAGE: usize = 1 << 20;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let once = std::env::args().any(|argument| argument == "--once");
    let files = tempfile::tempdir()?;

    headline("A registry in account B, a node in account A");
    let (cloud, app) = start(files.path()).await?;
    println!("  the cloud   {} ({} ms away)", cloud.tls_addr(), ROUND_TRIP.as_millis());
    println!("  the daemon  {}", app.listen_addr());

    headline("The role chain: every credential is obtained on the way");
    show_chain(&app).await?;

    headline(&format!("Pulling {DOMAIN}/{REPOSITORY}:{TAG}"));
    pull(&app).await?;

    headline("What was stored, and where credentials went");
    let at_bucket = cloud.journal().authorizations_at(Service::Oss).len();
    println!("  credentials in Secrets or on disk        none");
    println!("  requests to the bucket                   {}", cloud.journal().count(Service::Oss));
    println!("  of these with an Authorization header    {at_bucket}");

    if !once {
        headline("Try it (ctrl-c ends)");
        show_commands(&app, files.path())?;
        tokio::signal::ctrl_c().await?;
    }
    app.shutdown().await;
    Ok(())
}

/// The cloud with a private image, and a daemon configured for it.
async fn start(files: &Path) -> Outcome<(CloudSim, App)> {
    let cloud = CloudSim::start().await?;
    let layers = LAYERS.iter().zip(0..).map(|(size, seed)| Layer::random(*size, seed));
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &ImageBuilder::new().layers(layers).build())?;
    if let Some(busybox) = Image::busybox() {
        cloud.push(setup::INSTANCE, "team/busybox", TAG, &busybox)?;
    }
    cloud.paces().set(Pace::round_trip(ROUND_TRIP));
    let file = files.join("config.yaml");
    std::fs::write(&file, cloud.node_config(Method::Rrsa))?;
    let loaded = load(&file, &Environment::default(), &Overlay::default())?;
    let app = App::start(loaded.config, Surroundings::default()).await?;
    Ok((cloud, app))
}

/// One line per hop: what it is, how long it took, how long it is good.
async fn show_chain(app: &App) -> Outcome<()> {
    let repository = format!("http://{}/v2/{REPOSITORY}/manifests/{TAG}?ns={DOMAIN}", app.listen_addr());
    get(&repository).await?;
    let status: Value = serde_json::from_str(&get(&format!("http://{}/status", app.admin_addr())).await?)?;
    let metrics = get(&format!("http://{}/metrics", app.admin_addr())).await?;
    for hop in status["instances"][0]["hops"].as_array().into_iter().flatten() {
        let text = |key: &str| hop[key].as_str().unwrap_or_default();
        let took = seconds_of(&metrics, text("hop"));
        let (name, left) = (text("name"), lifetime(hop));
        println!("  {:<20} {name:<62} {:>4.0} ms   {left}", text("hop"), took * 1000.0);
    }
    let took = seconds_of(&metrics, "bearer") * 1000.0;
    println!(
        "  {:<20} {:<62} {took:>4.0} ms   for this repository only",
        "bearer",
        format!("repository:{REPOSITORY}:pull")
    );
    Ok(())
}

/// How long a credential is good from its issue.
fn lifetime(hop: &Value) -> String {
    let time = |key: &str| hop[key].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    match (time("issued"), time("expires")) {
        (Some(issued), Some(expires)) => format!("good for {} min", expires.duration_since(issued).as_mins()),
        _ => "does not expire".to_owned(),
    }
}

/// The time that the calls of one hop took, from the daemon's own metrics.
fn seconds_of(metrics: &str, hop: &str) -> f64 {
    let wanted = format!("hop=\"{hop}\"");
    let lines = metrics.lines().filter(|line| line.starts_with("acr_pull_proxy_token_request_duration_seconds_sum"));
    let values =
        lines.filter(|line| line.contains(&wanted)).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

/// Pulls the image with a client that is not ours and that verifies every digest.
async fn pull(app: &App) -> Outcome<()> {
    let client = OciClient::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() });
    let mut reference = Reference::with_tag(DOMAIN.to_owned(), REPOSITORY.to_owned(), TAG.to_owned());
    reference.set_mirror_registry(app.listen_addr().to_string());
    let begun = Instant::now();
    let (manifest, digest) = client.pull_image_manifest(&reference, &RegistryAuth::Anonymous).await?;
    println!("  {digest}");
    let bars = MultiProgress::new();
    let fetches = manifest.layers.iter().map(|layer| fetch(&client, &reference, layer, &bars));
    let sizes: Vec<u64> = stream::iter(fetches).buffer_unordered(AT_ONCE).try_collect().await?;
    let (bytes, seconds) = (sizes.iter().sum::<u64>(), begun.elapsed().as_secs_f64());
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    println!("  {mebibytes:.0} MiB in {seconds:.2} s, every digest verified");
    Ok(())
}

async fn fetch(client: &OciClient, reference: &Reference, layer: &OciDescriptor, bars: &MultiProgress) -> Outcome<u64> {
    let style = ProgressStyle::with_template("  {msg} [{bar:32}] {bytes:>10}/{total_bytes} {bytes_per_sec}")?;
    let bar = bars.add(ProgressBar::new(u64::try_from(layer.size)?).with_style(style.progress_chars("=> ")));
    let name: String = layer.digest.chars().take("sha256:".len() + 12).collect();
    bar.set_message(name.clone());
    let mut body = client.pull_blob_stream(reference, layer).await?;
    let mut bytes = 0;
    while let Some(chunk) = body.stream.try_next().await? {
        bytes += chunk.len() as u64;
        bar.set_position(bytes);
    }
    bar.finish();
    if bar.is_hidden() {
        println!("  {name} {bytes} bytes");
    }
    Ok(bytes)
}

/// Commands that work as they stand, while the demonstration runs.
fn show_commands(app: &App, files: &Path) -> Outcome<()> {
    let certs = write_hosts(app, files)?;
    let (mirror, certs) = (app.listen_addr(), certs.display());
    println!("  curl -s 'http://{mirror}/v2/{REPOSITORY}/manifests/{TAG}?ns={DOMAIN}'");
    println!("  curl -s 'http://{mirror}/v2/{REPOSITORY}/tags/list?ns={DOMAIN}'");
    println!("  curl -s 'http://{}/status'", app.admin_addr());
    println!("  ctr images pull --hosts-dir {certs} {DOMAIN}/{REPOSITORY}:{TAG}");
    if Image::busybox().is_some() {
        println!("  ctr images pull --hosts-dir {certs} {DOMAIN}/team/busybox:{TAG}");
        println!("  ctr run --rm {DOMAIN}/team/busybox:{TAG} greeting");
    }
    println!("\n  status page  http://{}/", app.admin_addr());
    Ok(())
}

/// The `hosts.toml` that sends containerd's pulls of the domain to the daemon.
fn write_hosts(app: &App, files: &Path) -> Outcome<PathBuf> {
    let certs = files.join("certs.d");
    let domain = certs.join(DOMAIN);
    std::fs::create_dir_all(&domain)?;
    let mirror = format!("http://{}", app.listen_addr());
    let text =
        format!("server = \"https://{DOMAIN}\"\n\n[host.\"{mirror}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
    std::fs::write(domain.join("hosts.toml"), text)?;
    Ok(certs)
}

/// One GET of the daemon; anything but 200 is a failure with what it said.
async fn get(url: &str) -> Outcome<String> {
    let client: Client<_, Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let (head, body) = client.get(url.parse()?).await?.into_parts();
    #[expect(clippy::disallowed_methods, reason = "limited by the type")]
    let body = Limited::new(body, LONGEST_PAGE).collect().await?.to_bytes();
    let text = String::from_utf8(body.to_vec())?;
    if head.status.is_success() { Ok(text) } else { Err(format!("{}: {text}", head.status).into()) }
}

fn headline(text: &str) {
    println!("\n{text}\n");
}
