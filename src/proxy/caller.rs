//! Who may pull: everybody who reaches the address, or whoever knows the client token (`clientAuth` of the
//! configuration).
//!
//! Promises: a token is compared in constant time, is never logged and never passed on; a new token is accepted as soon
//! as it stands in the file, and one that it replaced for [`GRACE`] more, so that neither order of the two files in a
//! rotation fails a pull. Must not: answer 401, which would draw credentials of pods towards this node.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::secret::Secret;

/// How long a token that was replaced is still good. containerd keeps the header that it has read for the rest of an
/// image (client fact sheet, section 11), and an image that takes an hour has other troubles. A restart of the daemon
/// forgets the old token at once.
const GRACE: Duration = Duration::from_hours(1);

/// Most replaced tokens that are good at a time: somebody who rotates every minute is testing, and remembers a few.
const MOST_FORMER: usize = 8;

/// The pause between two looks into the file on behalf of wrong tokens. Guessing gets no faster than this, and a pull
/// with a token that is newer than the last look is not held up noticeably.
const PAUSE: Duration = Duration::from_millis(100);

/// Gives the token that stands in the file now; `None` where there is none that can be used.
pub type ReadToken = dyn Fn() -> Option<Secret> + Send + Sync;

/// Whom the face answers.
pub struct Callers {
    source: ArcSwapOption<Box<ReadToken>>,
    known: ArcSwap<Known>,
    /// When the file was last looked into; locked while it is.
    looked: Mutex<Option<Instant>>,
}

/// The tokens that are good.
#[derive(Debug, Clone, Default)]
struct Known {
    current: Option<Secret>,
    former: Vec<(Secret, Instant)>,
}

/// Why a caller is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAdmitted {
    #[error("no client token was sent")]
    NoToken,
    #[error("the client token is wrong")]
    WrongToken,
    #[error("the daemon has no client token yet")]
    Closed,
}

impl Callers {
    /// Answers everybody who reaches the address.
    #[must_use]
    pub fn everybody() -> Arc<Self> {
        Arc::new(Self { source: ArcSwapOption::empty(), known: ArcSwap::default(), looked: Mutex::default() })
    }

    /// From now on answers those who know the token that `source` gives, and nobody before it has given one; without
    /// one, everybody. Tokens that were good before go the way of a replaced one.
    pub fn demand(&self, source: Option<Box<ReadToken>>) {
        self.source.store(source.map(Arc::new));
    }

    /// Looks for a new token. Whether there is one at all, old or new, or none is needed.
    pub async fn renew(&self) -> bool {
        self.look_since(Instant::now()).await;
        self.source.load().is_none() || self.known.load().current.is_some()
    }

    /// Whether the sender of these headers may pull; `None` where the file has to be looked into first.
    pub(super) fn knows(&self, headers: &HeaderMap) -> Option<Result<(), NotAdmitted>> {
        if self.source.load().is_none() {
            return Some(Ok(()));
        }
        let Some(presented) = presented(headers) else { return Some(Err(NotAdmitted::NoToken)) };
        self.known.load().has(&presented).then_some(Ok(()))
    }

    /// Whether the sender of these headers may pull, by the file as it is now.
    pub(super) async fn admit(&self, headers: &HeaderMap) -> Result<(), NotAdmitted> {
        if let Some(known) = self.knows(headers) {
            return known;
        }
        self.look_since(Instant::now()).await;
        match self.knows(headers) {
            Some(known) => known,
            None if self.known.load().current.is_none() => Err(NotAdmitted::Closed),
            None => Err(NotAdmitted::WrongToken),
        }
    }

    /// Reads the file, unless that was done after `moment` for somebody else.
    async fn look_since(&self, moment: Instant) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|looked| looked > moment) {
            return;
        }
        if let Some(looked) = *looked {
            sleep_until(looked + PAUSE).await;
        }
        let Some(source) = self.source.load_full() else { return };
        *looked = Some(Instant::now());
        // A file that cannot be read now takes nothing from anybody.
        if let Ok(Some(token)) = tokio::task::spawn_blocking(move || source()).await {
            let known = self.known.load();
            if known.current.as_ref() != Some(&token) {
                self.known.store(Arc::new(known.replaced_by(token)));
            }
        }
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callers").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Known {
    fn has(&self, presented: &Secret) -> bool {
        let same =
            |token: &Secret| verify_slices_are_equal(token.expose().as_bytes(), presented.expose().as_bytes()).is_ok();
        let now = Instant::now();
        let former = self.former.iter().filter(|(_, until)| *until > now).map(|(token, _)| token);
        // Every one is compared, so that the time does not tell which it was.
        former.chain(&self.current).fold(false, |found, token| found | same(token))
    }

    fn replaced_by(&self, token: Secret) -> Self {
        let now = Instant::now();
        let mut former = self.former.clone();
        former.retain(|(former, until)| *until > now && *former != token);
        former.extend(self.current.clone().map(|current| (current, now + GRACE)));
        let surplus = former.len().saturating_sub(MOST_FORMER);
        former.drain(..surplus);
        if !former.is_empty() {
            tracing::info!("the client token was replaced; the old one is good for an hour more");
        }
        Self { current: Some(token), former }
    }
}

/// The token in `Authorization`: behind `Bearer`, as containerd sends it, or the password of `Basic`, for clients that
/// know only user and password. Where the header came twice, nobody can say which was meant.
pub(super) fn presented(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Some(Secret::new(rest));
    }
    let pair = STANDARD.decode(rest).ok().filter(|_| scheme.eq_ignore_ascii_case("Basic"))?;
    let pair = Secret::new(String::from_utf8(pair).ok()?);
    pair.expose().split_once(':').map(|(_, password)| Secret::new(password))
}

#[cfg(test)]
mod tests;
