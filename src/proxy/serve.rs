//! Connections: HTTP/1.1 and HTTP/2 side by side, the limits of one, and an end in good order.
//!
//! Nothing that a connection does or leaves undone holds its place for ever, and what follows a body that nobody reads is
//! never taken for a request.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::{ServiceExt, service_fn};

use super::linger::Lingering;
use super::listener::Arrivals;
use super::stack::Stack;
use super::{Params, Visits};
use crate::error::{BoxError, chain};
use crate::http::Body;
use crate::http::listen::Listener;

/// How long a request head, or the next one on a connection, is waited for. Above the 30 s after which containerd closes
/// an idle connection, so that it is the client who closes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(45);
/// Most lines of a request head. containerd sends a dozen.
const MOST_HEADERS: usize = 100;
/// Most requests on a connection, then it is closed with the answer, so that nobody keeps a place for ever. A pull of a
/// hundred layers needs a tenth of it, and a new connection costs a client on this node nothing.
const MOST_REQUESTS: u32 = 1000;
/// How often an HTTP/2 connection is asked whether its client is still there, and how long it may take to say so.
const H2_ASK: Duration = Duration::from_secs(30);
const H2_ANSWER: Duration = Duration::from_secs(20);
/// How long a connection that has carried no request yet is waited for at the end. Clients write at once, and repeat a
/// request only on a connection that has carried one before.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// How long the greeting of TLS may take; containerd gives up after the same time (client fact sheet, section 5).
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a request head, and of an answer that waits for the socket. A head beyond it gets a bare 431.
const BUFFER: usize = 64 * 1024;
/// Most bytes of an HTTP/2 header list.
const H2_HEADERS: u32 = 64 * 1024;
/// Most requests at once on an HTTP/2 connection.
const H2_STREAMS: u32 = 64;

/// Serves until `shutdown` is ready, then drains.
pub(super) async fn serve(
    listener: Listener,
    mut visits: Visits,
    stack: Stack,
    params: &Params,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut connections = Connections::new(stack, listener.tls());
    let mut arrivals = Arrivals::new(listener);
    let places = Arc::new(Semaphore::new(params.connections));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            // The place comes first: a connection that cannot be served is left in the kernel's queue.
            let place = Arc::clone(&places).acquire_owned().await;
            (place.ok(), arrivals.next().await)
        };
        tokio::select! {
            (place, stream) = accepted => connections.take(stream, place),
            visit = visits.next() => connections.serve(visit, None),
            () = &mut shutdown => break,
        }
    }
    connections.announce_end();
    // What was in the queue was promised an answer, place or not; there is no more of it than the queue holds.
    arrivals.leave(|stream| connections.take(stream, None)).await;
    drop(arrivals);
    connections.end(params.drain).await;
}

/// The connections that are open.
struct Connections {
    server: auto::Builder<TokioExecutor>,
    stack: Stack,
    tls: Option<TlsAcceptor>,
    ending: watch::Sender<bool>,
    open: JoinSet<()>,
}

impl Connections {
    fn new(stack: Stack, tls: Option<TlsAcceptor>) -> Self {
        Self { server: server(), stack, tls, ending: watch::Sender::new(false), open: JoinSet::new() }
    }

    /// Serves a client, who keeps `place` until the end of the connection.
    fn take(&mut self, stream: TcpStream, place: Option<OwnedSemaphorePermit>) {
        let stream = Lingering::new(stream);
        let Some(tls) = self.tls.clone() else { return self.serve(stream, place) };
        let (server, stack, ending) = (self.server.clone(), self.stack.clone(), self.ending.subscribe());
        self.follow(place, async move {
            let stream = timeout(GREETING_TIMEOUT, tls.accept(stream)).await??;
            converse(server, stack, stream, ending).await
        });
    }

    fn serve(
        &mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        place: Option<OwnedSemaphorePermit>,
    ) {
        self.follow(place, converse(self.server.clone(), self.stack.clone(), stream, self.ending.subscribe()));
    }

    fn follow(
        &mut self,
        place: Option<OwnedSemaphorePermit>,
        conversation: impl Future<Output = Result<(), BoxError>> + Send + 'static,
    ) {
        self.open.spawn(async move {
            if let Err(error) = conversation.await {
                tracing::debug!(error = chain(&*error), "a connection ended early");
            }
            drop(place);
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

/// One connection, from its first request to its end.
async fn converse(
    server: auto::Builder<TokioExecutor>,
    stack: Stack,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mut ending: watch::Receiver<bool>,
) -> Result<(), BoxError> {
    let requests = Arc::new(watch::Sender::new(0));
    let (mut counted, mut first) = (requests.subscribe(), requests.subscribe());
    let service = service_fn(move |request| answer(stack.clone(), request, Arc::clone(&requests)));
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    // The server's own limit begins when it knows the version of HTTP, which a silent client never tells.
    let begun = timeout(HEAD_TIMEOUT, counted.wait_for(|requests| *requests > 0));
    tokio::select! {
        result = &mut connection => return result,
        begun = begun => if begun.is_err() {
            return Err("no request came".into());
        },
        // A sender that is gone is an end as well.
        _ = ending.wait_for(|ending| *ending) => {}
    }
    tokio::select! {
        result = &mut connection => return result,
        _ = counted.wait_for(|requests| *requests >= MOST_REQUESTS) => {}
        carries = end(&mut ending, &mut first) => if !carries {
            return Ok(());
        },
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// Ready when a connection has to end: the end was announced, and its first request has come or will not come. Whether it
/// has ever carried one.
async fn end(ending: &mut watch::Receiver<bool>, counted: &mut watch::Receiver<u32>) -> bool {
    ending.wait_for(|ending| *ending).await.ok();
    // Too late or gone: either way it is time to close.
    matches!(timeout(FIRST_REQUEST, counted.wait_for(|requests| *requests > 0)).await, Ok(Ok(_)))
}

/// One request of a connection. Its answer says so where it is the last.
async fn answer(
    stack: Stack,
    request: Request<Incoming>,
    requests: Arc<watch::Sender<u32>>,
) -> Result<Response<Body>, Infallible> {
    requests.send_modify(|requests| *requests = requests.saturating_add(1));
    let last = *requests.borrow() >= MOST_REQUESTS || !request.body().is_end_stream();
    let one_at_a_time = request.version() < Version::HTTP_2;
    let mut response = stack.oneshot(request).await?;
    if last && one_at_a_time {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .max_headers(MOST_HEADERS)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(H2_HEADERS)
        .max_concurrent_streams(H2_STREAMS)
        .keep_alive_interval(H2_ASK)
        .keep_alive_timeout(H2_ANSWER);
    server
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::{HEAD_TIMEOUT, MOST_REQUESTS, Stack, converse, server};
    use crate::error::BoxError;
    use crate::proxy::{Callers, Rules};
    use crate::telemetry::metrics::Metrics;

    /// Serves one connection that serves nobody in particular, to its end.
    async fn serve(stream: DuplexStream) -> Result<(), BoxError> {
        let rules = Rules { callers: Callers::everybody(), table: Arc::default() };
        let (_running, ending) = watch::channel(false);
        converse(server(), Stack::new(rules, &Metrics::new(), 1), stream, ending).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_asks_is_closed() {
        for beginning in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET /v2/ HTTP/1.1\r\nX: "] {
            let (mut near, far) = duplex(64);
            near.write_all(beginning).await.unwrap();
            let begun = Instant::now();
            assert!(serve(far).await.is_err(), "{beginning:?}");
            assert!(begun.elapsed() <= HEAD_TIMEOUT, "{beginning:?}: {:?}", begun.elapsed());
        }
    }

    #[tokio::test]
    async fn the_last_answer_of_a_connection_says_that_it_is_the_last() {
        let (near, far) = duplex(4096);
        let (mut reader, mut writer) = split(near);
        let asking = async {
            for _ in 0..=MOST_REQUESTS {
                // The one too many is written into a connection that may be closed.
                writer.write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await.ok();
            }
        };
        let mut answers = String::new();
        let (served, (), read) = tokio::join!(serve(far), asking, reader.read_to_string(&mut answers));
        served.unwrap();
        read.unwrap();
        let heads: Vec<_> = answers.split("HTTP/1.1 200 ").skip(1).collect();
        assert_eq!(heads.len(), usize::try_from(MOST_REQUESTS).unwrap());
        let closing: Vec<_> = heads.iter().map(|head| head.contains("connection: close")).collect();
        assert_eq!(closing.iter().position(|closing| *closing), Some(heads.len() - 1));
    }
}
