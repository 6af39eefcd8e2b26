//! The one place where an error becomes an answer.
//!
//! An answer says the same short sentence twice: in the reason phrase, which is all that a failed HEAD shows to people
//! (client fact sheet, sections 0.5 and 7), and as the message of the spec's error body. It is printable ASCII and holds
//! no secret, no URL and no header of anybody.

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;
use tracing::field::display;

use super::caller::NotAdmitted;
use super::exchange::{Pulled, Subject};
use super::request_id::RequestId;
use super::route::NotServed;
use crate::error::diagnosis::{Row, Sign};
use crate::error::{Blame, Explain, SPEAKER, chain};
use crate::http::Body;
use crate::http::body::full;
use crate::oci::RequestError;
use crate::oci::error_body::{ErrorCode, printable, render};
use crate::telemetry::pulls::Trail;
use crate::upstream::{ErrorKind, UpstreamError};

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
    pub(super) fn into_response(self, id: &RequestId, subject: &Subject) -> Response<Body> {
        let (status, code) = self.verdict();
        self.log(status, id, subject.pulled());
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
        if let Some(cloud_request_id) = self.cloud_request_id() {
            let trail = Trail::default();
            trail.answered(cloud_request_id);
            response.extensions_mut().insert(trail);
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
                return printable(&format!("{SPEAKER}{who}: {error}; {hint}"), LONGEST_SENTENCE);
            }
            Self::NotStarted(why) => return printable(&format!("{SPEAKER}{}: {why}", Blame::Node), LONGEST_SENTENCE),
            _ => return printable(&format!("{SPEAKER}{self}"), LONGEST_SENTENCE),
        };
        let hint = error.row().hint;
        let mut sentence = match error.blame() {
            // Whoever reads this is the one who has to act, and is told what first.
            Blame::Client => return printable(&format!("{SPEAKER}{hint}: {error}"), LONGEST_SENTENCE),
            who => format!("{SPEAKER}{who}: {error}"),
        };
        if sentence.len() + hint.len() + 2 <= LONGEST_SENTENCE {
            sentence.push_str("; ");
            sentence.push_str(hint);
        }
        printable(&sentence, LONGEST_SENTENCE)
    }

    /// The cloud's id of the call that failed.
    fn cloud_request_id(&self) -> Option<&str> {
        if let Self::Upstream(error) = self { error.request_id() } else { None }
    }

    /// A line for whoever has to act. The instance is one of its fields, so that one instance's failures do not count as
    /// repetitions of another's.
    fn log(&self, status: StatusCode, id: &RequestId, pulled: Option<&Pulled>) {
        let (status, request_id) = (status.as_u16(), id.as_str());
        if let Self::NotAdmitted(error) = self {
            let advice = Row::of(Sign::ClientToken).fix;
            tracing::warn!(request_id, status, %error, advice, "a caller is not admitted");
            return;
        }
        let Self::Upstream(error) = self else {
            tracing::debug!(request_id, status, error = chain(self), "a request is refused");
            return;
        };
        let instance = pulled.map(|pulled| display(pulled.instance()));
        let repository = pulled.map(|pulled| display(&pulled.repository));
        let reference = pulled.and_then(|pulled| pulled.reference.as_ref()).map(display);
        if matches!(error, UpstreamError::NotFound { .. }) {
            let error = error.details();
            tracing::debug!(
                request_id,
                status,
                instance,
                repository,
                reference,
                error,
                "the registry has no such content"
            );
        } else {
            tracing::warn!(
                request_id,
                status,
                instance,
                repository,
                reference,
                blame = error.blame().as_str(),
                cloud_request_id = error.request_id(),
                advice = error.advice().as_deref(),
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
    use http::{Response, StatusCode};
    use hyper::ext::ReasonPhrase;

    use super::{LONGEST_SENTENCE, Refusal};
    use crate::http::Body;
    use crate::http::body::collect_limited;
    use crate::oci::RequestError;
    use crate::oci::error_body::{UpstreamMessage, first};
    use crate::proxy::exchange::Subject;
    use crate::proxy::request_id::RequestIds;
    use crate::upstream::UpstreamError;

    fn answered(refusal: Refusal) -> Response<Body> {
        refusal.into_response(&RequestIds::new().next(), &Subject::default())
    }

    fn refused(status: u16) -> Refusal {
        let status = StatusCode::from_u16(status).unwrap();
        UpstreamError::Refused { host: "registry.test".to_owned(), status, message: None }.into()
    }

    #[tokio::test]
    async fn the_reason_phrase_and_the_message_are_one_short_sentence() {
        let message = UpstreamMessage { code: "DENIED".to_owned(), message: "insufficient scope ".repeat(20) };
        let error = UpstreamError::Denied { host: "registry.test".to_owned(), message: Some(message) };
        for refusal in [Refusal::Request(RequestError::Endpoint), Refusal::Upstream(error)] {
            let response = answered(refusal);
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
            let answered = answered(refused(status)).status().as_u16();
            assert!(![401, 405, 407, 408, 429].contains(&answered), "{status} became {answered}");
        }
    }
}
