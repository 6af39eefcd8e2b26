//! One call of an OpenAPI.
//!
//! A new nonce for every try, no redirects (a bare one is throttling), a failure inside a 200 is a failure. One try more
//! is made at once where only the nonce or the clock was wrong; every other retry belongs to whoever holds the value.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use bytes::Bytes;
use http::header::DATE;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::answer::{Fields, asked_pause};
use super::encode;
use super::endpoints::Endpoint;
use super::error::{CloudError, Details, Problem};
use super::sign::{Operation, SignatureScheme, request};
use super::skew::CloudClock;
use super::time;
use crate::clock::Clock;
use crate::error::{Explain, Retry};
use crate::http::body::{collect_limited, full};
use crate::http::client::{Client, ClientError};
use crate::telemetry::calls;
use crate::telemetry::metrics::{InstanceMetrics, Outcome, Target};

/// How long an answer may take. Real ones take some hundred milliseconds, and a pull that waits must outlast a silent one;
/// the official SDKs give 10 s, but nobody waits for them.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Longest answer that is read; real ones have a few KiB.
const LONGEST_ANSWER: usize = 256 * 1024;

/// Makes calls for one instance.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) clock: Arc<CloudClock>,
    pub(crate) metrics: Arc<InstanceMetrics>,
    pub(crate) scheme: SignatureScheme,
}

/// What a call is about, for its error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    /// Which service is asked.
    pub(crate) target: Target,
    /// A role or an instance.
    pub(crate) subject: &'a str,
}

impl Caller {
    /// Calls `operation` at the first host of `endpoint` that can be reached.
    pub(crate) async fn call(
        &self,
        endpoint: &Endpoint,
        operation: &Operation<'_>,
        about: About<'_>,
    ) -> Result<Value, CloudError> {
        let order = endpoint.order();
        let last = order.len().saturating_sub(1);
        for (turn, (index, host)) in order.into_iter().enumerate() {
            let result = self.call_at(host, operation, about).await;
            match result.as_ref().map_err(CloudError::problem) {
                Err(Problem::Unreachable(
                    ClientError::Unresolved { .. } | ClientError::NoNameServer { .. } | ClientError::Connect { .. },
                )) if turn < last => {
                    self.metrics.upstream_retry(about.target, Outcome::Failed);
                    tracing::info!(host, action = operation.action, "endpoint not reachable, the next one is asked");
                }
                Err(Problem::Unreachable(_)) => return result,
                _ => {
                    endpoint.remember(index);
                    return result;
                }
            }
        }
        Err(failure(operation, "no endpoint", about, Problem::Impossible("there is no endpoint to ask")))
    }

    async fn call_at(&self, host: &str, operation: &Operation<'_>, about: About<'_>) -> Result<Value, CloudError> {
        let first = self.try_at(host, operation, about).await;
        match &first {
            Err(error) if matches!(error.code(), "InvalidTimeStamp.Expired" | "SignatureNonceUsed") => {
                self.metrics.upstream_retry(about.target, Outcome::Refused);
                self.try_at(host, operation, about).await
            }
            _ => first,
        }
    }

    async fn try_at(&self, host: &str, operation: &Operation<'_>, about: About<'_>) -> Result<Value, CloudError> {
        let fail = |problem| failure(operation, host, about, problem);
        let request = request(operation, host, self.scheme, self.clock.now(), &nonce())
            .map_err(|what| fail(Problem::Impossible(what)))?;
        let started = Instant::now();
        let answer = self.client.send(request.map(full), ANSWER_TIME).await;
        let took = started.elapsed();
        let result = match answer {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                self.observe(&head.headers, took);
                let left = ANSWER_TIME.saturating_sub(took);
                match tokio::time::timeout(left, collect_limited(body, LONGEST_ANSWER)).await {
                    Ok(Ok(body)) => {
                        let read = self.read(head.status, &head.headers, &body, operation);
                        let request_id = match &read {
                            Ok(json) => request_id(json, operation),
                            Err((_, request_id)) => request_id.clone(),
                        };
                        calls::made(operation.action, host, request_id.as_deref(), took);
                        read.map_err(|(problem, request_id)| fail(problem).with_request_id(request_id))
                    }
                    Ok(Err(_)) => Err(fail(Problem::Unreadable("the answer broke off or is far too long"))),
                    Err(_) => Err(fail(Problem::Unreadable("the answer did not end in time"))),
                }
            }
            Err(error) => Err(fail(Problem::Unreachable(error))),
        };
        self.metrics.upstream_request(about.target, outcome(&result), took);
        result
    }

    /// Sets the clock right by the `Date` of an answer.
    fn observe(&self, headers: &HeaderMap, took: Duration) {
        if let Some(date) = headers.get(DATE).and_then(|date| time::http_date(date.to_str().ok()?)) {
            self.clock.observe(date, took);
        }
    }

    fn read(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
        operation: &Operation<'_>,
    ) -> Result<Value, (Problem, Option<String>)> {
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let failed_inside = json.as_ref().is_some_and(|json| json.get("IsSuccess") == Some(&Value::Bool(false)));
        if status == StatusCode::OK && !failed_inside {
            return json.ok_or((Problem::Unreadable("the answer is no JSON"), None));
        }
        let fields = Fields::read(&String::from_utf8_lossy(body), json.as_ref()).without(&secrets(operation));
        let Fields { code, message, request_id } = fields;
        let code = code.unwrap_or_default();
        let asked = asked_pause(headers, self.clock.now());
        Err((Problem::Refused { status: status.as_u16(), code, message, asked }, request_id))
    }
}

fn failure(operation: &Operation<'_>, host: &str, about: About<'_>, problem: Problem) -> CloudError {
    let subject = Some(about.subject.to_owned()).filter(|subject| !subject.is_empty());
    Details { action: operation.action, host: host.to_owned(), subject, caller: None, request_id: None, problem }.into()
}

/// The request id of an answer, where it is one.
pub(super) fn request_id(answer: &Value, operation: &Operation<'_>) -> Option<String> {
    Fields::read("", Some(answer)).without(&secrets(operation)).request_id
}

/// Everything in an operation that no message may repeat.
fn secrets<'a>(operation: &'a Operation<'_>) -> Vec<&'a str> {
    let token = operation.parameters.iter().filter(|(name, _)| name == "OIDCToken").map(|(_, value)| value.as_str());
    let key = operation.credentials.into_iter().flat_map(|credentials| {
        [Some(&credentials.access_key_secret), credentials.security_token.as_ref()].into_iter().flatten()
    });
    token.chain(key.map(crate::secret::Secret::expose)).collect()
}

fn outcome<T>(result: &Result<T, CloudError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Ok,
        Err(error) if matches!(error.retry(), Retry::Later(_)) => Outcome::Failed,
        Err(_) => Outcome::Refused,
    }
}

/// 128 random bits; a nonce that was seen before is refused as a replay.
fn nonce() -> String {
    let mut bytes = [0; 16];
    // Without entropy TLS could not have come this far; a repeated nonce would be refused, not accepted.
    rand::fill(&mut bytes).ok();
    encode::hex(&bytes)
}
