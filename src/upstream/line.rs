//! The layers of one image that are being read, and who of them goes first.
//!
//! containerd reads some layers at a time and unpacks them one after the other, so nothing is unpacked before the first
//! layer is there in full. Where the line is fast, all of them together only make that one late: they share the cores and
//! the disk with it. So a layer waits while one before it comes faster than it can be unpacked. Over any other line it
//! waits for nobody, and a reader who is slow, or reads the layers in another order, holds nobody up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::width::ENOUGH;

/// How long what came is counted, to tell how fast it comes: some dozens of reads at the rate that matters.
const LOOK: Duration = Duration::from_millis(20);
/// The longest that a layer waits for those before it, however fast they come: what a GiB takes at the least rate that is
/// waited for.
const LONGEST: Duration = Duration::from_secs(4);

/// The layers of one image.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Bytes that were handed out of each layer that is being read, by its number in the manifest.
    reading: Mutex<BTreeMap<usize, Arc<AtomicU64>>>,
    /// Told whenever a layer is over.
    over: Notify,
}

/// One layer that is being read, until it is dropped.
#[derive(Debug)]
pub(super) struct InLine {
    line: Arc<Line>,
    number: usize,
    read: Arc<AtomicU64>,
}

impl Line {
    /// Begins to read the layer with this number.
    pub(super) fn join(self: &Arc<Self>, number: usize) -> InLine {
        let read = Arc::<AtomicU64>::default();
        self.reading().insert(number, Arc::clone(&read));
        InLine { line: Arc::clone(self), number, read }
    }

    /// The first layer that is being read, if it stands before `number`.
    fn first_before(&self, number: usize) -> Option<Arc<AtomicU64>> {
        self.reading().range(..number).next().map(|(_, read)| Arc::clone(read))
    }

    fn reading(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<AtomicU64>>> {
        // Each change is one call, so a poisoned lock guards a whole map too.
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InLine {
    /// Takes note that bytes of this layer were handed out.
    pub(super) fn note(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Waits until no layer before this one comes faster than it can be unpacked; `None`: it need not wait at all.
    pub(super) fn wait(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        self.line.first_before(self.number)?;
        let (line, number) = (Arc::clone(&self.line), self.number);
        Some(async move {
            let deadline = Instant::now() + LONGEST;
            while Instant::now() < deadline
                && let Some(first) = line.first_before(number)
            {
                let (since, before) = (Instant::now(), first.load(Ordering::Relaxed));
                // Whoever is over may leave another one before this.
                if timeout(LOOK, line.over.notified()).await.is_ok() {
                    continue;
                }
                let came = first.load(Ordering::Relaxed) - before;
                #[expect(clippy::cast_precision_loss, reason = "bytes of some milliseconds lie far below 2^52")]
                let rate = came as f64 / since.elapsed().as_secs_f64();
                // One that has just begun is given the time of one look.
                if rate < ENOUGH && before > 0 || came == 0 {
                    return;
                }
            }
        })
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        let mut reading = self.line.reading();
        // Another reader of the same layer stands in its place.
        if reading.get(&self.number).is_some_and(|read| Arc::ptr_eq(read, &self.read)) {
            reading.remove(&self.number);
        }
        drop(reading);
        self.line.over.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::{LONGEST, LOOK, Line};

    /// What comes in a millisecond at the rate of a fast line, and of one that is not.
    const FAST: usize = 500_000;
    const SLOW: usize = 100_000;

    /// Reads `milliseconds` long.
    async fn read(line: Arc<Line>, number: usize, each: usize, milliseconds: u32) {
        let layer = line.join(number);
        for _ in 0..milliseconds {
            sleep(Duration::from_millis(1)).await;
            layer.note(each);
        }
    }

    /// How long the layer with number 1 waits for one that is read like this.
    async fn waited(number: usize, each: usize, milliseconds: u32) -> Duration {
        let line = Arc::<Line>::default();
        let first = tokio::spawn(read(Arc::clone(&line), number, each, milliseconds));
        sleep(Duration::from_millis(1)).await;
        let begun = Instant::now();
        let second = line.join(1);
        if let Some(wait) = second.wait() {
            wait.await;
        }
        let waited = begun.elapsed();
        first.abort();
        waited
    }

    #[tokio::test(start_paused = true)]
    async fn a_layer_waits_while_one_before_it_comes_faster_than_it_is_unpacked() {
        let waited = waited(0, FAST, 100).await;
        assert!((95..=101).contains(&waited.as_millis()), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_layer_that_comes_slowly_or_not_at_all() {
        for each in [SLOW, 0] {
            let waited = waited(0, each, 10_000).await;
            assert!(waited <= LOOK * 2, "{each}: {waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_layer_behind_it_nor_without_end() {
        assert_eq!(waited(2, FAST, 100).await, Duration::ZERO);
        let waited = waited(0, FAST, 60_000).await;
        assert!(waited >= LONGEST && waited < LONGEST + LOOK * 2, "{waited:?}");
    }
}
