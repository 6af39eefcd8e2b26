//! From a URL of the registry to the bytes of a blob: the hops behind its redirect.
//!
//! Each hop is a request made from nothing: method, URL, who asks, and the range. No header of the client, of the
//! registry or of an earlier hop travels, above all no `Authorization`, which a bucket would refuse and nobody but the
//! registry may see. A URL is sent byte for byte as it came.

use http::header::{LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tokio::time::{Instant, sleep};

use super::allow::is_bucket;
use super::locate::Opened;
use super::retry;
use super::send::{Budget, error_text, failure, throttled};
use super::{Upstream, UpstreamError};
use crate::http::Body;
use crate::http::body::empty;
use crate::http::forward::Via;
use crate::http::headers;
use crate::http::origin::{SafeUri, UriError};
use crate::http::signed_url;
use crate::telemetry::metrics::{Outcome, Target};

/// Most hops behind the registry's redirect; ACR needs one.
const MOST_HOPS: usize = 5;

/// Why a URL led to no bytes.
pub(super) enum FollowError {
    /// The URL may have been too old, or its signer's key has changed: a new one may help.
    Stale(UpstreamError),
    Final(UpstreamError),
}

impl From<UpstreamError> for FollowError {
    fn from(error: UpstreamError) -> Self {
        Self::Final(error)
    }
}

impl Upstream {
    /// Goes from a URL to the bytes behind it.
    pub(super) async fn follow(
        &self,
        mut uri: SafeUri,
        range: Option<&HeaderValue>,
        budget: &Budget,
    ) -> Result<Opened, FollowError> {
        for _ in 0..MOST_HOPS {
            let host = uri.origin().host().to_owned();
            let begun = Instant::now();
            let response = self.fetch_from(&uri, range, budget).await?;
            self.to_bucket.note(&host, begun.elapsed());
            let slow = self.bucket_is_far() || uri.query().is_some_and(signed_url::is_limited);
            match response.status() {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                    return Ok(Opened { response, host, slow, first: None });
                }
                status if status.is_redirection() => {
                    let next = location(&response).and_then(|location| uri.join(location));
                    uri = self.admit(next.map_err(|source| UpstreamError::RedirectMalformed { host, source })?)?;
                }
                StatusCode::FORBIDDEN => return Err(FollowError::Stale(refused(&uri, response, budget).await)),
                _ => return Err(refused(&uri, response, budget).await.into()),
            }
        }
        let host = uri.origin().host().to_owned();
        Err(UpstreamError::RedirectRefused { host, rule: "too many hops" }.into())
    }

    /// One hop, with its tries.
    async fn fetch_from(
        &self,
        uri: &SafeUri,
        range: Option<&HeaderValue>,
        budget: &Budget,
    ) -> Result<Response<Body>, UpstreamError> {
        let host = || uri.origin().host().to_owned();
        let mut tries = 0;
        loop {
            tries += 1;
            let mut request = uri
                .request(Method::GET)
                .body(empty())
                .map_err(|_| UpstreamError::Unexpected { host: host(), what: "its URL makes no request" })?;
            *request.headers_mut() = with_range(headers::to_blob_host(), range);
            let result = self.once(&self.parts.blob_client, Target::Oss, request, budget).await;
            let (failure, error) = match result {
                // Elsewhere the same bytes may be in reach, which is quicker than to wait here.
                Err(error) if error.is_connect() && self.hosts.has_another_than(uri.origin().host()) => {
                    return Err(error.into());
                }
                Err(error) => (failure(&error), error.into()),
                Ok(response) => {
                    self.count_proxied(&response);
                    let asked = retry::retry_after(response.headers(), self.parts.clock.now());
                    let status = response.status();
                    if throttled(&response) {
                        (retry::Failure::Throttled(asked), UpstreamError::Throttled { host: host() })
                    } else if status.is_server_error() {
                        (retry::Failure::Broken(asked), UpstreamError::Broken { host: host(), status })
                    } else {
                        return Ok(response);
                    }
                }
            };
            let Some(pause) = retry::pause(tries, failure, budget.remaining()) else { return Err(error) };
            tracing::debug!(%uri, tries, error = %error, "asking the blob host again");
            self.parts.metrics.upstream_retry(Target::Oss, Outcome::Failed);
            sleep(pause).await;
        }
    }

    /// Counts which way an answer came.
    fn count_proxied(&self, response: &Response<Body>) {
        match response.extensions().get() {
            Some(Via::Proxy) => self.parts.metrics.blob_proxied(Outcome::Ok),
            Some(Via::Instead) => self.parts.metrics.blob_proxied(Outcome::Failed),
            None => {}
        }
    }

    /// Holds a URL against the rules. Plain http to a bucket becomes https, since ACR still hands out such URLs and the
    /// scheme takes no part in the signature (cloud fact sheet, section 7.1).
    pub(super) fn admit(&self, uri: SafeUri) -> Result<SafeUri, UpstreamError> {
        let uri = if is_bucket(uri.origin().host()) { uri.over_tls() } else { uri };
        let rule = if !uri.origin().is_https() {
            "it is plain http"
        } else if !self.blob_hosts.allow(uri.origin()) {
            "it is no bucket and not in network.blobHosts"
        } else {
            return Ok(uri);
        };
        Err(UpstreamError::RedirectRefused { host: uri.origin().host().to_owned(), rule })
    }
}

pub(super) fn with_range(mut headers: HeaderMap, range: Option<&HeaderValue>) -> HeaderMap {
    if let Some(range) = range {
        headers.insert(RANGE, range.clone());
    }
    headers
}

pub(super) fn location(response: &Response<Body>) -> Result<&str, UriError> {
    let value = response.headers().get(LOCATION).ok_or(UriError::Malformed)?;
    value.to_str().map_err(|_| UriError::Malformed)
}

/// Only the code of OSS' error document is taken: its message may repeat the signed text.
async fn refused(uri: &SafeUri, response: Response<Body>, budget: &Budget) -> UpstreamError {
    let (host, status) = (uri.origin().host().to_owned(), response.status());
    let request_id = headers::oss_request_id(response.headers()).map(str::to_owned);
    let text = error_text(response, budget).await.unwrap_or_default();
    let code = code(&String::from_utf8_lossy(&text), uri.query()).unwrap_or_default().to_owned();
    UpstreamError::BucketRefused { host, status, code, request_id }
}

/// The code of the error document that a bucket answers to a URL with this query. It is no piece of the URL: a V4 signature
/// has the characters of a code.
pub(super) fn code<'a>(document: &'a str, query: Option<&str>) -> Option<&'a str> {
    let (_, rest) = document.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let repeated = query.is_some_and(|query| signed_url::is_repeated_in(code, query));
    (headers::is_word(code) && !repeated).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn a_signature_is_no_code() {
        let signature = "4d66b4b8a3b5e6f0c1d2e3f4a5b6c7d8e9f00112233445566778899aabbccdde";
        let query = format!("x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-signature={signature}&x-oss-expires=60");
        let document = |word: &str| format!("<Error><Code>{word}</Code><Message>{signature}</Message></Error>");
        for word in [
            signature,
            signature.split_at(40).1,
            signature.split_at(50).0,
            &signature.to_uppercase(),
            "two words",
            "<x>",
        ] {
            assert_eq!(code(&document(word), Some(&query)), None, "{word}");
        }
        for word in ["SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied"] {
            assert_eq!(code(&document(word), Some(&query)), Some(word));
        }
    }
}
