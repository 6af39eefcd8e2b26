//! Lists: tags and referrers, streamed as they come.

use http::header::LINK;
use http::{Method, Response, StatusCode};

use super::fetch::STALL;
use super::send::{Budget, Question};
use super::{Pull, Upstream, UpstreamError, answer};
use crate::http::Body;
use crate::http::body::with_stall_timeout;
use crate::http::headers;

impl Upstream {
    /// The answer holds the registry's `Link`, which the face towards the client rewrites.
    pub(super) async fn list(
        &self,
        pull: &Pull,
        what: &str,
        query: &str,
        budget: &Budget,
    ) -> Result<Response<Body>, UpstreamError> {
        let separator = if query.is_empty() { "" } else { "?" };
        let question = Question {
            method: if pull.head { Method::HEAD } else { Method::GET },
            target: format!("/v2/{}/{what}{separator}{query}", pull.place.repository),
            headers: headers::to_registry(&pull.headers),
        };
        let (head, body) = self.ask(&pull.place, &question, budget).await?.into_parts();
        if !matches!(head.status, StatusCode::OK | StatusCode::NOT_MODIFIED) {
            let host = pull.place.host.to_string();
            return Err(UpstreamError::Unexpected { host, what: "a list without status 200" });
        }
        let mut answer = answer(head.status, &head.headers, with_stall_timeout(body, STALL));
        for link in head.headers.get_all(LINK) {
            answer.headers_mut().append(LINK, link.clone());
        }
        Ok(answer)
    }
}
