//! Who reads ranges of the same blob at the same time.
//!
//! containerd 2.1 and later can fetch a layer in chunks: it asks for `bytes=0-`, then at once for `bytes=<n>-` of each further
//! chunk, all open-ended, and closes each when it has its chunk. Such a client brings its own connections, and what is
//! read ahead for one of them is asked for again by the next. It cannot be told from one that reads everything
//! (containerd 2.1.0 to 2.1.2 ask for `bytes=0-` always) before the second request is there, so what was seen is
//! remembered for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::memory::Key;
use super::range::ByteRange;

/// How long a client counts as one that reads chunks after it was last seen to: the next layers of its image, and the next
/// images of a rollout.
const REMEMBERED: Duration = Duration::from_mins(5);

/// The open ranges of all blobs of one instance.
#[derive(Debug, Default)]
pub(super) struct Readers {
    open: Mutex<HashMap<Key, Weak<()>>>,
    chunks_seen: Mutex<Option<Instant>>,
}

/// One open range, for as long as it lives.
#[derive(Debug)]
pub(super) struct Reader {
    readers: Arc<Readers>,
    key: Key,
    /// Shared by all who read the same blob.
    together: Option<Arc<()>>,
}

impl Readers {
    /// Notes that a range of a blob is about to be read.
    pub(super) fn enter(self: &Arc<Self>, key: Key, range: ByteRange) -> Reader {
        let mut open = self.open();
        let known = open.get(&key).and_then(Weak::upgrade);
        if known.is_some() && range != ByteRange::From(0) {
            *self.chunks_seen() = Some(Instant::now());
        }
        let together = known.unwrap_or_else(|| {
            let together = Arc::new(());
            open.insert(key.clone(), Arc::downgrade(&together));
            together
        });
        drop(open);
        Reader { readers: Arc::clone(self), key, together: Some(together) }
    }

    /// Whether who asks for `bytes=0-` will read one chunk of it and ask for the others beside.
    pub(super) fn read_chunks(&self) -> bool {
        self.chunks_seen().is_some_and(|seen| seen.elapsed() < REMEMBERED)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Key, Weak<()>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chunks_seen(&self) -> MutexGuard<'_, Option<Instant>> {
        self.chunks_seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// Whether others read ranges of the same blob now.
    pub(super) fn is_one_of_several(&self) -> bool {
        self.together.as_ref().is_some_and(|together| Arc::strong_count(together) > 1)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut open = self.readers.open();
        self.together = None;
        if open.get(&self.key).is_some_and(|together| together.strong_count() == 0) {
            open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{ByteRange, Key, REMEMBERED, Readers};
    use crate::oci::{Digest, RegistryHost, RepositoryName};

    fn key(digit: char) -> Key {
        Key {
            owner: 0,
            host: RegistryHost::parse("registry.example.com").unwrap(),
            repository: RepositoryName::parse("team/app").unwrap(),
            digest: Digest::parse(&format!("sha256:{}", digit.to_string().repeat(64))).unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ranges_of_one_blob_at_once_are_chunks_and_those_of_several_blobs_are_not() {
        let readers = Arc::new(Readers::default());
        let first = readers.enter(key('a'), ByteRange::From(0));
        let other = readers.enter(key('b'), ByteRange::From(5));
        assert!(!first.is_one_of_several() && !other.is_one_of_several() && !readers.read_chunks());
        let second = readers.enter(key('a'), ByteRange::From(5));
        assert!(first.is_one_of_several() && second.is_one_of_several() && readers.read_chunks());
        drop(first);
        assert!(!second.is_one_of_several() && readers.read_chunks());
        drop((second, other));
        assert!(readers.open().is_empty());
        tokio::time::advance(REMEMBERED + Duration::from_secs(1)).await;
        assert!(!readers.read_chunks());
    }

    #[test]
    fn who_goes_on_behind_a_range_that_is_over_reads_no_chunks() {
        let readers = Arc::new(Readers::default());
        drop(readers.enter(key('a'), ByteRange::From(0)));
        drop(readers.enter(key('a'), ByteRange::From(5)));
        assert!(!readers.read_chunks());
    }
}
