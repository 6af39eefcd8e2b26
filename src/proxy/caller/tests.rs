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

/// Check 15 (`tests/it/peers.rs`).
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
