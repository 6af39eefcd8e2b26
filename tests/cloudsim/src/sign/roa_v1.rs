//! The ROA scheme of signature version 1.0 (HMAC-SHA1), which only the 2016 Container Registry API still sees.
//!
//! Four standard headers, every `x-acs-*` header, and the path with its query as plain text, not encoded.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::{Claim, Parameters, Refusal, Signature, canonical};
use crate::call::Call;

/// First word of `Authorization`.
pub(super) const PREFIX: &str = "acs ";

const METHOD: &str = "HMAC-SHA1";
const VERSION: &str = "1.0";

pub(super) fn claim(call: &Call, authorization: &str, parameters: Parameters) -> Result<Claim, Refusal> {
    let credential = authorization.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':'));
    let (access_key_id, signature) = credential.ok_or_else(|| incomplete("Authorization"))?;
    let required = |name: &str| call.header(name).ok_or_else(|| incomplete(name));
    if required("x-acs-signature-method")? != METHOD || required("x-acs-signature-version")? != VERSION {
        return Err(Refusal::SignatureMethod);
    }
    Ok(Claim {
        access_key_id: access_key_id.to_owned(),
        security_token: call.header("x-acs-security-token").map(str::to_owned),
        timestamp: date(required("date")?)?,
        // The oldest client library in use (aliyun-python-sdk-core) signs its ROA calls without a nonce.
        nonce: call.header("x-acs-signature-nonce").map(str::to_owned),
        action: call.header("x-acs-action").unwrap_or_default().to_owned(),
        version: required("x-acs-version")?.to_owned(),
        parameters,
        string_to_sign: string_to_sign(call),
        signature: Signature {
            algorithm: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            key_suffix: "",
            bytes: STANDARD.decode(signature).unwrap_or_default(),
        },
    })
}

/// Method, four headers (an absent one is an empty line), `x-acs-*` lines, resource.
pub(super) fn string_to_sign(call: &Call) -> String {
    let mut text = format!("{}\n", call.method);
    for name in ["accept", "content-md5", "content-type", "date"] {
        text.push_str(call.header(name).unwrap_or_default());
        text.push('\n');
    }
    let mut names: Vec<&str> = call.headers.keys().map(|name| name.as_str()).collect();
    names.retain(|name| name.starts_with("x-acs-"));
    names.sort_unstable();
    for name in names {
        let value = call.header(name).unwrap_or_default();
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push_str(call.uri.path());
    let mut query = canonical::query(call);
    if !query.is_empty() {
        query.sort();
        text.push('?');
        text.push_str(&canonical::join(&query));
    }
    text
}

fn date(text: &str) -> Result<Timestamp, Refusal> {
    let time = httpdate::parse_http_date(text).map_err(|_| Refusal::TimestampFormat)?;
    Timestamp::try_from(time).map_err(|_| Refusal::TimestampFormat)
}

fn incomplete(missing: &str) -> Refusal {
    Refusal::Incomplete { missing: missing.to_owned() }
}
