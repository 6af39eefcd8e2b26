use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::time::Instant;

use super::{CollectError, End, Passage, Stalled, collect_limited, empty, full, metered, with_stall_timeout};
use crate::error::{BoxError, cause_ref};
use crate::http::Body;

fn frames(parts: Vec<Result<&'static str, &'static str>>) -> Body {
    let frames = parts.into_iter().map(|part| match part {
        Ok(text) => Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
        Err(text) => Err(BoxError::from(text)),
    });
    BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames)))
}

#[tokio::test]
async fn a_body_within_the_limit_is_read_whole() {
    assert_eq!(collect_limited(frames(vec![Ok("ab"), Ok("cd"), Ok("e")]), 5).await.unwrap(), "abcde");
    assert_eq!(collect_limited(full("abc"), 3).await.unwrap(), "abc");
    assert_eq!(collect_limited(empty(), 0).await.unwrap(), "");
}

#[tokio::test]
async fn a_longer_or_broken_body_is_an_error() {
    let long = collect_limited(frames(vec![Ok("ab"), Ok("cd")]), 3).await;
    assert!(matches!(long, Err(CollectError::TooLong { limit: 3 })));
    assert!(matches!(collect_limited(full("abcd"), 3).await, Err(CollectError::TooLong { .. })));
    let broken = collect_limited(frames(vec![Ok("ab"), Err("gone")]), 3).await;
    assert!(matches!(broken, Err(CollectError::Broken(_))));
}

fn watched(body: Body) -> (Body, Arc<Mutex<Vec<Passage>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    (metered(body, move |passage| sink.lock().unwrap().push(passage)), seen)
}

#[tokio::test]
async fn a_body_reports_once_how_it_ended() {
    let (body, seen) = watched(frames(vec![Ok("ab"), Ok("c")]));
    drop(collect_limited(body, 10).await);
    let (body, failed) = watched(frames(vec![Ok("ab"), Err("gone")]));
    drop(collect_limited(body, 10).await);
    let (mut body, left) = watched(frames(vec![Ok("ab"), Ok("c")]));
    drop(body.frame().await);
    drop(body);
    let ends: Vec<_> =
        [seen, failed, left].iter().flat_map(|seen| seen.lock().unwrap().clone()).map(|p| (p.bytes, p.end)).collect();
    assert_eq!(ends, [(3, End::Complete), (2, End::Failed), (2, End::Dropped)]);
}

#[tokio::test]
async fn a_body_whose_announced_length_has_passed_is_complete_without_its_end() {
    let (mut body, seen) = watched(full("abc"));
    drop(body.frame().await);
    drop(body);
    assert_eq!(seen.lock().unwrap()[0].end, End::Complete);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_body_and_a_slow_reader_does_not() {
    let pulse = Duration::from_secs(8);
    let slow = stream::unfold(0, move |sent| async move {
        match sent {
            0..3 => tokio::time::sleep(pulse).await,
            _ => std::future::pending().await,
        }
        Some((Ok(Frame::data(Bytes::from_static(&[0; 8 * 1024]))), sent + 1))
    });
    let mut body = with_stall_timeout(BodyExt::boxed_unsync(StreamBody::new(slow)), Duration::from_secs(10));
    for _ in 0..3 {
        assert!(body.frame().await.unwrap().is_ok());
        // The reader is slower than the limit.
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let begin = Instant::now();
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(cause_ref::<Stalled>(&*error).is_some());
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_a_stall_too() {
    let trickle = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Some((Ok(Frame::data(Bytes::from_static(b"x"))), ()))
    });
    let mut body = with_stall_timeout(BodyExt::boxed_unsync(StreamBody::new(trickle)), Duration::from_secs(10));
    let begin = Instant::now();
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(cause_ref::<Stalled>(&*error).is_some_and(|stalled| stalled.bytes == 3), "{error}");
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
}
