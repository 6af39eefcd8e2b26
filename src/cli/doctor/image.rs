//! One image without the daemon: bearer, manifest, and the host that its blobs come from.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::Value;

use super::chain::Walk;
use super::finding::Finding;
use super::network::{self, Role};
use super::report::Report;
use crate::cli::pull::image::Reference;
use crate::clock::Clock;
use crate::error::Explain;
use crate::error::diagnosis::Sign;
use crate::http::body::collect_limited;
use crate::oci::{self, Digest, RegistryHost, RepositoryName, Resource, Scope};
use crate::token::{Bearer, ProvideBearer, TokenError};
use crate::upstream::{Place, Pull, Upstream, UpstreamError};

/// Longest manifest or configuration that is looked at; the client of `pull` takes any.
const LONGEST: usize = 8 << 20;

/// What a client that pulls images accepts.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.docker.distribution.manifest.v2+json";

impl Walk<'_> {
    /// Asks for the image step by step.
    pub(super) async fn image(&self, image: &Reference, has_login: bool, report: &mut Report) {
        if !has_login {
            return report.add(Finding::skipped("image", "not reached: there is no login"));
        }
        let reference = image.digest().or(image.tag()).unwrap_or("latest");
        let named = (
            RegistryHost::parse(image.registry()),
            RepositoryName::parse(image.repository()),
            oci::Reference::parse(reference),
        );
        let (Ok(host), Ok(repository), Ok(reference)) = named else {
            return report.add(Finding::failed("image", format!("{image} is no image name"), Sign::NotFound));
        };
        let place = Place { host, repository };
        match self.bearer(&place).await {
            Ok(bearer) => {
                let finding = Finding::good("bearer", format!("may pull {}", place.repository));
                report.add(self.described("bearer", finding.until(bearer.expires, self.tools.clock.now())));
            }
            Err(error) => return report.add(Finding::error("bearer", &*error)),
        }
        let upstream = self.upstream();
        if let Some(digest) = self.manifest(&upstream, &place, reference, report).await {
            self.blob(&upstream, &place, digest, report).await;
        }
    }

    /// The bearer at the first host of `pullFrom` that can be reached, as pulls get it.
    async fn bearer(&self, place: &Place) -> Result<Arc<Bearer>, Arc<TokenError>> {
        let scope = Scope::pull(place.repository.clone());
        let mut hosts = self.instance.upstream.pull_from.iter();
        let mut answer = self.source.bearer(hosts.next().unwrap_or(&place.host), &scope).await;
        for host in hosts {
            if !matches!(&answer, Err(error) if matches!(**error, TokenError::Unreachable(_))) {
                break;
            }
            answer = self.source.bearer(host, &scope).await;
        }
        answer
    }

    /// The manifest, through an index where there is one; the digest of its configuration.
    async fn manifest(
        &self,
        upstream: &Arc<Upstream>,
        place: &Place,
        reference: oci::Reference,
        report: &mut Report,
    ) -> Option<Digest> {
        let mut reference = reference;
        // An index leads to manifests and nothing deeper.
        for step in ["manifest", "manifest of a platform"] {
            let asked = fetch(upstream, place, Resource::Manifest(reference.clone())).await;
            let manifest: Value = match asked.map(|bytes| serde_json::from_slice(&bytes)) {
                Ok(Ok(manifest)) => manifest,
                Ok(Err(_)) => {
                    report.add(Finding::failed(step, "the manifest is no JSON", Sign::RegistryUnreadable));
                    return None;
                }
                Err(error) => {
                    report.add(Finding::error(step, &error));
                    return None;
                }
            };
            report
                .add(self.described("registry", Finding::good(step, format!("{reference} is there, digest verified"))));
            let digest = |pointer: &str| Digest::parse(manifest.pointer(pointer)?.as_str()?).ok();
            if let Some(configuration) = digest("/config/digest") {
                return Some(configuration);
            }
            reference = oci::Reference::Digest(digest("/manifests/0/digest")?);
        }
        None
    }

    /// The configuration blob, which is small and comes from where all blobs come from.
    async fn blob(&self, upstream: &Arc<Upstream>, place: &Place, digest: Digest, report: &mut Report) {
        match fetch(upstream, place, Resource::Blob(digest)).await {
            Ok(bytes) => {
                let finding =
                    Finding::good("blob", format!("the configuration of the image came, {} bytes", bytes.len()));
                match self.tools.calls.take_last("oss") {
                    Some(call) => {
                        report.add(call.describe(finding));
                    }
                    None => report.add(finding),
                }
            }
            Err(error) => {
                report.add(Finding::error("blob", &error));
                if let (UpstreamError::Unreachable(_), Some(host)) = (&error, error.names().host) {
                    let mut found = Vec::new();
                    network::way(self.tools, Role::Bucket, host, &mut found).await;
                    report.add_all(found);
                }
            }
        }
    }

    fn described(&self, call: &str, finding: Finding) -> Finding {
        match self.tools.calls.take_last(call) {
            Some(call) => call.describe(finding),
            None => finding,
        }
    }
}

async fn fetch(upstream: &Arc<Upstream>, place: &Place, resource: Resource) -> Result<Bytes, UpstreamError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, http::HeaderValue::from_static(MANIFESTS));
    let pull = Pull { place: place.clone(), resource, head: false, sticks: false, headers };
    let response = upstream.pull(&pull).await?;
    let host = place.host.to_string();
    collect_limited(response.into_body(), LONGEST).await.map_err(|source| UpstreamError::Manifest { host, source })
}
