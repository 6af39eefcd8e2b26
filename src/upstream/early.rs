//! The layers that a client asks for first, opened before it does.
//!
//! Where a layer is, is known as soon as the manifest and the registry's redirect are. The client asks for it only when it
//! has fetched the config and put it away, a round trip or more later. Over a long way the connections of a layer need
//! that time to come up to speed, so all parts of the first layers are asked for at once and nothing of them is read: where
//! nobody asks after all, what is lost is what the connections had carried into the buffers of the kernel by then.
//!
//! A layer that was read through this daemon is likely to be on the node, and is not opened. Neither is one that finds
//! less memory than it would take and some more: what it reserves must be missed by nobody who is being read to, and must
//! not drive the config out of memory.

use std::sync::Arc;
use std::time::Duration;

use super::document::Descriptor;
use super::ordered::Begun;
use super::plan::FIRST;
use super::send::Budget;
use super::warm::LAYERS_AT_ONCE;
use super::{Place, Upstream};
use crate::oci::Digest;

/// How long an opened layer waits for its client: the config takes a round trip, and its way to the node's disk a moment.
const SOON: Duration = Duration::from_secs(2);
/// How much of the memory that nobody holds the opened layers may reserve, as a fraction.
const OF_FREE: (u64, u64) = (7, 8);

impl Upstream {
    /// Those of an image's blobs that a client is going to ask for first.
    pub(super) fn first_asked_for(&self, blobs: &[Descriptor]) -> Vec<Digest> {
        // The bucket may have answered once so far, and late for another reason; the registry is where it is.
        let far = self.bucket_is_far() && self.to_registry.is_far() == Some(true);
        // Who reads chunks asks for ranges, and has connections of its own for each.
        if !far || self.readers.read_chunks() {
            return Vec::new();
        }
        // The first part of each goes to its reader directly.
        let others = self.blobs.connections.saturating_sub(1) as u64;
        let most = self.blobs.part_size.saturating_mul(others);
        let mut room = self.parts.memory.free() / OF_FREE.1 * OF_FREE.0;
        blobs
            .iter()
            .filter(|blob| blob.size > FIRST && self.parts.memory.read.find(&blob.digest).is_none())
            .take(LAYERS_AT_ONCE)
            .map_while(|blob| {
                room = room.checked_sub(blob.size.min(most))?;
                Some(blob.digest.clone())
            })
            .collect()
    }

    /// Asks for all parts of a layer whose place is known, and reads none of them. Needs a runtime.
    pub(super) fn open_early(self: &Arc<Self>, place: &Place, digest: &Digest) {
        let Some((length, limited)) = self.length_ahead(place, digest) else { return };
        self.begin_unasked(
            place,
            digest,
            |upstream, pull, digest| async move {
                let begun = Begun::held_back(upstream.source(&pull, &digest, Some(length), None), length, limited);
                upstream.begun(&pull, &digest, begun, &Budget::start()).await.map(Some)
            },
            tokio::time::sleep(SOON),
        );
    }
}
