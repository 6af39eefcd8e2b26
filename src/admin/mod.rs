//! What operators see: metrics, health, and what every instance is doing (contract section 4).
//!
//! Promises: only GET and HEAD, nothing is ever changed, no secret is shown, and a slow or greedy client is bounded.
//! Answers come from memory: none waits for the network. Knows nothing of tokens or registries; the wiring says how
//! things are through [`Report`].

mod page;
mod serve;
pub mod status;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use crate::telemetry::metrics::{self, Metrics};
pub use serve::serve;
use status::Status;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// Says how the daemon is at this moment, from memory.
pub trait Report: fmt::Debug + Send + Sync {
    /// The whole picture.
    fn status(&self) -> Status;

    /// Brings those gauges up to date that are measured when somebody looks.
    fn measure(&self, metrics: &Metrics);
}

/// Answers operators.
#[derive(Debug, Clone)]
pub struct Admin {
    metrics: Metrics,
    report: Arc<dyn Report>,
}

impl Admin {
    /// Answers from these.
    #[must_use]
    pub fn new(metrics: Metrics, report: Arc<dyn Report>) -> Self {
        Self { metrics, report }
    }

    /// The whole answer to one request.
    #[must_use]
    pub fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are answered here\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/livez" | "/healthz" => respond(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" => self.ready(),
            "/metrics" => self.metrics(),
            "/status" => self.status(),
            "/" => self.page(),
            _ => respond(StatusCode::NOT_FOUND, TEXT, "known here: / /status /metrics /livez /readyz /healthz\n"),
        }
    }

    /// Whether pulls may come, and else what is missing.
    fn ready(&self) -> Response<Full<Bytes>> {
        let status = self.report.status();
        if status.ready {
            return respond(StatusCode::OK, TEXT, "ok\n");
        }
        let mut text = String::new();
        for instance in status.instances.iter().filter(|instance| !instance.ready) {
            let error = instance.last_error.as_ref().map_or("no login yet", |error| &error.text);
            text.push_str(&format!("{}: {error}\n", instance.id));
        }
        if text.is_empty() {
            text.push_str("starting or ending\n");
        }
        respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        self.report.measure(&self.metrics);
        match self.metrics.render() {
            Ok(text) => respond(StatusCode::OK, metrics::CONTENT_TYPE, text),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        }
    }

    fn page(&self) -> Response<Full<Bytes>> {
        let mut response = respond(StatusCode::OK, HTML, page::render(&self.report.status()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(&page::CONTENT_SECURITY_POLICY));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }

    fn status(&self) -> Response<Full<Bytes>> {
        match serde_json::to_string_pretty(&self.report.status()) {
            Ok(text) => respond(StatusCode::OK, JSON, text + "\n"),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        }
    }
}

fn respond(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
