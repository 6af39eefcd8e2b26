//! The metadata service of an ECS instance (ECS help, "Instance metadata").
//!
//! Hardened mode is tried first; each request has one second, and none ever goes through a proxy, which would add the
//! `X-Forwarded-For` that the service refuses.

use std::sync::Mutex;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::{Method, Request, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::call::Caller;
use super::credentials::Credentials;
use super::endpoints::Region;
use super::error::{CloudError, Details, Problem};
use super::sts::session_from;
use crate::clock::Clock;
use crate::http::Body;
use crate::http::body::{collect_limited, empty};
use crate::refresh::Expiring;
use crate::secret::Secret;
use crate::telemetry::calls;
use crate::telemetry::metrics::{Outcome, Target};

/// Where the service is on every instance.
const DEFAULT_BASE: &str = "http://100.100.100.200";
/// The service is one hop away: what takes longer is not there.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// Longest answer that is read.
const LONGEST_ANSWER: usize = 64 * 1024;
/// The longest life of a session token that the service grants, in seconds.
const TOKEN_SECONDS: u64 = 21_600;
/// A session token is replaced when less than this is left of it.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
const ACTION: &str = "metadata service";

/// The service, with the session token of hardened mode.
#[derive(Debug)]
pub struct Imds {
    caller: Arc<Caller>,
    base: String,
    token: Mutex<Option<(Secret, Instant)>>,
}

impl Imds {
    pub(crate) fn new(caller: Arc<Caller>, base: Option<&str>) -> Self {
        let base = base.unwrap_or(DEFAULT_BASE).trim_end_matches('/').to_owned();
        Self { caller, base, token: Mutex::new(None) }
    }

    /// The session of the instance's role; `role` is asked for where it is `None`.
    ///
    /// # Errors
    /// [`CloudError`]; with status 404 where the instance has no such role.
    pub async fn credentials(&self, role: Option<&str>) -> Result<Expiring<Credentials>, CloudError> {
        let role = match role {
            Some(role) => role.to_owned(),
            None => self.fetch(ROLES).await?,
        };
        let role = role_name(&role).ok_or_else(|| self.failure(Problem::Unreadable("the answer is no role name")))?;
        let body = self.fetch(&format!("{ROLES}{role}")).await?;
        self.session(&body)
    }

    /// A session from another local service that answers like this one (`ALIBABA_CLOUD_CREDENTIALS_URI`).
    ///
    /// # Errors
    /// [`CloudError`] where the service cannot be reached or answers otherwise.
    pub async fn credentials_at(&self, uri: &str) -> Result<Expiring<Credentials>, CloudError> {
        let request = Request::get(uri).body(empty());
        let request = request.map_err(|_| self.failure(Problem::Impossible("the credentials URI is no valid URL")))?;
        let body = self.send(request).await?;
        self.session(&body)
    }

    fn session(&self, body: &str) -> Result<Expiring<Credentials>, CloudError> {
        let answer: Value =
            serde_json::from_str(body).map_err(|_| self.failure(Problem::Unreadable("the answer is no JSON")))?;
        if answer.get("Code").and_then(Value::as_str) != Some("Success") {
            return Err(self.failure(Problem::Unreadable("the answer's Code is not Success")));
        }
        session_from(&answer, self.caller.clock.now())
            .ok_or_else(|| self.failure(Problem::Unreadable("the answer holds no credentials")))
    }

    /// The region of this node.
    ///
    /// # Errors
    /// [`CloudError`] where the service cannot be reached or its answer is no region.
    pub async fn region(&self) -> Result<Region, CloudError> {
        let text = self.fetch("/latest/meta-data/region-id").await?;
        Region::parse(&text).map_err(|_| self.failure(Problem::Unreadable("the answer is no region id")))
    }

    async fn fetch(&self, path: &str) -> Result<String, CloudError> {
        let token = self.session_token().await?;
        let used = token.is_some();
        match self.request(Method::GET, path, token.as_ref()).await {
            Err(error) if used && error.status().is_some_and(|status| matches!(status, 401 | 403)) => {
                self.token.lock().unwrap_or_else(PoisonError::into_inner).take();
                let token = self.session_token().await?;
                self.request(Method::GET, path, token.as_ref()).await
            }
            result => result,
        }
    }

    /// The token of hardened mode, or `None` where the service does not know that mode.
    async fn session_token(&self) -> Result<Option<Secret>, CloudError> {
        let held = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((token, _)) = held.filter(|(_, until)| Instant::now() < *until) {
            return Ok(Some(token));
        }
        match self.request(Method::PUT, "/latest/api/token", None).await {
            Ok(text) => {
                let token = Secret::new(text.trim());
                let until = Instant::now() + Duration::from_secs(TOKEN_SECONDS).saturating_sub(TOKEN_MARGIN);
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some((token.clone(), until));
                Ok(Some(token))
            }
            Err(error) if matches!(error.status(), Some(403..=405)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn request(&self, method: Method, path: &str, token: Option<&Secret>) -> Result<String, CloudError> {
        let mut request = Request::builder().method(&method).uri(format!("{}{path}", self.base));
        if method == Method::PUT {
            request = request.header("x-aliyun-ecs-metadata-token-ttl-seconds", TOKEN_SECONDS);
        }
        if let Some(token) = token {
            request = request.header("x-aliyun-ecs-metadata-token", token.expose());
        }
        let request = request
            .body(empty())
            .map_err(|_| self.failure(Problem::Impossible("the metadata endpoint or its token is no valid text")))?;
        self.send(request).await
    }

    async fn send(&self, request: Request<Body>) -> Result<String, CloudError> {
        let started = Instant::now();
        let answer = self.caller.client.send(request, ANSWER_TIME).await;
        let outcome = match &answer {
            Ok(answer) if answer.status().is_success() => Outcome::Ok,
            Ok(answer) if answer.status().is_client_error() => Outcome::Refused,
            _ => Outcome::Failed,
        };
        self.caller.metrics.upstream_request(Target::Metadata, outcome, started.elapsed());
        let answer = answer.map_err(|error| self.failure(Problem::Unreachable(error)))?;
        calls::made(ACTION, &self.host(), None, started.elapsed());
        let status = answer.status();
        if status != StatusCode::OK {
            let problem = Problem::Refused { status: status.as_u16(), code: String::new(), message: None, asked: None };
            return Err(self.failure(problem));
        }
        let body = tokio::time::timeout(ANSWER_TIME, collect_limited(answer.into_body(), LONGEST_ANSWER)).await;
        match body {
            Ok(Ok(body)) => Ok(String::from_utf8_lossy(&body).into_owned()),
            _ => Err(self.failure(Problem::Unreadable("the answer broke off or is far too long"))),
        }
    }

    fn host(&self) -> String {
        self.base.split_once("://").map_or(&*self.base, |(_, host)| host).to_owned()
    }

    fn failure(&self, problem: Problem) -> CloudError {
        Details { action: ACTION, host: self.host(), subject: None, caller: None, request_id: None, problem }.into()
    }
}

/// The name of a role, which becomes a part of a path.
pub(super) fn role_name(text: &str) -> Option<&str> {
    let name = text.trim();
    // RAM names roles by letters, digits, '.' and '-' (RAM help, "Create a RAM role"); the rest is harmless in a path.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+=,".contains(&byte);
    (!name.is_empty() && name.bytes().all(fits)).then_some(name)
}
