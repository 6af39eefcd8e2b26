//! What stands around the handler, as one service. Errors end in it; no answer is an error to the server.

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
use tower::Service;
use tracing::Instrument;

use super::exchange::{Exchange, Subject};
use super::gate::Gate;
use super::handler::Handler;
use super::request_id::RequestIds;
use super::respond::Refusal;
use super::{Callers, Params, Rules};
use crate::http::Body;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::pulls::RecentPulls;

/// The whole face as one service; a clone costs a count.
#[derive(Debug, Clone)]
pub(super) struct Stack(Arc<Column>);

#[derive(Debug)]
struct Column {
    handler: Handler,
    ids: Arc<RequestIds>,
    recent: RecentPulls,
}

impl Stack {
    /// The face that answers by `rules`, as many requests at once as `params` say.
    pub(super) fn new(rules: Rules, metrics: &Metrics, params: &Params) -> Self {
        Self(Arc::new(Column {
            handler: Handler::new(rules, metrics.unrouted(), Gate::new(params)),
            ids: Arc::new(RequestIds::new()),
            recent: metrics.recent_pulls().clone(),
        }))
    }

    /// The face of a daemon that has not started.
    pub(super) fn barred(why: &str) -> Self {
        let (metrics, rules) = (Metrics::new(), Rules { callers: Callers::everybody(), table: Arc::default() });
        Self(Arc::new(Column {
            handler: Handler::new(rules, metrics.unrouted(), Gate::barred(why)),
            ids: Arc::new(RequestIds::new()),
            recent: metrics.recent_pulls().clone(),
        }))
    }

    /// The same face when it has no place left.
    pub(super) fn full(&self) -> Self {
        self.with(|handler| handler.behind(Gate::closed()))
    }

    /// The same face for the daemon itself, which needs no client token.
    pub(super) fn admitting(&self) -> Self {
        self.with(Handler::admitting)
    }

    fn with(&self, change: impl FnOnce(&Handler) -> Handler) -> Self {
        let Column { handler, ids, recent } = &*self.0;
        Self(Arc::new(Column { handler: change(handler), ids: Arc::clone(ids), recent: recent.clone() }))
    }
}

impl Service<Request<Incoming>> for Stack {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Gives the request a name and a span, and follows it to the end of its answer.
    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let column = Arc::clone(&self.0);
        let id = column.ids.next();
        let span = tracing::info_span!("request", request_id = id.as_str());
        let (exchange, subject) = Exchange::begin(id, &column.recent);
        let answering = async move {
            let response = column.answer(request, &subject).await;
            let response = response.unwrap_or_else(|refusal| refusal.into_response(exchange.id(), &subject));
            Ok(exchange.attach(response))
        };
        Box::pin(answering.instrument(span))
    }
}

impl Column {
    /// A bug in one answer does not take the connection's other requests with it.
    async fn answer(&self, request: Request<Incoming>, subject: &Subject) -> Result<Response<Body>, Refusal> {
        // Nothing that the future owned is looked at after a panic.
        let answering = AssertUnwindSafe(self.handler.handle(request, subject)).catch_unwind();
        answering.await.unwrap_or_else(|panic| {
            tracing::error!(panic = text(&*panic), "a request ended in a panic; this is a bug");
            Err(Refusal::Panic)
        })
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
