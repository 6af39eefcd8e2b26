//! One image through a mirror, by oci-client: manifest, configuration, layers; every digest verified by that client.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
pub(in crate::cli) use oci_client::Reference;
use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{ImageIndexEntry, OciDescriptor};
use oci_client::secrets::RegistryAuth;
use serde::Serialize;
use tokio::time::Instant;

use super::error::{PullError, explain};
use super::progress::Progress;
use crate::oci::{RegistryHost, RepositoryName};
use crate::secret::Secret;

/// Layers at once, as containerd does (`max_concurrent_downloads`).
const AT_ONCE: usize = 3;

/// How long the daemon may stay silent: it answers every request within 25 s, and a body flows or ends.
const SILENCE: Duration = Duration::from_secs(60);

/// Connecting to a port of this node takes no time, or fails.
const CONNECT: Duration = Duration::from_secs(3);

/// A running daemon, and what to take of an image with several platforms.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Mirror {
    protocol: Protocol,
    authority: String,
    platform: Option<(String, String)>,
    token: Option<Secret>,
    /// A PEM certificate to verify it by, beside those of the system.
    root: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Https,
}

/// What was pulled.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Pulled {
    /// Digest of the image's manifest.
    pub(in crate::cli) digest: String,
    pub(in crate::cli) media_type: String,
    pub(in crate::cli) blobs: Vec<Blob>,
    pub(in crate::cli) bytes: u64,
    pub(in crate::cli) milliseconds: u64,
}

/// One blob that came.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Blob {
    pub(in crate::cli) digest: String,
    pub(in crate::cli) bytes: u64,
    pub(in crate::cli) milliseconds: u64,
}

impl Mirror {
    /// The daemon at this URL, which has no path.
    pub(in crate::cli) fn parse(url: &str, platform: Option<&str>) -> Result<Self, String> {
        let wrong = || format!("'{url}' is no URL of a mirror such as http://127.0.0.1:7080");
        let uri = http::Uri::from_str(url).map_err(|_| wrong())?;
        let protocol = match uri.scheme_str() {
            Some("http") => Protocol::Http,
            Some("https") => Protocol::Https,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().map(ToString::to_string).ok_or_else(wrong)?;
        if uri.path() != "/" || uri.query().is_some() || authority.contains('@') {
            return Err(wrong());
        }
        let platform = platform.map(|text| {
            let parts = text.split_once('/').filter(|(os, architecture)| !os.is_empty() && !architecture.is_empty());
            let parts = parts.map(|(os, architecture)| (os.to_owned(), architecture.to_owned()));
            parts.ok_or_else(|| format!("'{text}' is no platform such as linux/arm64"))
        });
        Ok(Self { protocol, authority, platform: platform.transpose()?, token: None, root: None })
    }

    /// The same with the client token that it wants to see.
    pub(in crate::cli) fn with_token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    /// The same, verified by this certificate too.
    pub(in crate::cli) fn with_root(mut self, root: Option<String>) -> Self {
        self.root = root;
        self
    }

    fn authentication(&self) -> RegistryAuth {
        match &self.token {
            Some(token) => RegistryAuth::Bearer(token.expose().to_owned()),
            None => RegistryAuth::Anonymous,
        }
    }

    fn client(&self) -> Result<Client, PullError> {
        // Without them the client is not refused but panics, even where the mirror is on this node and needs no TLS.
        if rustls_native_certs::load_native_certs().certs.is_empty() {
            let error = "this system has no certificate authorities, which the client of `pull` insists on".to_owned();
            return Err(PullError::new(error, "install ca-certificates"));
        }
        let protocol = match self.protocol {
            Protocol::Http => ClientProtocol::Http,
            Protocol::Https => ClientProtocol::Https,
        };
        let mut config = ClientConfig {
            protocol,
            read_timeout: Some(SILENCE),
            connect_timeout: Some(CONNECT),
            extra_root_certificates: self.root.as_deref().map(root).into_iter().collect(),
            user_agent: crate::http::USER_AGENT,
            // A proxy in the environment is for the outside. Naming one and taking every host out of it is the client's
            // only way to have none.
            http_proxy: Some("http://127.0.0.1:9".to_owned()),
            https_proxy: Some("http://127.0.0.1:9".to_owned()),
            no_proxy: Some("*,0.0.0.0/0,::/0".to_owned()),
            ..ClientConfig::default()
        };
        if let Some((os, architecture)) = self.platform.clone() {
            config.platform_resolver = Some(Box::new(move |entries| pick(entries, &os, &architecture)));
        }
        Ok(Client::new(config))
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.protocol == Protocol::Http { "http" } else { "https" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

fn root(pem: &str) -> Certificate {
    Certificate { encoding: CertificateEncoding::Pem, data: pem.as_bytes().to_vec() }
}

fn pick(entries: &[ImageIndexEntry], os: &str, architecture: &str) -> Option<String> {
    let fits = |entry: &&ImageIndexEntry| {
        entry
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os.to_string() == os && platform.architecture.to_string() == architecture)
    };
    entries.iter().find(fits).map(|entry| entry.digest.clone())
}

/// The image that a name names.
pub(in crate::cli) fn parse(name: &str) -> Result<Reference, String> {
    let no_name = |error: &dyn fmt::Display| format!("'{name}' is no image name: {error}");
    let reference = Reference::from_str(name).map_err(|error| no_name(&error))?;
    // The client's own parser is more lenient than the daemon and every other registry.
    RegistryHost::parse(reference.registry()).map_err(|error| no_name(&error))?;
    RepositoryName::parse(reference.repository()).map_err(|error| no_name(&error))?;
    Ok(reference)
}

/// Pulls an image and lets go of every byte.
pub(in crate::cli) async fn pull(mirror: &Mirror, image: &Reference, progress: &Progress) -> Result<Pulled, PullError> {
    let client = mirror.client()?;
    let mut image = image.clone();
    image.set_mirror_registry(mirror.authority.clone());
    let started = Instant::now();
    let manifest = client.pull_image_manifest(&image, &mirror.authentication()).await;
    let (manifest, digest) = manifest.map_err(|error| explain(mirror, &error))?;
    let mut wanted: Vec<&OciDescriptor> = Vec::new();
    for descriptor in std::iter::once(&manifest.config).chain(&manifest.layers) {
        // An image may hold a layer twice; it is the same bytes.
        if !wanted.iter().any(|known| known.digest == descriptor.digest) {
            wanted.push(descriptor);
        }
    }
    let blobs: Result<Vec<Blob>, _> = stream::iter(wanted)
        .map(|descriptor| blob(&client, &image, descriptor, progress))
        .buffered(AT_ONCE)
        .try_collect()
        .await;
    progress.finish();
    let blobs = blobs.map_err(|error| explain(mirror, &error))?;
    Ok(Pulled {
        digest,
        media_type: manifest.media_type.unwrap_or_default(),
        bytes: blobs.iter().map(|blob| blob.bytes).sum(),
        blobs,
        milliseconds: milliseconds(started),
    })
}

async fn blob(
    client: &Client,
    image: &Reference,
    descriptor: &OciDescriptor,
    progress: &Progress,
) -> Result<Blob, OciDistributionError> {
    let started = Instant::now();
    let expected = u64::try_from(descriptor.size).unwrap_or_default();
    let mut meter = progress.blob(&descriptor.digest, expected);
    client.pull_blob(image, descriptor, &mut meter).await?;
    let bytes = meter.done();
    Ok(Blob { digest: descriptor.digest.clone(), bytes, milliseconds: milliseconds(started) })
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Mirror, parse};

    #[test]
    fn a_mirror_is_a_url_without_a_path() {
        assert_eq!(Mirror::parse("http://127.0.0.1:7080", None).unwrap().to_string(), "http://127.0.0.1:7080");
        assert_eq!(Mirror::parse("https://[::1]:1/", None).unwrap().to_string(), "https://[::1]:1");
        for url in ["127.0.0.1:7080", "ftp://a", "http://a/b", "http://a?b", "http://u:p@a", ""] {
            assert!(Mirror::parse(url, None).is_err(), "{url}");
        }
        assert!(Mirror::parse("http://a", Some("arm64")).is_err());
        assert!(Mirror::parse("http://a", Some("linux/arm64")).is_ok());
    }

    #[test]
    fn an_image_name_is_checked_before_anything_is_asked() {
        assert!(parse("registry.example.com/team/app:v1").is_ok());
        for name in ["", "UPPER/case", "a b", "host/name:tag:tag"] {
            assert!(parse(name).unwrap_err().contains("is no image name"), "{name}");
        }
    }
}
