//! The bucket's answers, asked without a server.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::signature::{Grant, UrlSigner};
use super::{Oss, TrafficLimit, object_of};
use crate::call::{Answer, Call};
use crate::settings::UrlSignature;
use crate::store::{InstanceSpec, Store};

const DIGEST: &str = "sha256:4791cda23dbc3d1c7a0491644ae1c819c7d24b516be95df79113119e0f073416";
const HOST: &str = "cri-abcd-registry.oss-cn-hangzhou-internal.aliyuncs.com";

fn bucket() -> Oss {
    let store = Arc::new(Store::default());
    let instance = store.add(InstanceSpec {
        instance_id: Some("cri-abcd".to_owned()),
        region: "cn-hangzhou".to_owned(),
        domains: vec!["demo-registry.cn-hangzhou.cr.aliyuncs.com".to_owned()],
    });
    instance.put_blob("team/app", DIGEST, Bytes::from_static(b"0123456789"));
    Oss { store, signer: Arc::new(UrlSigner::new("STS.N", "secret", "token")) }
}

fn ask(oss: &Oss, method: Method, limit: Option<u64>, headers: &[(&'static str, &'static str)]) -> Answer {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let object = object_of(DIGEST).unwrap();
    let grant = Grant {
        bucket: "cri-abcd-registry",
        object: &object,
        region: "cn-hangzhou",
        traffic_limit: limit,
        lifetime: SignedDuration::from_secs(1_200),
        now,
    };
    let (query, _) = oss.signer.sign(UrlSignature::V1, &grant);
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let uri = format!("/{object}?{query}").parse().unwrap();
    oss.handle(&Call { method, host: HOST.to_owned(), uri, headers: map, body: Bytes::new(), now })
}

#[test]
fn a_range_gives_exactly_its_bytes_and_a_bad_one_the_whole() {
    let part = ask(&bucket(), Method::GET, None, &[("range", "bytes=2-4")]);
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], "bytes 2-4/10");
    assert_eq!(part.headers()["content-length"], "3");
    assert_eq!(part.body(), "234");
    let whole = ask(&bucket(), Method::GET, None, &[("range", "bytes=2-40")]);
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.body(), "0123456789");
    assert!(whole.headers()["etag"].to_str().unwrap().starts_with("\"4791CDA23DBC"));
}

#[test]
fn a_left_over_authorization_is_an_invalid_argument() {
    let refused = ask(&bucket(), Method::GET, None, &[("authorization", "Bearer x")]);
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(String::from_utf8_lossy(refused.body()).contains("<Code>InvalidArgument</Code>"));
}

#[test]
fn head_on_a_get_url_is_refused_without_a_body() {
    let refused = ask(&bucket(), Method::HEAD, None, &[]);
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(refused.body().is_empty());
}

#[test]
fn a_traffic_limit_is_kept_in_bytes_per_second_and_must_be_in_range() {
    let limited = ask(&bucket(), Method::GET, Some(819_200), &[]);
    assert_eq!(limited.extensions().get::<TrafficLimit>().unwrap().0, 102_400);
    assert_eq!(ask(&bucket(), Method::GET, Some(1), &[]).status(), StatusCode::BAD_REQUEST);
}

#[test]
fn if_match_of_another_object_fails() {
    let refused = ask(&bucket(), Method::GET, None, &[("if-match", "\"OTHER\"")]);
    assert_eq!(refused.status(), StatusCode::PRECONDITION_FAILED);
}
