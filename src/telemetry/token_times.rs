//! When what is held at one hop was issued, and when it expires.
//!
//! A chain may have several roles, which are one hop to the metrics. A pull fails with the first of their sessions that
//! dies, so that one is shown.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use prometheus::Gauge;

use super::labels::Hop;
use super::metrics::seconds;
use crate::clock::Timestamp;

/// One who holds a credential or token of a hop.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    pub(super) hop: Hop,
    number: usize,
}

/// The times of one hop of an instance.
#[derive(Debug, Default)]
pub(super) struct TokenTimes {
    /// Issue and expiry by holder.
    held: Mutex<Vec<Option<[Timestamp; 2]>>>,
    gauges: OnceLock<[Gauge; 2]>,
}

impl TokenTimes {
    /// One more holder.
    pub(super) fn one_more(&self, hop: Hop) -> Holder {
        let mut held = self.held();
        held.push(None);
        Holder { hop, number: held.len() - 1 }
    }

    /// A holder has something new, issued and expiring at these times. `gauges` are asked for with the first.
    pub(super) fn set(&self, holder: Holder, times: [Timestamp; 2], gauges: impl FnOnce() -> [Gauge; 2]) {
        // Held to the end, so that of two at once the later one shows.
        let mut held = self.held();
        if let Some(held) = held.get_mut(holder.number) {
            *held = Some(times);
        }
        let first = held.iter().flatten().min_by_key(|[_, expires]| *expires);
        for (gauge, time) in self.gauges.get_or_init(gauges).iter().zip(first.into_iter().flatten()) {
            gauge.set(seconds(*time));
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Option<[Timestamp; 2]>>> {
        // It is whole after every line above, so a poisoned lock guards a whole list too.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
