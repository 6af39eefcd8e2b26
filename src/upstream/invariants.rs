//! What holds for every range, manifest and redirect.

use super::allow::BlobHosts;
use super::document::{Next, next};
use super::multipart::spans;
use super::range::{ByteRange, ContentRange, RangeRequest};
use super::redirect;
use crate::http::origin::SafeUri;
use crate::oci::Digest;

/// The values of `Range` and of the `Content-Range` that answers it, a line each; a line by itself as either.
pub(crate) fn range(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (asked, answered) = text.split_once('\n').unwrap_or((text, text));
    let answered = ContentRange::parse(answered);
    match RangeRequest::parse(Some(asked)) {
        RangeRequest::Whole => {}
        RangeRequest::One(range) => {
            assert_eq!(RangeRequest::parse(Some(&range.to_string())), RangeRequest::One(range));
            for total in [0, 1, 1 << 20, u64::MAX] {
                lies_within(range, total);
            }
        }
        RangeRequest::Several(ranges) => {
            assert!(ranges.len() > 1, "{ranges:?} are not several");
            let alone = |range: &ByteRange| RangeRequest::parse(Some(&range.to_string())) == RangeRequest::One(*range);
            assert!(ranges.iter().all(alone), "{ranges:?}: one of them is none by itself");
            let told = answered.and_then(|answered| answered.total);
            for total in told.into_iter().chain([100, u64::MAX]) {
                let lengths =
                    spans(&ranges, total).into_iter().flatten().map(|span| u128::from(span.end - span.position));
                assert!(
                    lengths.sum::<u128>() <= u128::from(total / 2),
                    "{ranges:?} of {total} are more than half of it"
                );
            }
        }
    }
    if let Some(range) = answered {
        let bytes = range.bytes();
        assert!(bytes.start < bytes.end, "{range:?} covers nothing");
        assert!(range.total.is_none_or(|total| bytes.end <= total), "{range:?} ends behind the object");
        let total = range.total.map_or("*".to_owned(), |total| total.to_string());
        let written = format!("bytes {}-{}/{total}", range.first, range.last);
        assert_eq!(ContentRange::parse(&written), Some(range));
    }
}

fn lies_within(range: ByteRange, total: u64) {
    if let Some(bytes) = range.within(total) {
        assert!(bytes.start < bytes.end && bytes.end <= total, "{range:?} of {total} is {bytes:?}");
        assert!(range.may_be(&bytes));
    }
}

/// The error document of a bucket, after a line with what it was asked: a query.
pub(crate) fn bucket_error(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (query, document) = text.split_once('\n').unwrap_or(("", &text));
    let Some(code) = redirect::code(document, Some(query)) else { return };
    assert!(code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{code:?}");
    for value in query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value) {
        // What stands in a value as it stands in the code; another spelling of it is the business of another test.
        assert!(code.len() < 12 || value.contains('%') || !value.contains(code), "{code} is a piece of the URL");
    }
}

/// A manifest or an index.
pub(crate) fn manifest(data: &[u8]) {
    let named = match next(data) {
        None => return,
        Some(Next::Manifest(manifest)) => vec![manifest],
        Some(Next::Blobs(blobs)) => blobs,
    };
    assert!(!named.is_empty(), "nothing is no next thing");
    for descriptor in named {
        assert_eq!(Digest::parse(descriptor.digest.as_str()).as_ref(), Ok(&descriptor.digest));
    }
}

/// The `Location` of a registry's redirect, up to where bytes may come from.
pub(crate) fn redirected(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(blob) = SafeUri::parse("https://demo-registry.cn-hangzhou.cr.aliyuncs.com/v2/team/app/blobs/x") else {
        panic!("a plain URL is malformed")
    };
    let Ok(uri) = blob.join(text) else { return };
    for uri in [uri.clone(), uri.over_tls()] {
        let origin = uri.origin();
        if !BlobHosts::new(Vec::new()).allow(origin) {
            continue;
        }
        let labels: Vec<&str> = origin.host().split('.').collect();
        let [bucket, endpoint, "aliyuncs", "com"] = labels.as_slice() else { panic!("bytes may come from {origin}") };
        assert!(!bucket.is_empty() && endpoint.starts_with("oss-"), "bytes may come from {origin}");
        assert!(origin.is_https() && origin.port() == 443, "bytes may come from {origin}");
    }
}
