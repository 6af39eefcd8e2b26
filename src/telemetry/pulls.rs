//! The pulls of the last minutes: what people want to see first when they ask whether the mirror works at all.
//!
//! Promises: bounded in number, whatever clients ask for, and nothing but what a client named and how it ended. It is
//! for the status page and never becomes a metric label.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::metrics::{Kind, Method};
use crate::clock::{Timestamp, until};
use crate::oci::{InstanceId, Reference, RepositoryName};

/// Most pulls that are remembered: an image of a dozen layers on each of some pods that start together, and at about
/// 300 bytes each nothing to a node.
const MOST: usize = 100;

/// How long a pull is shown.
const SHOWN: Duration = Duration::from_mins(15);

/// How the answer to a pull request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every byte was delivered.
    Complete,
    /// The blob was handed over to the bucket; the client fetches the bytes there.
    Redirected,
    /// The body could not be completed and was cut.
    Cut,
    /// The client left before the end.
    Left,
    /// There was no content, but an error.
    Refused,
}

impl Outcome {
    /// The word in the audit log and on the status page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Redirected => "redirected",
            Self::Cut => "cut",
            Self::Left => "left",
            Self::Refused => "refused",
        }
    }
}

/// One pull request that has ended.
#[derive(Debug, Clone)]
pub struct RecentPull {
    /// When it ended.
    pub at: Timestamp,
    /// The instance it was for.
    pub instance: InstanceId,
    /// Manifest or blob.
    pub kind: Kind,
    /// Whether content was asked for, or only its head.
    pub method: Method,
    /// The repository.
    pub repository: RepositoryName,
    /// The tag or digest.
    pub reference: Reference,
    /// The digest of the content, where it is known.
    pub digest: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of content that were delivered.
    pub bytes: u64,
    /// From the request head to the end of the answer.
    pub took: Duration,
    /// How often the upstream's stream broke and was continued.
    pub resumes: u32,
    /// Whether the bytes were here before they were asked for.
    pub from_memory: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// The id that the client was given.
    pub request_id: String,
}

/// The pulls of the last minutes; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RecentPulls(Arc<Mutex<VecDeque<RecentPull>>>);

impl RecentPulls {
    /// Remembers a pull, and forgets the oldest where there are too many.
    pub fn push(&self, pull: RecentPull) {
        let mut pulls = self.pulls();
        if pulls.len() >= MOST {
            pulls.pop_front();
        }
        pulls.push_back(pull);
    }

    /// Those that are young enough to be shown, the newest first.
    #[must_use]
    pub fn shown(&self, now: Timestamp) -> Vec<RecentPull> {
        self.pulls().iter().rev().filter(|pull| until(pull.at, now) < SHOWN).cloned().collect()
    }

    fn pulls(&self) -> MutexGuard<'_, VecDeque<RecentPull>> {
        // It is whole after every line above, so a poisoned lock guards a whole queue too.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most of the cloud's request ids that are kept of one pull. A blob in parts has hundreds; the first ones and the last,
/// after which it ended, are what a support ticket needs.
const MOST_IDS: usize = 8;

/// What happened on the way of one answer: how often its body was continued, and what the cloud calls the requests that
/// brought it. It travels with the response (as an extension), since who fetches a body and who reports on its end are
/// different parts.
#[derive(Debug, Clone, Default)]
pub struct Trail(Arc<Steps>);

#[derive(Debug, Default)]
struct Steps {
    resumes: AtomicU32,
    cloud_request_ids: Mutex<Vec<Box<str>>>,
}

impl Trail {
    /// The body was continued once more.
    pub fn resumed(&self) {
        self.0.resumes.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was continued so far.
    #[must_use]
    pub fn resumes(&self) -> u32 {
        self.0.resumes.load(Ordering::Relaxed)
    }

    /// A request of this name was answered; where there are too many, the last takes the place of the one before it.
    pub fn answered(&self, cloud_request_id: &str) {
        let mut ids = self.ids();
        ids.truncate(MOST_IDS - 1);
        ids.push(cloud_request_id.into());
    }

    /// The cloud's request ids with commas between them, in the order in which they were noted; `None` where there are none.
    #[must_use]
    pub fn cloud_request_ids(&self) -> Option<String> {
        let ids = self.ids();
        (!ids.is_empty()).then(|| ids.join(","))
    }

    fn ids(&self) -> MutexGuard<'_, Vec<Box<str>>> {
        // A list that lacks its last entry is still a list.
        self.0.cloud_request_ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks an answer whose bytes were in memory before they were asked for: kept from another pull, or fetched ahead of this
/// one. It travels as a [`Trail`] does.
#[derive(Debug, Clone, Copy)]
pub struct FromMemory;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MOST, MOST_IDS, Outcome, RecentPull, RecentPulls, SHOWN, Trail};
    use crate::clock::{Timestamp, later};
    use crate::oci::{InstanceId, Reference, RepositoryName, Tag};
    use crate::telemetry::metrics::{Kind, Method};

    fn pull(at: Timestamp, reference: &str) -> RecentPull {
        RecentPull {
            at,
            instance: InstanceId::parse("cri-1").unwrap(),
            kind: Kind::Blob,
            method: Method::Get,
            repository: RepositoryName::parse("team/app").unwrap(),
            reference: Reference::Tag(Tag::parse(reference).unwrap()),
            digest: None,
            status: 200,
            bytes: 1,
            took: Duration::ZERO,
            resumes: 0,
            from_memory: false,
            outcome: Outcome::Complete,
            request_id: "1".to_owned(),
        }
    }

    #[test]
    fn the_newest_come_first_and_the_old_are_not_shown() {
        let pulls = RecentPulls::default();
        let start = Timestamp::UNIX_EPOCH;
        pulls.push(pull(start, "old"));
        pulls.push(pull(later(start, SHOWN / 2), "middle"));
        pulls.push(pull(later(start, SHOWN), "new"));
        let shown: Vec<_> =
            pulls.shown(later(start, SHOWN)).into_iter().map(|pull| pull.reference.to_string()).collect();
        assert_eq!(shown, ["new", "middle"]);
    }

    #[test]
    fn a_storm_of_pulls_takes_no_more_room_than_was_set_aside() {
        let pulls = RecentPulls::default();
        for number in 0..MOST * 3 {
            pulls.push(pull(Timestamp::UNIX_EPOCH, &number.to_string()));
        }
        let shown = pulls.shown(Timestamp::UNIX_EPOCH);
        assert_eq!(shown.len(), MOST);
        assert_eq!(shown[0].reference.to_string(), (MOST * 3 - 1).to_string());
    }

    #[test]
    fn of_a_blob_in_many_parts_the_first_requests_and_the_last_are_named() {
        let trail = Trail::default();
        assert_eq!(trail.cloud_request_ids(), None);
        for number in 1..=MOST_IDS + 3 {
            trail.answered(&number.to_string());
        }
        assert_eq!(trail.cloud_request_ids().as_deref(), Some("1,2,3,4,5,6,7,11"));
    }
}
