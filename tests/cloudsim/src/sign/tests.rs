//! Every published or SDK-made vector passes, and fails as soon as one character is another one.

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::signer::{put, unsigned};
use super::{Claim, Refusal, canonical};
use crate::call::Call;

const NOT_SIGNED_BY_ROA: [&str; 3] = ["host", "user-agent", "x-sdk-invoke-type"];

#[test]
fn acs3_vectors_pass_and_their_mutations_fail() {
    for vector in vectors("v3", 10) {
        let request = &vector["request"];
        let call = call(request, &request["pathname"], &vector["authorization"]);
        let headers = pairs(&request["headers"]);
        check(&vector, &call, &headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
    }
}

#[test]
fn roa_v1_vectors_pass_and_their_mutations_fail() {
    for vector in vectors("roa_v1", 2) {
        let call = call(&vector, &vector["path"], &vector["authorization"]);
        let headers = pairs(&vector["headers"]);
        let signed = headers.iter().map(|(name, _)| name.as_str()).filter(|name| !NOT_SIGNED_BY_ROA.contains(name));
        check(&vector, &call, &signed.collect::<Vec<_>>());
    }
}

#[test]
fn rpc_v1_vectors_pass_and_their_mutations_fail() {
    for vector in vectors("v1_rpc", 5) {
        let mut parameters = pairs(&vector["params"]);
        parameters.push(("Signature".to_owned(), text(&vector["signature"])));
        let request = serde_json::json!({ "method": vector["method"] });
        let mut call = call(&request, &Value::from("/"), &Value::Null);
        with_query(&mut call, &parameters);
        check(&vector, &call, &[]);
    }
}

#[test]
fn a_header_left_out_of_the_signature_is_refused() {
    let vector = vectors("v3", 10).into_iter().find(|v| v["name"] == "minimal-sts-AssumeRole-form-body").unwrap();
    let request = &vector["request"];
    for name in ["host", "content-type", "x-acs-security-token", "x-acs-date"] {
        let mut call = call(request, &request["pathname"], &vector["authorization"]);
        let shorter = text(&vector["authorization"]).replacen(&format!("{name};"), "", 1);
        put(&mut call, "authorization", &shorter);
        let missing = format!("{name} in SignedHeaders");
        assert_eq!(Claim::parse(&call).err(), Some(Refusal::Incomplete { missing }));
    }
}

#[test]
fn a_body_that_is_not_the_hashed_one_is_refused() {
    let vector = vectors("v3", 10).into_iter().find(|v| v["name"] == "minimal-sts-AssumeRole-form-body").unwrap();
    let request = &vector["request"];
    let mut call = call(request, &request["pathname"], &vector["authorization"]);
    call.body = Bytes::from(text(&request["body"]).replacen("node-1", "node-2", 1));
    assert_eq!(Claim::parse(&call).err(), Some(Refusal::ContentHash));
}

#[test]
fn the_clock_may_be_off_by_fifteen_minutes_and_no_more() {
    let vector = &vectors("v3", 10)[0];
    let request = &vector["request"];
    let claim =
        Claim::parse(&call(request, &request["pathname"], &vector["authorization"])).unwrap_or_else(|e| panic!("{e}"));
    for (now, expected) in [
        ("2026-01-02T03:19:05Z", Ok(())),
        ("2026-01-02T02:49:05Z", Ok(())),
        ("2026-01-02T03:19:06Z", Err(Refusal::TimestampExpired)),
        ("2026-01-02T02:49:04Z", Err(Refusal::TimestampExpired)),
    ] {
        assert_eq!(claim.verify_time(now.parse().unwrap()), expected, "{now}");
    }
}

/// The vector itself, then one change at a time: the secret, each parameter, each signed header.
fn check(vector: &Value, call: &Call, signed_headers: &[&str]) {
    let (name, secret) = (&vector["name"], text(&vector["access_key_secret"]));
    let claim = Claim::parse(call).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    assert_eq!(claim.string_to_sign, text(&vector["string_to_sign"]), "{name}");
    assert_eq!(claim.verify_signature(&secret), Ok(()), "{name}");
    assert!(claim.verify_signature(&other(&secret)).is_err(), "{name}: another secret");

    let refused = |call: &Call| Claim::parse(call).and_then(|claim| claim.verify_signature(&secret)).is_err();
    let query = canonical::query(call);
    for index in 0..query.len() {
        let mut changed = query.clone();
        changed[index].1 = other(&changed[index].1);
        let mut call = call.clone();
        with_query(&mut call, &changed);
        assert!(refused(&call), "{name}: parameter {} changed", query[index].0);
    }
    for header in signed_headers {
        let mut changed = call.clone();
        put(&mut changed, header, &other(call.header(header).unwrap()));
        assert!(refused(&changed), "{name}: header {header} changed");
    }
}

/// The same text with another last character.
fn other(text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let last = chars.pop();
    chars.push(if last == Some('x') { 'y' } else { 'x' });
    chars.into_iter().collect()
}

fn call(request: &Value, path: &Value, authorization: &Value) -> Call {
    let method: Method = text(&request["method"]).parse().unwrap();
    let now = "2026-01-02T03:04:05Z".parse().unwrap();
    let host = request["headers"]["host"].as_str().unwrap_or("cr.cn-hangzhou.aliyuncs.com");
    let mut call = unsigned(method, host, &text(path), &[], now);
    with_query(&mut call, &pairs(&request["query"]));
    for (name, value) in pairs(&request["headers"]) {
        put(&mut call, &name, &value);
    }
    if let Some(body) = request["body"].as_str() {
        call.body = Bytes::from(body.to_owned());
    }
    if let Some(authorization) = authorization.as_str() {
        put(&mut call, "authorization", authorization);
    }
    call
}

fn with_query(call: &mut Call, parameters: &[(String, String)]) {
    let borrowed: Vec<(&str, &str)> = parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    call.uri = unsigned(call.method.clone(), "host", call.uri.path(), &borrowed, call.now).uri;
}

fn vectors(scheme: &str, count: usize) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/signature-vectors.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let vectors = all[scheme].as_array().unwrap().clone();
    assert_eq!(vectors.len(), count, "vectors for {scheme}");
    vectors
}

fn pairs(object: &Value) -> Vec<(String, String)> {
    let Some(object) = object.as_object() else { return Vec::new() };
    object.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
