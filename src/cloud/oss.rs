//! What a signed OSS URL says about itself. The daemon never signs one; it only reads when one dies.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::time;
use crate::clock::{Timestamp, later};

/// When a signed URL stops being good for new requests, from its query; `None` where the query says nothing.
///
/// V1 carries `Expires` in epoch seconds, V4 `x-oss-date` and `x-oss-expires` in seconds after it (OSS help, "Include
/// signatures in URLs").
#[must_use]
pub fn oss_expiry(query: &str) -> Option<Timestamp> {
    if let Some(seconds) = parameter(query, "Expires") {
        return Timestamp::from_second(seconds.parse().ok()?).ok();
    }
    let signed = time::compact(&parameter(query, "x-oss-date")?)?;
    let lifetime: u32 = parameter(query, "x-oss-expires")?.parse().ok()?;
    Some(later(signed, Duration::from_secs(lifetime.into())))
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

    use super::oss_expiry;
    use crate::clock::later;
    use crate::cloud::{time, vectors};

    #[test]
    fn every_sdk_vector_dies_when_it_was_told_to() {
        for group in vectors::section("oss") {
            let signed = time::iso(&vectors::text(&group["signed_at_utc"])).unwrap();
            for vector in group["vectors"].as_array().unwrap() {
                let url = vectors::text(&vector["url"]);
                let lifetime = Duration::from_secs(vector["expires_in_s"].as_u64().unwrap());
                let (_, query) = url.split_once('?').unwrap();
                assert_eq!(oss_expiry(query), Some(later(signed, lifetime)), "{url}");
            }
        }
    }

    #[test]
    fn an_unsigned_or_broken_query_has_no_expiry() {
        for query in ["", "Expires=", "Expires=soon", "x-oss-date=20260102T030405Z", "x-oss-expires=5"] {
            assert_eq!(oss_expiry(query), None, "{query}");
        }
    }
}
