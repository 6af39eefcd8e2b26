//! The bearer of one scope at one registry host.
//!
//! Asked for with GET and Basic authentication, which works at every realm; no redirect is followed, since the login
//! stands in the request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, DATE, USER_AGENT};
use http::{HeaderValue, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, timeout_at};

use super::answer::{Granted, read};
use super::challenge::ChallengeSource;
use super::login::{Login, LoginSource};
use super::realm::Realm;
use super::{Bearer, TokenError};
use crate::clock::{Clock, later};
use crate::cloud::{AuthorizationToken, CloudClock, THROTTLED_PAUSE, asked_pause, http_date};
use crate::credentials::CredentialsError;
use crate::http::body::{collect_limited, empty};
use crate::http::client::Client;
use crate::http::origin::SafeUri;
use crate::oci::Scope;
use crate::refresh::{Expiring, Load, RefreshCell};
use crate::telemetry::calls;
use crate::telemetry::metrics::{Hop, InstanceMetrics, Outcome, Target};

/// How long the realm may take to the end of its answer: a pull that waits must outlast a silent one.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Longest answer that is read; a token has a few KiB.
const LONGEST_ANSWER: usize = 256 * 1024;
/// How often a login may be refused within one load: the held one, a new one, and one of a new session.
const LOGIN_TRIES: usize = 3;
/// How long a scope that is refused with every login leaves the logins alone: one repository that the realm will not talk
/// about must not cost the others theirs.
const HOPELESS_TIME: Duration = Duration::from_secs(60);
/// Longest error of the realm that is read, for whether it speaks of an expiry.
const LONGEST_ERROR: usize = 8 * 1024;

/// Gets the bearer of one scope.
#[derive(Debug)]
pub(super) struct BearerSource {
    scope: Scope,
    challenge: RefreshCell<ChallengeSource>,
    login: RefreshCell<LoginSource>,
    client: Client,
    clock: Arc<CloudClock>,
    metrics: Arc<InstanceMetrics>,
    /// When several new logins in a row were refused.
    hopeless: Mutex<Option<Instant>>,
}

/// How one request to the realm failed.
enum Failed {
    /// The login is not good.
    Unauthorized,
    /// Anything else.
    Other(TokenError),
}

impl Load for BearerSource {
    type Value = Arc<Bearer>;
    type Error = TokenError;

    async fn load(&self, _held: Option<Arc<Expiring<Arc<Bearer>>>>) -> Result<Expiring<Arc<Bearer>>, Arc<TokenError>> {
        // Neither waits for the other: a cold node asks for both at once.
        let (realm, login) = tokio::try_join!(self.challenge.fetch(), self.login.fetch())?;
        let mut login = login;
        let tries = if self.is_hopeless() { 1 } else { LOGIN_TRIES };
        for refusals in 1..=tries {
            match self.ask(&realm.value, &login.value.token).await {
                Ok(granted) if granted.may_pull => {
                    let issued = self.clock.now();
                    let expires = later(issued, granted.lifetime).min(login.expires);
                    let bearer = Arc::new(Bearer { token: granted.token, expires });
                    return Ok(Expiring { value: bearer, issued, expires });
                }
                Ok(_) => return Err(Arc::new(TokenError::NotPermitted(self.scope.clone()))),
                Err(Failed::Other(error)) => return Err(Arc::new(error)),
                // The last login stays: it serves the other scopes, whatever this one is refused for.
                Err(Failed::Unauthorized) if refusals == tries => {}
                Err(Failed::Unauthorized) => {
                    self.refuse(&realm.value, &login, refusals);
                    login = self.login.fetch().await?;
                }
            }
        }
        if tries == LOGIN_TRIES {
            *self.hopeless() = Some(Instant::now());
        }
        Err(Arc::new(self.login_refused(&realm.value)))
    }

    fn inherited(&self, error: &TokenError) -> Option<Duration> {
        match error {
            TokenError::Credentials(_) | TokenError::Login(_) => Some(self.login.pause()),
            TokenError::NoChallenge { .. } | TokenError::Realm(_) => Some(self.challenge.pause()),
            _ => None,
        }
    }
}

impl BearerSource {
    pub(super) fn new(
        scope: Scope,
        challenge: RefreshCell<ChallengeSource>,
        login: RefreshCell<LoginSource>,
        tools: (&Client, &Arc<CloudClock>, &Arc<InstanceMetrics>),
    ) -> Self {
        let (client, clock, metrics) = (tools.0.clone(), Arc::clone(tools.1), Arc::clone(tools.2));
        Self { scope, challenge, login, client, clock, metrics, hopeless: Mutex::default() }
    }

    /// Whether new logins were of no help a moment ago: then it is this scope that is refused, and no login is to be
    /// dropped for it.
    fn is_hopeless(&self) -> bool {
        self.hopeless().is_some_and(|since| since.elapsed() < HOPELESS_TIME)
    }

    fn hopeless(&self) -> MutexGuard<'_, Option<Instant>> {
        self.hopeless.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops a refused login; when its successor is refused as well, the session behind both is at fault.
    fn refuse(&self, realm: &Realm, login: &Arc<Expiring<Login>>, refusals: usize) {
        if refusals > 1 {
            let why = CredentialsError::Invalid {
                hop: "the last session".to_owned(),
                what: "logins bought with it are refused".to_owned(),
            };
            self.login.source().chain.refused(&login.value.session, &Arc::new(why));
        }
        self.login.refused(login, Arc::new(self.login_refused(realm)));
    }

    fn login_refused(&self, realm: &Realm) -> TokenError {
        TokenError::LoginRefused { realm: realm.uri.origin().host().to_owned() }
    }

    async fn ask(&self, realm: &Realm, login: &AuthorizationToken) -> Result<Granted, Failed> {
        let host = realm.uri.origin().host().to_owned();
        let failed = |status: u16| TokenError::RealmFailed { realm: host.clone(), status, asked: None };
        let uri = self.query(realm).ok_or_else(|| Failed::Other(failed(0)))?;
        let basic = basic(login).ok_or_else(|| Failed::Other(failed(0)))?;
        let request = uri
            .request(Method::GET)
            .header(AUTHORIZATION, basic)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, crate::http::USER_AGENT)
            .body(empty())
            .map_err(|_| Failed::Other(failed(0)))?;
        let started = Instant::now();
        let result = self.exchange(request, started, &failed).await;
        calls::made("bearer", &host, None, started.elapsed());
        let outcome = match &result {
            Ok(_) => Outcome::Ok,
            Err(Failed::Other(TokenError::RealmFailed { status, .. })) if *status >= 429 => Outcome::Failed,
            Err(Failed::Other(TokenError::Unreachable(_))) => Outcome::Failed,
            Err(_) => Outcome::Refused,
        };
        self.metrics.upstream_request(Target::Auth, outcome, started.elapsed());
        self.metrics.token_request(Hop::Bearer, outcome, started.elapsed());
        result
    }

    async fn exchange(
        &self,
        request: http::Request<crate::http::Body>,
        started: Instant,
        failed: &(impl Fn(u16) -> TokenError + Sync),
    ) -> Result<Granted, Failed> {
        let ends = started + ANSWER_TIME;
        let answer = self.client.send(request, ANSWER_TIME).await;
        let answer = answer.map_err(|error| Failed::Other(TokenError::Unreachable(error)))?;
        if let Some(date) = answer.headers().get(DATE).and_then(|date| http_date(date.to_str().ok()?)) {
            self.clock.observe(date, started.elapsed());
        }
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Err(Failed::Unauthorized),
            StatusCode::FORBIDDEN => {
                let expired = says_expired(answer.into_body(), ends).await;
                return Err(if expired { Failed::Unauthorized } else { Failed::Other(failed(403)) });
            }
            status => {
                let asked = asked_pause(answer.headers(), self.clock.now());
                let asked = asked.or((status == StatusCode::TOO_MANY_REQUESTS).then_some(THROTTLED_PAUSE));
                return Err(Failed::Other(match failed(status.as_u16()) {
                    TokenError::RealmFailed { realm, status, .. } => TokenError::RealmFailed { realm, status, asked },
                    other => other,
                }));
            }
        }
        match timeout_at(ends, collect_limited(answer.into_body(), LONGEST_ANSWER)).await {
            Ok(Ok(body)) => read(&body, &self.scope, self.clock.now()).ok_or_else(|| Failed::Other(failed(200))),
            _ => Err(Failed::Other(failed(200))),
        }
    }

    /// The realm with service and scope; a query of its own is kept.
    fn query(&self, realm: &Realm) -> Option<SafeUri> {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut query = realm.uri.query().map_or(String::new(), |query| format!("{query}&"));
        if let Some(service) = &realm.service {
            query.push_str(&format!("service={}&", encode(service)));
        }
        query.push_str(&format!("scope={}", encode(&self.scope.to_string())));
        SafeUri::parse(&format!("{}{}?{query}", realm.uri.origin(), realm.uri.path())).ok()
    }
}

/// Whether an error speaks of an expiry, in whatever words and fields, until the time of the answer `ends`.
async fn says_expired(body: crate::http::Body, ends: Instant) -> bool {
    match timeout_at(ends, collect_limited(body, LONGEST_ERROR)).await {
        Ok(Ok(body)) => String::from_utf8_lossy(&body).to_ascii_lowercase().contains("expired"),
        _ => false,
    }
}

/// `Basic`; the password may hold colons, the user name does not.
fn basic(login: &AuthorizationToken) -> Option<HeaderValue> {
    let pair = zeroize::Zeroizing::new(format!("{}:{}", login.user, login.password.expose()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair.as_bytes()))).ok()?;
    value.set_sensitive(true);
    Some(value)
}
