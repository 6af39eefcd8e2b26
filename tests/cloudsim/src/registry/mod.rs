//! The registry: the pull side of the OCI distribution specification (v1.1), as ACR answers it.
//!
//! Bytes of blobs are not served here but redirected to OSS, unless the settings say that small ones are. Writes are
//! refused. Which instance is meant follows from the host alone.

mod bearer;
mod listing;
mod path;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use serde_json::json;

use crate::call::{Answer, Call};
use crate::ledger::Ledger;
use crate::oss::object_of;
use crate::oss::signature::{Grant, UrlSigner};
use crate::settings::{Settings, SharedSettings};
use crate::shared::Shared;
use crate::store::{Instance, Store};
use bearer::Door;

use path::Endpoint;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Marks a call whose redirect a scripted fault wants expired on arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redirects {
    /// Signed now.
    Good,
    /// Signed one lifetime ago.
    Expired,
}

/// The service.
#[derive(Debug)]
pub(crate) struct Registry {
    store: Arc<Store>,
    door: Door,
    settings: SharedSettings,
    signer: Arc<UrlSigner>,
    ledger: Ledger,
}

impl Registry {
    pub(crate) fn new(shared: &Shared, signer: Arc<UrlSigner>) -> Self {
        let shared = shared.clone();
        let door = Door::new(shared.key, shared.generation);
        Self { store: shared.store, door, settings: shared.settings, signer, ledger: shared.ledger }
    }

    /// Answers one request to a registry domain.
    pub(crate) fn handle(&self, call: &Call, redirects: Redirects) -> Answer {
        let Some(instance) = self.store.by_domain(&call.host) else {
            return failure(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no instance has this domain");
        };
        let settings = self.settings.now();
        let Some(endpoint) = path::parse(call.uri.path()) else {
            return failure(StatusCode::NOT_FOUND, "UNSUPPORTED", "404 page not found");
        };
        if let Err(why) = self.door.admit(call, &instance, endpoint.repository()) {
            return bearer::challenge(call, &instance, &settings.realm.host, endpoint.repository(), why);
        }
        if call.method != Method::GET && call.method != Method::HEAD {
            return failure(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported");
        }
        if endpoint.repository().is_some_and(|name| !instance.has_repository(name)) {
            return failure(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "repository name not known to registry");
        }
        match endpoint {
            Endpoint::Base => json_answer(StatusCode::OK, "{}".to_owned()),
            Endpoint::Manifest { repository, reference } => manifest(call, &instance, repository, reference),
            Endpoint::Blob { repository, digest } => {
                self.blob(call, &instance, &settings, Wanted { repository, digest, redirects })
            }
            Endpoint::Tags { repository } => listing::tags(call, &instance, repository),
            Endpoint::Referrers { repository, digest } if settings.referrers => {
                listing::referrers(call, &instance, repository, digest)
            }
            Endpoint::Referrers { .. } => failure(StatusCode::NOT_FOUND, "UNSUPPORTED", "404 page not found"),
        }
    }

    fn blob(&self, call: &Call, instance: &Instance, settings: &Settings, wanted: Wanted<'_>) -> Answer {
        if !path::is_digest(wanted.digest) {
            return failure(
                StatusCode::BAD_REQUEST,
                "DIGEST_INVALID",
                "provided digest did not match uploaded content",
            );
        }
        let bytes = instance.blob_of(wanted.repository, wanted.digest);
        let (Some(bytes), Some(object)) = (bytes, object_of(wanted.digest)) else {
            return failure(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry");
        };
        let size = bytes.len() as u64;
        if call.method == Method::HEAD || size <= settings.blob_url.direct_up_to {
            let body = if call.method == Method::HEAD { Bytes::new() } else { bytes };
            return blob_head(wanted.digest).header(CONTENT_LENGTH, size).body(body).unwrap_or_default();
        }
        let signed_at = match wanted.redirects {
            Redirects::Good => call.now,
            Redirects::Expired => call.now - settings.blob_url.lifetime - jiff::SignedDuration::from_secs(1),
        };
        let grant = Grant {
            bucket: &instance.bucket,
            object: &object,
            region: &instance.spec.region,
            traffic_limit: settings.blob_url.traffic_limit,
            lifetime: settings.blob_url.lifetime,
            now: signed_at,
        };
        let (query, signature) = self.signer.sign(settings.blob_url.signature, &grant);
        self.ledger.note(&signature);
        let scheme = if settings.blob_url.plain_http { "http" } else { "https" };
        let internal = if bearer::is_vpc(&call.host) { "-internal" } else { "" };
        let host = format!("{}.oss-{}{internal}.aliyuncs.com", instance.bucket, instance.spec.region);
        Response::builder()
            .status(StatusCode::TEMPORARY_REDIRECT)
            .header(API_VERSION, "registry/2.0")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(LOCATION, format!("{scheme}://{host}/{object}?{query}"))
            .body(Bytes::new())
            .unwrap_or_default()
    }
}

/// A blob as it was asked for.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    repository: &'a str,
    digest: &'a str,
    redirects: Redirects,
}

fn blob_head(digest: &str) -> http::response::Builder {
    Response::builder()
        .header(API_VERSION, "registry/2.0")
        .header(CONTENT_DIGEST, digest)
        .header(ETAG, format!("\"{digest}\""))
        .header(CONTENT_TYPE, "application/octet-stream")
}

fn manifest(call: &Call, instance: &Instance, repository: &str, reference: &str) -> Answer {
    let Some((digest, manifest)) = instance.manifest(repository, reference) else {
        return failure(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown");
    };
    if !accepts(&call.headers, &manifest.media_type) {
        let message = format!("{} found, but the Accept header does not name it", manifest.media_type);
        return failure(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", &message);
    }
    let size = manifest.bytes.len();
    let body = if call.method == Method::HEAD { Bytes::new() } else { manifest.bytes };
    Response::builder()
        .header(API_VERSION, "registry/2.0")
        .header(CONTENT_TYPE, manifest.media_type)
        .header(CONTENT_DIGEST, &digest)
        .header(ETAG, format!("\"{digest}\""))
        .header(CONTENT_LENGTH, size)
        .body(body)
        .unwrap_or_default()
}

/// Whether any `Accept` line covers the type; no line at all accepts everything. Weights are not looked at.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok()).peekable();
    if lines.peek().is_none() {
        return true;
    }
    lines.flat_map(|line| line.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range.is_empty() || range == "*/*" || range == "application/*" || range.eq_ignore_ascii_case(media_type)
    })
}

fn json_answer(status: StatusCode, body: String) -> Answer {
    Response::builder()
        .status(status)
        .header(API_VERSION, "registry/2.0")
        .header(CONTENT_TYPE, "application/json; charset=utf-8")
        .body(body.into())
        .unwrap_or_default()
}

fn failure(status: StatusCode, code: &str, message: &str) -> Answer {
    json_answer(status, format!("{}\n", json!({ "errors": [{ "code": code, "message": message, "detail": null }] })))
}

#[cfg(test)]
mod tests;
