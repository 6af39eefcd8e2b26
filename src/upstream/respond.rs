//! The forms that the answer to a blob request has. Pure.

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode};

use super::check::length;
use super::fetch::Span;
use super::next::Small;
use super::range::ByteRange;
use crate::http::Body;
use crate::http::body::{empty, full};
use crate::telemetry::pulls::FromMemory;

/// A blob that is in memory, or a range of it.
pub(super) fn from_memory(small: &Small, range: Option<ByteRange>) -> Response<Body> {
    let bytes = &small.bytes;
    let total = bytes.len() as u64;
    let part = match range {
        None => 0..total,
        Some(range) => match range.within(total) {
            Some(part) => part,
            None => return not_satisfiable(Some(total)),
        },
    };
    let at = |position: u64| usize::try_from(position).unwrap_or(bytes.len());
    let mut response = Response::new(full(bytes.slice(at(part.start)..at(part.end))));
    response.extensions_mut().insert(FromMemory);
    response.extensions_mut().insert(small.trail.clone());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if range.is_some() {
        say_range(&mut response, Span { position: part.start, end: part.end }, total);
    }
    response
}

/// The answer to a request for all of a blob, as the answer to `bytes=0-`. Of an empty blob there is no range.
pub(super) fn as_range_of_all(mut answer: Response<Body>) -> Response<Body> {
    if let (StatusCode::OK, Some(total @ 1..)) = (answer.status(), length(answer.headers())) {
        say_range(&mut answer, Span { position: 0, end: total }, total);
    }
    answer
}

/// Makes it the answer to a range.
pub(super) fn say_range(answer: &mut Response<Body>, span: Span, total: u64) {
    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    let value = format!("bytes {}-{}/{total}", span.position, span.end - 1);
    // Digits are always a header value.
    if let Ok(value) = HeaderValue::from_str(&value) {
        answer.headers_mut().insert(CONTENT_RANGE, value);
    }
}

/// Hands the URL on to the client, which then needs a route to the bucket itself.
pub(super) fn redirect(location: Option<HeaderValue>) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().extend(location.map(|location| (LOCATION, location)));
    response
}

/// To a range that lies outside of an object of `total` bytes, where that is known.
pub(super) fn not_satisfiable(total: Option<u64>) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    let value = total.and_then(|total| HeaderValue::from_str(&format!("bytes */{total}")).ok());
    response.headers_mut().extend(value.map(|value| (CONTENT_RANGE, value)));
    response
}
