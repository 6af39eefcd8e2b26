//! HTTP/1.1 connections without a task of their own: whoever reads a body drives the connection it comes on.
//!
//! The usual client gives each connection a task that hands frames to the reader one by one, and each handover wakes one
//! task and then the other, often on two cores. For a blob that is a wake-up per TLS record. Here a frame is read from
//! the socket in the very poll that asks for it, so that a blob costs the copies and the decryption and little else.
//!
//! A connection goes back to the pool when its body was read to the end, and away with its body otherwise. While it lies
//! idle nobody looks at it: whether it is still good is found out when it is next used, and one that lay too long is closed
//! by the next look at the pool, which its owner takes from time to time ([`Pool::prune`]).

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use super::Body;
use super::connector::Connector;
use crate::error::BoxError;

/// Where a pooled connection goes to.
pub(super) type Key = (Scheme, Authority);

/// Limits of the pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How long a connection may lie idle.
    pub(super) idle: Duration,
    /// Idle connections kept for one origin.
    pub(super) per_origin: usize,
    /// Most bytes one connection reads ahead of its reader.
    pub(super) read_ahead: usize,
}

/// A pool of connections to any number of origins; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    connector: Connector,
    limits: Limits,
    idle: Arc<Mutex<HashMap<Key, Vec<Idle>>>>,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

/// Why no response head came.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no connection.
    Connect(BoxError),
    /// The connection ended before the head.
    Closed(BoxError),
}

impl Pool {
    pub(super) fn new(connector: Connector, limits: Limits) -> Self {
        Self { connector, limits, idle: Arc::default() }
    }

    /// Sends one request with an absolute URL and waits for the response head.
    ///
    /// A request that was never written, because its pooled connection had gone, is sent again on another one.
    pub(super) async fn request(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        let (key, request) = in_origin_form(request).map_err(Failure::Connect)?;
        self.ask(key, request).await
    }

    /// Sends one request as it stands to whoever is at `key`.
    pub(super) async fn ask(&self, key: Key, mut request: Request<Body>) -> Result<Response<Body>, Failure> {
        while let Some(mut link) = self.take(&key) {
            match link.ask(request).await {
                Ok(head) => return Ok(self.attach(key, link, head)),
                Err((Some(unsent), _)) => request = unsent,
                Err((None, error)) => {
                    // What cut this one off has cut off those beside it.
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                    return Err(Failure::Closed(error));
                }
            }
        }
        let mut link = self.connect(&key).await.map_err(Failure::Connect)?;
        match link.ask(request).await {
            Ok(head) => Ok(self.attach(key, link, head)),
            Err((_, error)) => Err(Failure::Closed(error)),
        }
    }

    async fn connect(&self, (scheme, authority): &Key) -> Result<Link, BoxError> {
        let uri = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query("/").build()?;
        let stream = self.connector.clone().ready().await?.call(uri).await?;
        let (sender, connection) = http1::Builder::new().max_buf_size(self.limits.read_ahead).handshake(stream).await?;
        Ok(Link { sender, connection: Some(Box::pin(connection)) })
    }

    /// An idle connection that has not lain too long, the one used last first.
    fn take(&self, key: &Key) -> Option<Link> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let found = idle.get_mut(key)?.pop().filter(|found| found.since.elapsed() < self.limits.idle);
        if found.is_none() {
            // The last one used is too old, and so are all below it.
            idle.remove(key);
        }
        found.map(|found| found.link)
    }

    /// Closes what has lain idle too long. Nothing here does so by itself.
    pub(super) fn prune(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, links| {
            links.retain(|found| found.since.elapsed() < self.limits.idle);
            !links.is_empty()
        });
    }

    fn give_back(&self, key: Key, link: Link) {
        self.prune();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let links = idle.entry(key).or_default();
        if links.len() < self.limits.per_origin {
            links.push(Idle { link, since: Instant::now() });
        }
    }

    fn attach(&self, key: Key, link: Link, head: Response<Incoming>) -> Response<Body> {
        head.map(|incoming| {
            let mut body = DrivenBody { incoming, place: Some((self.clone(), key, link)) };
            if body.incoming.is_end_stream() {
                body.end();
            }
            body.map_err(BoxError::from).boxed_unsync()
        })
    }
}

/// The request as it goes over the wire: a path, and the origin in `Host`.
fn in_origin_form(mut request: Request<Body>) -> Result<(Key, Request<Body>), BoxError> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme.take(), parts.authority.take()) else {
        return Err("the URL has no host".into());
    };
    *request.uri_mut() = Uri::from_parts(parts)?;
    let key = (scheme, authority);
    name_host(&mut request, &key)?;
    Ok((key, request))
}

/// Names the origin in `Host`, where nothing stands there yet.
pub(super) fn name_host(request: &mut Request<Body>, (scheme, authority): &Key) -> Result<(), BoxError> {
    if !request.headers().contains_key(header::HOST) {
        let host = match authority.port_u16() {
            Some(port) if Some(port) != default_port(scheme) => authority.as_str(),
            _ => authority.host(),
        };
        request.headers_mut().insert(header::HOST, HeaderValue::from_str(host)?);
    }
    Ok(())
}

fn default_port(scheme: &Scheme) -> Option<u16> {
    match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

/// One connection and the way to ask on it.
struct Link {
    sender: SendRequest<Body>,
    /// `None` once it has ended.
    connection: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
}

impl Link {
    /// Sends the request and drives the connection until the head is there. The request comes back where no byte of it
    /// was written.
    async fn ask(&mut self, request: Request<Body>) -> Result<Response<Incoming>, (Option<Request<Body>>, BoxError)> {
        // A connection that was closed while it lay idle says so here, before the request is touched.
        if poll_fn(|cx| Poll::Ready(self.drive(cx).is_ready())).await {
            return Err((Some(request), "the connection was closed while it was idle".into()));
        }
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        let outcome = poll_fn(|cx| {
            if connection.as_mut().is_some_and(|connection| connection.as_mut().poll(cx).is_ready()) {
                *connection = None;
            }
            answer.as_mut().poll(cx)
        });
        outcome.await.map_err(|mut error| (error.take_message(), error.into_error().into()))
    }

    /// Moves bytes in both directions as far as they go now; ready once the connection has ended.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(()) };
        // How it ended is told by the body, which then has an error or an end.
        let _ended = ready!(connection.as_mut().poll(cx));
        self.connection = None;
        Poll::Ready(())
    }

    fn is_reusable(&self) -> bool {
        self.connection.is_some() && !self.sender.is_closed()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("open", &self.connection.is_some()).finish_non_exhaustive()
    }
}

/// A body that brings its connection along.
struct DrivenBody {
    incoming: Incoming,
    /// Until the body has ended.
    place: Option<(Pool, Key, Link)>,
}

impl DrivenBody {
    /// The body was read to its end: the connection may serve somebody else.
    fn end(&mut self) {
        if let Some((pool, key, link)) = self.place.take()
            && link.is_reusable()
        {
            pool.give_back(key, link);
        }
    }
}

impl HttpBody for DrivenBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        // Asking first tells the connection that a frame is wanted.
        let mut frame = Pin::new(&mut this.incoming).poll_frame(cx);
        if frame.is_pending()
            && let Some((_, _, link)) = &mut this.place
        {
            // Ended or not: what came of it is in the body.
            let _ended = link.drive(cx);
            frame = Pin::new(&mut this.incoming).poll_frame(cx);
        }
        match &frame {
            Poll::Ready(Some(Err(_))) => this.place = None,
            Poll::Ready(None) => this.end(),
            Poll::Ready(Some(Ok(_))) if this.incoming.is_end_stream() => this.end(),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests;
