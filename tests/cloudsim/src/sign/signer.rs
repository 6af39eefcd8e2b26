//! A small signer for the tests of the services: builds a [`Call`] and signs it with one of the schemes.
//!
//! It shares the canonical forms with the verifier; that those are right is what the vector tests are for.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::{acs3, canonical, roa_v1, rpc_v1};
use crate::call::Call;
use crate::date;
use crate::hash::hex;
use crate::issue;
use crate::ram::{AccessKey, Credentials};

/// Key, secret and perhaps a token to sign with.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) security_token: Option<String>,
}

impl From<&AccessKey> for Signer {
    fn from(key: &AccessKey) -> Self {
        Self { access_key_id: key.id.clone(), secret: key.secret.clone(), security_token: None }
    }
}

impl From<&Credentials> for Signer {
    fn from(credentials: &Credentials) -> Self {
        Self {
            access_key_id: credentials.access_key_id.clone(),
            secret: credentials.access_key_secret.clone(),
            security_token: Some(credentials.security_token.clone()),
        }
    }
}

impl Signer {
    /// An RPC call signed with V3, parameters in the query.
    pub(crate) fn acs3(
        &self,
        host: &str,
        (action, version): (&str, &str),
        parameters: &[(&str, &str)],
        now: Timestamp,
    ) -> Call {
        let mut call = unsigned(Method::POST, host, "/", parameters, now);
        self.sign_acs3(&mut call, action, version);
        call
    }

    /// Signs a call that is complete but for its signature headers.
    pub(crate) fn sign_acs3(&self, call: &mut Call, action: &str, version: &str) {
        put(call, "accept", "application/json");
        put(call, "x-acs-action", action);
        put(call, "x-acs-version", version);
        put(call, "x-acs-date", &date::iso(call.now));
        put(call, "x-acs-signature-nonce", &issue::request_id());
        put(call, "x-acs-content-sha256", &acs3::content_hash(call));
        if let Some(token) = &self.security_token {
            put(call, "x-acs-security-token", token);
        }
        let names: Vec<String> = acs3::must_be_signed(call).collect();
        let text = acs3::string_to_sign(call, &names.iter().map(String::as_str).collect::<BTreeSet<_>>()).unwrap();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes()), text.as_bytes());
        let authorization = format!(
            "{} Credential={},SignedHeaders={},Signature={}",
            acs3::ALGORITHM,
            self.access_key_id,
            names.join(";"),
            hex(signature.as_ref())
        );
        put(call, "authorization", &authorization);
    }

    /// An RPC call signed with v1; `in_body` moves every parameter into a form body.
    pub(crate) fn rpc_v1(&self, host: &str, parameters: &[(&str, &str)], in_body: bool, now: Timestamp) -> Call {
        let (nonce, timestamp) = (issue::request_id(), date::iso(now));
        let mut all = parameters.to_vec();
        all.extend([
            ("AccessKeyId", self.access_key_id.as_str()),
            ("Timestamp", &timestamp),
            ("SignatureNonce", &nonce),
        ]);
        all.extend([("SignatureMethod", "HMAC-SHA1"), ("SignatureVersion", "1.0"), ("Format", "JSON")]);
        all.extend(self.security_token.as_deref().map(|token| ("SecurityToken", token)));
        let owned: Vec<(String, String)> = all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, format!("{}&", self.secret).as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, rpc_v1::string_to_sign("POST", &owned).as_bytes()));
        all.push(("Signature", &signature));
        let call = unsigned(Method::POST, host, "/", &all, now);
        if in_body { into_form(&call) } else { call }
    }

    /// A ROA call signed with v1.
    pub(crate) fn roa_v1(&self, host: &str, path: &str, version: &str, now: Timestamp) -> Call {
        let mut call = unsigned(Method::GET, host, path, &[], now);
        put(&mut call, "accept", "application/json");
        put(&mut call, "date", &date::http(now));
        put(&mut call, "x-acs-version", version);
        put(&mut call, "x-acs-signature-nonce", &issue::request_id());
        put(&mut call, "x-acs-signature-method", "HMAC-SHA1");
        put(&mut call, "x-acs-signature-version", "1.0");
        if let Some(token) = &self.security_token {
            put(&mut call, "x-acs-security-token", token);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.secret.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, roa_v1::string_to_sign(&call).as_bytes()));
        put(&mut call, "authorization", &format!("acs {}:{signature}", self.access_key_id));
        call
    }
}

/// A call without any signature.
pub(crate) fn unsigned(method: Method, host: &str, path: &str, parameters: &[(&str, &str)], now: Timestamp) -> Call {
    let pairs: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| (canonical::encode(name), canonical::encode(value))).collect();
    let target = if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", canonical::join(&pairs)) };
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_str(host).unwrap());
    Call { method, host: host.to_owned(), uri: target.parse().unwrap(), headers, body: Bytes::new(), now }
}

/// The same call with its query as a form body.
pub(crate) fn into_form(call: &Call) -> Call {
    let mut form = call.clone();
    form.body = Bytes::from(call.uri.query().unwrap_or_default().to_owned());
    form.uri = call.uri.path().parse().unwrap();
    put(&mut form, "content-type", "application/x-www-form-urlencoded");
    form
}

/// Sets one header.
pub(crate) fn put(call: &mut Call, name: &str, value: &str) {
    let name: HeaderName = name.parse().unwrap();
    call.headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
}
