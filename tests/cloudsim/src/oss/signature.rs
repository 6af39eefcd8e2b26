//! Presigned OSS URLs: made for the registry's redirects, and verified when a client comes with one.
//!
//! Written from the documented rules for signature versions 1 and 4 in a URL; the verifier recomputes and compares and
//! shares no parsing with the maker beyond the string to sign.

mod text;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method};
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use crate::hash::hex;
use crate::settings::UrlSignature;
use text::{ENCODED_IN_PATH, Pairs, decoded_pairs, header, headers_to_sign, joined, pair, value};

/// Parameters that version 1 signs as sub-resources, as far as a download can carry them. Others travel unsigned.
const V1_SIGNED: [&str; 10] = [
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "security-token",
    "versionId",
    "x-oss-process",
    "x-oss-traffic-limit",
];

const V4_ALGORITHM: &str = "OSS4-HMAC-SHA256";
const V4_REQUEST: &str = "aliyun_v4_request";
const V4_TIME: &str = "%Y%m%dT%H%M%SZ";

/// The key that signs the URLs of all buckets.
#[derive(Clone)]
pub(crate) struct UrlSigner {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
}

impl std::fmt::Debug for UrlSigner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("UrlSigner").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// What a URL is signed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant<'a> {
    pub(crate) bucket: &'a str,
    /// Object name without a leading slash.
    pub(crate) object: &'a str,
    pub(crate) region: &'a str,
    pub(crate) traffic_limit: Option<u64>,
    pub(crate) lifetime: SignedDuration,
    pub(crate) now: Timestamp,
}

/// Why a URL is refused, in the order OSS checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No signature at all, or one without its companions.
    Unsigned,
    /// Signed by a key that is not known.
    UnknownAccessKey,
    /// Was good until then.
    Expired(Timestamp),
    /// The signature is not the one for this request.
    Mismatch,
}

/// One request as the signature sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presented<'a> {
    pub(crate) method: &'a Method,
    pub(crate) bucket: &'a str,
    /// Path as it came, percent-encoded.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) now: Timestamp,
}

impl UrlSigner {
    pub(crate) fn new(access_key_id: &str, access_key_secret: &str, security_token: &str) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            access_key_secret: access_key_secret.to_owned(),
            security_token: security_token.to_owned(),
        }
    }

    /// The secrets of this key, as they could show up somewhere.
    pub(crate) fn secrets(&self) -> [&str; 2] {
        [&self.access_key_secret, &self.security_token]
    }

    /// The query of a URL that lets anyone `GET` the object, and the signature in it.
    pub(crate) fn sign(&self, version: UrlSignature, grant: &Grant<'_>) -> (String, String) {
        match version {
            UrlSignature::V1 => self.sign_v1(grant),
            UrlSignature::V4 => self.sign_v4(grant),
        }
    }

    fn sign_v1(&self, grant: &Grant<'_>) -> (String, String) {
        let expires = (grant.now + grant.lifetime).as_second().to_string();
        let mut pairs = Vec::new();
        if let Some(limit) = grant.traffic_limit {
            pairs.push(("x-oss-traffic-limit".to_owned(), limit.to_string()));
        }
        pairs.push(("security-token".to_owned(), self.security_token.clone()));
        let resource = format!("/{}/{}", grant.bucket, grant.object);
        let signature = self.signature_v1(&Method::GET, &expires, &HeaderMap::new(), &resource, &pairs);
        pairs.push(("OSSAccessKeyId".to_owned(), self.access_key_id.clone()));
        pairs.push(("Expires".to_owned(), expires));
        pairs.push(("Signature".to_owned(), signature.clone()));
        (joined(&pairs), signature)
    }

    fn sign_v4(&self, grant: &Grant<'_>) -> (String, String) {
        let date = grant.now.strftime(V4_TIME).to_string();
        let day = date.split('T').next().unwrap_or_default();
        let scope = format!("{day}/{}/oss/{V4_REQUEST}", grant.region);
        let mut pairs = Vec::new();
        if let Some(limit) = grant.traffic_limit {
            pairs.push(("x-oss-traffic-limit".to_owned(), limit.to_string()));
        }
        pairs.push(("x-oss-security-token".to_owned(), self.security_token.clone()));
        pairs.push(("x-oss-date".to_owned(), date));
        pairs.push(("x-oss-expires".to_owned(), grant.lifetime.as_secs().to_string()));
        pairs.push(("x-oss-signature-version".to_owned(), V4_ALGORITHM.to_owned()));
        pairs.push(("x-oss-credential".to_owned(), format!("{}/{scope}", self.access_key_id)));
        let resource = format!("/{}/{}", grant.bucket, grant.object);
        let signature = self.signature_v4(&Method::GET, &HeaderMap::new(), &resource, &pairs).unwrap_or_default();
        pairs.push(("x-oss-signature".to_owned(), signature.clone()));
        (joined(&pairs), signature)
    }

    /// Checks a request that comes with a presigned URL.
    pub(crate) fn verify(&self, presented: &Presented<'_>) -> Result<(), Refusal> {
        let pairs = decoded_pairs(presented.query);
        let resource = format!("/{}{}", presented.bucket, percent_decode_str(presented.path).decode_utf8_lossy());
        if value(&pairs, "x-oss-signature-version").is_some() {
            self.verify_v4(presented, &pairs, &resource)
        } else {
            self.verify_v1(presented, &pairs, &resource)
        }
    }

    fn verify_v1(&self, presented: &Presented<'_>, pairs: &Pairs, resource: &str) -> Result<(), Refusal> {
        let (Some(key), Some(expires), Some(signature)) =
            (value(pairs, "OSSAccessKeyId"), value(pairs, "Expires"), value(pairs, "Signature"))
        else {
            return Err(Refusal::Unsigned);
        };
        if key != self.access_key_id {
            return Err(Refusal::UnknownAccessKey);
        }
        let until = expires.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        let until = until.ok_or(Refusal::Unsigned)?;
        if presented.now > until {
            return Err(Refusal::Expired(until));
        }
        let wanted = self.signature_v1(presented.method, expires, presented.headers, resource, pairs);
        equal(&wanted, signature)
    }

    fn verify_v4(&self, presented: &Presented<'_>, pairs: &Pairs, resource: &str) -> Result<(), Refusal> {
        let (Some(credential), Some(date), Some(lifetime), Some(signature)) = (
            value(pairs, "x-oss-credential"),
            value(pairs, "x-oss-date"),
            value(pairs, "x-oss-expires"),
            value(pairs, "x-oss-signature"),
        ) else {
            return Err(Refusal::Unsigned);
        };
        if credential.split('/').next() != Some(self.access_key_id.as_str()) {
            return Err(Refusal::UnknownAccessKey);
        }
        let signed_at = jiff::civil::DateTime::strptime(V4_TIME, date)
            .and_then(|time| jiff::tz::TimeZone::UTC.to_timestamp(time))
            .map_err(|_| Refusal::Unsigned)?;
        let lifetime = lifetime.parse().map(SignedDuration::from_secs).map_err(|_| Refusal::Unsigned)?;
        let until = signed_at + lifetime;
        if presented.now > until {
            return Err(Refusal::Expired(until));
        }
        let wanted =
            self.signature_v4(presented.method, presented.headers, resource, pairs).ok_or(Refusal::Mismatch)?;
        equal(&wanted, signature)
    }

    fn signature_v1(
        &self,
        method: &Method,
        expires: &str,
        headers: &HeaderMap,
        resource: &str,
        pairs: &Pairs,
    ) -> String {
        let mut signed: Vec<&(String, String)> =
            pairs.iter().filter(|(name, _)| V1_SIGNED.contains(&name.as_str())).collect();
        signed.sort();
        let sub_resources: Vec<String> = signed
            .iter()
            .map(|(name, value)| if value.is_empty() { name.clone() } else { format!("{name}={value}") })
            .collect();
        let mark = if sub_resources.is_empty() { "" } else { "?" };
        let oss_headers: String =
            headers_to_sign(headers).iter().filter(|line| line.starts_with("x-oss-")).map(String::as_str).collect();
        let text = format!(
            "{method}\n{}\n{}\n{expires}\n{oss_headers}{resource}{mark}{}",
            header(headers, "content-md5"),
            header(headers, "content-type"),
            sub_resources.join("&"),
        );
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.access_key_secret.as_bytes());
        STANDARD.encode(hmac::sign(&key, text.as_bytes()))
    }

    /// `None` where the credential scope is not of the documented form.
    fn signature_v4(&self, method: &Method, headers: &HeaderMap, resource: &str, pairs: &Pairs) -> Option<String> {
        let (_, scope) = value(pairs, "x-oss-credential")?.split_once('/')?;
        let mut encoded: Vec<String> =
            pairs.iter().filter(|(name, _)| name != "x-oss-signature").map(|(name, value)| pair(name, value)).collect();
        encoded.sort();
        let additional = value(pairs, "x-oss-additional-headers").unwrap_or_default();
        let mut lines = headers_to_sign(headers);
        lines.extend(additional.split(';').filter(|name| !name.is_empty()).map(|name| {
            let name = name.to_ascii_lowercase();
            format!("{name}:{}\n", header(headers, &name))
        }));
        lines.sort();
        let canonical = format!(
            "{method}\n{}\n{}\n{}\n{additional}\nUNSIGNED-PAYLOAD",
            utf8_percent_encode(resource, ENCODED_IN_PATH),
            encoded.join("&"),
            lines.concat(),
        );
        let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("{V4_ALGORITHM}\n{}\n{scope}\n{hashed}", value(pairs, "x-oss-date")?);
        let root = format!("aliyun_v4{}", self.access_key_secret).into_bytes();
        let key = scope.split('/').fold(root, |key, step| hmac_sha256(&key, step.as_bytes()));
        Some(hex(&hmac_sha256(&key, text.as_bytes())))
    }
}

fn equal(wanted: &str, presented: &str) -> Result<(), Refusal> {
    constant_time::verify_slices_are_equal(wanted.as_bytes(), presented.as_bytes()).map_err(|_| Refusal::Mismatch)
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

#[cfg(test)]
mod tests;
