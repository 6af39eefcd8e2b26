//! What to make of a proxy's answer.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, Response, StatusCode};

use crate::http::Body;
use crate::http::headers::X_OSS_REQUEST_ID;

/// What to make of an answer.
pub(super) enum Verdict {
    /// It is what was asked for.
    Take(Response<Body>),
    /// The bucket said something; it is to say so itself.
    AskOrigin,
    /// The proxy does not do its work.
    Broken(String),
}

/// Judges an answer to a request for `range`.
pub(super) fn judge(mut response: Response<Body>, range: Option<&str>) -> Verdict {
    let (status, headers) = (response.status(), response.headers());
    match (status, range) {
        (StatusCode::OK, None) => Verdict::Take(response),
        (StatusCode::PARTIAL_CONTENT, Some(_)) => Verdict::Take(response),
        // dfdaemon sends exactly the range, says so in Content-Range, and calls it 200.
        (StatusCode::OK, Some(asked)) if is_range(headers, asked) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            Verdict::Take(response)
        }
        // As OSS answers a range that reaches beyond the end (cloud fact sheet, section 7.3).
        (StatusCode::OK, Some(asked)) if holds_all(headers, asked) => Verdict::Take(response),
        (StatusCode::OK, Some(_)) => Verdict::Broken("it does not honour ranges".to_owned()),
        // It tells the refusals of OSS from the proxy's own.
        _ if headers.contains_key(X_OSS_REQUEST_ID) => Verdict::AskOrigin,
        _ => Verdict::Broken(format!("it answers {}", status.as_u16())),
    }
}

/// Whether `Content-Range` says what was asked for, as far as the blob reaches.
fn is_range(headers: &HeaderMap, asked: &str) -> bool {
    let said = text(headers, CONTENT_RANGE.as_str()).and_then(|said| said.strip_prefix("bytes "));
    let said = said.and_then(|said| said.split('/').next()).and_then(ends);
    let asked = asked.strip_prefix("bytes=").and_then(ends);
    matches!((said, asked), (Some((first, last)), Some((wanted, end))) if first == wanted && last <= end)
}

/// Whether the whole blob is no more than what was asked for.
fn holds_all(headers: &HeaderMap, asked: &str) -> bool {
    let length: Option<u64> = text(headers, CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
    let asked = asked.strip_prefix("bytes=").and_then(ends);
    matches!((length, asked), (Some(length), Some((0, end))) if length <= end.saturating_add(1))
}

/// `first-last`; a range without an end reaches to the end.
fn ends(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, if last.is_empty() { u64::MAX } else { last.parse().ok()? }))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
