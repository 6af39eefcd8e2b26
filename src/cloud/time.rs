//! The cloud's ways to write a time. Only [`Timestamp`]s leave `cloud`.
//!
//! STS writes `YYYY-MM-DDThh:mm:ssZ`, the Container Registry API milliseconds, and every response carries an HTTP date.

use serde_json::Value;

use crate::clock::Timestamp;

/// Epoch values below this are seconds: as milliseconds it would be a day in 1973, as seconds one in the year 5138.
const LEAST_MILLISECONDS: i64 = 100_000_000_000;

/// `YYYY-MM-DDThh:mm:ssZ` in UTC, as STS and the metadata service write it.
pub(crate) fn iso(text: &str) -> Option<Timestamp> {
    text.trim().parse().ok()
}

/// The same, the way round that signatures need it: whole seconds, no fraction.
pub(crate) fn iso_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An epoch value as number or text, in milliseconds as documented; a value that can only be seconds is taken as such.
pub(crate) fn epoch(value: &Value) -> Option<Timestamp> {
    let number = match value {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    if number < LEAST_MILLISECONDS {
        Timestamp::from_second(number).ok()
    } else {
        Timestamp::from_millisecond(number).ok()
    }
}

/// The `Date` of a response.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
}

/// The same, the way round that the ROA signature needs it.
pub(crate) fn http_date_text(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{epoch, http_date, http_date_text, iso, iso_text};

    #[test]
    fn the_same_moment_in_every_form() {
        let moment = iso("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(epoch(&json!(1_767_323_045_000_i64)), Some(moment));
        assert_eq!(epoch(&json!("1767323045000")), Some(moment));
        assert_eq!(epoch(&json!(1_767_323_045)), Some(moment));
        assert_eq!(http_date("Fri, 02 Jan 2026 03:04:05 GMT"), Some(moment));
        assert_eq!(iso_text(moment), "2026-01-02T03:04:05Z");
        assert_eq!(http_date_text(moment), "Fri, 02 Jan 2026 03:04:05 GMT");
    }

    #[test]
    fn what_is_no_time_is_none() {
        assert_eq!(iso("tomorrow"), None);
        assert_eq!(epoch(&json!(null)), None);
        assert_eq!(http_date(""), None);
    }
}
