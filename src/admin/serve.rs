//! The sockets of the admin surface: few connections, short heads, no long waits. Who says nothing gives way to a probe.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Admin;
use crate::http::listen::places::{Limits, Place, Places};

/// Connections at once: a Prometheus, two probes and some people, with room.
const CONNECTIONS: usize = 32;

/// How long a connection may do nothing. Whoever asks here asks at once. An answer is over when it is handed to the
/// connection, so that the time between two requests is also what a slow reader has for it.
const LIMITS: Limits =
    Limits { first: Duration::from_secs(5), idle: Duration::from_secs(30), stalled: Duration::from_secs(30) };

/// Longest request head: nothing asked here needs more.
const HEAD_BYTES: usize = 16 * 1024;

/// Pause after a failed accept: it fails again until somebody closes a file (EMFILE).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Answers on `listener` until it is dropped, which closes every connection with it.
pub async fn serve(admin: Admin, listener: TcpListener) {
    let admin = Arc::new(admin);
    let places = Places::new(CONNECTIONS);
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            // Nobody is refused: no request lasts, so that there is always somebody who gives way.
            Ok((stream, _)) => {
                if let Some(place) = places.take() {
                    connections.spawn(connection(Arc::clone(&admin), stream, place));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the admin address cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(admin: Arc<Admin>, stream: TcpStream, place: Place) {
    let life = Arc::clone(place.life());
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let carried = life.carry();
        let response = admin.answer(request.method(), request.uri().path());
        drop(carried);
        async move { Ok::<_, Infallible>(response) }
    });
    let serving = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = serving => if let Err(error) = served {
            tracing::debug!(%error, "a connection to the admin address ended early");
        },
        overdue = place.life().overdue(LIMITS) => {
            tracing::debug!(%overdue, "a connection to the admin address ended early");
        }
    }
    drop(place);
}
