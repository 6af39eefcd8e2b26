//! The bearers of one instance, by host and scope: which are kept fresh, and which are forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use super::bearer::BearerSource;
use crate::clock::{Timestamp, until};
use crate::oci::{RegistryHost, Scope};
use crate::refresh::RefreshCell;

/// Most scopes remembered at once; a bearer takes about 2 KiB.
const MOST: usize = 4096;
/// Bearers of repositories that were pulled within this time are kept fresh.
const IN_USE: Duration = Duration::from_mins(15);
/// Bearers that nobody asked for in this time are forgotten.
const FORGOTTEN: Duration = Duration::from_hours(1);

/// One scope at one registry host.
pub(super) type Key = (RegistryHost, Scope);

/// A cell for each scope that was asked for.
#[derive(Debug, Default)]
pub(super) struct Bearers {
    entries: DashMap<Key, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    cell: RefreshCell<BearerSource>,
    /// When it was last asked for, in epoch milliseconds.
    used: AtomicI64,
}

impl Entry {
    fn idle(&self, now: Timestamp) -> Duration {
        let used = Timestamp::from_millisecond(self.used.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX);
        until(used, now)
    }
}

impl Bearers {
    /// The cell of a scope, which counts as asked for now.
    pub(super) fn find_or_insert(
        &self,
        key: Key,
        now: Timestamp,
        new: impl FnOnce() -> RefreshCell<BearerSource>,
    ) -> RefreshCell<BearerSource> {
        let now = now.as_millisecond();
        if let Some(entry) = self.entries.get(&key) {
            entry.used.store(now, Ordering::Relaxed);
            return entry.cell.clone();
        }
        if self.entries.len() >= MOST {
            self.make_room();
        }
        // Made before the map is locked: it looks into maps of its own.
        let cell = new();
        let entry = self.entries.entry(key).or_insert_with(|| Arc::new(Entry { cell, used: AtomicI64::new(now) }));
        entry.cell.clone()
    }

    /// The cell of a scope that was asked for before.
    pub(super) fn find(&self, key: &Key) -> Option<RefreshCell<BearerSource>> {
        self.entries.get(key).map(|entry| entry.cell.clone())
    }

    /// Renews what is in use and forgets what is not. Needs a runtime.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.entries.retain(|_, entry| entry.idle(now) < FORGOTTEN);
        // Nothing is started while the map is locked.
        let entries: Vec<_> = self.entries.iter().map(|entry| Arc::clone(&entry)).collect();
        for entry in entries {
            // A bearer that was never got is asked for by pulls only: a repository may simply not exist.
            if entry.idle(now) < IN_USE && entry.cell.has_held() {
                entry.cell.nudge();
            }
        }
    }

    /// Forgets the quarter that was not asked for the longest.
    fn make_room(&self) {
        let mut used: Vec<i64> = self.entries.iter().map(|entry| entry.used.load(Ordering::Relaxed)).collect();
        let quarter = used.len() / 4;
        if quarter < used.len() {
            let (_, limit, _) = used.select_nth_unstable(quarter);
            let limit = *limit;
            self.entries.retain(|_, entry| entry.used.load(Ordering::Relaxed) > limit);
        }
    }
}
