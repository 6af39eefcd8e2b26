//! Connections: who gets a place, who is refused one, and an end in good order.
//!
//! A connection is taken at once or told at once that there is no place; it never waits in a queue in silence, where a
//! client of containerd's kind would wait with it in place of going on to the next server.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::conversation::{LIMITS, MOST_REQUESTS, Server, converse, server};
use super::linger::Lingering;
use super::listener::Arrivals;
use super::stack::Stack;
use super::{Params, Visits};
use crate::error::{BoxError, chain};
use crate::http::listen::Listener;
use crate::http::listen::places::{Life, Limits, Place, Places};

/// Connections at once that are told that there is no place; what comes beyond is closed without a word, which sends
/// containerd to its next server too.
const REFUSALS: usize = 64;
/// How long such a connection has for its request, and for the answer.
const REFUSAL: Limits =
    Limits { first: Duration::from_secs(2), idle: Duration::from_secs(2), stalled: Duration::from_secs(2) };

/// Serves until `shutdown` is ready, then drains. When `ready`, newcomers come here, whoever listened first.
pub(super) async fn serve(
    listener: Listener,
    mut visits: Visits,
    stack: Stack,
    params: &Params,
    ready: impl Future<Output = ()> + Send,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut connections = Connections::new(stack, listener.tls(), params.connections);
    let mut arrivals = Arrivals::new(listener);
    let (mut ready, mut leads) = (pin!(ready), false);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            stream = arrivals.next() => connections.admit(stream),
            visit = visits.next() => connections.visit(visit),
            () = &mut ready, if !leads => {
                leads = true;
                arrivals.lead();
            }
            () = &mut shutdown => break,
        }
    }
    connections.announce_end();
    // What was in the queue was promised an answer, place or not; there is no more of it than the queue holds.
    arrivals.leave(|stream| connections.take(stream, Place::uncounted())).await;
    drop(arrivals);
    connections.end(params.drain).await;
}

/// The connections that are open.
struct Connections {
    server: Server,
    stack: Stack,
    tls: Option<TlsAcceptor>,
    places: Arc<Places>,
    refusals: Arc<Places>,
    /// Whether the last newcomer found no place.
    full: bool,
    ending: watch::Sender<bool>,
    open: JoinSet<()>,
}

impl Connections {
    fn new(stack: Stack, tls: Option<TlsAcceptor>, most: usize) -> Self {
        Self {
            server: server(),
            stack,
            tls,
            places: Places::new(most),
            refusals: Places::new(REFUSALS),
            full: false,
            ending: watch::Sender::new(false),
            open: JoinSet::new(),
        }
    }

    /// Takes a client, or tells it that there is no place.
    fn admit(&mut self, stream: TcpStream) {
        let place = self.places.take();
        if place.is_none() && !self.full {
            tracing::warn!("every connection carries a request; further ones are refused");
        }
        self.full = place.is_none();
        match (place, self.refusals.take()) {
            (Some(place), _) => self.take(stream, place),
            (None, Some(place)) => self.greet(stream, place, self.stack.full(), (REFUSAL, 1)),
            (None, None) => {}
        }
    }

    /// Serves a client, who keeps `place` until the end of the connection.
    fn take(&mut self, stream: TcpStream, place: Place) {
        self.greet(stream, place, self.stack.clone(), (LIMITS, MOST_REQUESTS));
    }

    fn greet(&mut self, stream: TcpStream, place: Place, stack: Stack, limits: (Limits, u32)) {
        let life = Arc::clone(place.life());
        let stream = Lingering::new(stream, place);
        let Some(tls) = self.tls.clone() else { return self.serve(stream, life, stack, limits) };
        let (server, ending, (limits, most)) = (self.server.clone(), self.ending.subscribe(), limits);
        self.follow(Arc::clone(&life), limits, async move {
            let stream = tls.accept(stream).await?;
            converse(server, stack, stream, life, ending, most).await
        });
    }

    fn visit(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let life = Arc::clone(Place::uncounted().life());
        self.serve(stream, life, self.stack.admitting(), (LIMITS, MOST_REQUESTS));
    }

    fn serve(
        &mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        life: Arc<Life>,
        stack: Stack,
        (limits, most): (Limits, u32),
    ) {
        let conversation =
            converse(self.server.clone(), stack, stream, Arc::clone(&life), self.ending.subscribe(), most);
        self.follow(life, limits, conversation);
    }

    fn follow(
        &mut self,
        life: Arc<Life>,
        limits: Limits,
        conversation: impl Future<Output = Result<(), BoxError>> + Send + 'static,
    ) {
        self.open.spawn(async move {
            let ended = tokio::select! {
                result = conversation => result,
                overdue = life.overdue(limits) => Err(overdue.into()),
            };
            if let Err(error) = ended {
                tracing::debug!(error = chain(&*error), "a connection ended early");
            }
        });
        while self.open.try_join_next().is_some() {}
    }

    /// Every connection ends with the request it is carrying.
    fn announce_end(&self) {
        self.ending.send_replace(true);
    }

    /// Waits until all connections have ended; cuts what is left after `limit`.
    async fn end(mut self, limit: Duration) {
        let all = async { while self.open.join_next().await.is_some() {} };
        if timeout(limit, all).await.is_err() {
            tracing::warn!(connections = self.open.len(), "requests are cut, since they did not end in time");
        }
        self.open.shutdown().await;
    }
}
