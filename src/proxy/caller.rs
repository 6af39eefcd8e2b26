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

    /// Whether the sender of these headers may pull.
    pub(super) async fn admit(&self, headers: &HeaderMap) -> Result<(), NotAdmitted> {
        if self.source.load().is_none() {
            return Ok(());
        }
        let presented = presented(headers).ok_or(NotAdmitted::NoToken)?;
        if self.known.load().has(&presented) {
            return Ok(());
        }
        self.look_since(Instant::now()).await;
        let known = self.known.load();
        match known.has(&presented) {
            true => Ok(()),
            false if known.current.is_none() => Err(NotAdmitted::Closed),
            false => Err(NotAdmitted::WrongToken),
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
fn presented(headers: &HeaderMap) -> Option<Secret> {
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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderValue};
    use tokio::time::{Instant, advance};

    use super::{Callers, GRACE, NotAdmitted, PAUSE};
    use crate::secret::Secret;

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    /// A file in memory, and how often it was looked into.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Option<&'static str>>>, Arc<AtomicUsize>);

    impl Paper {
        fn holds(&self, token: &'static str) {
            *self.0.lock().unwrap() = Some(token);
        }

        fn callers(&self) -> Arc<Callers> {
            let (callers, paper) = (Callers::everybody(), self.clone());
            callers.demand(Some(Box::new(move || {
                paper.1.fetch_add(1, Ordering::Relaxed);
                paper.0.lock().unwrap().map(Secret::new)
            })));
            callers
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_token_is_taken_in_both_forms_and_in_no_other() {
        let paper = Paper::default();
        let callers = paper.callers();
        assert_eq!(callers.admit(&with("Bearer t")).await, Err(NotAdmitted::Closed));
        paper.holds("t:1");
        for good in ["Bearer t:1", "bearer  t:1", "Basic dXNlcjp0OjE=", "basic OnQ6MQ=="] {
            assert_eq!(callers.admit(&with(good)).await, Ok(()), "{good}");
        }
        for wrong in ["Bearer t:", "Bearer t:11", "Bearer T:1", "Basic dXNlcjp0", "Bearer "] {
            assert_eq!(callers.admit(&with(wrong)).await, Err(NotAdmitted::WrongToken), "{wrong}");
        }
        for none in ["t:1", "Bearer", "Digest t:1", "Basic t:1", "Basic dDE=", ""] {
            assert_eq!(callers.admit(&with(none)).await, Err(NotAdmitted::NoToken), "{none}");
        }
        let mut twice = with("Bearer t:1");
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer t:1"));
        assert_eq!(callers.admit(&twice).await, Err(NotAdmitted::NoToken));
        assert_eq!(callers.admit(&HeaderMap::new()).await, Err(NotAdmitted::NoToken));
        callers.demand(None);
        assert_eq!(callers.admit(&HeaderMap::new()).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rotation_fails_nobody_and_the_old_token_ends_with_its_grace() {
        let paper = Paper::default();
        paper.holds("old");
        let callers = paper.callers();
        assert!(callers.renew().await);
        paper.holds("new");
        assert_eq!(callers.admit(&with("Bearer old")).await, Ok(()), "before anybody looked");
        assert_eq!(callers.admit(&with("Bearer new")).await, Ok(()), "at once");
        advance(GRACE / 2).await;
        *paper.0.lock().unwrap() = None;
        assert!(callers.renew().await, "a file that is gone for a moment takes nothing away");
        for token in ["Bearer old", "Bearer new"] {
            assert_eq!(callers.admit(&with(token)).await, Ok(()), "{token}");
        }
        advance(GRACE / 2).await;
        assert_eq!(callers.admit(&with("Bearer old")).await, Err(NotAdmitted::WrongToken));
        assert_eq!(callers.admit(&with("Bearer new")).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_wrong_tokens_reads_the_file_ten_times_a_second() {
        let paper = Paper::default();
        paper.holds("right");
        let callers = paper.callers();
        callers.renew().await;
        let (begun, wrong) = (Instant::now(), with("Bearer wrong"));
        let crowd = (0..500).map(|_| callers.admit(&wrong));
        let answers = futures_util::future::join_all(crowd).await;
        assert!(answers.iter().all(|answer| *answer == Err(NotAdmitted::WrongToken)));
        assert!(begun.elapsed() <= 2 * PAUSE, "{:?}", begun.elapsed());
        for _ in 0..10 {
            assert!(callers.admit(&wrong).await.is_err());
        }
        assert!(begun.elapsed() >= Duration::from_secs(1), "guessing is slow");
        assert!(paper.1.load(Ordering::Relaxed) <= 13, "{}", paper.1.load(Ordering::Relaxed));
    }
}
