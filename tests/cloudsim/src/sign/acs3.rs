//! `ACS3-HMAC-SHA256`, the gateway's third scheme, for RPC and ROA calls alike.
//!
//! Everything is in headers; what the signature covers is what `SignedHeaders` lists, so this file also insists that
//! the list leaves nothing important out: the host, every `x-acs-*` header, and the type of a body.

use std::collections::BTreeSet;

use aws_lc_rs::{digest, hmac};

use super::{Claim, Parameters, Refusal, Signature, canonical, timestamp};
use crate::call::Call;
use crate::hash::hex;

/// The name of the scheme, first word of `Authorization` and first line of the string to sign.
pub(super) const ALGORITHM: &str = "ACS3-HMAC-SHA256";

pub(super) fn claim(call: &Call, authorization: &str, parameters: Parameters) -> Result<Claim, Refusal> {
    let Authorization { credential, signed_headers, signature } = Authorization::parse(authorization)?;
    if let Some(header) = must_be_signed(call).find(|name| !signed_headers.contains(name.as_str())) {
        return Err(incomplete(&format!("{header} in SignedHeaders")));
    }
    if required(call, "x-acs-content-sha256")? != content_hash(call) {
        return Err(Refusal::ContentHash);
    }
    Ok(Claim {
        access_key_id: credential.to_owned(),
        security_token: call.header("x-acs-security-token").map(str::to_owned),
        timestamp: timestamp(required(call, "x-acs-date")?)?,
        nonce: Some(required(call, "x-acs-signature-nonce")?.to_owned()),
        action: required(call, "x-acs-action")?.to_owned(),
        version: required(call, "x-acs-version")?.to_owned(),
        parameters,
        string_to_sign: string_to_sign(call, &signed_headers)?,
        signature: Signature {
            algorithm: hmac::HMAC_SHA256,
            key_suffix: "",
            // A signature that is no hexadecimal text matches nothing, which is all there is to say about it.
            bytes: unhex(signature).unwrap_or_default(),
        },
    })
}

/// The string the server signs: the scheme and the hash of the canonical request.
pub(super) fn string_to_sign(call: &Call, signed_headers: &BTreeSet<&str>) -> Result<String, Refusal> {
    let request = canonical_request(call, signed_headers)?;
    Ok(format!("{ALGORITHM}\n{}", hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref())))
}

/// Lower-case hexadecimal SHA-256 of the body as received.
pub(super) fn content_hash(call: &Call) -> String {
    hex(digest::digest(&digest::SHA256, &call.body).as_ref())
}

/// Names of the headers that a signature must cover in this request.
pub(super) fn must_be_signed(call: &Call) -> impl Iterator<Item = String> {
    let content_type = call.headers.contains_key("content-type") && !call.body.is_empty();
    let names = call.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-acs-"));
    let mut names: BTreeSet<String> = names.map(str::to_owned).collect();
    names.insert("host".to_owned());
    if content_type {
        names.insert("content-type".to_owned());
    }
    names.into_iter()
}

fn canonical_request(call: &Call, signed_headers: &BTreeSet<&str>) -> Result<String, Refusal> {
    let mut headers = String::new();
    for name in signed_headers {
        let value = header_value(call, name).ok_or_else(|| incomplete(name))?;
        headers.push_str(&format!("{name}:{value}\n"));
    }
    let names: Vec<&str> = signed_headers.iter().copied().collect();
    Ok([
        call.method.as_str(),
        call.uri.path(),
        &canonical::sorted_query(&canonical::query(call)),
        &headers,
        &names.join(";"),
        &content_hash(call),
    ]
    .join("\n"))
}

/// All lines of one header: trimmed, sorted, joined by commas.
fn header_value(call: &Call, name: &str) -> Option<String> {
    let mut values: Vec<String> = call
        .headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
        .collect();
    if values.is_empty() {
        // HTTP/2 has no Host header; its authority stands for it.
        return (name == "host").then(|| call.host.clone());
    }
    values.sort();
    Some(values.join(","))
}

struct Authorization<'a> {
    credential: &'a str,
    signed_headers: BTreeSet<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(text: &'a str) -> Result<Self, Refusal> {
        let fields = text.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' '));
        let fields = fields.ok_or(Refusal::SignatureMethod)?;
        let field = |name: &str| {
            let values = fields.split(',').filter_map(|field| field.split_once('='));
            let mut values = values.filter(|(key, _)| *key == name).map(|(_, value)| value);
            values.next().filter(|value| !value.is_empty()).ok_or_else(|| incomplete(name))
        };
        Ok(Self {
            credential: field("Credential")?,
            signed_headers: field("SignedHeaders")?.split(';').collect(),
            signature: field("Signature")?,
        })
    }
}

fn required<'c>(call: &'c Call, name: &str) -> Result<&'c str, Refusal> {
    call.header(name).ok_or_else(|| incomplete(name))
}

fn incomplete(missing: &str) -> Refusal {
    Refusal::Incomplete { missing: missing.to_owned() }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}
