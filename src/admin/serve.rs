//! The sockets of the admin surface: few connections, short heads, no long waits.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::Admin;

/// Connections at once: a Prometheus, two probes and some people, with room.
const CONNECTIONS: usize = 32;

/// How long a request head may take, and how long a connection may lie idle.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// Longest request head: nothing asked here needs more.
const HEAD_BYTES: usize = 16 * 1024;

/// Pause after a failed accept: it fails again until somebody closes a file (EMFILE).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Answers on `listener` until it is dropped, which closes every connection with it.
pub async fn serve(admin: Admin, listener: TcpListener) {
    let admin = Arc::new(admin);
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(Arc::clone(&admin), stream, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the admin address cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(admin: Arc<Admin>, stream: TcpStream, permit: OwnedSemaphorePermit) {
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let response = admin.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the admin address ended early");
    }
    drop(permit);
}
