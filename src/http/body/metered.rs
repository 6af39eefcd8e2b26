//! A body that says what became of it, once, when it ends or is dropped.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::error::BoxError;
use crate::http::Body;

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every byte passed.
    Complete,
    /// It ended in an error, which the reader has seen.
    Failed,
    /// Its reader left.
    Dropped,
}

/// What passed through a body.
#[derive(Debug, Clone, Copy)]
pub struct Passage {
    /// Bytes of data.
    pub bytes: u64,
    /// When the first byte passed.
    pub first_byte: Option<Instant>,
    /// How it ended.
    pub end: End,
}

/// `body`, with `on_end` called exactly once with what passed. What `on_end` owns (a permit, a span) lives as long as the
/// body is being read.
#[must_use]
pub fn metered(body: Body, on_end: impl FnOnce(Passage) + Send + 'static) -> Body {
    let expected = body.size_hint().exact();
    Metered { body, expected, bytes: 0, first_byte: None, on_end: Some(Box::new(on_end)) }.boxed_unsync()
}

struct Metered {
    body: Body,
    expected: Option<u64>,
    bytes: u64,
    first_byte: Option<Instant>,
    on_end: Option<Box<dyn FnOnce(Passage) + Send>>,
}

impl Metered {
    fn report(&mut self, end: End) {
        if let Some(on_end) = self.on_end.take() {
            on_end(Passage { bytes: self.bytes, first_byte: self.first_byte, end });
        }
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.bytes += data.len() as u64;
                    if self.first_byte.is_none() {
                        self.first_byte = Some(Instant::now());
                    }
                }
            }
            Some(Err(_)) => self.report(End::Failed),
            None => self.report(End::Complete),
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

impl Drop for Metered {
    fn drop(&mut self) {
        // A server stops asking once the announced length has passed, so that the end itself is never polled.
        let complete = self.body.is_end_stream() || self.expected.is_some_and(|expected| self.bytes >= expected);
        self.report(if complete { End::Complete } else { End::Dropped });
    }
}
