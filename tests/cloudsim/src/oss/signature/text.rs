//! The pieces of which both string-to-sign forms are made: parameters and header lines.

use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986 is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The same with `/` left alone, for object names.
pub(super) const ENCODED_IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// Parameters in the order they came, decoded.
pub(super) type Pairs = [(String, String)];

pub(super) fn value<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

pub(super) fn decoded_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

pub(super) fn joined(pairs: &Pairs) -> String {
    pairs.iter().map(|(name, value)| pair(name, value)).collect::<Vec<_>>().join("&")
}

pub(super) fn pair(name: &str, value: &str) -> String {
    format!("{}={}", utf8_percent_encode(name, ENCODED), utf8_percent_encode(value, ENCODED))
}

/// The header lines both versions sign whenever a client sends them.
pub(super) fn headers_to_sign(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<String> = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| name.starts_with("x-oss-") || *name == "content-type" || *name == "content-md5")
        .map(|name| format!("{name}:{}\n", header(headers, name)))
        .collect();
    lines.sort();
    lines
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}
