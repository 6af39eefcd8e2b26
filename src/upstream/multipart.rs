//! Several ranges of a blob in one answer, `multipart/byteranges` (RFC 9110 section 14.6), for clients that fetch the
//! files of a layer that they lack (podman and CRI-O with `zstd:chunked` layers).
//!
//! OSS answers several ranges with the whole object, so each is asked for by itself, in the order of the request and one
//! part per range: those clients count them. Where that is no gain, the ranges are ignored, as a server may (section
//! 14.2), and the whole blob is the answer.

use std::sync::Arc;

use aws_lc_rs::rand;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::check::{content_range, length, unsatisfied};
use super::fetch::{Source, Span};
use super::locate::Wanted;
use super::manifest::is_encoded;
use super::range::ByteRange;
use super::respond::not_satisfiable;
use super::send::Budget;
use super::{BlobMode, Pull, Upstream, UpstreamError, answer};
use crate::error::BoxError;
use crate::http::Body;
use crate::http::body::{empty, full};
use crate::oci::Digest;

/// Most parts of an answer. Each is a round trip to the bucket, of up to 50 ms; with more, the whole of a usual layer is
/// there as soon, at the 15 MB/s that a blob URL allows.
const MOST_PARTS: usize = 64;

/// Parts that make more than this part of the blob are answered with all of it, which comes over several connections.
const WORTH_IT: u64 = 2;

/// The spans of those of these ranges that can be satisfied, or `None` where the whole blob is the better answer.
pub(super) fn spans(ranges: &[ByteRange], total: u64) -> Option<Vec<Span>> {
    let within = |range: &ByteRange| range.within(total).map(|bytes| Span { position: bytes.start, end: bytes.end });
    let spans: Vec<_> = ranges.iter().filter_map(within).collect();
    let bytes = spans.iter().try_fold(0, |bytes: u64, span| bytes.checked_add(span.end - span.position))?;
    (bytes <= total / WORTH_IT).then_some(spans)
}

/// What stands around the parts.
struct Frames {
    boundary: String,
    total: u64,
}

impl Frames {
    /// With a boundary that nobody could have put into a layer.
    fn random(total: u64) -> Self {
        let mut bytes = [0; 16];
        // Without randomness a boundary of zeros still parts what does not hold it.
        rand::fill(&mut bytes).ok();
        Self { boundary: bytes.iter().map(|byte| format!("{byte:02x}")).collect(), total }
    }

    fn before(&self, span: Span) -> Bytes {
        let Self { boundary, total } = self;
        let (first, last) = (span.position, span.end - 1);
        format!(
            "\r\n--{boundary}\r\ncontent-type: application/octet-stream\r\ncontent-range: bytes {first}-{last}/{total}\r\n\r\n"
        )
        .into()
    }

    fn after(&self) -> Bytes {
        format!("\r\n--{}--\r\n", self.boundary).into()
    }

    fn length(&self, spans: &[Span]) -> u64 {
        let part = |span: &Span| self.before(*span).len() as u64 + span.end - span.position;
        spans.iter().map(part).sum::<u64>() + self.after().len() as u64
    }

    fn content_type(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("multipart/byteranges; boundary={}", self.boundary)).ok()
    }
}

/// A piece of the body, in its turn.
enum Piece {
    Ready(Body),
    Later(Span),
}

impl Upstream {
    /// These ranges in one answer, or `None` where the whole blob is the better one.
    pub(super) async fn several(
        self: &Arc<Self>,
        pull: &Pull,
        digest: &Digest,
        ranges: &[ByteRange],
        budget: &Budget,
    ) -> Result<Option<Response<Body>>, UpstreamError> {
        let may = self.blobs.mode == BlobMode::Stream && ranges.len() <= MOST_PARTS;
        let Some(first) = ranges.first().filter(|_| may) else { return Ok(None) };
        let opened = self.open(&pull.place, digest, Wanted::of(Some(*first)), budget).await?;
        let (head, body) = opened.response.into_parts();
        if is_encoded(&head.headers) {
            return Ok(None);
        }
        // Of a first range that reaches beyond the end, the answer tells the length only.
        let told = match head.status {
            StatusCode::PARTIAL_CONTENT => content_range(&head.headers).and_then(|range| {
                let total = range.total?;
                (first.within(total) == Some(range.bytes())).then_some((total, Some(body)))
            }),
            StatusCode::OK => length(&head.headers).map(|total| (total, None)),
            StatusCode::RANGE_NOT_SATISFIABLE => unsatisfied(&head.headers).map(|total| (total, None)),
            _ => None,
        };
        let Some((total, mut begun)) = told else { return Ok(None) };
        let Some(spans) = spans(ranges, total) else { return Ok(None) };
        if spans.is_empty() {
            return Ok(Some(not_satisfiable(Some(total))));
        }

        let source = Arc::new(self.source(pull, digest, Some(total), None));
        source.remember(&head.headers);
        let trail = source.trail.clone();
        let frames = Frames::random(total);
        let mut pieces = Vec::with_capacity(2 * spans.len() + 1);
        for span in &spans {
            pieces.push(Piece::Ready(full(frames.before(*span))));
            pieces.push(match begun.take() {
                Some(body) => Piece::Ready(Arc::clone(&source).stream(*span, body)),
                None => Piece::Later(*span),
            });
        }
        pieces.push(Piece::Ready(full(frames.after())));

        let mut answer = answer(StatusCode::PARTIAL_CONTENT, &head.headers, empty());
        answer.extensions_mut().insert(trail);
        let headers = answer.headers_mut();
        headers.remove(CONTENT_RANGE);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(frames.length(&spans)));
        if let Some(value) = frames.content_type() {
            headers.insert(CONTENT_TYPE, value);
        }
        Ok(Some(answer.map(|_| in_turn(pieces, source))))
    }
}

/// One body of all pieces, each opened when its turn has come.
fn in_turn(pieces: Vec<Piece>, source: Arc<Source>) -> Body {
    let bodies = stream::iter(pieces).then(move |piece| {
        let source = Arc::clone(&source);
        async move {
            match piece {
                Piece::Ready(body) => Ok::<_, BoxError>(body.into_data_stream()),
                Piece::Later(span) => source.open(span).await.map(BodyExt::into_data_stream),
            }
        }
    });
    StreamBody::new(bodies.try_flatten().map_ok(Frame::data)).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::{Frames, Span, spans};
    use crate::upstream::range::ByteRange;

    #[test]
    fn ranges_become_parts_in_the_order_in_which_they_were_asked_for() {
        let parts = spans(&[ByteRange::Last(5), ByteRange::Between(0, 9)], 100).unwrap();
        assert_eq!(parts.iter().map(|span| (span.position, span.end)).collect::<Vec<_>>(), [(95, 100), (0, 10)]);
    }

    #[test]
    fn what_cannot_be_satisfied_is_no_part_and_most_of_the_blob_is_answered_with_all_of_it() {
        assert_eq!(spans(&[ByteRange::Between(0, 9), ByteRange::From(100)], 100).unwrap().len(), 1);
        assert!(spans(&[ByteRange::Last(0), ByteRange::From(100)], 100).unwrap().is_empty());
        assert!(spans(&[ByteRange::Between(0, 49), ByteRange::Last(1)], 100).is_none());
        assert!(spans(&[ByteRange::Between(0, 48), ByteRange::Last(1)], 100).is_some());
        // More than there are numbers for.
        assert!(spans(&[ByteRange::From(0), ByteRange::From(0)], u64::MAX).is_none());
    }

    #[test]
    fn no_two_answers_have_the_same_boundary() {
        assert_ne!(Frames::random(1).boundary, Frames::random(1).boundary);
        let frames = Frames::random(100);
        let span = Span { position: 5, end: 10 };
        assert_eq!(frames.length(&[span]), (frames.before(span).len() + 5 + frames.after().len()) as u64);
    }
}
