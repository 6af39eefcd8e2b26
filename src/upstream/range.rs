//! `Range` and `Content-Range` of RFC 9110 section 14, in bytes. Pure.

use std::fmt;
use std::ops::Range;

/// The largest object that is believed in: OSS stores up to 48.8 TB (OSS help, "Limits"), and positions of this size can be
/// added up without a thought.
const LARGEST_OBJECT: u64 = 1 << 50;

/// What a client's `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RangeRequest {
    /// No range, or a header that is to be ignored because it follows no grammar (RFC 9110 section 14.2).
    Whole,
    /// One range, which the daemon understands.
    One(ByteRange),
    /// Several ranges, in order; two at least.
    Several(Vec<ByteRange>),
}

impl RangeRequest {
    /// Reads a header value.
    pub(super) fn parse(value: Option<&str>) -> Self {
        let Some((unit, ranges)) = value.and_then(|value| value.split_once('=')) else { return Self::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        // A recipient of a list lets empty elements pass (RFC 9110 section 5.6.1.2).
        let ranges = ranges.split(',').map(str::trim).filter(|one| !one.is_empty());
        let parsed: Option<Vec<_>> = ranges.map(ByteRange::parse).collect();
        match parsed {
            None => Self::Whole,
            Some(several) => match several.as_slice() {
                [] => Self::Whole,
                [one] => Self::One(*one),
                _ => Self::Several(several),
            },
        }
    }
}

/// One range of bytes as a client may ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteRange {
    /// `first-`
    From(u64),
    /// `first-last`, both included.
    Between(u64, u64),
    /// `-count`
    Last(u64),
}

impl ByteRange {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => position(last).map(Self::Last),
            (false, true) => position(first).map(Self::From),
            (false, false) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// The bytes it means of an object of `total` bytes; `None` where it cannot be satisfied.
    pub(super) fn within(self, total: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first) => first..total,
            Self::Between(first, last) => first..last.saturating_add(1).min(total),
            Self::Last(count) => total.saturating_sub(count)..total,
        };
        (!range.is_empty()).then_some(range)
    }

    /// Whether these bytes are what was asked for, as far as the question alone can tell: of an object whose length is not
    /// known.
    pub(super) const fn may_be(self, bytes: &Range<u64>) -> bool {
        match self {
            Self::From(first) => first == bytes.start,
            Self::Between(first, last) => first == bytes.start && bytes.end - 1 <= last,
            Self::Last(count) => bytes.end - bytes.start <= count,
        }
    }

    fn spec(&self) -> String {
        match self {
            Self::From(first) => format!("{first}-"),
            Self::Between(first, last) => format!("{first}-{last}"),
            Self::Last(count) => format!("-{count}"),
        }
    }
}

/// As the value of a `Range` header.
impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes={}", self.spec())
    }
}

/// `Content-Range: bytes first-last/total` of a 206.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// First byte.
    pub(super) first: u64,
    /// Last byte, included.
    pub(super) last: u64,
    /// Length of the whole object, where it is told.
    pub(super) total: Option<u64>,
}

impl ContentRange {
    /// Reads a header value; `None` for anything that is no range of bytes in itself possible.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        let end = total.unwrap_or(LARGEST_OBJECT);
        let possible = first <= last && last < end && end <= LARGEST_OBJECT;
        (unit.eq_ignore_ascii_case("bytes") && possible).then_some(Self { first, last, total })
    }

    /// The bytes it covers.
    pub(super) const fn bytes(&self) -> Range<u64> {
        self.first..self.last + 1
    }
}

/// A position of as many digits as somebody likes: what no number holds lies beyond the end of every object.
fn position(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Digits only; the standard parser would let a sign pass.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{ByteRange, ContentRange, RangeRequest};

    /// Check 11 (`tests/it/peers.rs`).
    #[test]
    fn a_range_that_follows_no_grammar_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=+1-2",
            "lines=1-2",
            "bytes=,",
            "bytes=1-2,x",
        ] {
            assert_eq!(RangeRequest::parse(Some(value)), RangeRequest::Whole, "{value:?}");
        }
        let huge = format!("bytes=1-2,, 7-{},", u128::MAX);
        let several = RangeRequest::Several(vec![ByteRange::Between(1, 2), ByteRange::Between(7, u64::MAX)]);
        assert_eq!(RangeRequest::parse(Some(&huge)), several);
        assert_eq!(RangeRequest::parse(Some("bytes=1-2,")), RangeRequest::One(ByteRange::Between(1, 2)));
        assert_eq!(RangeRequest::parse(Some("Bytes=0-")), RangeRequest::One(ByteRange::From(0)));
        assert_eq!(
            RangeRequest::parse(Some("bytes=0-1, -5")),
            RangeRequest::Several(vec![ByteRange::Between(0, 1), ByteRange::Last(5)])
        );
    }

    #[test]
    fn a_range_is_cut_to_the_object_or_cannot_be_satisfied() {
        assert_eq!(ByteRange::Between(5, 100).within(10), Some(5..10));
        assert_eq!(ByteRange::Last(100).within(10), Some(0..10));
        assert_eq!(ByteRange::From(10).within(10), None);
        assert_eq!(ByteRange::Last(0).within(10), None);
        assert_eq!(ByteRange::From(0).within(0), None);
    }

    #[test]
    fn an_answer_of_unknown_length_has_no_more_than_was_asked_for() {
        let (between, last) = (ByteRange::Between(5, 9), ByteRange::Last(5));
        for (range, bytes, may) in [
            (ByteRange::From(5), 5..1000, true),
            (ByteRange::From(5), 6..1000, false),
            (between, 5..10, true),
            (between, 5..8, true),
            (between, 5..11, false),
            (between, 4..10, false),
            (last, 10..15, true),
            (last, 10..16, false),
        ] {
            assert_eq!(range.may_be(&bytes), may, "{range}: {bytes:?}");
        }
    }

    #[test]
    fn a_content_range_must_be_possible() {
        let range = ContentRange::parse("bytes 5-9/10").unwrap();
        assert_eq!((range.bytes(), range.total), (5..10, Some(10)));
        assert_eq!(ContentRange::parse("bytes 0-0/*").unwrap().total, None);
        let beyond = "bytes 0-18446744073709551614/18446744073709551615";
        for value in [
            beyond,
            "bytes 0-1/1125899906842625",
            "bytes 0-1125899906842624/*",
            "",
            "bytes */10",
            "bytes 5-4/10",
            "bytes 5-10/10",
            "bytes 5-9",
            "items 5-9/10",
            "bytes -9/10",
        ] {
            assert_eq!(ContentRange::parse(value), None, "{value:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn what_is_within_an_object_lies_in_it(first in any::<u64>(), last in any::<u64>(), total in any::<u64>()) {
            for range in [ByteRange::From(first), ByteRange::Last(last), ByteRange::Between(first.min(last), first.max(last))] {
                if let Some(bytes) = range.within(total) {
                    assert!(bytes.start < bytes.end && bytes.end <= total);
                    assert!(range.may_be(&bytes));
                }
                assert_eq!(RangeRequest::parse(Some(&range.to_string())), RangeRequest::One(range));
            }
        }

        #[test]
        fn no_value_makes_a_parser_panic(value in any::<String>()) {
            drop(RangeRequest::parse(Some(&value)));
            drop(RangeRequest::parse(Some(&format!("bytes={value}"))));
            for value in [value.clone(), format!("bytes {value}")] {
                assert!(ContentRange::parse(&value).is_none_or(|range| !range.bytes().is_empty()));
            }
        }
    }
}
