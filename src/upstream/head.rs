//! The head of a blob: how long it is, without its bytes.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::check::{content_range, length};
use super::locate::Wanted;
use super::range::ByteRange;
use super::send::{Budget, Question};
use super::{Pull, Upstream, UpstreamError, answer};
use crate::http::Body;
use crate::http::body::empty;
use crate::http::headers;
use crate::oci::Digest;

impl Upstream {
    /// A presigned URL is good for GET only, so where the registry redirects a HEAD the first byte is fetched and the
    /// length read from its range.
    pub(super) async fn blob_head(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        budget: &Budget,
    ) -> Result<Response<Body>, UpstreamError> {
        let question = Question {
            method: Method::HEAD,
            target: format!("/v2/{}/blobs/{digest}", pull.place.repository),
            headers: headers::to_registry(&HeaderMap::new()),
        };
        let response = self.ask(&pull.place, &question, budget).await?;
        if response.status() == StatusCode::OK {
            return Ok(answer(StatusCode::OK, response.headers(), empty()));
        }
        let unexpected = |what| UpstreamError::Unexpected { host: pull.place.host.to_string(), what };
        if !response.status().is_redirection() {
            return Err(unexpected("a blob's head without status 200"));
        }
        let first = Wanted::of(Some(ByteRange::Between(0, 0)));
        let opened = self.open(&pull.place, digest, first, budget).await?;
        let headers = opened.response.headers();
        let total = match opened.response.status() {
            StatusCode::PARTIAL_CONTENT => content_range(headers).and_then(|range| range.total),
            // An empty blob has no first byte.
            StatusCode::RANGE_NOT_SATISFIABLE => Some(0),
            _ => length(headers),
        };
        let total = total.ok_or_else(|| unexpected("a blob without a length"))?;
        let mut answer = answer(StatusCode::OK, headers, empty());
        answer.headers_mut().remove(CONTENT_RANGE);
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(total));
        Ok(answer)
    }
}
