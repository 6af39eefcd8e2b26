//! How far away a host is, told by how soon it answers.
//!
//! An answer is late because the host is far away, or because somebody was busy: the host, this node, or a connection that
//! had yet to be opened. Only the first is always there, so the quickest answer of late tells it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A host whose head takes this long is far away: more than a data centre, less than the next region.
const FAR: Duration = Duration::from_millis(8);
/// How long an answer counts at least; routes change, and what was near may not be any more.
const OF_LATE: Duration = Duration::from_mins(1);

/// The distance to whichever host was asked last.
#[derive(Debug, Default)]
pub(super) struct Distance(Mutex<Option<Answers>>);

#[derive(Debug)]
struct Answers {
    host: String,
    /// The quickest since then, and in the period before.
    since: Instant,
    quickest: Duration,
    before: Duration,
}

impl Distance {
    /// Takes note that `host` answered after `took`.
    pub(super) fn note(&self, host: &str, took: Duration) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &mut *answers {
            Some(known) if known.host == host => {
                if now.duration_since(known.since) >= OF_LATE {
                    known.before = known.quickest;
                    known.quickest = took;
                    known.since = now;
                }
                known.quickest = known.quickest.min(took);
            }
            answers => {
                *answers = Some(Answers { host: host.to_owned(), since: now, quickest: took, before: Duration::MAX });
            }
        }
    }

    /// Whether that host is far away; nobody knows before it has answered once.
    pub(super) fn is_far(&self) -> Option<bool> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.as_ref().map(|known| known.quickest.min(known.before) >= FAR)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Distance, FAR, OF_LATE};

    const NEAR: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn one_quick_answer_tells_more_than_many_late_ones() {
        let distance = Distance::default();
        assert_eq!(distance.is_far(), None);
        distance.note("a", FAR * 3);
        assert_eq!(distance.is_far(), Some(true), "a first guess");
        distance.note("a", NEAR);
        distance.note("a", FAR * 9);
        assert_eq!(distance.is_far(), Some(false));
        distance.note("b", FAR * 3);
        assert_eq!(distance.is_far(), Some(true), "another host");
    }

    #[tokio::test(start_paused = true)]
    async fn what_became_far_is_found_out() {
        let distance = Distance::default();
        distance.note("a", NEAR);
        for (period, far) in [(1, false), (2, true)] {
            tokio::time::advance(OF_LATE).await;
            distance.note("a", FAR);
            assert_eq!(distance.is_far(), Some(far), "{period}");
        }
    }
}
