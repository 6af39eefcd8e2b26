//! `pull`: a whole image through the running daemon, by a client that is not ours, with every digest verified.
//!
//! Nothing is kept. It takes the way that containerd takes, so that what works here works there.

pub(super) mod error;
pub(super) mod image;
mod progress;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::Form;
use super::output::{Failure, print, print_json};
use crate::config::{Config, Environment, Loaded, Overlay, Tls, client_token, load};
use error::PullError;
use image::{Mirror, Pulled};
pub(super) use progress::{Progress, size};

/// Through which daemon, and which of an index' images.
#[derive(Debug, clap::Args)]
pub(super) struct Through {
    /// The daemon's address [default: `listen` of the configuration].
    #[arg(long, value_name = "URL", env = "ACR_PULL_PROXY_MIRROR")]
    mirror: Option<String>,
    /// The image of an index to pull, as linux/arm64 [default: this machine's].
    #[arg(long, value_name = "OS/ARCH", env = "ACR_PULL_PROXY_PLATFORM")]
    platform: Option<String>,
}

/// The answer for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    ok: bool,
    image: &'a str,
    mirror: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pulled: Option<&'a Pulled>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    error: Option<&'a PullError>,
}

/// The settings of the daemon.
pub(super) fn settings(path: &Path, environment: &Environment, overlay: &Overlay) -> Result<Config, Failure> {
    let Loaded { config, .. } = load(path, environment, overlay).map_err(Failure::Configuration)?;
    Ok(config)
}

/// The daemon of a configuration, as it is reached from its own node.
pub(super) fn mirror(config: &Config, platform: Option<&str>) -> Result<Mirror, String> {
    let address = from_this_node(config.listen);
    let mirror = match &config.tls {
        None => Mirror::parse(&format!("http://{address}"), platform)?,
        Some(tls) => Mirror::parse(&format!("https://{address}"), platform)?.with_root(own_root(tls)?),
    };
    let Some(path) = &config.client_token_file else { return Ok(mirror) };
    let token = client_token(path).map_err(|error| format!("{error}; {}", error.advice()))?;
    Ok(mirror.with_token(token))
}

/// The certificate that clients on this node verify the daemon by, where one is named.
pub(super) fn own_root(tls: &Tls) -> Result<Option<String>, String> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).map_err(|error| format!("tls.caFile {} cannot be read: {error}", path.display()))
    };
    tls.ca_file.as_ref().map(read).transpose()
}

/// An address that listens everywhere is reached over loopback.
pub(super) fn from_this_node(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}

pub(super) fn run(
    name: &str,
    through: &Through,
    settings: impl FnOnce() -> Result<Config, Failure>,
    form: Form,
) -> Result<(), Failure> {
    let image = image::parse(name).map_err(|error| Failure::usage(error, "write it as a pod does, host/name:tag"))?;
    let mirror = match &through.mirror {
        Some(url) => Mirror::parse(url, through.platform.as_deref()),
        None => mirror(&settings()?, through.platform.as_deref()),
    };
    let mirror = mirror.map_err(|error| Failure::usage(error, "see `acr-pull-proxy pull --help`"))?;
    let runtime = super::runtime()?;
    let progress = match form {
        Form::Text => Progress::for_people(),
        Form::Json => Progress::silent(),
    };
    let result = runtime.block_on(image::pull(&mirror, &image, &progress));
    let failure = |error: &PullError| Failure::runtime(format!("{name} cannot be pulled: {error}"), error.next);
    match (&result, form) {
        (Ok(pulled), Form::Text) => print(&summary(name, pulled)),
        (Err(error), Form::Text) => Err(failure(error)),
        (_, Form::Json) => {
            print_json(&Answer {
                ok: result.is_ok(),
                image: name,
                mirror: mirror.to_string(),
                pulled: result.as_ref().ok(),
                error: result.as_ref().err(),
            })?;
            result.map(drop).map_err(|error| failure(&error).after_answer())
        }
    }
}

fn summary(name: &str, pulled: &Pulled) -> String {
    let seconds = Duration::from_millis(pulled.milliseconds);
    format!(
        "pulled {name}\n  {} ({})\n  {} blobs, {} in {seconds:.1?}, every digest verified, nothing kept\n",
        pulled.digest,
        pulled.media_type,
        pulled.blobs.len(),
        size(pulled.bytes),
    )
}
