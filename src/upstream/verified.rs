//! A blob that comes through a forward proxy, held against its digest on its way.
//!
//! What comes from the bucket over TLS is what the registry stored, and every client verifies it once more. A proxy stores
//! blobs itself, and one that has a wrong one would give it to every pull that the kubelet tries again. So the bytes are
//! hashed as they pass: where they are others, the body is cut before its end, and the proxy is left alone.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;

use super::manifest::{algorithm, names};
use crate::error::BoxError;
use crate::http::Body;
use crate::http::client::Client;
use crate::oci::Digest;

/// The bytes have another digest than the one they were asked for by.
#[derive(Debug, thiserror::Error)]
#[error("the blob proxy gave bytes of another digest than {0}")]
struct WrongBytes(Digest);

/// A whole blob of `length` bytes that `client` got through its proxy.
pub(super) fn verified(body: Body, digest: &Digest, length: u64, client: &Client) -> Body {
    let (hash, digest) = (digest::Context::new(algorithm(digest)), digest.clone());
    Verified { body, left: length, check: Some((hash, digest)), client: client.clone() }.boxed_unsync()
}

struct Verified {
    body: Body,
    left: u64,
    /// None once the end was reached.
    check: Option<(digest::Context, Digest)>,
    client: Client,
}

impl HttpBody for Verified {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref)) else {
            return Poll::Ready(frame);
        };
        let data = data.map_or(&[][..], |data| data);
        this.left = this.left.saturating_sub(data.len() as u64);
        if let Some((hash, _)) = &mut this.check {
            hash.update(data);
        }
        if this.left == 0
            && let Some((hash, digest)) = this.check.take()
            && !names(&digest, hash.finish())
        {
            this.client.distrust_proxy();
            let error = WrongBytes(digest);
            tracing::warn!(%error, "a blob is cut; the next pull has it from the bucket");
            this.left = 1;
            return Poll::Ready(Some(Err(error.into())));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
