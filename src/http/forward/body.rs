//! A body from a proxy, watched for how it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::Proxy;
use crate::error::BoxError;
use crate::http::Body;

/// A body that was silent for this long when its reader gave it up was given up for its silence. Shorter than the time
/// after which readers of blobs do so.
const SILENCE: Duration = Duration::from_secs(10);

/// The body. A cut, or a silence that its reader does not bear, is a failure of the proxy.
pub(super) struct Watched {
    body: Body,
    proxy: Arc<Proxy>,
    waiting_since: Option<Instant>,
}

impl Watched {
    pub(super) const fn new(body: Body, proxy: Arc<Proxy>) -> Self {
        Self { body, proxy, waiting_since: None }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        match &frame {
            Poll::Pending => {
                this.waiting_since.get_or_insert_with(Instant::now);
            }
            Poll::Ready(Some(Err(_))) => {
                this.waiting_since = None;
                this.proxy.rest("it cut a body short");
            }
            Poll::Ready(_) => this.waiting_since = None,
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.waiting_since.is_some_and(|since| since.elapsed() >= SILENCE) {
            self.proxy.rest("it fell silent within a body");
        }
    }
}
