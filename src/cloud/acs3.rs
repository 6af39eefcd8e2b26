//! The V3 signature, ACS3-HMAC-SHA256 (help page "V3 request body and signature"). Pure: date and nonce come in.
//!
//! The key is the bare secret and there is one HMAC, unlike the derived key chain of other clouds.

use super::credentials::Credentials;
use super::encode::{hmac_sha256_hex, query, sha256_hex};

/// The name of the scheme, in the string to sign and in `Authorization`.
const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// One request as it is signed.
#[derive(Debug)]
pub struct SignedRequest<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The path exactly as sent, percent-encoded; `/` for RPC.
    pub path: &'a str,
    /// The query parameters, not encoded, in any order.
    pub query: &'a [(String, String)],
    /// Every header that is to be signed, in any order: `host`, `content-type` with a body, all `x-acs-*`.
    pub headers: &'a [(String, String)],
    /// The exact bytes of the body.
    pub body: &'a [u8],
}

/// The value of `Authorization` for `request`.
#[must_use]
pub fn authorization(request: &SignedRequest<'_>, credentials: &Credentials) -> String {
    let (names, canonical) = canonical_request(request);
    let to_sign = format!("{ALGORITHM}\n{}", sha256_hex(canonical.as_bytes()));
    let signature = hmac_sha256_hex(credentials.access_key_secret.expose().as_bytes(), &to_sign);
    format!("{ALGORITHM} Credential={},SignedHeaders={names},Signature={signature}", credentials.access_key_id)
}

/// The names of the signed headers and the canonical request.
fn canonical_request(request: &SignedRequest<'_>) -> (String, String) {
    let mut headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.trim())).collect();
    headers.sort_unstable();
    let mut names = String::new();
    let mut lines = String::new();
    for group in headers.chunk_by(|one, other| one.0 == other.0) {
        let Some((name, _)) = group.first() else { continue };
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(name);
        let values: Vec<_> = group.iter().map(|(_, value)| *value).collect();
        lines.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let SignedRequest { method, path, query: parameters, body, .. } = request;
    let canonical = format!("{method}\n{path}\n{}\n{lines}\n{names}\n{}", query(parameters), sha256_hex(body));
    (names, canonical)
}

#[cfg(test)]
mod tests {
    use super::{SignedRequest, authorization, canonical_request};
    use crate::cloud::vectors;

    #[test]
    fn every_published_and_sdk_vector_is_reproduced() {
        for vector in vectors::section("v3") {
            let name = vectors::text(&vector["name"]);
            let request = &vector["request"];
            let signed = vectors::text(&vector["signed_headers"]);
            let signed: Vec<_> = signed.split(';').collect();
            let headers: Vec<_> = vectors::pairs(&request["headers"])
                .into_iter()
                .filter(|(header, _)| signed.contains(&header.to_ascii_lowercase().as_str()))
                .collect();
            let query = vectors::pairs(&request["query"]);
            let request = SignedRequest {
                method: &vectors::text(&request["method"]),
                path: &vectors::text(&request["pathname"]),
                query: &query,
                headers: &headers,
                body: request["body"].as_str().unwrap_or_default().as_bytes(),
            };
            assert_eq!(canonical_request(&request).1, vectors::text(&vector["canonical_request"]), "{name}");
            assert_eq!(
                authorization(&request, &vectors::credentials(&vector)),
                vectors::text(&vector["authorization"]),
                "{name}"
            );
        }
    }

    #[test]
    fn values_of_one_header_are_sorted_and_joined() {
        let headers = [("x-acs-b".into(), " 2 ".into()), ("X-Acs-B".into(), "1".into())];
        let request = SignedRequest { method: "GET", path: "/", query: &[], headers: &headers, body: b"" };
        assert!(canonical_request(&request).1.contains("\nx-acs-b:1,2\n"));
    }
}
