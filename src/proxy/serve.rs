//! Connections: HTTP/1.1 and cleartext HTTP/2 side by side, and an end in good order.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Params;
use super::linger::Lingering;
use super::listener::Listener;
use super::stack::Stack;
use crate::error::chain;

/// How long a request head, or the next one on a connection, is waited for. Above the 30 s after which containerd closes
/// an idle connection, so that it is the client who closes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(45);
/// Most bytes of a request head, and of an answer that waits for the socket. A head beyond it gets a bare 431.
const BUFFER: usize = 256 * 1024;
/// Most bytes of an HTTP/2 header list.
const H2_HEADERS: u32 = 64 * 1024;
/// Most requests at once on an HTTP/2 connection.
const H2_STREAMS: u32 = 64;

/// Serves until `shutdown` is ready, then drains.
pub(super) async fn serve(
    listener: TcpListener,
    stack: Stack,
    params: &Params,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut listener = Listener::new(listener);
    let server = server();
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(params.connections));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            // The place comes first: a connection that cannot be served is left in the kernel's queue.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        let service = TowerToHyperService::new(stack.clone());
        let connection = server.serve_connection(TokioIo::new(Lingering::new(stream)), service).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = chain(&*error), "a connection ended early");
            }
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    if timeout(params.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests are cut, since they did not end in time");
    }
    connections.shutdown().await;
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(H2_HEADERS)
        .max_concurrent_streams(H2_STREAMS);
    server
}
