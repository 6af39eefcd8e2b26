//! The RPC signature, version 1 (HMAC-SHA1): the documented fallback for endpoints that refuse V3. Pure.
//!
//! The key is the secret followed by `&`, and the canonical query is encoded a second time. A security token would stand
//! in the query here, which is one reason why nothing uses this scheme unless it is chosen.

use super::credentials::Credentials;
use super::encode::{encode, hmac_sha1_base64, query};

/// The value of the parameter `Signature` (not yet encoded) for all other parameters of query and body together.
#[must_use]
pub fn signature(method: &str, parameters: &[(String, String)], credentials: &Credentials) -> String {
    let key = zeroize::Zeroizing::new(format!("{}&", credentials.access_key_secret.expose()));
    hmac_sha1_base64(key.as_bytes(), &string_to_sign(method, parameters))
}

fn string_to_sign(method: &str, parameters: &[(String, String)]) -> String {
    format!("{method}&{}&{}", encode("/"), encode(&query(parameters)))
}

#[cfg(test)]
mod tests {
    use super::{signature, string_to_sign};
    use crate::cloud::vectors;

    #[test]
    fn every_published_and_sdk_vector_is_reproduced() {
        for vector in vectors::section("v1_rpc") {
            let name = vectors::text(&vector["name"]);
            let method = vectors::text(&vector["method"]);
            let parameters = vectors::pairs(&vector["params"]);
            assert_eq!(string_to_sign(&method, &parameters), vectors::text(&vector["string_to_sign"]), "{name}");
            let credentials = vectors::credentials(&vector);
            assert_eq!(signature(&method, &parameters, &credentials), vectors::text(&vector["signature"]), "{name}");
        }
    }
}
