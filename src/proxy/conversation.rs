//! One connection, from its first request to its end: HTTP/1.1 and HTTP/2 side by side, and the limits of each.
//!
//! Nothing that a connection does or leaves undone holds its place for ever, and what follows a body that nobody reads is
//! never taken for a request.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::{Service, ServiceExt, service_fn};

use crate::error::BoxError;
use crate::http::Body;
use crate::http::listen::places::{Carried, Life, Limits};

/// How long a connection may do nothing.
pub(super) const LIMITS: Limits = Limits {
    // containerd writes at once. It also gives up a greeting of TLS after this time (client fact sheet, section 5).
    first: Duration::from_secs(10),
    // Above the 30 s after which containerd closes an idle connection, so that it is the client who closes.
    idle: Duration::from_secs(45),
    // containerd gives up a pull of which no byte has come for as long (`image_pull_progress_timeout`; client fact sheet,
    // section 5), so that one which is paused, or waits for its disk, has lost nothing.
    stalled: Duration::from_mins(5),
};
/// Most lines of a request head. containerd sends a dozen.
const MOST_HEADERS: usize = 100;
/// Most requests on a connection, then it is closed with the answer, so that nobody keeps a place for ever. A pull of a
/// hundred layers needs a tenth of it, and a new connection costs a client on this node nothing.
pub(super) const MOST_REQUESTS: u32 = 1000;
/// How often an HTTP/2 connection is asked whether its client is still there, and how long it may take to say so.
const H2_ASK: Duration = Duration::from_secs(30);
const H2_ANSWER: Duration = Duration::from_secs(20);
/// How long a connection that has carried no request yet is waited for at the end. Clients write at once, and repeat a
/// request only on a connection that has carried one before.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// Most bytes of a request head, and of an answer that waits for the socket. A head beyond it gets a bare 431.
const BUFFER: usize = 64 * 1024;
/// Most bytes of an HTTP/2 header list.
const H2_HEADERS: u32 = 64 * 1024;
/// Most requests at once on an HTTP/2 connection: ten images with the three layers that containerd fetches of each. A
/// client with more opens another connection.
const H2_STREAMS: u32 = 32;
/// Most bytes of an answer that wait for an HTTP/2 client, as for one of HTTP/1.1.
const H2_SEND_BUFFER: usize = BUFFER;

/// The server of every connection.
pub(super) type Server = auto::Builder<TokioExecutor>;

/// Whether connections have to end.
pub(super) type Ending = watch::Receiver<bool>;

/// Serves one connection of at most `most` requests, until it is at its end or overdue.
pub(super) async fn converse<S>(
    server: Server,
    service: S,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    life: Arc<Life>,
    mut ending: Ending,
    most: u32,
) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let requests = Arc::new(watch::Sender::new(0));
    let (mut counted, mut first) = (requests.subscribe(), requests.subscribe());
    let service =
        service_fn(move |request| answer(service.clone(), request, Arc::clone(&requests), Arc::clone(&life), most));
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    tokio::select! {
        result = &mut connection => return result,
        _ = counted.wait_for(|requests| *requests >= most) => {}
        carries = end(&mut ending, &mut first) => if !carries {
            return Ok(());
        },
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// Ready when a connection has to end: the end was announced, and its first request has come or will not come. Whether it
/// has ever carried one.
async fn end(ending: &mut Ending, counted: &mut watch::Receiver<u32>) -> bool {
    // A sender that is gone is an end as well.
    ending.wait_for(|ending| *ending).await.ok();
    // Too late or gone: either way it is time to close.
    matches!(timeout(FIRST_REQUEST, counted.wait_for(|requests| *requests > 0)).await, Ok(Ok(_)))
}

/// One request of a connection. Its answer says so where it is the last.
async fn answer<S>(
    service: S,
    request: Request<Incoming>,
    requests: Arc<watch::Sender<u32>>,
    life: Arc<Life>,
    most: u32,
) -> Result<Response<Answer>, Infallible>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    let Some(carried) = life.carry() else {
        // It came too late: whoever follows the connection is ending it.
        return std::future::pending().await;
    };
    requests.send_modify(|requests| *requests = requests.saturating_add(1));
    let last = *requests.borrow() >= most || !request.body().is_end_stream();
    let one_at_a_time = request.version() < Version::HTTP_2;
    let mut response = service.oneshot(request).await?;
    if last && one_at_a_time {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Answer { body, carried }))
}

/// The body of an answer, which its connection carries to the end.
struct Answer {
    body: Body,
    carried: Carried,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.carried.moved(data.len());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The server with its limits.
pub(super) fn server() -> Server {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        // `LIMITS` hold for both versions, and cost no timer at each request.
        .header_read_timeout(None)
        .max_buf_size(BUFFER)
        .max_headers(MOST_HEADERS)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(H2_HEADERS)
        .max_concurrent_streams(H2_STREAMS)
        .max_send_buf_size(H2_SEND_BUFFER)
        .keep_alive_interval(H2_ASK)
        .keep_alive_timeout(H2_ANSWER);
    server
}

#[cfg(test)]
mod tests;
