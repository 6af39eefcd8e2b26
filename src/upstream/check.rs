//! Whether an answer holds the bytes that were asked for. Pure.

use std::ops::Range;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, IF_RANGE};
use http::{HeaderMap, StatusCode};

use super::range::{ByteRange, ContentRange};

/// What an answer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    /// These bytes, of an object of this length, where it is told.
    Bytes(Range<u64>, Option<u64>),
    /// All of an object, whose length is not told.
    Unmeasured,
    /// Nothing, since the range lies outside of an object of this length, where it is told.
    Nothing(Option<u64>),
}

/// Reads an answer of the registry or the bucket to a request for `range`, or for all; `first`: only for so many bytes
/// of that. The bucket answers a range that reaches beyond the end with the whole object (cloud fact sheet, section 7.3).
///
/// # Errors
/// What the answer is instead, for people to read.
pub(super) fn holds(
    status: StatusCode,
    headers: &HeaderMap,
    range: Option<ByteRange>,
    first: Option<u64>,
) -> Result<Holds, &'static str> {
    let announced = length(headers);
    let (bytes, total) = match (status, announced) {
        (StatusCode::RANGE_NOT_SATISFIABLE, _) => return Ok(Holds::Nothing(unsatisfied(headers))),
        (StatusCode::OK, None) => return Ok(Holds::Unmeasured),
        (StatusCode::OK, Some(total)) if range.is_some_and(|range| range.within(total).is_none()) => {
            return Ok(Holds::Nothing(Some(total)));
        }
        (StatusCode::OK, Some(total)) => (0..total, Some(total)),
        (StatusCode::PARTIAL_CONTENT, _) => {
            let found = content_range(headers).ok_or("a 206 without a Content-Range")?;
            let right = match (range, first, found.total) {
                (Some(range), None, None) => range.may_be(&found.bytes()),
                (None, _, None) | (_, Some(_), None) => return Err("a 206 without the length of the whole"),
                (range, first, Some(total)) => {
                    let all = range.map_or(Some(0..total), |range| range.within(total));
                    let end =
                        |all: &Range<u64>| first.map_or(all.end, |first| all.end.min(all.start.saturating_add(first)));
                    all.is_some_and(|all| (all.start..end(&all)) == found.bytes())
                }
            };
            if !right {
                return Err("a 206 with another range than was asked for");
            }
            (found.bytes(), found.total)
        }
        _ => return Err("a blob without status 200 or 206"),
    };
    if announced.is_some_and(|length| length != bytes.end - bytes.start) {
        return Err("another length than that of its range");
    }
    Ok(Holds::Bytes(bytes, total))
}

/// Whether the range of a request holds for the object of this answer (`If-Range`): strong entity tags are compared, and
/// neither a weak tag nor a date says enough of the bytes (RFC 9110 section 13.1.5).
pub(super) fn is_meant(asked: &HeaderMap, answered: &HeaderMap) -> bool {
    let Some(condition) = asked.get(IF_RANGE) else { return true };
    condition.as_bytes().starts_with(b"\"") && answered.get(ETAG) == Some(condition)
}

pub(super) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    text(headers, &CONTENT_RANGE).and_then(ContentRange::parse)
}

pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_LENGTH)?.parse().ok()
}

/// The length of the object in the `Content-Range` of a 416.
pub(super) fn unsatisfied(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_RANGE)?.trim().strip_prefix("bytes */")?.parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::super::range::ByteRange;
    use super::{Holds, holds};

    fn headers(length: u64, range: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(length))]);
        if !range.is_empty() {
            headers.insert(CONTENT_RANGE, HeaderValue::from_static(range));
        }
        headers
    }

    #[test]
    fn what_was_asked_for_is_taken() {
        let partial = StatusCode::PARTIAL_CONTENT;
        let from = Some(ByteRange::From(5));
        for (answer, range, first, bytes, total) in [
            ((StatusCode::OK, headers(10, "")), None, Some(4), 0..10, Some(10)),
            ((StatusCode::OK, headers(10, "")), from, None, 0..10, Some(10)),
            ((partial, headers(4, "bytes 0-3/10")), None, Some(4), 0..4, Some(10)),
            ((partial, headers(5, "bytes 5-9/10")), from, None, 5..10, Some(10)),
            ((partial, headers(5, "bytes 5-9/*")), from, None, 5..10, None),
            ((partial, headers(2, "bytes 5-6/10")), from, Some(2), 5..7, Some(10)),
            ((partial, headers(5, "bytes 5-9/10")), from, Some(100), 5..10, Some(10)),
        ] {
            assert_eq!(
                holds(answer.0, &answer.1, range, first),
                Ok(Holds::Bytes(bytes, total)),
                "{answer:?} {range:?}"
            );
        }
        let beyond = holds(StatusCode::OK, &headers(5, ""), from, None);
        assert_eq!(beyond, Ok(Holds::Nothing(Some(5))), "the whole is no answer to what lies behind it");
        let refused = holds(StatusCode::RANGE_NOT_SATISFIABLE, &headers(0, "bytes */5"), from, None);
        assert_eq!(refused, Ok(Holds::Nothing(Some(5))));
        assert_eq!(holds(StatusCode::OK, &HeaderMap::new(), None, None), Ok(Holds::Unmeasured));
    }

    #[test]
    fn nothing_else_is() {
        let partial = StatusCode::PARTIAL_CONTENT;
        let (from, between) = (Some(ByteRange::From(5)), Some(ByteRange::Between(5, 6)));
        for (answer, range, first) in [
            ((partial, headers(5, "")), from, None),
            ((partial, headers(5, "bytes 4-8/10")), from, None),
            ((partial, headers(4, "bytes 5-8/10")), from, None),
            ((partial, headers(3, "bytes 5-7/*")), between, None),
            ((partial, headers(3, "bytes 5-7/10")), between, None),
            ((partial, headers(3, "bytes 5-7/10")), from, Some(2)),
            ((partial, headers(2, "bytes 5-6/*")), from, Some(2)),
            ((partial, headers(4, "bytes 0-3/*")), None, Some(4)),
            ((partial, headers(4, "bytes 0-3/10")), None, None),
            ((partial, headers(6, "bytes 5-9/10")), from, None),
            ((StatusCode::NO_CONTENT, headers(0, "")), None, None),
        ] {
            assert!(holds(answer.0, &answer.1, range, first).is_err(), "{answer:?} {range:?} {first:?}");
        }
    }
}
