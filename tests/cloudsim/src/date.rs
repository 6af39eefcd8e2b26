//! The two ways this cloud writes a time: ISO 8601 in whole seconds in its own messages, RFC 1123 in HTTP headers.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const ISO: &str = "%Y-%m-%dT%H:%M:%SZ";

/// `YYYY-MM-DDThh:mm:ssZ`.
pub(crate) fn iso(time: Timestamp) -> String {
    time.strftime(ISO).to_string()
}

/// Reads `YYYY-MM-DDThh:mm:ssZ` and nothing else.
pub(crate) fn parse_iso(text: &str) -> Option<Timestamp> {
    let time = TimeZone::UTC.to_timestamp(DateTime::strptime(ISO, text).ok()?).ok()?;
    // The parser is content with fewer digits; the gateway is not.
    (iso(time) == text).then_some(time)
}

/// The form of the `Date` header.
pub(crate) fn http(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The time without its fraction.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_documented_form_is_read() {
        assert_eq!(parse_iso("2026-01-02T03:04:05Z"), Some("2026-01-02T03:04:05Z".parse().unwrap()));
        for wrong in
            ["2026-01-02T03:04:05", "2026-01-02T03:04:05.000Z", "2026-1-2T3:4:5Z", "2026-13-02T03:04:05Z", "now"]
        {
            assert_eq!(parse_iso(wrong), None, "{wrong}");
        }
    }
}
