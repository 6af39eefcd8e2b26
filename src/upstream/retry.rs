//! When a request is tried again, before its response head has gone to the client. Pure.
//!
//! containerd asks a mirror once and goes on elsewhere, so what can heal within seconds is waited for here. All tries of
//! one pull request share one budget; no second loop stands around this one.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::clock::{Timestamp, until};

/// All tries together. containerd 2.3 and later gives a head 30 s, and the answer must be there in 25.
pub(super) const BUDGET: Duration = Duration::from_secs(20);
/// How long one try may take to its response head; two of them fit in the budget.
pub(super) const HEAD_LIMIT: Duration = Duration::from_secs(9);
/// Most tries of one request at one place: with the pauses between them, they outlast twelve seconds in which every try fails
/// at once. Trouble comes together: a bucket that closes every connection takes four tries within two seconds, and a name
/// server that is silent after it one more and seven seconds.
const MOST_TRIES: u32 = 9;
/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause of our own choosing.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// What must remain after a pause for another try to make sense.
const ENOUGH: Duration = Duration::from_millis(500);

/// How a try failed, as far as it matters for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection, or one that went away before a byte came: nothing was done, so it is free to ask again.
    Connection,
    /// No head in time.
    Silence,
    /// 429, with the pause that was asked for.
    Throttled(Option<Duration>),
    /// 5xx, with the pause that was asked for.
    Broken(Option<Duration>),
}

/// How long to wait after the try number `tries` (the first is 1) failed with `remaining` of the budget left; `None`: no
/// more tries.
pub(super) fn pause(tries: u32, failure: Failure, remaining: Duration) -> Option<Duration> {
    if tries >= MOST_TRIES {
        return None;
    }
    let own = FIRST_PAUSE.saturating_mul(1 << (tries.saturating_sub(1)).min(16)).min(LONGEST_PAUSE);
    let wait = match failure {
        // The usual cause is a pooled connection that the other side had closed.
        Failure::Connection if tries == 1 => Duration::ZERO,
        Failure::Connection => own,
        Failure::Silence => Duration::ZERO,
        Failure::Throttled(asked) | Failure::Broken(asked) => asked.unwrap_or(own).max(own),
    };
    (wait + ENOUGH <= remaining).then_some(wait)
}

/// `Retry-After`, in seconds or as a date (RFC 9110 section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(until(now, Timestamp::try_from(date).ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::{BUDGET, Failure, MOST_TRIES, pause, retry_after};
    use crate::clock::Timestamp;

    #[test]
    fn tries_end_with_their_number_and_with_the_budget() {
        assert_eq!(pause(1, Failure::Connection, BUDGET), Some(Duration::ZERO));
        assert_eq!(pause(2, Failure::Connection, BUDGET), Some(Duration::from_millis(200)));
        assert_eq!(pause(MOST_TRIES, Failure::Connection, BUDGET), None);
        assert_eq!(pause(1, Failure::Broken(None), Duration::from_millis(100)), None);
        let all: Duration = (1..MOST_TRIES).filter_map(|tries| pause(tries, Failure::Broken(None), BUDGET)).sum();
        assert!(all < BUDGET * 2 / 3, "{all:?}");
    }

    #[test]
    fn a_pause_that_was_asked_for_is_kept_or_not_tried_at_all() {
        let asked = |seconds| Failure::Throttled(Some(Duration::from_secs(seconds)));
        assert_eq!(pause(1, asked(5), BUDGET), Some(Duration::from_secs(5)));
        assert_eq!(pause(1, asked(60), BUDGET), None);
        assert_eq!(pause(1, asked(0), BUDGET), Some(Duration::from_millis(100)));
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let read = |value| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", HeaderValue::from_static(value));
            retry_after(&headers, Timestamp::UNIX_EPOCH)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("Thu, 01 Jan 1970 00:00:09 GMT"), Some(Duration::from_secs(9)));
        assert_eq!(read("soon"), None);
    }
}
