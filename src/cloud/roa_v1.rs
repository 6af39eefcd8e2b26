//! The ROA signature, version 1 (HMAC-SHA1): the documented fallback for the Personal Edition's API. Pure.
//!
//! The key is the bare secret; the query is signed as it reads, not encoded.

use super::credentials::Credentials;
use super::encode::hmac_sha1_base64;

/// The value of `Authorization`. `headers` are all headers of the request in lower case; those that the scheme signs are
/// picked from them, and a missing one counts as an empty line.
#[must_use]
pub fn authorization(
    method: &str,
    path: &str,
    query: &[(String, String)],
    headers: &[(String, String)],
    credentials: &Credentials,
) -> String {
    let to_sign = string_to_sign(method, path, query, headers);
    let signature = hmac_sha1_base64(credentials.access_key_secret.expose().as_bytes(), &to_sign);
    format!("acs {}:{signature}", credentials.access_key_id)
}

fn string_to_sign(method: &str, path: &str, query: &[(String, String)], headers: &[(String, String)]) -> String {
    let mut text = format!("{method}\n");
    for wanted in ["accept", "content-md5", "content-type", "date"] {
        let value = headers.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value);
        text.push_str(value);
        text.push('\n');
    }
    let mut own: Vec<_> = headers.iter().filter(|(name, _)| name.starts_with("x-acs-")).collect();
    own.sort_unstable();
    for (name, value) in own {
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push_str(path);
    let mut sorted: Vec<_> = query.iter().collect();
    sorted.sort_unstable();
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(&format!("{name}={value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{authorization, string_to_sign};
    use crate::cloud::vectors;

    #[test]
    fn every_sdk_vector_is_reproduced() {
        for vector in vectors::section("roa_v1") {
            let name = vectors::text(&vector["name"]);
            let method = vectors::text(&vector["method"]);
            let path = vectors::text(&vector["path"]);
            let query = vectors::pairs(&vector["query"]);
            let headers = vectors::pairs(&vector["headers"]);
            assert_eq!(
                string_to_sign(&method, &path, &query, &headers),
                vectors::text(&vector["string_to_sign"]),
                "{name}"
            );
            assert_eq!(
                authorization(&method, &path, &query, &headers, &vectors::credentials(&vector)),
                vectors::text(&vector["authorization"]),
                "{name}"
            );
        }
    }
}
