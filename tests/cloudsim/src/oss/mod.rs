//! The Object Storage Service as far as blobs need it: presigned `GET`, ranges, and the refusals people trip over.
//!
//! Objects are the blobs of the registry's store, named `docker/registry/v2/blobs/sha256/<2 hex>/<64 hex>/data` (or with
//! `sha512` and its 128 hex); an answer is a slice of the one copy in memory. The host is not signed, so any host form of
//! a bucket works.

mod range;
pub(crate) mod signature;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, RANGE};
use http::{Method, Response, StatusCode};
use jiff::Timestamp;

use crate::call::{Answer, Call};
use crate::issue;
use crate::store::Store;
use signature::{Presented, Refusal, UrlSigner};

/// What `x-oss-traffic-limit` may be, in bit/s (Alibaba's page on single-connection bandwidth throttling).
const TRAFFIC_LIMITS: std::ops::RangeInclusive<u64> = 819_200..=838_860_800;

/// The speed one connection may have while it carries this answer, in bytes per second; an extension of the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrafficLimit(pub(crate) u64);

/// The service.
#[derive(Debug)]
pub(crate) struct Oss {
    pub(crate) store: Arc<Store>,
    pub(crate) signer: Arc<UrlSigner>,
}

impl Oss {
    /// Answers one request to a bucket.
    pub(crate) fn handle(&self, call: &Call) -> Answer {
        let bucket = call.host.split('.').next().unwrap_or_default();
        let failure = |status, code, message: &str| failure(call, status, code, message, "");
        if call.headers.contains_key(AUTHORIZATION) {
            return failure(
                StatusCode::BAD_REQUEST,
                "InvalidArgument",
                "Only one auth mechanism is allowed per request.",
            );
        }
        if call.method != Method::GET && call.method != Method::HEAD {
            return failure(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "Only downloads are simulated.");
        }
        let Some(instance) = self.store.by_bucket(bucket) else {
            return failure(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist.");
        };
        let query = call.uri.query().unwrap_or_default();
        let presented = Presented {
            method: &call.method,
            bucket,
            path: call.uri.path(),
            query,
            headers: &call.headers,
            now: call.now,
        };
        if let Err(refusal) = self.signer.verify(&presented) {
            return refused(call, &refusal);
        }
        let Some(bytes) = digest_of(call.uri.path()).and_then(|digest| instance.blob(&digest)) else {
            return failure(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
        };
        let etag = entity_tag(call.uri.path());
        if call.header(IF_MATCH.as_str()).is_some_and(|wanted| wanted != "*" && !wanted.contains(&etag)) {
            let message = "At least one of the pre-conditions you specified did not hold.";
            return failure(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message);
        }
        let limit = match traffic_limit(query) {
            Ok(limit) => limit,
            Err(()) => {
                return failure(StatusCode::BAD_REQUEST, "InvalidArgument", "The traffic limit is out of range.");
            }
        };
        let mut answer = object(call, &bytes, &etag);
        if let Some(bits_per_second) = limit {
            answer.extensions_mut().insert(TrafficLimit(bits_per_second / 8));
        }
        answer
    }
}

/// The object or the part of it that was asked for.
fn object(call: &Call, bytes: &Bytes, etag: &str) -> Answer {
    let size = bytes.len() as u64;
    let part = range::single(call.header(RANGE.as_str()), size);
    let (first, end) = part.map_or((0, size), |(first, last)| (first, last + 1));
    let mut head = Response::builder()
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, end - first)
        .header(ACCEPT_RANGES, "bytes")
        .header(ETAG, etag)
        .header("server", "AliyunOSS")
        .header("x-oss-object-type", "Normal")
        .header("x-oss-storage-class", "Standard")
        .header("x-oss-server-time", "1")
        .header("x-oss-request-id", issue::oss_request_id());
    if let Some((first, last)) = part {
        head = head.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
    }
    // Positions inside a buffer fit `usize`, since the buffer does.
    let place = |position: u64| usize::try_from(position).unwrap_or(bytes.len());
    let body = if call.method == Method::HEAD { Bytes::new() } else { bytes.slice(place(first)..place(end)) };
    head.body(body).unwrap_or_default()
}

/// Where the objects of all blobs are.
const BLOBS: &str = "docker/registry/v2/blobs";

/// `<algorithm>:<hex>` for the path of a blob's object.
fn digest_of(path: &str) -> Option<String> {
    let object = path.strip_prefix('/')?.strip_prefix(BLOBS)?.strip_prefix('/')?.strip_suffix("/data")?;
    let (algorithm, rest) = object.split_once('/')?;
    let (start, hex) = rest.split_once('/')?;
    hex.starts_with(start).then(|| format!("{algorithm}:{hex}"))
}

/// The path of a blob's object, without a leading slash.
pub(crate) fn object_of(digest: &str) -> Option<String> {
    let (algorithm, hex) = digest.split_once(':')?;
    Some(format!("{BLOBS}/{algorithm}/{}/{hex}/data", hex.get(..2)?))
}

/// An entity tag of the form multipart uploads get, which is no MD5 of the content.
fn entity_tag(path: &str) -> String {
    let hex = path.split('/').nth_back(1).unwrap_or_default();
    format!("\"{}-1\"", hex.get(..32).unwrap_or(hex).to_ascii_uppercase())
}

fn traffic_limit(query: &str) -> Result<Option<u64>, ()> {
    let Some(text) = query.split('&').find_map(|pair| pair.strip_prefix("x-oss-traffic-limit=")) else {
        return Ok(None);
    };
    text.parse().ok().filter(|limit| TRAFFIC_LIMITS.contains(limit)).map(Some).ok_or(())
}

fn refused(call: &Call, refusal: &Refusal) -> Answer {
    let (code, message, more) = match refusal {
        Refusal::Unsigned => {
            ("AccessDenied", "You have no right to access this object because of bucket acl.", String::new())
        }
        Refusal::UnknownAccessKey => {
            ("InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist in our records.", String::new())
        }
        Refusal::Mismatch => (
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            String::new(),
        ),
        Refusal::Expired(until) => {
            let times = format!("<Expires>{}</Expires><ServerTime>{}</ServerTime>", iso(*until), iso(call.now));
            ("AccessDenied", "Request has expired.", times)
        }
    };
    failure(call, StatusCode::FORBIDDEN, code, message, &more)
}

fn failure(call: &Call, status: StatusCode, code: &str, message: &str, more: &str) -> Answer {
    let request_id = issue::oss_request_id();
    let host = &call.host;
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>{request_id}</RequestId><HostId>{host}</HostId>{more}<EC>0002-00000000</EC></Error>\n"
    );
    let body = if call.method == Method::HEAD { Bytes::new() } else { Bytes::from(body) };
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/xml")
        .header("server", "AliyunOSS")
        .header("x-oss-request-id", request_id)
        .body(body)
        .unwrap_or_default()
}

fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

#[cfg(test)]
mod tests;
