//! OIDC providers (RRSA): a cluster's issuer, registered in RAM, and the service-account tokens it signs.
//!
//! Owns both sides: the cluster that projects a token into a pod, and RAM's check of such a token.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Directory;
use crate::jwt::{self, SigningKey};
use crate::openapi::Fault;

/// A cluster's token issuer as registered in RAM.
#[derive(Debug, Clone)]
pub struct OidcProvider {
    /// `acs:ram::<account>:oidc-provider/<name>`.
    pub arn: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The client id that tokens must name as `aud`.
    pub audience: String,
    /// What signs its tokens.
    pub key: SigningKey,
    /// What RAM finds when it asks the issuer for its keys.
    pub health: ProviderHealth,
}

/// What RAM finds when it asks an issuer for its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProviderHealth {
    /// Everything in order.
    #[default]
    Sound,
    /// The certificate fingerprint registered in RAM is an old one.
    FingerprintOutdated,
    /// The issuer's discovery document cannot be read.
    ConfigurationBroken,
}

impl Directory {
    /// Registers or replaces a provider.
    pub fn add_oidc_provider(&self, provider: OidcProvider) {
        self.lock().providers.insert(provider.arn.clone(), provider);
    }

    /// Breaks or mends what RAM finds at a provider.
    pub fn set_provider_health(&self, arn: &str, health: ProviderHealth) {
        if let Some(provider) = self.lock().providers.get_mut(arn) {
            provider.health = health;
        }
    }

    /// A projected service-account token for `subject` of the first registered provider.
    #[must_use]
    pub fn oidc_token(&self, subject: &str, now: Timestamp, ttl: SignedDuration) -> String {
        self.sign_oidc_token(&self.oidc_claims(subject, now, ttl))
    }

    /// The claims of such a token, for tests that change one before it is signed.
    #[must_use]
    pub fn oidc_claims(&self, subject: &str, now: Timestamp, ttl: SignedDuration) -> Value {
        let state = self.lock();
        let provider = state.providers.values().next();
        json!({
            "iss": provider.map(|provider| provider.issuer.as_str()),
            "aud": [provider.map(|provider| provider.audience.as_str())],
            "sub": subject,
            "iat": now.as_second(),
            "nbf": now.as_second(),
            "exp": (now + ttl).as_second(),
        })
    }

    /// Signs claims with the key of the first registered provider.
    #[must_use]
    pub fn sign_oidc_token(&self, claims: &Value) -> String {
        let mut state = self.lock();
        let key = state.providers.values().next().map_or_else(|| SigningKey::shared().clone(), |p| p.key.clone());
        let token = key.sign(claims);
        state.issued.push(token.clone());
        token
    }
}

/// A token that a provider is found to have signed for STS.
pub(crate) struct OidcToken {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
}

impl OidcToken {
    /// RAM's check: the issuer first, since a foreign token cannot be verified with our keys anyway.
    pub(super) fn verify(provider: &OidcProvider, jwt: &str, now: Timestamp) -> Result<Self, Fault> {
        let invalid = |error: jwt::JwtError| refused("AuthenticationFail.OIDCToken.Invalid", &error.to_string());
        let unverified = jwt::unverified_claims(jwt).map_err(invalid)?;
        if unverified["iss"] != provider.issuer.as_str() {
            return Err(refused("AuthenticationFail.OIDCToken.IssuerNotMatch", "Invalid issuer."));
        }
        match provider.health {
            ProviderHealth::Sound => {}
            ProviderHealth::FingerprintOutdated => {
                let code = "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch";
                return Err(refused(code, "The fingerprint of the provider's certificate does not match."));
            }
            ProviderHealth::ConfigurationBroken => {
                let code = "AuthenticationFail.OIDCToken.IssuerConfigurationBroken";
                return Err(refused(code, "The configuration of the issuer cannot be read."));
            }
        }
        let token = Self::read(&provider.key.verify(jwt).map_err(invalid)?);
        if !token.audiences.contains(&provider.audience) {
            return Err(refused("AuthenticationFail.OIDCToken.AudienceNotMatch", "Invalid audience."));
        }
        if token.expires <= now {
            return Err(refused("AuthenticationFail.OIDCToken.Expired", "This JsonWebToken is expired."));
        }
        Ok(token)
    }

    fn read(claims: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let audiences = match &claims["aud"] {
            Value::Array(all) => all.iter().map(text).collect(),
            one => vec![text(one)],
        };
        // A token without an end has ended.
        let time = |name: &str| {
            let seconds = claims[name].as_i64().unwrap_or_default();
            Timestamp::from_second(seconds).unwrap_or_default()
        };
        Self {
            issuer: text(&claims["iss"]),
            subject: text(&claims["sub"]),
            audiences,
            issued: time("iat"),
            expires: time("exp"),
        }
    }
}

fn refused(code: &'static str, message: &str) -> Fault {
    Fault::bad_request(code, message)
}
