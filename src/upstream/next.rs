//! What a client will ask for next, asked for already.
//!
//! A pull asks for one thing after another, and each costs a round trip: an index, the manifest for this node, its config,
//! its layers, each layer by way of a redirect. All of it is known from the first answer. So after an index the manifest is
//! fetched, and after a manifest the config and small layers, and the redirects of the others are resolved.
//!
//! This happens only after a client was given the manifest that names them, for the same repository and with the same
//! bearer, and within the memory that blobs have. It never delays an answer, and what it fails at is left to the request
//! that would have needed it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;
use tracing::Instrument;

use super::document::{self, Descriptor, Next};
use super::locate::Wanted;
use super::manifest::{Manifest, matches};
use super::memory::Reservation;
use super::send::Budget;
use super::{BlobMode, Place, Upstream};
use crate::http::body::collect_limited;
use crate::http::headers;
use crate::oci::{Digest, Reference};
use crate::telemetry::pulls::Trail;

/// Blobs up to this size are fetched whole: configs, and layers that take no longer than a round trip or two.
const SMALL: u64 = 512 * 1024;
/// How long a blob that nobody asks for is kept. A client asks within milliseconds, unless it has the blob already.
const UNUSED: Duration = Duration::from_secs(10);
/// How long what was fetched ahead for a manifest counts as done. Signed URLs live longer.
const DONE: Duration = Duration::from_secs(60);
/// Requests at once for one manifest: more than the three that containerd has, few enough for a registry's limits.
pub(super) const AT_ONCE: usize = 8;
/// Blobs looked at for one manifest; larger images have so much to transfer that round trips do not matter.
const MOST: usize = 64;

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// To the manifest: a HEAD may only have asked whether the image is still the same.
    Manifest,
    /// To the blobs.
    Blobs,
}

/// A blob that was fetched before it was asked for.
#[derive(Debug)]
pub(super) struct Small {
    pub(super) bytes: bytes::Bytes,
    /// How it came here.
    pub(super) trail: Trail,
    /// Held as long as the bytes are.
    _held: Reservation,
}

impl Upstream {
    /// Begins to fetch what follows from a manifest that a client is about to be given.
    pub(super) fn follow_up(self: &Arc<Self>, place: &Place, manifest: &Arc<Manifest>, head: bool) {
        let reach = if head || self.blobs.mode == BlobMode::Redirect { Reach::Manifest } else { Reach::Blobs };
        if manifest.status != StatusCode::OK || !manifest.begin_to_follow(reach) {
            return;
        }
        if reach == Reach::Blobs {
            self.warm_for_layers(place);
        }
        let (upstream, place, manifest) = (Arc::clone(self), place.clone(), Arc::clone(manifest));
        tokio::spawn(async move { upstream.follow_manifest(&place, &manifest, reach).await }.in_current_span());
    }

    async fn follow_manifest(self: &Arc<Self>, place: &Place, manifest: &Manifest, reach: Reach) {
        let next = |manifest: &Manifest| manifest.bytes.as_ref().and_then(|bytes| document::next(bytes));
        let blobs = match next(manifest) {
            Some(Next::Manifest(descriptor)) => {
                let Ok(manifest) = self.fetch_manifest(place, &descriptor).await else { return };
                match next(&manifest) {
                    Some(Next::Blobs(blobs)) if reach == Reach::Blobs && manifest.begin_to_follow(reach) => blobs,
                    _ => return,
                }
            }
            Some(Next::Blobs(blobs)) if reach == Reach::Blobs => blobs,
            _ => return,
        };
        self.line_up(place, &blobs);
        let prepared = blobs.into_iter().take(MOST).map(|blob| self.prepare(place, blob));
        futures_util::stream::iter(prepared).buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
    }

    async fn fetch_manifest(
        self: &Arc<Self>,
        place: &Place,
        descriptor: &Descriptor,
    ) -> Result<Arc<Manifest>, super::UpstreamError> {
        let mut headers = HeaderMap::new();
        headers.extend(HeaderValue::from_str(&descriptor.media_type).ok().map(|value| (ACCEPT, value)));
        let reference = Reference::Digest(descriptor.digest.clone());
        self.read_manifest(place, &reference, &headers, &Budget::start()).await
    }

    /// Fetches a small blob, or learns where a large one is.
    async fn prepare(self: &Arc<Self>, place: &Place, blob: Descriptor) {
        let key = self.key(place, &blob.digest);
        if blob.size <= SMALL {
            if self.parts.memory.small.find(&key).is_none() {
                let (upstream, place) = (Arc::clone(self), place.clone());
                let fetching = self.fetching.join(key, || async move { upstream.fetch_small(&place, &blob).await });
                fetching.await;
            }
            return;
        }
        let located = self.locate(place, &blob.digest, Wanted::Whole(None), &Budget::start()).await;
        if let Err(error) = located {
            tracing::debug!(digest = %blob.digest, error = %error, "a blob was not found ahead of its request");
        }
    }

    async fn fetch_small(self: Arc<Self>, place: &Place, blob: &Descriptor) -> Option<Arc<Small>> {
        let held = self.parts.memory.reserve(blob.size)?;
        let size = usize::try_from(blob.size).ok()?;
        let opened = self.open(place, &blob.digest, Wanted::Whole(None), &Budget::start()).await.ok()?;
        if opened.response.status() != StatusCode::OK {
            return None;
        }
        let trail = Trail::default();
        if let Some(id) = headers::oss_request_id(opened.response.headers()) {
            trail.answered(id);
        }
        let body = tokio::time::timeout(UNUSED, collect_limited(opened.response.into_body(), size)).await.ok()?.ok()?;
        if body.len() != size || !matches(&blob.digest, &body) {
            tracing::warn!(instance = %self.instance, digest = %blob.digest, "a blob has another length or digest than its manifest says");
            return None;
        }
        let small = Arc::new(Small { bytes: body, trail, _held: held });
        let key = self.key(place, &blob.digest);
        self.parts.memory.small.keep(key.clone(), Arc::clone(&small), blob.size);
        let (memory, kept) = (Arc::clone(&self.parts.memory), Arc::downgrade(&small));
        tokio::spawn(async move {
            tokio::time::sleep(UNUSED).await;
            memory.small.forget_if(&key, |held| std::ptr::eq(Arc::as_ptr(held), kept.as_ptr()));
        });
        Some(small)
    }

    /// A blob that was fetched ahead, or is being fetched.
    pub(super) async fn fetched_ahead(&self, place: &Place, digest: &Digest) -> Option<Arc<Small>> {
        let key = self.key(place, digest);
        if let Some(small) = self.parts.memory.small.find(&key) {
            return Some(small);
        }
        self.fetching.flying(&key)?.await
    }
}

impl Manifest {
    /// Whether what follows from it is still to be fetched, as far as `reach`; it counts as begun then.
    fn begin_to_follow(&self, reach: Reach) -> bool {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if followed.is_some_and(|(since, before)| before >= reach && now.duration_since(since) < DONE) {
            return false;
        }
        *followed = Some((now, reach));
        true
    }
}
