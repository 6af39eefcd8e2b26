//! The `Range` header as OSS understands it: one range, and anything else means the whole object.

/// The bytes to send of an object of `size` bytes: first and last position, or `None` for the whole object with 200.
///
/// Several ranges, malformed ones and those that reach past the object are ignored, since `x-oss-range-behavior` cannot be
/// sent with a presigned URL (Alibaba's GetObject page).
pub(crate) fn single(header: Option<&str>, size: u64) -> Option<(u64, u64)> {
    let (first, last) = header?.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let final_byte = size.checked_sub(1)?;
    let (first, last) = match (first, last) {
        ("", suffix) => (size.saturating_sub(number(suffix).filter(|length: &u64| *length > 0)?), final_byte),
        (first, "") => (number(first)?, final_byte),
        (first, last) => (number(first)?, number(last)?),
    };
    (first <= last && last <= final_byte).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::single;

    #[test]
    fn one_range_within_the_object_is_honoured() {
        assert_eq!(single(Some("bytes=0-0"), 10), Some((0, 0)));
        assert_eq!(single(Some("bytes=3-"), 10), Some((3, 9)));
        assert_eq!(single(Some("bytes=-4"), 10), Some((6, 9)));
        assert_eq!(single(Some("bytes=0-9"), 10), Some((0, 9)));
    }

    #[test]
    fn anything_else_means_the_whole_object() {
        for odd in [
            "bytes=0-10",
            "bytes=10-",
            "bytes=5-3",
            "bytes=0-1,4-5",
            "bytes=-0",
            "bytes=+1-2",
            "items=0-1",
            "bytes=",
            "x",
        ] {
            assert_eq!(single(Some(odd), 10), None, "{odd}");
        }
        assert_eq!(single(None, 10), None);
        assert_eq!(single(Some("bytes=0-"), 0), None);
    }
}
