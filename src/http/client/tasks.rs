//! The pool of connections that have a task each: HTTP/2, and HTTP/1.1 where the other side speaks nothing newer.
//!
//! The client of hyper-util that it is made of appears in this file only.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::H1_READ_AHEAD;
use crate::error::BoxError;
use crate::http::Body;
use crate::http::connector::Connector;
use crate::http::driven::Failure;

/// HTTP/2 connections are probed this often while requests wait on them, so that a dead one does not swallow them all.
const H2_PROBE: Duration = Duration::from_secs(2);
/// How long an HTTP/2 probe may stay unanswered. With the time before it, this is less than any request waits (5 s for a
/// token): one that met a dead connection is told so while there is time for another.
const H2_PROBE_ANSWER: Duration = Duration::from_secs(2);
/// HTTP/2 flow-control window of one stream: enough for a manifest of the largest size without a stop.
const H2_STREAM_WINDOW: u32 = 4 * 1024 * 1024;

/// Connections with tasks; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Pool(Box<legacy::Client<Connector, Body>>);

impl Pool {
    pub(super) fn new(connector: Connector, idle: Duration, per_host: usize) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle)
            .pool_max_idle_per_host(per_host)
            .http1_max_buf_size(H1_READ_AHEAD)
            .http2_initial_stream_window_size(H2_STREAM_WINDOW)
            .http2_keep_alive_interval(H2_PROBE)
            .http2_keep_alive_timeout(H2_PROBE_ANSWER)
            .build(connector);
        Self(Box::new(client))
    }

    pub(super) async fn request(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Failure> {
        match self.0.request(request).await {
            Ok(response) => Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync())),
            Err(error) if error.is_connect() => Err(Failure::Connect(error.into())),
            Err(error) => Err(Failure::Closed(error.into())),
        }
    }
}

/// The connection that a request goes out on, once the pool has chosen one.
#[derive(Debug)]
pub(super) struct Carrier(CaptureConnection);

impl Carrier {
    pub(super) fn of(request: &mut http::Request<Body>) -> Self {
        Self(capture_connection(request))
    }

    /// Gives the connection no further request; those that are under way on it go on.
    ///
    /// The probes alone do not do that in time: hyper starts to count where it sees a request under way when it looks at
    /// the connection, and on one that says nothing it may have looked just before.
    pub(super) fn retire(&self) {
        if let Some(connection) = &*self.0.connection_metadata() {
            connection.poison();
        }
    }
}
