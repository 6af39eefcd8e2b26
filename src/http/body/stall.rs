//! A limit on how little of a body may come, in place of a limit on its whole duration: a large blob may take as long as
//! it moves, and a dead connection is noticed all the same.

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

/// What must come within one limit of waiting. A connection that trickles is as dead as a silent one: at this rate a
/// layer of 25 MB would take eight hours.
const LEAST: u64 = 8 * 1024;

/// The other side sent next to nothing while its reader was waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no more than {bytes} bytes came in {after:?}")]
pub struct Stalled {
    /// How long was waited.
    pub after: Duration,
    /// What came meanwhile.
    pub bytes: u64,
}

/// Measures how much comes while a reader waits. A slow reader is no stall: only time spent waiting counts.
#[derive(Debug)]
pub struct StallTimer {
    limit: Duration,
    /// Waiting that is over, and the bytes that came of it, since [`LEAST`] bytes were together last.
    waited: Duration,
    bytes: u64,
    waiting_since: Option<Instant>,
    /// Moved only when it fires, so that a frame costs a look at the clock and not a walk through the timer wheel.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl StallTimer {
    /// A timer that lets `limit` pass.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit, waited: Duration::ZERO, bytes: 0, waiting_since: None, alarm: None }
    }

    /// `bytes` came.
    pub fn progress(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let since = self.waiting_since.take();
        if self.bytes >= LEAST {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        } else if let Some(since) = since {
            self.waited += since.elapsed();
        }
    }

    /// It begins anew, as with another connection.
    pub const fn restart(&mut self) {
        (self.waited, self.bytes, self.waiting_since) = (Duration::ZERO, 0, None);
    }

    /// Nothing is there. Registers for a wake-up at the limit; ready once so much time was spent waiting that it has
    /// passed.
    pub fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Stalled> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let limit = self.limit;
        let left = limit.saturating_sub(self.waited);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(left)));
        while alarm.as_mut().poll(cx).is_ready() {
            if since.elapsed() >= left {
                return Poll::Ready(Stalled { after: limit, bytes: self.bytes });
            }
            alarm.as_mut().reset(since + left);
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
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            self.timer.progress(bytes);
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
