//! Which headers may travel, as allow-lists in both directions.
//!
//! Headers are built up from nothing, never taken away from something: what is not named here does not pass. So a
//! client's `Authorization` or `Cookie` never reaches a registry, and an upstream's `WWW-Authenticate` or `Set-Cookie`
//! never reaches a client.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_RANGES, AGE, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, EXPIRES, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, USER_AGENT, VARY, WARNING,
};
use http::{HeaderMap, HeaderValue};

/// `Docker-Content-Digest`: the digest of the content that the answer is about.
pub const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// `Docker-Distribution-Api-Version`: tells older clients that this is a registry.
pub const DOCKER_DISTRIBUTION_API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// `OCI-Namespace`: echoes the `ns` that chose the registry (distribution spec, "Registry Proxying").
pub const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// `OCI-Filters-Applied`: which filters a list of referrers was made with (distribution spec v1.1).
pub const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// `OCI-Subject`: the subject of a manifest (distribution spec v1.1).
pub const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// `X-Request-Id`: names one request in the log and in the answer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `X-Oss-Request-Id`: OSS' name for a request, for a support ticket; it stands in every answer of OSS.
pub const X_OSS_REQUEST_ID: HeaderName = HeaderName::from_static("x-oss-request-id");

/// Longest id or error code that is repeated. Those of OSS have 24 characters (cloud fact sheet, section 7.4), and the
/// longest code some 30.
const LONGEST_WORD: usize = 64;

/// What of a client's request is told to the registry. Ranges are read and written again by `upstream`.
const TO_REGISTRY: [HeaderName; 5] = [ACCEPT, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE];

/// What of an upstream's answer is told to the client. `Link` and `Location` are not here: they are rewritten or dropped.
const TO_CLIENT: [HeaderName; 14] = [
    ACCEPT_RANGES,
    AGE,
    CACHE_CONTROL,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    VARY,
    WARNING,
    DOCKER_CONTENT_DIGEST,
    OCI_FILTERS_APPLIED,
    OCI_SUBJECT,
];

/// The headers of a request to a registry, made of a client's: the allow-list with every line of each header, our own
/// `User-Agent`, and `Accept-Encoding: identity`, since a digest is over the bytes as they are stored.
#[must_use]
pub fn to_registry(from: &HeaderMap) -> HeaderMap {
    let mut headers = own();
    copy(from, &mut headers, &TO_REGISTRY);
    headers
}

/// The headers of a request to a blob host: none of anybody's, only who asks and that the bytes are wanted as they are.
///
/// A presigned URL refuses `Content-Type`, `Content-MD5`, `Authorization` and every `x-oss-*` header.
#[must_use]
pub fn to_blob_host() -> HeaderMap {
    own()
}

/// The headers of an answer to a client, made of an upstream's.
#[must_use]
pub fn to_client(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(from.len());
    copy(from, &mut headers, &TO_CLIENT);
    headers
}

/// The same headers without a share in the buffer of the connection they came in, for whoever keeps them.
#[must_use]
pub fn apart(headers: &HeaderMap) -> HeaderMap {
    let copied = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
    headers.iter().filter_map(|(name, value)| Some((name.clone(), copied(value)?))).collect()
}

/// What OSS calls the request of this answer; nothing else that somebody may have put in its place.
#[must_use]
pub fn oss_request_id(answer: &HeaderMap) -> Option<&str> {
    answer.get(X_OSS_REQUEST_ID)?.to_str().ok().filter(|id| is_word(id))
}

/// Whether a text can be an id or a code, and so be repeated in the log.
#[must_use]
pub fn is_word(text: &str) -> bool {
    text.len() <= LONGEST_WORD && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn own() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(super::USER_AGENT));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// Copies what is allowed and not named in `Connection`, which makes a header one of this hop only (RFC 9110 7.6.1).
fn copy(from: &HeaderMap, to: &mut HeaderMap, allowed: &[HeaderName]) {
    for name in allowed {
        if named_in_connection(from, name) {
            continue;
        }
        for value in from.get_all(name) {
            to.append(name.clone(), value.clone());
        }
    }
}

fn named_in_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case(name.as_str()))
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, COOKIE, ETAG, RANGE, SET_COOKIE, WWW_AUTHENTICATE};
    use http::{HeaderMap, HeaderValue};

    use super::{apart, to_blob_host, to_client, to_registry};

    fn map(entries: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        entries.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn every_accept_line_travels_and_no_credential_does() {
        let mut client = map(&[(AUTHORIZATION, "Basic x"), (COOKIE, "a"), (RANGE, "bytes=0-")]);
        client.append(ACCEPT, HeaderValue::from_static("a/b"));
        client.append(ACCEPT, HeaderValue::from_static("c/d"));
        let sent = to_registry(&client);
        assert_eq!(sent.get_all(ACCEPT).iter().count(), 2);
        for name in [AUTHORIZATION, COOKIE, RANGE] {
            assert!(!sent.contains_key(&name), "{name} travelled");
        }
        assert_eq!(to_blob_host().len(), 2);
    }

    #[test]
    fn headers_that_are_kept_leave_the_buffer_they_came_in() {
        let buffer = bytes::Bytes::from(b"a/b c/d".to_vec());
        let mut came = HeaderMap::new();
        for range in [0..3, 4..7] {
            came.append(ACCEPT, HeaderValue::from_maybe_shared(buffer.slice(range)).unwrap());
        }
        let kept = apart(&came);
        assert_eq!(kept, came);
        drop(came);
        assert!(buffer.is_unique());
    }

    #[test]
    fn an_answer_never_challenges_and_a_hop_header_stays() {
        let upstream = map(&[(WWW_AUTHENTICATE, "Bearer"), (SET_COOKIE, "a"), (ETAG, "\"x\""), (CONNECTION, "Etag")]);
        assert!(to_client(&upstream).is_empty());
    }
}
