//! The face towards containerd: sockets, connections, requests, answers.
//!
//! It promises that every request gets an answer of the distribution spec, that no answer ever challenges the client for
//! credentials, and that a request which is not ours costs the upstream nothing. It never reads a token and never talks
//! to the cloud: what lies behind an instance is `upstream`'s.

mod caller;
mod conversation;
mod exchange;
mod gate;
mod handler;
#[cfg(any(test, fuzzing))]
pub(crate) mod invariants;
mod linger;
mod link;
mod listener;
mod request_id;
mod respond;
mod route;
mod serve;
mod stack;
mod visit;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

pub use self::caller::{Callers, ReadToken};
pub use self::route::Table;
pub use self::visit::{Visitor, Visits, visits};
use crate::http::listen::Listener;
use crate::telemetry::metrics::Metrics;

/// What decides about a request; each may change at any time.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Who may ask.
    pub callers: Arc<Callers>,
    /// Whom a request belongs to. It keeps the instance it was routed to, also when the table is swapped.
    pub table: Arc<ArcSwap<Table>>,
}

/// The limits of the face.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// Connections at once. For a further one, that which has been idle longest is closed; where all carry requests, it is
    /// answered 503.
    pub connections: usize,
    /// Requests at once, until the last byte of their answer; further ones get 503.
    pub in_flight: usize,
    /// Blobs that are streamed at once, which is what takes memory; a further one waits a moment, then gets 503.
    pub streams: usize,
    /// How long requests may go on after the end was announced.
    pub drain: Duration,
}

impl Default for Params {
    /// A node runs some dozens of pulls with three connections each. A thousand cold ones at once still pass, and that is
    /// far below what would exhaust a node.
    fn default() -> Self {
        Self { connections: 1024, in_flight: 1024, streams: 1024, drain: Duration::from_secs(20) }
    }
}

/// How long refusals under way may take at the end; they are as short as a request is.
const LAST_REFUSALS: Duration = Duration::from_secs(2);

/// Serves pulls from `listener`, and visits, until `shutdown` is ready and the requests in flight have ended, or
/// [`Params::drain`] has passed. What waits in the listener's queue at that moment is served too.
///
/// Where another listens on the address already, pulls come here from `ready` on.
pub async fn serve(
    listener: Listener,
    visits: Visits,
    rules: Rules,
    metrics: &Metrics,
    params: Params,
    (ready, shutdown): (impl Future<Output = ()> + Send, impl Future<Output = ()> + Send),
) {
    let stack = stack::Stack::new(rules, metrics, &params);
    serve::serve(listener, visits, stack, &params, ready, shutdown).await;
}

/// Answers every request with 503 and `why` the daemon has not started, one sentence without a full stop, until `shutdown`
/// is ready. A client that is told so goes on to its next server at once, where silence would hold it.
pub async fn refuse(listener: Listener, visits: Visits, why: &str, shutdown: impl Future<Output = ()> + Send) {
    let params = Params { drain: LAST_REFUSALS, ..Params::default() };
    serve::serve(listener, visits, stack::Stack::barred(why), &params, std::future::pending(), shutdown).await;
}

#[cfg(test)]
mod tests;
