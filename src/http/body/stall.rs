//! A limit on the silence of a body, in place of a limit on its whole duration: a large blob may take as long as it
//! moves, and a dead connection is noticed all the same.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep};

use crate::error::BoxError;
use crate::http::Body;

/// The other side sent nothing for too long while its reader was waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no byte came for {after:?}")]
pub struct Stalled {
    /// How long was waited.
    pub after: Duration,
}

/// Measures how long a reader has been waiting. A slow reader is no stall: only time spent waiting counts.
#[derive(Debug)]
pub struct StallTimer {
    limit: Duration,
    waiting_since: Option<Instant>,
    /// Moved only when it fires, so that a frame costs a look at the clock and not a walk through the timer wheel.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl StallTimer {
    /// A timer that lets `limit` pass.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit, waiting_since: None, alarm: None }
    }

    /// Something came.
    pub const fn progress(&mut self) {
        self.waiting_since = None;
    }

    /// Nothing is there. Registers for a wake-up at the limit; ready once the limit has passed since the first of these
    /// calls after progress.
    pub fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Stalled> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let limit = self.limit;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(limit)));
        while alarm.as_mut().poll(cx).is_ready() {
            if since.elapsed() >= limit {
                return Poll::Ready(Stalled { after: limit });
            }
            alarm.as_mut().reset(since + limit);
        }
        Poll::Pending
    }
}

/// `body`, which ends in [`Stalled`] once its reader has waited for `limit` without a byte.
#[must_use]
pub fn with_stall_timeout(body: Body, limit: Duration) -> Body {
    Watched { body, timer: StallTimer::new(limit) }.boxed_unsync()
}

struct Watched {
    body: Body,
    timer: StallTimer,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.timer.progress();
            return Poll::Ready(frame);
        }
        self.timer.poll_stalled(cx).map(|stalled| Some(Err(stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
