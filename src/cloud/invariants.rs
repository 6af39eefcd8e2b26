//! What holds for every answer of the cloud's APIs and of the metadata service.

use http::HeaderMap;
use serde_json::Value;

use super::answer::{Fields, asked_pause};
use super::cr::domains_from;
use super::endpoints::Region;
use super::error::{CloudError, Details, Problem};
use super::imds::role_name;
use super::sts::session_from;
use super::time;
use crate::clock::Timestamp;
use crate::error::Explain as _;

/// Stands for a secret of the call that is answered.
const SECRET: &str = "CAIS0123456789abcdefXYZ";

fn now() -> Timestamp {
    time::iso("2026-01-02T03:04:05Z").unwrap_or(Timestamp::UNIX_EPOCH)
}

/// An answer of STS or of the Container Registry API: JSON or XML, good or bad.
pub(crate) fn answer(data: &[u8]) {
    let json: Option<Value> = serde_json::from_slice(data).ok();
    let text = String::from_utf8_lossy(data);
    let fields = Fields::read(&text, json.as_ref()).without(&[SECRET]);
    let all = [&fields.code, &fields.message, &fields.request_id];
    for field in all.into_iter().flatten() {
        assert!(is_plain(field) && field.len() <= 240 && !field.is_empty(), "{field:?} is not fit for a log");
        let mut pieces = (0..SECRET.len()).filter_map(|start| SECRET.get(start..start + 12));
        assert!(!pieces.any(|piece| field.contains(piece)), "a secret is repeated");
    }
    for word in [&fields.code, &fields.request_id].into_iter().flatten() {
        assert!(word.len() <= 80 && !word.contains([' ', '/', '+', '=']), "{word:?} is no word");
    }
    pause(&text);
    let asked = fields.message.clone();
    let problem = Problem::Refused { status: 403, code: fields.code.unwrap_or_default(), message: asked, asked: None };
    let details = Details {
        action: "AssumeRole",
        host: "sts.aliyuncs.com".to_owned(),
        subject: None,
        caller: None,
        request_id: fields.request_id,
        problem,
    };
    let error = CloudError::from(details);
    assert!(is_plain(&error.to_string()) && error.to_string().len() < 1000, "{error} is not fit for a log");
    assert!(!error.row().fix.is_empty());

    let Some(json) = json else { return };
    for triple in [Some(&json), json.get("Credentials")].into_iter().flatten() {
        session(triple);
    }
    for domain in domains_from(&json).into_iter().flatten() {
        assert!(!domain.is_empty() && domain == domain.trim().to_ascii_lowercase(), "{domain:?}");
    }
    for value in [&json["ExpireTime"], &json["data"]["expireDate"]] {
        if let Some(expires) = time::epoch(value) {
            assert_eq!(time::iso(&expires.to_string()), Some(expires));
        }
    }
}

/// What the metadata service answers: a role's name, a region, or a session.
pub(crate) fn metadata(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(role) = role_name(&text) {
        let path = format!("/latest/meta-data/ram/security-credentials/{role}");
        let uri: Result<http::Uri, _> = format!("http://100.100.100.200{path}").parse();
        assert!(uri.is_ok_and(|uri| uri.path() == path && uri.query().is_none()), "{role:?} leaves its place");
    }
    if let Ok(region) = Region::parse(&text) {
        let region = region.as_str();
        assert!(region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{region:?} is no host label");
    }
    if let Ok(answer) = serde_json::from_slice(data) {
        session(&answer);
    }
}

fn session(triple: &Value) {
    let Some(session) = session_from(triple, now()) else { return };
    let credentials = &session.value;
    let token = credentials.security_token.as_ref();
    assert!(!credentials.access_key_id.is_empty() && !credentials.access_key_secret.is_empty());
    assert!(token.is_some_and(|token| !token.is_empty()), "a session without a token");
    assert!(session.issued <= now(), "a session from the future");
    assert!(session.lifetime() == session.lifetime() && (!session.is_fresh(now()) || session.is_usable(now())));
    let shown = format!("{credentials:?}");
    for secret in [Some(&credentials.access_key_secret), token].into_iter().flatten() {
        // Shorter texts, and the id itself, may stand there by chance.
        let secret = secret.expose();
        let by_chance = secret.len() < 20 || credentials.access_key_id.contains(secret);
        assert!(by_chance || !shown.contains(secret), "a secret is shown");
    }
}

/// The pause that a header of any value asks for.
fn pause(text: &str) {
    let Ok(value) = http::HeaderValue::from_str(text) else { return };
    for name in ["x-acs-retry-after", "retry-after"] {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.clone());
        if let Some(pause) = asked_pause(&headers, now()) {
            assert!(crate::clock::later(now(), pause) >= now(), "a pause that ends before it begins");
        }
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
