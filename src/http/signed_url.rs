//! What a signed OSS URL says about itself. The daemon never signs one; it only reads when one dies.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::clock::{Timestamp, later};
use crate::secret::repeats;

/// When a signed URL stops being good for new requests, from its query; `None` where the query says nothing.
///
/// V1 carries `Expires` in epoch seconds, V4 `x-oss-date` and `x-oss-expires` in seconds after it (OSS help, "Include
/// signatures in URLs").
#[must_use]
pub fn expiry(query: &str) -> Option<Timestamp> {
    if let Some(seconds) = parameter(query, "Expires") {
        return Timestamp::from_second(seconds.parse().ok()?).ok();
    }
    let signed = compact(&parameter(query, "x-oss-date")?)?;
    let lifetime: u32 = parameter(query, "x-oss-expires")?.parse().ok()?;
    Some(later(signed, Duration::from_secs(lifetime.into())))
}

/// Whether each connection that uses the URL has a speed limit of its own (`x-oss-traffic-limit`, OSS help,
/// "Single-connection bandwidth throttling").
#[must_use]
pub fn is_limited(query: &str) -> bool {
    parameter(query, "x-oss-traffic-limit").is_some()
}

/// Whether `text` repeats a piece of one of the query's values, such as the signature.
#[must_use]
pub fn is_repeated_in(text: &str, query: &str) -> bool {
    query.split('&').filter_map(|pair| pair.split_once('=')).any(|(_, value)| repeats(text, value))
}

/// `YYYYMMDDThhmmssZ`, as V4 signatures write a time.
fn compact(text: &str) -> Option<Timestamp> {
    text.ends_with('Z').then(|| text.parse().ok())?
}

fn parameter(query: &str, wanted: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == wanted).then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::{expiry, is_limited};
    use crate::clock::{Timestamp, later};

    #[test]
    fn every_sdk_vector_dies_when_it_was_told_to() {
        let all: Value = serde_json::from_str(include_str!("../../tests/data/signature-vectors.json")).unwrap();
        let mut seen = 0;
        for group in all["oss"].as_array().unwrap() {
            let signed: Timestamp = group["signed_at_utc"].as_str().unwrap().parse().unwrap();
            for vector in group["vectors"].as_array().unwrap() {
                let lifetime = Duration::from_secs(vector["expires_in_s"].as_u64().unwrap());
                let (_, query) = vector["url"].as_str().unwrap().split_once('?').unwrap();
                assert_eq!(expiry(query), Some(later(signed, lifetime)), "{query}");
                seen += 1;
            }
        }
        assert_eq!(seen, 8);
    }

    #[test]
    fn a_limit_is_seen() {
        assert!(is_limited("Expires=5&x-oss-traffic-limit=123493535&Signature=x"));
        assert!(!is_limited("Expires=5&Signature=x-oss-traffic-limit"));
    }

    #[test]
    fn an_unsigned_or_broken_query_has_no_expiry() {
        for query in ["", "Expires=", "Expires=soon", "x-oss-date=20260102T030405Z", "x-oss-expires=5"] {
            assert_eq!(expiry(query), None, "{query}");
        }
        assert_eq!(expiry("x-oss-date=20260102&x-oss-expires=5"), None);
    }
}
