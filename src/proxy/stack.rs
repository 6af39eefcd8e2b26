//! What stands around the handler, as one column. Errors end in it; no answer is an error to the server.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder};
use tracing::Instrument;

use super::Rules;
use super::exchange::{Exchange, RequestIds, Subject};
use super::handler::Handler;
use super::respond::Refusal;
use crate::http::Body;
use crate::http::body::metered;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::pulls::RecentPulls;

/// The whole face as one service.
pub(super) type Stack = BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>;

/// What comes from within: an answer, or why there is none. To `tower` both are a success, so that being ready has no
/// way to fail.
type Verdict = Result<Response<Body>, Refusal>;

type Answering<T> = Pin<Box<dyn Future<Output = Result<T, Infallible>> + Send>>;

/// Builds the column, outermost first.
pub(super) fn stack(rules: Rules, metrics: &Metrics, in_flight: usize) -> Stack {
    let handler = Arc::new(Handler::new(rules, metrics.unrouted()));
    let ids = Arc::new(RequestIds::new());
    let recent = metrics.recent_pulls().clone();
    let permits = Arc::new(Semaphore::new(in_flight));
    let column = ServiceBuilder::new()
        // A name, a span and the counters; outermost, so that they see every answer there is.
        .layer_fn(move |inner| Observed { inner, ids: Arc::clone(&ids), recent: recent.clone() })
        // An error becomes an answer.
        .map_response(|verdict: Verdict| verdict.unwrap_or_else(Refusal::into_response))
        // A bug in one answer does not take the connection's other requests with it.
        .map_future(without_panic)
        // More than the node can carry is refused at once; a queue would only make everybody late.
        .layer_fn(move |inner| Admission { inner, permits: Arc::clone(&permits) })
        .service_fn(move |mut request: Request<Incoming>| {
            let handler = Arc::clone(&handler);
            let subject: Subject = request.extensions_mut().remove().unwrap_or_default();
            async move { Ok(handler.handle(request, &subject).await) }
        });
    BoxCloneSyncService::new(column)
}

/// Gives a request its name and follows it to the end of its answer.
#[derive(Debug, Clone)]
struct Observed<S> {
    inner: S,
    ids: Arc<RequestIds>,
    recent: RecentPulls,
}

impl<S> Service<Request<Incoming>> for Observed<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<Response<Body>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        let id = self.ids.next();
        let span = tracing::info_span!("request", request_id = id.as_str());
        let (exchange, subject) = Exchange::begin(id, &self.recent);
        request.extensions_mut().insert(subject);
        let answering = self.inner.call(request);
        Box::pin(async move { answering.await.map(|response| exchange.attach(response)) }.instrument(span))
    }
}

/// Lets a limited number of requests in; each keeps its place until the last byte of its answer has gone.
#[derive(Debug, Clone)]
struct Admission<S> {
    inner: S,
    permits: Arc<Semaphore>,
}

impl<S> Service<Request<Incoming>> for Admission<S>
where
    S: Service<Request<Incoming>, Response = Verdict, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Verdict;
    type Error = Infallible;
    type Future = Answering<Verdict>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Box::pin(async { Ok(Err(Refusal::Overloaded)) });
        };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let verdict = answering.await?;
            Ok(verdict.map(|response| response.map(|body| metered(body, move |_| drop(permit)))))
        })
    }
}

async fn without_panic(answering: impl Future<Output = Result<Verdict, Infallible>>) -> Result<Verdict, Infallible> {
    // Nothing that the future owned is looked at after a panic.
    AssertUnwindSafe(answering).catch_unwind().await.unwrap_or_else(|panic| {
        tracing::error!(panic = text(&*panic), "a request ended in a panic; this is a bug");
        Ok(Err(Refusal::Panic))
    })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
