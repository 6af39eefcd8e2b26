//! From an operation to a signed request. Pure: time and nonce come in.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HOST, USER_AGENT};
use http::{Method, Request};

use super::credentials::Credentials;
use super::{acs3, encode, roa_v1, rpc_v1, time};
use crate::clock::Timestamp;

/// The media type of a form body.
const FORM: &str = "application/x-www-form-urlencoded";
/// Always asked for: without it some gateways answer in XML.
const JSON: &str = "application/json";

/// How requests are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureScheme {
    /// ACS3-HMAC-SHA256: SHA-256, and secrets in headers rather than URLs.
    #[default]
    Acs3,
    /// RPC or ROA version 1 (HMAC-SHA1), for an endpoint that does not know the other.
    V1,
}

/// One API call before it is signed.
#[derive(Debug, Clone)]
pub(crate) struct Operation<'a> {
    pub(crate) action: &'static str,
    pub(crate) version: &'static str,
    pub(crate) style: Style,
    pub(crate) parameters: Vec<(String, String)>,
    /// `None` for the one API that is called without a key.
    pub(crate) credentials: Option<&'a Credentials>,
}

/// The two styles of the cloud's APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Everything on `/`, the action named beside it.
    Rpc,
    /// A path for each resource.
    Roa(&'static str),
}

/// The request for `operation` at `host`.
///
/// # Errors
/// A sentence where a value cannot stand in a request, such as a line break in a configured key.
pub(crate) fn request(
    operation: &Operation<'_>,
    host: &str,
    scheme: SignatureScheme,
    now: Timestamp,
    nonce: &str,
) -> Result<Request<Bytes>, &'static str> {
    let draft = match (operation.credentials, scheme, operation.style) {
        (None, _, _) => anonymous(operation, now, nonce),
        (Some(credentials), SignatureScheme::Acs3, _) => v3(operation, credentials, host, now, nonce),
        (Some(credentials), SignatureScheme::V1, Style::Rpc) => v1_rpc(operation, credentials, now, nonce),
        (Some(credentials), SignatureScheme::V1, Style::Roa(path)) => v1_roa(operation, credentials, path, now, nonce),
    };
    let uri = match draft.query.as_str() {
        "" => format!("https://{host}{}", draft.path),
        query => format!("https://{host}{}?{query}", draft.path),
    };
    let mut request = Request::builder().method(draft.method).uri(uri);
    for (name, value) in draft.headers {
        // The client writes `Host` itself, from the URL.
        if name != HOST.as_str() {
            request = request.header(name, value);
        }
    }
    request = request.header(USER_AGENT, crate::http::USER_AGENT).header(ACCEPT, JSON);
    request.body(draft.body.into()).map_err(|_| "a host, key or token holds characters that no request can carry")
}

struct Draft {
    method: Method,
    path: &'static str,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// A form body keeps the token out of access logs and clear of length limits.
fn anonymous(operation: &Operation<'_>, now: Timestamp, nonce: &str) -> Draft {
    let mut parameters = operation.parameters.clone();
    parameters.extend([
        pair("Action", operation.action),
        pair("Version", operation.version),
        pair("Format", "JSON"),
        pair("Timestamp", time::iso_text(now)),
        pair("SignatureNonce", nonce),
    ]);
    let headers = vec![pair(CONTENT_TYPE.as_str(), FORM)];
    Draft { method: Method::POST, path: "/", query: String::new(), headers, body: encode::query(&parameters) }
}

fn v3(operation: &Operation<'_>, credentials: &Credentials, host: &str, now: Timestamp, nonce: &str) -> Draft {
    let (method, path) = match operation.style {
        Style::Rpc => (Method::POST, "/"),
        Style::Roa(path) => (Method::GET, path),
    };
    let mut headers = vec![
        pair(HOST.as_str(), host),
        pair("x-acs-action", operation.action),
        pair("x-acs-version", operation.version),
        pair("x-acs-date", time::iso_text(now)),
        pair("x-acs-signature-nonce", nonce),
        pair("x-acs-content-sha256", encode::sha256_hex(b"")),
    ];
    if let Some(token) = &credentials.security_token {
        headers.push(pair("x-acs-security-token", token.expose()));
    }
    let signed = acs3::SignedRequest {
        method: method.as_str(),
        path,
        query: &operation.parameters,
        headers: &headers,
        body: b"",
    };
    let authorization = acs3::authorization(&signed, credentials);
    headers.push(pair(AUTHORIZATION.as_str(), authorization));
    Draft { method, path, query: encode::query(&operation.parameters), headers, body: String::new() }
}

fn v1_rpc(operation: &Operation<'_>, credentials: &Credentials, now: Timestamp, nonce: &str) -> Draft {
    let mut parameters = operation.parameters.clone();
    parameters.extend([
        pair("Action", operation.action),
        pair("Version", operation.version),
        pair("Format", "JSON"),
        pair("AccessKeyId", &*credentials.access_key_id),
        pair("SignatureMethod", "HMAC-SHA1"),
        pair("SignatureVersion", "1.0"),
        pair("SignatureNonce", nonce),
        pair("Timestamp", time::iso_text(now)),
    ]);
    if let Some(token) = &credentials.security_token {
        parameters.push(pair("SecurityToken", token.expose()));
    }
    let signature = rpc_v1::signature(Method::POST.as_str(), &parameters, credentials);
    parameters.push(pair("Signature", signature));
    let query = encode::query(&parameters);
    Draft { method: Method::POST, path: "/", query, headers: Vec::new(), body: String::new() }
}

fn v1_roa(
    operation: &Operation<'_>,
    credentials: &Credentials,
    path: &'static str,
    now: Timestamp,
    nonce: &str,
) -> Draft {
    let mut headers = vec![
        pair(DATE.as_str(), time::http_date_text(now)),
        pair("x-acs-signature-method", "HMAC-SHA1"),
        pair("x-acs-signature-version", "1.0"),
        pair("x-acs-signature-nonce", nonce),
        pair("x-acs-action", operation.action),
        pair("x-acs-version", operation.version),
    ];
    if let Some(token) = &credentials.security_token {
        headers.push(pair("x-acs-security-token", token.expose()));
    }
    let mut signed = headers.clone();
    signed.push(pair(ACCEPT.as_str(), JSON));
    let authorization = roa_v1::authorization("GET", path, &operation.parameters, &signed, credentials);
    headers.push(pair(AUTHORIZATION.as_str(), authorization));
    Draft { method: Method::GET, path, query: encode::query(&operation.parameters), headers, body: String::new() }
}

#[cfg(test)]
mod tests {
    use super::{Operation, SignatureScheme, Style, request};
    use crate::cloud::credentials::Credentials;
    use crate::cloud::{time, vectors};

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    fn triple() -> Credentials {
        Credentials {
            access_key_id: "STS.NTexampleAccessKeyId01".into(),
            access_key_secret: "exampleSecretKey0123456789abcd".into(),
            security_token: Some("CAIS+example/token~with*special=chars and space==".into()),
        }
    }

    fn parameters(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_sent_is_the_documented_minimal_request() {
        let now = time::iso("2026-01-02T03:04:05Z").unwrap();
        let credentials = triple();
        for (name, action, version, style, host, pairs) in [
            (
                "minimal-cr-GetAuthorizationToken-query",
                "GetAuthorizationToken",
                "2018-12-01",
                Style::Rpc,
                "cr-vpc.cn-hangzhou.aliyuncs.com",
                parameters(&[("InstanceId", "cri-abcd1234efgh5678")]),
            ),
            (
                "minimal-roa-cr2016-tokens",
                "GetAuthorizationToken",
                "2016-06-07",
                Style::Roa("/tokens"),
                "cr.cn-hangzhou.aliyuncs.com",
                parameters(&[]),
            ),
        ] {
            let operation = Operation { action, version, style, parameters: pairs, credentials: Some(&credentials) };
            let sent = request(&operation, host, SignatureScheme::Acs3, now, NONCE).unwrap();
            let vector = vectors::section("v3").into_iter().find(|vector| vector["name"] == name).unwrap();
            assert_eq!(sent.headers()["authorization"], vectors::text(&vector["authorization"]), "{name}");
            assert_eq!(sent.uri().query().unwrap_or_default(), vectors::text(&vector["canonical_query"]), "{name}");
        }
    }

    #[test]
    fn the_anonymous_call_keeps_its_token_out_of_the_url() {
        let operation = Operation {
            action: "AssumeRoleWithOIDC",
            version: "2015-04-01",
            style: Style::Rpc,
            parameters: parameters(&[("OIDCToken", "eyJ.a.b")]),
            credentials: None,
        };
        let now = time::iso("2026-01-02T03:04:05Z").unwrap();
        let sent = request(&operation, "sts.aliyuncs.com", SignatureScheme::Acs3, now, NONCE).unwrap();
        assert_eq!(sent.uri(), "https://sts.aliyuncs.com/");
        let body = String::from_utf8(sent.body().to_vec()).unwrap();
        assert!(body.contains("OIDCToken=eyJ.a.b") && body.contains("Timestamp=2026-01-02T03%3A04%3A05Z"));
        assert!(!sent.headers().contains_key("authorization"));
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_an_error_and_no_panic() {
        let mut credentials = triple();
        credentials.access_key_id = "line\nbreak".into();
        let operation = Operation {
            action: "AssumeRole",
            version: "2015-04-01",
            style: Style::Rpc,
            parameters: Vec::new(),
            credentials: Some(&credentials),
        };
        let now = time::iso("2026-01-02T03:04:05Z").unwrap();
        assert!(request(&operation, "sts.aliyuncs.com", SignatureScheme::Acs3, now, NONCE).is_err());
    }
}
