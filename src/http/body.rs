//! Bodies: whole ones, bounded reading, counting, and a limit on silence.
//!
//! A body is never collected without a limit, and what holds on to a body (a permit, a span, a counter) is let go of
//! when the body ends or is dropped, whichever comes first.

mod metered;
mod stall;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty, Full};

pub use metered::{End, Passage, metered};
pub use stall::{StallTimer, Stalled, with_stall_timeout};

use super::Body;
use crate::error::BoxError;

/// A body without a byte.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of bytes that are all there.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Why a body could not be read into memory.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// It is longer than was allowed.
    #[error("the body is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// It broke off.
    #[error("the body broke off")]
    Broken(#[source] BoxError),
}

/// Reads a body of at most `limit` bytes into memory. A body that announces more is not read at all.
///
/// # Errors
/// [`CollectError`] where it is longer, or breaks off.
pub async fn collect_limited(mut body: Body, limit: usize) -> Result<Bytes, CollectError> {
    let announced = http_body::Body::size_hint(&body).lower();
    if announced > limit as u64 {
        return Err(CollectError::TooLong { limit });
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(CollectError::Broken)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(CollectError::TooLong { limit });
        }
        // A small body comes as one frame: that one is handed on without a copy.
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(usize::try_from(announced).unwrap_or(limit).clamp(first.len() + data.len(), limit));
            rest.extend_from_slice(&first);
            first = Bytes::new();
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

#[cfg(test)]
mod tests;
