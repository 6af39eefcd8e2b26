//! Manifests for clients that take the blobs from where they got the manifest, and from nowhere else.
//!
//! containerd asks the next host for each thing that it does not get. podman, skopeo, buildah and CRI-O choose one host by
//! the first manifest, and a blob that it does not have then fails the pull, though the registry itself might be in their
//! reach. So a manifest is a promise to them: it is given once the config that it leads to has come, which they are going
//! to ask for anyway, and which is fetched ahead in any case. Where the bucket is away, they get the reason instead, and go
//! on to the registry.

use std::sync::Arc;

use super::document::{Descriptor, Next, next};
use super::manifest::Manifest;
use super::next::SMALL;
use super::{BlobMode, ErrorKind, Place, Upstream, UpstreamError};

impl Upstream {
    /// Waits until there is no doubt that blobs can be had; what cannot be told is none.
    pub(super) async fn promise(self: &Arc<Self>, place: &Place, manifest: &Manifest) -> Result<(), UpstreamError> {
        // Who follows redirects has a way of its own to the bucket, or none.
        if self.blobs.mode == BlobMode::Redirect {
            return Ok(());
        }
        let Some(config) = self.config_of(place, manifest).await else { return Ok(()) };
        match self.small(place, config).await {
            Err(Some(error)) if speaks_against_all(&error) => Err(UpstreamError::Shared(error)),
            _ => Ok(()),
        }
    }

    /// The config of an image, or of the one in an index that this node would take.
    async fn config_of(self: &Arc<Self>, place: &Place, manifest: &Manifest) -> Option<Descriptor> {
        let blobs = match next(manifest.bytes.as_ref()?)? {
            Next::Blobs(blobs) => blobs,
            Next::Manifest(descriptor) => {
                let manifest = self.fetch_manifest(place, &descriptor).await.ok()?;
                match next(manifest.bytes.as_ref()?)? {
                    Next::Blobs(blobs) => blobs,
                    Next::Manifest(_) => return None,
                }
            }
        };
        blobs.into_iter().next().filter(|config| config.size <= SMALL)
    }
}

/// Whether other blobs would fail in the same way: what is denied or missing may be so for one only.
fn speaks_against_all(error: &UpstreamError) -> bool {
    matches!(error.kind(), ErrorKind::Broken | ErrorKind::Late | ErrorKind::Throttled | ErrorKind::NoCredentials)
}
