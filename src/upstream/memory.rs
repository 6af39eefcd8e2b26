//! What the daemon holds in memory for pulls, with one bound for all instances together.
//!
//! Read-ahead is taken from a budget in bytes and given back as the bytes go out. Nobody ever waits for it: who gets
//! nothing streams without reading ahead, so that no two streams can wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::manifest::Manifest;
use super::next::Small;
use super::recent::Recent;
use super::turn::Turn;
use crate::clock::Timestamp;
use crate::http::origin::SafeUri;
use crate::oci::{Digest, RegistryHost, RepositoryName};

/// Unit of the budget, so that any amount fits into the 32 bits of a semaphore.
const UNIT: u64 = 1024;
/// The part of the budget that may be read ahead, as a fraction. The rest is left to what streams hold without it: read
/// buffers towards the blob host, what waits for a slow client, the state of both connections (half a MiB each; measured
/// by `cargo bench --bench pull -- memory`).
const AHEAD: (u64, u64) = (3, 4);
/// The part of what may be read ahead that blobs may take which nobody has asked for yet, as a fraction. The rest is for
/// streams, whose readers wait.
const EARLY: usize = 4;
/// Most signed URLs remembered; with its key one takes about 1 KiB.
const MOST_URLS: u64 = 4096;
/// Most layers remembered as read, of a few hundred bytes each: those of some hundred images.
const MOST_READ: u64 = 4096;

/// All manifests that are kept, in bytes: some thousand of the usual size.
const MANIFESTS: u64 = 8 * 1024 * 1024;

/// The memory of the daemon that all instances share.
#[derive(Debug)]
pub struct Memory {
    size: u64,
    ahead: u64,
    units: Arc<Semaphore>,
    early: Arc<Semaphore>,
    streams: AtomicUsize,
    owners: AtomicU64,
    pub(super) urls: Recent<Key, Signed>,
    /// By their digest, for good.
    pub(super) manifests: Recent<Key, Arc<Manifest>>,
    /// The layers of manifests that clients were given.
    pub(super) turns: Recent<Key, Arc<Turn>>,
    /// Fetched before they were asked for, for some seconds.
    pub(super) small: Recent<Key, Small>,
    /// Layers that a client has read to their end, so that the node is likely to have them.
    pub(super) read: Recent<Digest, ()>,
}

/// A blob or manifest of a repository, as one instance may see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Which upstream put it there: one that a reload has replaced may have had other rights.
    pub(super) owner: u64,
    pub(super) host: RegistryHost,
    pub(super) repository: RepositoryName,
    pub(super) digest: Digest,
}

/// A signed URL and until when it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) uri: SafeUri,
    pub(super) expires: Timestamp,
}

/// How much of `bytes` (`blobs.memory`) is read ahead at most.
#[must_use]
pub const fn read_ahead(bytes: u64) -> u64 {
    bytes / AHEAD.1 * AHEAD.0
}

impl Memory {
    /// Memory with `bytes` of read-ahead (`blobs.memory`).
    #[must_use]
    pub fn new(bytes: u64) -> Arc<Self> {
        let ahead = read_ahead(bytes);
        let units = usize::try_from(ahead / UNIT).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            size: bytes,
            ahead,
            units: Arc::new(Semaphore::new(units)),
            early: Arc::new(Semaphore::new(units / EARLY)),
            streams: AtomicUsize::new(0),
            owners: AtomicU64::new(0),
            urls: Recent::new(MOST_URLS),
            manifests: Recent::new(MANIFESTS),
            turns: Recent::new(MOST_URLS),
            // What of the budget is left for it is asked at each blob.
            small: Recent::new(bytes),
            read: Recent::new(MOST_READ),
        })
    }

    /// The bytes of read-ahead it was made with.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes of read-ahead nobody holds.
    pub(crate) fn free(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT
    }

    /// A number that no other upstream has.
    pub(super) fn owner(&self) -> u64 {
        self.owners.fetch_add(1, Ordering::Relaxed)
    }

    /// Forgets what an upstream has put there that is gone: nobody else would ever find it.
    pub(super) fn forget(&self, owner: u64) {
        let outdated = |key: &Key| key.owner == owner;
        self.urls.forget_all(outdated);
        self.manifests.forget_all(outdated);
        self.turns.forget_all(outdated);
        self.small.forget_all(outdated);
    }

    /// How many things are remembered.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.urls.count() + self.manifests.count() + self.turns.count() + self.small.count()
    }

    /// A place for one stream.
    pub(super) fn seat(self: &Arc<Self>) -> Seat {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Seat { memory: Arc::clone(self) }
    }

    /// Takes `bytes` of the budget for what nobody has asked for yet, if they are there.
    pub(super) fn reserve_early(&self, bytes: u64) -> Option<EarlyReservation> {
        let permit = Arc::clone(&self.early).try_acquire_many_owned(units(bytes)?).ok()?;
        Some(EarlyReservation { _held: self.reserve(bytes)?, _permit: permit })
    }

    /// Takes `bytes` of the budget, if they are there.
    pub(super) fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let units = units(bytes)?;
        let permit = Arc::clone(&self.units).try_acquire_many_owned(units).ok()?;
        Some(Reservation { permit, released: 0 })
    }
}

/// One stream's place; the fewer there are, the more each may read ahead.
#[derive(Debug)]
pub(super) struct Seat {
    memory: Arc<Memory>,
}

impl Seat {
    /// How many streams there are.
    pub(super) fn streams(&self) -> usize {
        self.memory.streams.load(Ordering::Relaxed)
    }

    /// How many bytes this stream may read ahead now, so that all who stream have the same.
    pub(super) fn share(&self) -> u64 {
        let streams = self.memory.streams.load(Ordering::Relaxed).max(1) as u64;
        self.memory.ahead / streams
    }

    /// Takes `bytes` of the budget, if they are there or can be had from blobs that nobody has asked for yet.
    pub(super) fn reserve(&self, bytes: u64) -> Option<Reservation> {
        loop {
            let held = self.memory.reserve(bytes);
            if held.is_some() || !self.memory.small.forget_oldest() {
                return held;
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.memory.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part of the budget for what nobody has asked for yet, given back when dropped.
#[derive(Debug)]
pub(super) struct EarlyReservation {
    _held: Reservation,
    _permit: OwnedSemaphorePermit,
}

fn units(bytes: u64) -> Option<u32> {
    u32::try_from(bytes.div_ceil(UNIT)).ok()
}

/// A part of the budget, given back when dropped, or bit by bit before.
#[derive(Debug)]
pub(super) struct Reservation {
    permit: OwnedSemaphorePermit,
    /// Bytes below one unit that are to be given back with the next.
    released: u64,
}

impl Reservation {
    /// How many bytes are still held.
    pub(super) fn bytes(&self) -> u64 {
        self.permit.num_permits() as u64 * UNIT
    }

    /// Gives `bytes` back.
    pub(super) fn release(&mut self, bytes: u64) {
        self.released += bytes;
        let units = usize::try_from(self.released / UNIT).unwrap_or(usize::MAX).min(self.permit.num_permits());
        self.released %= UNIT;
        drop(self.permit.split(units));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{EarlyReservation, Key, Memory, Small};
    use crate::oci::{Digest, RegistryHost, RepositoryName};
    use crate::telemetry::pulls::Trail;

    #[test]
    fn what_is_held_is_given_back_bit_by_bit_and_with_its_owner() {
        let memory = Memory::new(16 * 1024);
        let mut held = memory.reserve(10 * 1024).unwrap();
        assert!(memory.reserve(4 * 1024).is_none());
        held.release(1_500);
        held.release(600);
        assert_eq!(held.bytes(), 8 * 1024);
        let rest = memory.reserve(4 * 1024).unwrap();
        drop((held, rest));
        assert!(memory.reserve(12 * 1024).is_some() && memory.reserve(13 * 1024).is_none());
    }

    #[test]
    fn what_nobody_has_asked_for_takes_a_quarter_and_gives_way_to_a_stream() {
        let memory = Memory::new(64 * 1024);
        let early = memory.reserve_early(12 * 1024).unwrap();
        assert!(memory.reserve_early(1024).is_none(), "more than a quarter of 48 KiB");
        let keep = |digit: u8, early| {
            let digest = Digest::parse(&format!("sha256:{}", digit.to_string().repeat(64))).unwrap();
            let host = RegistryHost::parse("registry.example.com").unwrap();
            let key = Key { owner: 0, host, repository: RepositoryName::parse("team/app").unwrap(), digest };
            let small = Small { bytes: Bytes::from_owner(Holder(early)), trail: Trail::default() };
            memory.small.keep(key.clone(), small, 1);
            key
        };
        drop(early);
        let older = keep(1, memory.reserve_early(6 * 1024).unwrap());
        let younger = keep(2, memory.reserve_early(6 * 1024).unwrap());
        let seat = memory.seat();
        let held = seat.reserve(40 * 1024).unwrap();
        assert!(memory.small.find(&older).is_none() && memory.small.find(&younger).is_some());
        assert!(seat.reserve(9 * 1024).is_none(), "more than there is");
        assert!(memory.small.find(&younger).is_none());
        drop(held);
        assert_eq!(memory.free(), 48 * 1024);
    }

    /// Stands for bytes that hold what was reserved for them.
    struct Holder(EarlyReservation);

    impl AsRef<[u8]> for Holder {
        fn as_ref(&self) -> &[u8] {
            let Self(_held) = self;
            &[7]
        }
    }

    #[test]
    fn streams_share_evenly() {
        let memory = Memory::new(64 << 20);
        let first = memory.seat();
        assert_eq!(first.share(), 48 << 20);
        let second = memory.seat();
        assert_eq!(first.share(), 24 << 20);
        drop(second);
        assert_eq!(first.share(), 48 << 20);
    }
}
