//! The one place where an error becomes an answer.
//!
//! An answer says the same short sentence twice: in the reason phrase, which is all that a failed HEAD shows to people
//! (client fact sheet, sections 0.5 and 7), and as the message of the spec's error body. It is printable ASCII and holds
//! no secret, no URL and no header of anybody.

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::caller::NotAdmitted;
use super::route::NotServed;
use crate::error::diagnosis::{Row, Sign};
use crate::error::{Blame, Explain, chain};
use crate::http::Body;
use crate::http::body::full;
use crate::oci::RequestError;
use crate::oci::error_body::{ErrorCode, printable, render};
use crate::upstream::{ErrorKind, UpstreamError};

/// In front of every sentence, so that a pod's event tells who is speaking.
const PREFIX: &str = "acr-pull-proxy: ";
/// Longest sentence with its prefix; containerd and the kubelet wrap it in much more text.
const LONGEST_SENTENCE: usize = 100;

/// Why a request gets no content.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the request headers are too large")]
    HeadersTooLarge,
    #[error("a pull has no body")]
    Body,
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    #[error(transparent)]
    NotServed(#[from] NotServed),
    #[error("too many requests at once on this node")]
    Overloaded,
    #[error("{0}")]
    NotStarted(Arc<str>),
    #[error("an internal error; the log has the details")]
    Panic,
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

impl Refusal {
    /// The answer, and a line in the log where somebody has to act.
    pub(super) fn into_response(self) -> Response<Body> {
        let (status, code) = self.verdict();
        self.log(status);
        let sentence = self.sentence();
        let body = render(code, &sentence);
        let length = body.len();
        let mut response = Response::new(full(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Said even where the body is not sent, as for HEAD.
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if let Ok(reason) = ReasonPhrase::try_from(sentence.into_bytes()) {
            response.extensions_mut().insert(reason);
        }
        response
    }

    /// The table. 401 is never among the results, since it would draw credentials of pods towards this node, and neither
    /// are 408 and 429, which containerd repeats without a pause (client fact sheet, section 4.4).
    fn verdict(&self) -> (StatusCode, ErrorCode) {
        match self {
            Self::Request(RequestError::Method) => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported),
            Self::Request(RequestError::Encoding) => (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid),
            Self::Request(RequestError::TooLong) => (StatusCode::URI_TOO_LONG, ErrorCode::NameInvalid),
            Self::Request(RequestError::Name) => (StatusCode::NOT_FOUND, ErrorCode::NameInvalid),
            Self::Request(RequestError::Reference) => (StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown),
            Self::Request(RequestError::Digest) => (StatusCode::NOT_FOUND, ErrorCode::DigestInvalid),
            // Here the spec is strict ("Listing Referrers"): 404 would say that there is no such API.
            Self::Request(RequestError::Subject) => (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid),
            Self::Request(RequestError::Endpoint) | Self::NotServed(_) => {
                (StatusCode::NOT_FOUND, ErrorCode::NameUnknown)
            }
            Self::Body => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
            Self::HeadersTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ErrorCode::Unsupported),
            Self::NotAdmitted(_) => (StatusCode::FORBIDDEN, ErrorCode::Denied),
            Self::Overloaded | Self::NotStarted(_) => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
            Self::Panic => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown),
            Self::Upstream(error) => upstream_verdict(error.kind()),
        }
    }

    /// Who speaks, who has to act, what is wrong, and, as far as there is room, what to do.
    fn sentence(&self) -> String {
        let error = match self {
            Self::Upstream(error) => error,
            Self::NotAdmitted(error) => {
                let Row { who, hint, .. } = Row::of(Sign::ClientToken);
                return printable(&format!("{PREFIX}{who}: {error}; {hint}"), LONGEST_SENTENCE);
            }
            Self::NotStarted(why) => return printable(&format!("{PREFIX}{}: {why}", Blame::Node), LONGEST_SENTENCE),
            _ => return printable(&format!("{PREFIX}{self}"), LONGEST_SENTENCE),
        };
        let hint = error.row().hint;
        let mut sentence = match error.blame() {
            // Whoever reads this is the one who has to act, and is told what first.
            Blame::Client => return printable(&format!("{PREFIX}{hint}: {error}"), LONGEST_SENTENCE),
            who => format!("{PREFIX}{who}: {error}"),
        };
        if sentence.len() + hint.len() + 2 <= LONGEST_SENTENCE {
            sentence.push_str("; ");
            sentence.push_str(hint);
        }
        printable(&sentence, LONGEST_SENTENCE)
    }

    fn log(&self, status: StatusCode) {
        if let Self::NotAdmitted(error) = self {
            let advice = Row::of(Sign::ClientToken).fix;
            tracing::warn!(status = status.as_u16(), %error, advice, "a caller is not admitted");
            return;
        }
        let Self::Upstream(error) = self else {
            tracing::debug!(status = status.as_u16(), error = chain(self), "a request is refused");
            return;
        };
        let advice = error.advice();
        let request_id = error.request_id();
        let blame = error.blame().as_str();
        if matches!(error, UpstreamError::NotFound { .. }) {
            tracing::debug!(status = status.as_u16(), error = error.details(), "the registry has no such content");
        } else {
            tracing::warn!(
                status = status.as_u16(),
                blame,
                request_id,
                advice = advice.as_deref(),
                error = error.details(),
                "a pull request failed"
            );
        }
    }
}

fn upstream_verdict(kind: ErrorKind) -> (StatusCode, ErrorCode) {
    match kind {
        ErrorKind::Denied => (StatusCode::FORBIDDEN, ErrorCode::Denied),
        ErrorKind::NotFound(code) => (StatusCode::NOT_FOUND, code.unwrap_or(ErrorCode::BlobUnknown)),
        ErrorKind::Refused(
            status @ (StatusCode::BAD_REQUEST
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::GONE
            | StatusCode::PRECONDITION_FAILED),
        ) => (status, ErrorCode::Unknown),
        ErrorKind::Refused(_) | ErrorKind::Broken => (StatusCode::BAD_GATEWAY, ErrorCode::Unavailable),
        ErrorKind::NoCredentials | ErrorKind::Throttled => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
        ErrorKind::Late => (StatusCode::GATEWAY_TIMEOUT, ErrorCode::Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use hyper::ext::ReasonPhrase;

    use super::{LONGEST_SENTENCE, Refusal};
    use crate::http::body::collect_limited;
    use crate::oci::RequestError;
    use crate::oci::error_body::{UpstreamMessage, first};
    use crate::upstream::UpstreamError;

    fn refused(status: u16) -> Refusal {
        let status = StatusCode::from_u16(status).unwrap();
        UpstreamError::Refused { host: "registry.test".to_owned(), status, message: None }.into()
    }

    #[tokio::test]
    async fn the_reason_phrase_and_the_message_are_one_short_sentence() {
        let message = UpstreamMessage { code: "DENIED".to_owned(), message: "insufficient scope ".repeat(20) };
        let error = UpstreamError::Denied { host: "registry.test".to_owned(), message: Some(message) };
        for refusal in [Refusal::Request(RequestError::Endpoint), Refusal::Upstream(error)] {
            let response = refusal.into_response();
            let reason = response.extensions().get::<ReasonPhrase>().unwrap().clone();
            let reason = String::from_utf8(reason.as_bytes().to_vec()).unwrap();
            let body = collect_limited(response.into_body(), 4096).await.unwrap();
            assert_eq!(first(&body).unwrap().message, reason);
            assert!(reason.starts_with("acr-pull-proxy: ") && reason.len() <= LONGEST_SENTENCE, "{reason}");
        }
    }

    #[test]
    fn no_upstream_status_becomes_one_that_clients_hammer_or_answer_with_credentials() {
        for status in 400..500 {
            let answered = refused(status).into_response().status().as_u16();
            assert!(![401, 405, 407, 408, 429].contains(&answered), "{status} became {answered}");
        }
    }
}
