//! RS256 JSON Web Tokens: one RSA key that signs and verifies.
//!
//! Owns the key and the compact form. What a claim means (issuer, audience, expiry) is for whoever reads it: a good
//! signature says only that this key's owner wrote the text.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// An RSA key of 2048 bits for RS256. Clones share the key.
#[derive(Clone)]
pub struct SigningKey(Arc<Inner>);

struct Inner {
    pair: KeyPair,
    kid: String,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwtError {
    /// Not three base64url parts with JSON in the first two.
    #[error("not a compact JSON Web Token")]
    Malformed,
    /// The header names another algorithm than RS256.
    #[error("the token is not signed with RS256")]
    Algorithm,
    /// The header names a key that is not this one.
    #[error("the token names another key")]
    KeyId,
    /// The signature was not made by this key over this text.
    #[error("the signature of the token does not match")]
    Signature,
}

impl SigningKey {
    /// Makes a new key. Slow in an unoptimised build: tests share one with [`SigningKey::shared`].
    ///
    /// # Panics
    /// Where the operating system gives no random numbers.
    #[must_use]
    pub fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("2048 bits is a size the library makes");
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a fresh public key can be written down");
        let kid = libtrust_id(der.as_ref());
        Self(Arc::new(Inner { pair, kid }))
    }

    /// The one key of this process, made at first use.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<SigningKey> = OnceLock::new();
        SHARED.get_or_init(Self::generate)
    }

    /// The key's identifier in libtrust's form, as `dockerauth` puts it into the header of its tokens.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.0.kid
    }

    /// Signs a set of claims into the compact form.
    ///
    /// # Panics
    /// Where the operating system gives no random numbers.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": self.kid() });
        let text = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let mut signature = vec![0; self.0.pair.public_modulus_len()];
        self.0
            .pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .expect("the buffer is as long as the modulus");
        format!("{text}.{}", encode(signature))
    }

    /// The claims of a token that this key signed. Expiry and audience are not looked at.
    ///
    /// # Errors
    /// Where the text is no RS256 token, names another key, or was not signed by this one.
    pub fn verify(&self, jwt: &str) -> Result<Value, JwtError> {
        let token = Token::parse(jwt)?;
        if token.header["alg"] != "RS256" {
            return Err(JwtError::Algorithm);
        }
        if token.header["kid"].as_str().is_some_and(|kid| kid != self.kid()) {
            return Err(JwtError::KeyId);
        }
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.0.pair.public_key().as_ref())
            .verify(token.signed.as_bytes(), &token.signature)
            .map_err(|_| JwtError::Signature)?;
        Ok(token.claims)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid()).finish_non_exhaustive()
    }
}

/// What a token says, believed by nobody yet.
///
/// # Errors
/// Where the text has not the shape of a token.
pub fn unverified_claims(jwt: &str) -> Result<Value, JwtError> {
    Token::parse(jwt).map(|token| token.claims)
}

struct Token<'t> {
    signed: &'t str,
    header: Value,
    claims: Value,
    signature: Vec<u8>,
}

impl<'t> Token<'t> {
    fn parse(jwt: &'t str) -> Result<Self, JwtError> {
        let (signed, signature) = jwt.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(JwtError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Malformed);
        let object = |part: &str| match serde_json::from_slice(&decode(part)?) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(JwtError::Malformed),
        };
        Ok(Self { signed, header: object(header)?, claims: object(claims)?, signature: decode(signature)? })
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// libtrust's key id: the first 240 bits of the SHA-256 of the public key's DER form, in base32, four by four.
fn libtrust_id(der: &[u8]) -> String {
    const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = digest::digest(&digest::SHA256, der);
    let mut id = String::new();
    let mut letters = 0;
    // Five bytes are exactly eight letters, so no group is left over in 30 bytes.
    for group in hash.as_ref().as_chunks::<5>().0 {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for position in (0..8).rev() {
            if letters > 0 && letters % 4 == 0 {
                id.push(':');
            }
            id.push(char::from(BASE32[(bits >> (position * 5) & 31) as usize]));
            letters += 1;
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_with_its_claims() {
        let claims = json!({ "iss": "dockerauth.aliyuncs.com", "exp": 1_767_323_645 });
        let key = SigningKey::shared();
        assert_eq!(key.verify(&key.sign(&claims)), Ok(claims));
    }

    #[test]
    fn changed_claims_do_not_verify() {
        let key = SigningKey::shared();
        let jwt = key.sign(&json!({ "sub": "" }));
        let parts: Vec<&str> = jwt.split('.').collect();
        let forged = format!("{}.{}.{}", parts[0], encode(json!({ "sub": "root" }).to_string()), parts[2]);
        assert_eq!(key.verify(&forged), Err(JwtError::Signature));
    }

    #[test]
    fn the_none_algorithm_is_refused() {
        let jwt = format!("{}.{}.", encode(json!({ "alg": "none" }).to_string()), encode("{}"));
        assert_eq!(SigningKey::shared().verify(&jwt), Err(JwtError::Algorithm));
    }

    #[test]
    fn a_token_of_another_key_is_refused() {
        let other = SigningKey::generate();
        assert_eq!(SigningKey::shared().verify(&other.sign(&json!({}))), Err(JwtError::KeyId));
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        for text in ["", "a.b.c", "garbage", "e30.e30", "W10.W10."] {
            assert_eq!(SigningKey::shared().verify(text), Err(JwtError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn the_key_id_has_libtrusts_shape() {
        let groups: Vec<&str> = SigningKey::shared().kid().split(':').collect();
        assert_eq!(groups.len(), 12);
        assert!(groups.iter().all(|group| group.len() == 4));
    }
}
