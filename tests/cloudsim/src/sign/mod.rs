//! Verifiers for the three signature schemes of Alibaba's OpenAPI gateway.
//!
//! Owns the way from a [`Call`] to a [`Claim`]: who says they ask, for what, and the string the server would sign. The
//! rules are those of the help pages "V3 request body and signature" and "Signature method" (RPC, ROA). Keys, sessions
//! and replayed nonces are not known here: the directory asks a claim to prove itself with the secret it looked up.

mod acs3;
mod canonical;
mod roa_v1;
mod rpc_v1;
#[cfg(test)]
pub(crate) mod signer;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::hmac;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use crate::call::Call;
use crate::date;

/// How far the client's clock may be off, either way. The gateway's documented window.
pub(crate) const CLOCK_WINDOW: SignedDuration = SignedDuration::from_mins(15);

/// Decoded `name=value` pairs, in the order they came.
pub(crate) type Parameters = Vec<(String, String)>;

/// What a signed request claims, before anybody has looked up its key. Has no `Debug`: it holds the security token.
pub(crate) struct Claim {
    /// The key that is said to have signed.
    pub(crate) access_key_id: String,
    /// The token that must accompany the key of an STS session.
    pub(crate) security_token: Option<String>,
    /// When the client says it signed.
    pub(crate) timestamp: Timestamp,
    /// The value that must never be seen twice; the oldest ROA clients send none.
    pub(crate) nonce: Option<String>,
    /// The API asked for; empty where a ROA client names it by its path alone.
    pub(crate) action: String,
    /// The API version asked for.
    pub(crate) version: String,
    /// Query and form body together.
    pub(crate) parameters: Parameters,
    string_to_sign: String,
    signature: Signature,
}

/// The signature a request carries, and how it must have been made.
struct Signature {
    algorithm: hmac::Algorithm,
    /// Put behind the secret to make the HMAC key: RPC v1 wants `&`, the others nothing.
    key_suffix: &'static str,
    bytes: Vec<u8>,
}

/// Why the gateway refuses a signed request. The codes are those of the STS error page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    DoesNotMatch { string_to_sign: String },
    ContentHash,
    Incomplete { missing: String },
    SignatureMethod,
    TimestampExpired,
    TimestampFormat,
    NonceUsed,
    AccessKeyUnknown,
    AccessKeyInactive,
    SecurityTokenMissing,
    SecurityTokenExpired,
    SecurityTokenMismatch,
    SecurityTokenMalformed,
}

impl Claim {
    /// Reads the claim out of a request, whichever scheme it was signed with.
    pub(crate) fn parse(call: &Call) -> Result<Self, Refusal> {
        let parameters = canonical::parameters(call);
        match call.header("authorization") {
            Some(value) if value.starts_with(acs3::ALGORITHM) => acs3::claim(call, value, parameters),
            Some(value) if value.starts_with(roa_v1::PREFIX) => roa_v1::claim(call, value, parameters),
            Some(_) => Err(Refusal::SignatureMethod),
            None => rpc_v1::claim(call, parameters),
        }
    }

    /// Proves or disproves that the holder of `secret` signed this request.
    pub(crate) fn verify_signature(&self, secret: &str) -> Result<(), Refusal> {
        let Signature { algorithm, key_suffix, bytes } = &self.signature;
        let key = hmac::Key::new(*algorithm, format!("{secret}{key_suffix}").as_bytes());
        hmac::verify(&key, self.string_to_sign.as_bytes(), bytes)
            .map_err(|_| Refusal::DoesNotMatch { string_to_sign: self.string_to_sign.clone() })
    }

    /// Refuses a request that was signed too far from the cloud's own time.
    pub(crate) fn verify_time(&self, now: Timestamp) -> Result<(), Refusal> {
        match now.duration_since(self.timestamp).abs() <= CLOCK_WINDOW {
            true => Ok(()),
            false => Err(Refusal::TimestampExpired),
        }
    }

    /// The value of a business parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.parameters, name)
    }
}

/// All parameters of an unsigned request.
pub(crate) fn parameters(call: &Call) -> Parameters {
    canonical::parameters(call)
}

/// The first value with this name.
pub(crate) fn parameter<'p>(parameters: &'p Parameters, name: &str) -> Option<&'p str> {
    parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The date of a request in the one form the gateway reads.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, Refusal> {
    date::parse_iso(text).ok_or(Refusal::TimestampFormat)
}

impl Refusal {
    /// The `Code` of the error answer.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::DoesNotMatch { .. } | Self::ContentHash => "SignatureDoesNotMatch",
            Self::Incomplete { .. } => "IncompleteSignature",
            Self::SignatureMethod => "InvalidSignatureMethod",
            Self::TimestampExpired => "InvalidTimeStamp.Expired",
            Self::TimestampFormat => "InvalidTimeStamp.Format",
            Self::NonceUsed => "SignatureNonceUsed",
            Self::AccessKeyUnknown => "InvalidAccessKeyId.NotFound",
            Self::AccessKeyInactive => "InvalidAccessKeyId.Inactive",
            Self::SecurityTokenMissing => "MissingSecurityToken",
            Self::SecurityTokenExpired => "InvalidSecurityToken.Expired",
            Self::SecurityTokenMismatch => "InvalidSecurityToken.MismatchWithAccessKey",
            Self::SecurityTokenMalformed => "InvalidSecurityToken.Malformed",
        }
    }

    /// The HTTP status of the error answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::AccessKeyUnknown => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The real gateway echoes its string too, security token and all: whoever logs this message must redact it.
            Self::DoesNotMatch { string_to_sign } => write!(
                f,
                "Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}"
            ),
            Self::ContentHash => f.write_str("Specified x-acs-content-sha256 is not the hash of the body."),
            Self::Incomplete { missing } => {
                write!(f, "The request signature does not conform to Aliyun standards: {missing} is missing.")
            }
            Self::SignatureMethod => f.write_str("The specified signature method is invalid."),
            Self::TimestampExpired => f.write_str("Specified time stamp or date value is expired."),
            Self::TimestampFormat => f.write_str("Specified time stamp or date value is not well formatted."),
            Self::NonceUsed => f.write_str("Specified signature nonce was used already."),
            Self::AccessKeyUnknown => f.write_str("Specified access key is not found."),
            Self::AccessKeyInactive => f.write_str("Specified access key is disabled."),
            Self::SecurityTokenMissing => f.write_str("SecurityToken is mandatory for this action."),
            Self::SecurityTokenExpired => f.write_str("Specified SecurityToken is expired."),
            Self::SecurityTokenMismatch => {
                f.write_str("Specified SecurityToken mismatch with the AccessKey of the request.")
            }
            Self::SecurityTokenMalformed => f.write_str("Specified SecurityToken is malformed."),
        }
    }
}
