//! What a client will ask for next, asked for already.
//!
//! A pull asks for one thing after another, and each costs a round trip: an index, the manifest for this node, its config,
//! its layers, each layer by way of a redirect. All of it is known from the first answer. So after an index the manifest is
//! fetched, and after a manifest the config and small layers, and the redirects of the others are resolved.
//!
//! This happens only after a client was given the manifest that names them, for the same repository and with the same
//! bearer, and within the memory that blobs have. It delays no answer (but see `promise`), and what it fails at is left to
//! the request that would have needed it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use tracing::Instrument;

use super::document::{self, Descriptor, Next};
use super::locate::Wanted;
use super::manifest::{Manifest, matches};
use super::memory::{EarlyReservation, Key, Memory};
use super::send::Budget;
use super::{BlobMode, Place, Upstream, UpstreamError};
use crate::http::body::collect_limited;
use crate::http::headers;
use crate::oci::{Digest, Reference};
use crate::telemetry::pulls::Trail;

/// Blobs up to this size are fetched whole: configs, and layers that take no longer than a round trip or two.
pub(super) const SMALL: u64 = 512 * 1024;
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
#[derive(Debug, Clone)]
pub(super) struct Small {
    /// Whoever holds these, or some of them, holds the memory that was reserved for them.
    pub(super) bytes: Bytes,
    /// How it came here.
    pub(super) trail: Trail,
}

/// What came of a blob that was asked for ahead; where that says something of other blobs as well, why it did not come.
pub(super) type Ahead = Result<Small, Option<Arc<UpstreamError>>>;

/// What the bytes of a [`Small`] are made of.
struct Held {
    bytes: Bytes,
    _reserved: EarlyReservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
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
        let first = self.first_asked_for(&blobs);
        let prepared = blobs.into_iter().take(MOST).map(|blob| self.prepare(place, blob, &first));
        futures_util::stream::iter(prepared).buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
    }

    pub(super) async fn fetch_manifest(
        self: &Arc<Self>,
        place: &Place,
        descriptor: &Descriptor,
    ) -> Result<Arc<Manifest>, UpstreamError> {
        let reference = Reference::Digest(descriptor.digest.clone());
        self.read_manifest(place, &reference, &HeaderMap::new(), &Budget::start()).await
    }

    /// Fetches a small blob, or learns where a large one is, and opens it if it is one of the `first`.
    async fn prepare(self: &Arc<Self>, place: &Place, blob: Descriptor, first: &[Digest]) {
        if blob.size <= SMALL {
            // What does not come is left to the request that needs it.
            self.small(place, blob).await.ok();
            return;
        }
        let located = self.locate(place, &blob.digest, Wanted::of(None), &Budget::start()).await;
        match located {
            Ok(_) if first.contains(&blob.digest) => self.open_early(place, &blob.digest),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(digest = %blob.digest, error = %error, "a blob was not found ahead of its request");
            }
        }
    }

    /// A small blob, from memory or from where it is.
    pub(super) async fn small(self: &Arc<Self>, place: &Place, blob: Descriptor) -> Ahead {
        let key = self.key(place, &blob.digest);
        if let Some(small) = self.parts.memory.small.find(&key) {
            return Ok(small);
        }
        let (upstream, place) = (Arc::clone(self), place.clone());
        self.fetching.join(key, || async move { upstream.fetch_small(&place, &blob).await }).await
    }

    async fn fetch_small(self: Arc<Self>, place: &Place, blob: &Descriptor) -> Ahead {
        let reserved = self.parts.memory.reserve_early(blob.size).ok_or(None)?;
        let size = usize::try_from(blob.size).map_err(|_| None)?;
        let proxied = self.parts.blob_client.is_proxied();
        let opened = self.open(place, &blob.digest, Wanted::of(None), &Budget::start()).await;
        let opened = opened.map_err(|error| Some(Arc::new(error)))?;
        if opened.response.status() != StatusCode::OK {
            return Err(None);
        }
        let trail = Trail::default();
        if let Some(id) = headers::oss_request_id(opened.response.headers()) {
            trail.answered(id);
        }
        let read = tokio::time::timeout(UNUSED, collect_limited(opened.response.into_body(), size)).await;
        let Ok(Ok(body)) = read else { return Err(None) };
        if body.len() != size || !matches(&blob.digest, &body) {
            tracing::warn!(instance = %self.instance, digest = %blob.digest, "a blob has another length or digest than its manifest says");
            if proxied {
                self.parts.blob_client.distrust_proxy();
            }
            return Err(None);
        }
        // What was reserved is what it takes: not the buffer of the connection that it came in.
        let small = Small {
            bytes: Bytes::from_owner(Held { bytes: Bytes::copy_from_slice(&body), _reserved: reserved }),
            trail,
        };
        keep_for_a_while(&self.parts.memory, self.key(place, &blob.digest), &small);
        Ok(small)
    }

    /// A blob that was fetched ahead, or is being fetched. One that is asked for as a `whole` is not asked for again; those
    /// who wait for it together all get it.
    pub(super) async fn fetched_ahead(&self, place: &Place, digest: &Digest, whole: bool) -> Option<Small> {
        let key = self.key(place, digest);
        let small = match self.parts.memory.small.find(&key) {
            Some(small) => small,
            None => self.fetching.flying(&key)?.await.ok()?,
        };
        if whole {
            self.parts.memory.small.forget_if(&key, |_| true);
        }
        Some(small)
    }
}

/// Keeps a blob for the client that will ask for it, and not for good. Needs a runtime.
fn keep_for_a_while(memory: &Arc<Memory>, key: Key, small: &Small) {
    memory.small.keep(key.clone(), small.clone(), small.bytes.len() as u64);
    let (memory, kept) = (Arc::clone(memory), small.bytes.as_ptr() as usize);
    tokio::spawn(async move {
        tokio::time::sleep(UNUSED).await;
        // Another that was fetched since has its own time.
        memory.small.forget_if(&key, |held| held.bytes.as_ptr() as usize == kept);
    });
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::{Held, Key, Memory, Small, Trail, UNUSED, keep_for_a_while};
    use crate::oci::{Digest, RegistryHost, RepositoryName};

    const SIZE: u64 = 1024;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_dropped_and_its_memory_given_back() {
        // Room for one blob and no more.
        let memory = Memory::new(8 * SIZE);
        let key = Key {
            owner: 0,
            host: RegistryHost::parse("registry.example.com").unwrap(),
            repository: RepositoryName::parse("team/app").unwrap(),
            digest: Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap(),
        };
        let fetch = || {
            let reserved = memory.reserve_early(SIZE)?;
            let bytes = Bytes::from(vec![7; 1024]);
            let bytes = Bytes::from_owner(Held { bytes, _reserved: reserved });
            let small = Small { bytes, trail: Trail::default() };
            keep_for_a_while(&memory, key.clone(), &small);
            Some(small)
        };
        drop(fetch().unwrap());
        tokio::time::sleep(UNUSED / 2).await;
        assert!(memory.small.find(&key).is_some() && memory.reserve_early(SIZE).is_none());
        tokio::time::sleep(UNUSED).await;
        assert!(memory.small.find(&key).is_none() && memory.reserve_early(SIZE).is_some());

        // Who still sends it holds it.
        let part = fetch().unwrap().bytes.slice(5..6);
        tokio::time::sleep(UNUSED + Duration::from_secs(1)).await;
        assert!(memory.small.find(&key).is_none() && memory.reserve_early(SIZE).is_none());
        drop(part);
        assert!(memory.reserve_early(SIZE).is_some());
    }
}
