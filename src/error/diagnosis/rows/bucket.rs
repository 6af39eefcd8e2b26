//! The error codes of OSS, as its error pages have them, where a bucket refuses a URL that the registry has just signed.

use super::code;
use crate::error::Blame::{Cloud, Network, RegistryAccount};
use crate::error::diagnosis::{BUCKET, Row};

/// The API whose codes these are; others spell some of them alike.
const OSS: &[&str] = &[BUCKET];

#[rustfmt::skip]
pub(super) const BUCKET_CODES: &[Row] = &[
    code(OSS, &["AccessDenied"], RegistryAccount, [
        "bucket: `AccessDenied`",
        "OSS takes the URL for expired although the registry has just signed it, as where something on the way answers \
         with old redirects; or a policy of the bucket, of its endpoint or of its owner's account refuses this network",
        "check that no cache stands between this node and the registry, and the policies on {host} (bucket policy, \
         PrivateLink endpoint policy)",
        "check caches on the way, bucket policies",
    ]),
    code(OSS, &["SignatureDoesNotMatch"], Network, [
        "bucket: `SignatureDoesNotMatch`",
        "something on the way rewrites the URL or adds headers that OSS counts as signed",
        "check that no proxy stands between this node and {host}, and network.blobProxy where it is set",
        "check for a proxy on the way",
    ]),
    code(OSS, &["InvalidAccessKeyId", "SecurityTokenExpired", "InvalidSecurityToken"], Cloud, [
        "bucket: `InvalidAccessKeyId`, `SecurityTokenExpired`, `InvalidSecurityToken`",
        "the registry signs with a key that has just been replaced or has ended",
        "wait: the next pull gets a new URL; if it goes on for minutes, open a ticket with the request id",
        "the next pull gets a new URL",
    ]),
    code(OSS, &["RequestTimeTooSkewed"], Network, [
        "bucket: `RequestTimeTooSkewed`",
        "OSS read a date in the request, which a presigned URL has none of: a proxy with a wrong clock adds it",
        "check what stands between this node and {host}, and its clock",
        "check the clock of a proxy on the way",
    ]),
    code(OSS, &["InvalidArgument"], Network, [
        "bucket: `InvalidArgument`",
        "a proxy on the way adds a header or a parameter, most often an Authorization of its own, which OSS refuses beside \
         a presigned URL",
        "take the proxy between this node and {host} out, or make it leave requests as they are",
        "a proxy adds an Authorization header",
    ]),
    code(OSS, &["NoSuchKey"], RegistryAccount, [
        "bucket: `NoSuchKey`",
        "the registry knows the blob and its bucket does not have it: it was deleted there, or its name leads to another bucket",
        "push the image again; look whether network.hosts names the right endpoint for {host}",
        "push the image again",
    ]),
    code(OSS, &["NoSuchBucket"], RegistryAccount, [
        "bucket: `NoSuchBucket`",
        "the bucket was deleted, or the name leads to OSS of another region",
        "check that the instance still runs, and network.hosts for {host}",
        "check the instance and network.hosts",
    ]),
    code(OSS, &["InvalidRange"], RegistryAccount, [
        "bucket: `InvalidRange`",
        "the object in the bucket is shorter than the registry says",
        "push the image again",
        "push the image again",
    ]),
];
