//! One authorised request to the registry: bearer, tries, renewals of the bearer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::poll_immediate;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::reach::{behind, is_host, is_out_of_reach};
use super::retry::{self, Failure};
use super::verdict::Verdict;
use super::{Place, Upstream, UpstreamError};
use crate::http::Body;
use crate::http::body::{collect_limited, empty};
use crate::http::client::{Client, ClientError};
use crate::http::headers::{self, X_OSS_REQUEST_ID};
use crate::http::origin::SafeUri;
use crate::http::signed_url;
use crate::oci::{RegistryHost, Scope};
use crate::secret::repeats;
use crate::telemetry::calls;
use crate::telemetry::metrics::{Outcome, Target};
use crate::token::Bearer;

/// Longest error body that is read.
const LONGEST_ERROR: usize = 8 * 1024;
/// How long an error body is waited for; its words are not worth more.
const ERROR_BODY_LIMIT: Duration = Duration::from_secs(2);

/// How often one host of several may fail (5xx) before the next is asked.
const MOST_BROKEN: u32 = 2;

/// The time that all tries of one pull request share.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    deadline: Instant,
}

impl Budget {
    pub(super) fn start() -> Self {
        Self::until(Instant::now() + retry::BUDGET)
    }

    /// The usual time, or less where `latest` comes before.
    pub(super) fn until(latest: Instant) -> Self {
        Self { deadline: latest.min(Instant::now() + retry::BUDGET) }
    }

    pub(super) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// What `work` comes to, as long as there is time for it.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, UpstreamError> {
        timeout_at(self.deadline, work).await.map_err(|_| UpstreamError::Late)
    }

    /// What somebody else's work comes to, as long as it leaves time to do it oneself.
    pub(super) async fn lend<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        timeout(self.remaining() / 2, work).await.ok()
    }

    /// How long one try may take.
    pub(super) fn head_limit(&self) -> Duration {
        self.remaining().min(retry::HEAD_LIMIT)
    }
}

/// What is asked of the registry.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) method: Method,
    /// Path and query, from `/v2/` on.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
}

/// Which host answered; an extension of the response.
#[derive(Debug, Clone)]
pub(super) struct Asked(pub(super) RegistryHost);

impl Upstream {
    /// Asks until there is an answer below 400 (or 416, which is one), the budget is used up, or asking is pointless.
    pub(super) async fn ask(
        &self,
        place: &Place,
        question: &Question,
        budget: &Budget,
    ) -> Result<Response<Body>, UpstreamError> {
        let scope = Scope::pull(place.repository.clone());
        self.try_hosts_that_are_due();
        let order = self.answering_first(self.hosts.order(&place.host)).await;
        let mut others = order.len() - 1;
        let mut hosts = order.iter().cycle();
        let mut host = hosts.next().unwrap_or(&place.host);
        let mut renewals = 0;
        let mut tries = 0;
        let mut broken = 0;
        loop {
            tries += 1;
            let bearer = match self.bearer(host, &scope, budget).await {
                Ok(bearer) => bearer,
                // The challenge is asked of the same host as the pull, and the realm is one that it names.
                Err(error) if is_host(&error) && others > 0 => {
                    others -= 1;
                    broken = 0;
                    self.hosts.failed(host, behind(&error, host));
                    host = hosts.next().unwrap_or(&place.host);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let request = question.authorised(host, &bearer)?;
            let begin = Instant::now();
            let verdict = match self.once(&self.parts.client, Target::Registry, request, budget).await {
                Ok(response) => {
                    self.note_registry(host, begin.elapsed(), response.version());
                    self.judge(response, host, &bearer, renewals, budget).await
                }
                Err(error) => Verdict::Again(failure(&error), error.into()),
            };
            let (mut failure, error) = match verdict {
                Verdict::Use(mut response) => {
                    response.extensions_mut().insert(Asked(host.clone()));
                    return Ok(response);
                }
                Verdict::Final(error) => return Err(error),
                Verdict::Renew(challenge) => {
                    renewals += 1;
                    self.parts.metrics.upstream_retry(Target::Registry, Outcome::Refused);
                    self.parts.tokens.refused(host, &scope, &bearer, challenge.as_deref());
                    continue;
                }
                Verdict::Again(failure, error) => (failure, error),
            };
            if is_out_of_reach(&error) {
                self.hosts.failed(host, None);
            }
            if let Failure::Broken(asked) = failure {
                broken += 1;
                if others > 0 && (broken >= MOST_BROKEN || asked.is_some()) {
                    others -= 1;
                    broken = 0;
                    self.hosts.failed(host, None);
                    // The pause is one that the next host did not ask for.
                    failure = Failure::Silence;
                }
            }
            let Some(pause) = retry::pause(tries, failure, budget.remaining()) else { return Err(error) };
            if matches!(failure, Failure::Connection | Failure::Silence) {
                host = hosts.next().unwrap_or(&place.host);
            }
            tracing::debug!(%host, tries, error = %error, "asking the registry again");
            self.parts.metrics.upstream_retry(Target::Registry, Outcome::Failed);
            sleep(pause).await;
        }
    }

    /// One try, counted.
    pub(super) async fn once(
        &self,
        client: &Client,
        target: Target,
        request: Request<Body>,
        budget: &Budget,
    ) -> Result<Response<Body>, ClientError> {
        let begin = Instant::now();
        let asked = (request.uri().clone(), request.headers().get(AUTHORIZATION).cloned());
        let mut result = client.send(request, budget.head_limit()).await;
        if let Ok(response) = &mut result {
            drop_echo(response.headers_mut(), &asked);
            let request_id = headers::oss_request_id(response.headers());
            calls::made(target.as_str(), asked.0.host().unwrap_or_default(), request_id, begin.elapsed());
        }
        let outcome = match &result {
            Ok(response) if response.status().is_server_error() || throttled(response) => Outcome::Failed,
            Ok(response) if response.status().is_client_error() => Outcome::Refused,
            Ok(_) => Outcome::Ok,
            Err(_) => Outcome::Failed,
        };
        self.parts.metrics.upstream_request(target, outcome, begin.elapsed());
        result
    }

    async fn bearer(&self, host: &RegistryHost, scope: &Scope, budget: &Budget) -> Result<Arc<Bearer>, UpstreamError> {
        let mut asking = self.parts.tokens.bearer(host, scope);
        if let Some(at_hand) = poll_immediate(&mut asking).await {
            return at_hand.map_err(UpstreamError::Token);
        }
        // The round trips of a connection to the registry pass while the bearer is asked for.
        self.warm_if_cold(host);
        budget.within(asking).await?.map_err(UpstreamError::Token)
    }
}

impl Question {
    fn authorised(&self, host: &RegistryHost, bearer: &Bearer) -> Result<Request<Body>, UpstreamError> {
        let unusable = |what| UpstreamError::Unexpected { host: host.to_string(), what };
        let uri =
            SafeUri::parse(&format!("https://{host}{}", self.target)).map_err(|_| unusable("its name makes no URL"))?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", bearer.token.expose()))
            .map_err(|_| unusable("its bearer is no header value"))?;
        authorization.set_sensitive(true);
        let mut request =
            uri.request(self.method.clone()).body(empty()).map_err(|_| unusable("its name makes no request"))?;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(AUTHORIZATION, authorization);
        Ok(request)
    }
}

/// Takes the request id from an answer where it is a piece of the bearer or signed URL that was asked with, so that nobody
/// who notes ids has to know either.
fn drop_echo(answer: &mut HeaderMap, (uri, authorization): &(Uri, Option<HeaderValue>)) {
    let bearer = authorization.as_ref().and_then(|value| value.to_str().ok());
    let echoes = |id: &str| {
        bearer.is_some_and(|bearer| repeats(id, bearer))
            || uri.query().is_some_and(|query| signed_url::is_repeated_in(id, query))
    };
    if headers::oss_request_id(answer).is_some_and(echoes) {
        answer.remove(X_OSS_REQUEST_ID);
    }
}

pub(super) const fn failure(error: &ClientError) -> Failure {
    match error {
        ClientError::Timeout { .. } => Failure::Silence,
        _ => Failure::Connection,
    }
}

pub(super) fn throttled(response: &Response<Body>) -> bool {
    response.status() == StatusCode::TOO_MANY_REQUESTS
}

/// The first bytes of an error body, as far as they come soon.
pub(super) async fn error_text(response: Response<Body>, budget: &Budget) -> Option<bytes::Bytes> {
    let limit = budget.remaining().min(ERROR_BODY_LIMIT);
    timeout(limit, collect_limited(response.into_body(), LONGEST_ERROR)).await.ok()?.ok()
}
