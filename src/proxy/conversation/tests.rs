use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tower::{Service, service_fn};

use super::{LIMITS, MOST_REQUESTS, converse, server};
use crate::error::BoxError;
use crate::http::Body;
use crate::http::body::empty;
use crate::http::listen::places::{Overdue, Place};
use crate::proxy::stack::Stack;
use crate::proxy::{Callers, Params, Rules};
use crate::telemetry::metrics::Metrics;

/// Serves one connection as the face does, to its end.
async fn serve<S>(stream: DuplexStream, service: S) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let place = Place::uncounted();
    let life = place.life();
    let (_running, ending) = watch::channel(false);
    tokio::select! {
        result = converse(server(), service, stream, Arc::clone(life), ending, MOST_REQUESTS) => result,
        overdue = life.overdue(LIMITS) => Err(overdue.into()),
    }
}

/// A face that serves nobody in particular.
fn stack() -> Stack {
    let rules = Rules { callers: Callers::everybody(), table: Arc::default() };
    Stack::new(rules, &Metrics::new(), &Params::default())
}

/// Answers with a body that has no end.
async fn endless(_: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let chunks = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[0; 16 * 1024]))));
    Ok(Response::new(BodyExt::boxed_unsync(StreamBody::new(chunks))))
}

/// Whether a stall was noticed in time: each look at the connection may move another piece into its buffer, which passes
/// for progress until that is full.
fn in_time(after: Duration) -> bool {
    (LIMITS.stalled..2 * LIMITS.stalled).contains(&after)
}

fn overdue(result: Result<(), BoxError>) -> Option<Overdue> {
    result.err()?.downcast_ref().copied()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_asks_is_closed() {
    for beginning in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET /v2/ HTTP/1.1\r\nX: "] {
        let (mut near, far) = duplex(64);
        near.write_all(beginning).await.unwrap();
        let begun = Instant::now();
        assert_eq!(overdue(serve(far, stack()).await), Some(Overdue::Silent), "{beginning:?}");
        assert_eq!(begun.elapsed(), LIMITS.first, "{beginning:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_none() {
    let (mut near, far) = duplex(64);
    let trickling = async {
        near.write_all(b"GET /v2/ HTTP/1.1\r\nX: ").await.unwrap();
        loop {
            sleep(Duration::from_secs(1)).await;
            near.write_all(b"x").await.ok();
        }
    };
    let begun = Instant::now();
    let served = tokio::select! {
        served = serve(far, stack()) => served,
        () = trickling => unreachable!(),
    };
    assert_eq!(overdue(served), Some(Overdue::Silent));
    assert_eq!(begun.elapsed(), LIMITS.first);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_ends_its_connection() {
    let (mut near, far) = duplex(4096);
    near.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let begun = Instant::now();
    assert_eq!(overdue(serve(far, service_fn(endless)).await), Some(Overdue::Stalled));
    assert!(in_time(begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_read_slowly_does_not() {
    let (mut near, far) = duplex(4096);
    let reading = async {
        near.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut buffer = vec![0; 64 * 1024];
        for _ in 0..20 {
            sleep(LIMITS.stalled / 2).await;
            near.read_exact(&mut buffer).await.unwrap();
        }
    };
    tokio::select! {
        served = serve(far, service_fn(endless)) => panic!("{served:?}"),
        () = reading => {}
    }
}

/// Serves HTTP/2 to a client that sends one request, and keeps what it got without reading it.
async fn over_http2<S>(service: S) -> (Option<Overdue>, Duration)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let (near, far) = duplex(64 * 1024);
    let begun = Instant::now();
    let served = tokio::spawn(serve(far, service));
    let io = TokioIo::new(near);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://x/v2/").body(empty()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let ended = overdue(served.await.unwrap());
    drop((answer, sender));
    connection.await.unwrap().ok();
    (ended, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_without_requests_is_closed_though_its_client_answers_pings() {
    let (ended, after) = over_http2(stack()).await;
    assert_eq!(ended, Some(Overdue::Idle));
    assert_eq!(after, LIMITS.idle);
}

#[tokio::test(start_paused = true)]
async fn an_http2_stream_that_nobody_reads_ends_its_connection() {
    let (ended, after) = over_http2(service_fn(endless)).await;
    assert_eq!(ended, Some(Overdue::Stalled));
    assert!(in_time(after), "{after:?}");
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
    let (served, (), read) = tokio::join!(serve(far, stack()), asking, reader.read_to_string(&mut answers));
    served.unwrap();
    read.unwrap();
    let heads: Vec<_> = answers.split("HTTP/1.1 200 ").skip(1).collect();
    assert_eq!(heads.len(), usize::try_from(MOST_REQUESTS).unwrap());
    let closing: Vec<_> = heads.iter().map(|head| head.contains("connection: close")).collect();
    assert_eq!(closing.iter().position(|closing| *closing), Some(heads.len() - 1));
}
