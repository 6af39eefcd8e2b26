//! What a range comes to once something was opened for it: whether it holds (`If-Range`), or lies beyond the end (416).

use http::header::{CONTENT_RANGE, ETAG, IF_RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::Pull;
use super::blob::text;
use super::locate::Opened;
use super::range;
use crate::http::Body;
use crate::http::body::empty;

/// Whether the client's range holds for what was opened (`If-Range`).
pub(super) fn is_meant(pull: &Pull, opened: &Opened) -> bool {
    let Some(condition) = pull.headers.get(IF_RANGE) else { return true };
    condition.to_str().is_ok_and(|condition| range::holds(condition, text(opened.response.headers(), &ETAG)))
}

/// 416, for an object of this length.
pub(super) fn beyond(total: u64) -> Response<Body> {
    let value = HeaderValue::from_str(&format!("bytes */{total}")).ok();
    not_satisfiable(&value.map(|value| (CONTENT_RANGE, value)).into_iter().collect())
}

/// The length that a 416 tells.
pub(super) fn unsatisfied(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_RANGE).and_then(range::total_of_unsatisfied)
}

/// 416, with the length that another tells.
pub(super) fn not_satisfiable(from: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    response.headers_mut().extend(from.get(CONTENT_RANGE).cloned().map(|value| (CONTENT_RANGE, value)));
    response
}
