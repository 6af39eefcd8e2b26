//! What to make of an answer of the registry: to use it, to ask again, with another bearer or not, or to give up.

use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Response, StatusCode};

use super::retry::{self, Failure};
use super::send::{Budget, error_text};
use super::{Upstream, UpstreamError};
use crate::http::Body;
use crate::oci::error_body::{self, UpstreamMessage};
use crate::oci::{Challenge, RegistryHost};
use crate::secret::repeats;
use crate::token::{Bearer, TokenError};

/// Most bearers that one request is asked with again, where the registry says of each that it is no longer good. One is
/// enough for all that happens every day; the others are for what is taken back while the request is under way.
const MOST_RENEWALS: u32 = 3;
/// What a challenge calls a bearer that was expired, revoked or forged (RFC 6750 section 3.1).
const INVALID_TOKEN: &str = "invalid_token";

/// What to make of an answer.
pub(super) enum Verdict {
    Use(Response<Body>),
    /// The bearer was refused; the challenge that came with it.
    Renew(Option<String>),
    Again(Failure, UpstreamError),
    Final(UpstreamError),
}

impl Upstream {
    /// Judges an answer to a request that came back with a refused bearer `renewals` times before.
    ///
    /// Any 401 may be about the age of the bearer, and is worth another one. A second is what a registry says too that
    /// grants nothing, so it has to be told from that in so many words.
    pub(super) async fn judge(
        &self,
        response: Response<Body>,
        host: &RegistryHost,
        bearer: &Bearer,
        renewals: u32,
        budget: &Budget,
    ) -> Verdict {
        let host = host.to_string();
        let status = response.status();
        let asked = retry::retry_after(response.headers(), self.parts.clock.now());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let challenge = challenge(status, response.headers());
                if status == StatusCode::UNAUTHORIZED && renewals == 0 {
                    return Verdict::Renew(challenge);
                }
                let mut is_stale = challenge.as_deref().is_some_and(says_invalid);
                let message = words(response, bearer, budget).await;
                is_stale |= message.as_ref().is_some_and(says_expired);
                match is_stale {
                    true if renewals < MOST_RENEWALS => Verdict::Renew(challenge),
                    true => Verdict::Final(UpstreamError::Token(Arc::new(TokenError::BearerRefused))),
                    false => Verdict::Final(UpstreamError::Denied { host, message }),
                }
            }
            StatusCode::NOT_FOUND => {
                Verdict::Final(UpstreamError::NotFound { host, message: words(response, bearer, budget).await })
            }
            StatusCode::TOO_MANY_REQUESTS => {
                Verdict::Again(Failure::Throttled(asked), UpstreamError::Throttled { host })
            }
            StatusCode::RANGE_NOT_SATISFIABLE => Verdict::Use(response),
            status if status.is_server_error() => {
                Verdict::Again(Failure::Broken(asked), UpstreamError::Broken { host, status })
            }
            status if status.is_client_error() => {
                Verdict::Final(UpstreamError::Refused { host, status, message: words(response, bearer, budget).await })
            }
            _ => Verdict::Use(response),
        }
    }
}

/// The challenge that came with a 401.
fn challenge(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter(|_| status == StatusCode::UNAUTHORIZED);
    let lines: Vec<_> = challenges.filter_map(|line| line.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn says_invalid(challenge: &str) -> bool {
    Challenge::bearer([challenge]).is_some_and(|challenge| challenge.error() == Some(INVALID_TOKEN))
}

fn says_expired(message: &UpstreamMessage) -> bool {
    message.message.to_ascii_lowercase().contains("expired")
}

/// What the registry has to say, unless it repeats the bearer.
async fn words(response: Response<Body>, bearer: &Bearer, budget: &Budget) -> Option<UpstreamMessage> {
    let repeats = |text: &str| repeats(text, bearer.token.expose());
    error_body::first(&error_text(response, budget).await?)
        .filter(|said| !repeats(&said.message) && !repeats(&said.code))
}
