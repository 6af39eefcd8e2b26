//! Values that are refused one after the other: which refusals are followed by a load at once, and since when loads are
//! put off.
//!
//! Told by the monotonic timer, and by nothing that the values say of themselves: what lives for ten seconds never gets
//! old, and the cloud's clock may be set in between.

use std::time::Duration;

use tokio::time::Instant;

/// A refusal that comes within this time of the last one counts as one more of the same trouble, so that a registry that
/// refuses everything does not turn each pull into a chain of calls. Longer than the longest pause between two loads.
const IN_A_ROW: Duration = Duration::from_secs(60);
/// After the first of a row, so many are followed by a new load at once: enough for a login, its session and the session
/// before that to be revoked together.
const FREE: u32 = 3;

/// The last row of refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    last: Option<Instant>,
    /// How many came after the first.
    more: u32,
    put_off_since: Option<Instant>,
}

impl Refusals {
    /// Counts one. What it returns is 0 where a load may follow at once, else how many were too many.
    pub(super) fn count(&mut self) -> u32 {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < IN_A_ROW) {
            self.more += 1;
        } else {
            *self = Self::default();
        }
        self.last = Some(now);
        let too_many = self.more.saturating_sub(FREE);
        if too_many > 0 {
            self.put_off_since.get_or_insert(now);
        }
        too_many
    }

    /// When the row went on for so long that a load was put off.
    pub(super) const fn put_off_since(&self) -> Option<Instant> {
        self.put_off_since
    }
}
