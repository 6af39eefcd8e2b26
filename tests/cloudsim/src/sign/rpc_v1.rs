//! The RPC scheme of signature version 1.0 (HMAC-SHA1): everything is a parameter.
//!
//! Query and form body are signed together, whichever of them carries a parameter. The key is the secret with a
//! trailing `&`, and the canonical query is encoded a second time inside the string to sign.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Claim, Parameters, Refusal, Signature, canonical, parameter, timestamp};
use crate::call::Call;

const METHOD: &str = "HMAC-SHA1";
const VERSION: &str = "1.0";

pub(super) fn claim(call: &Call, parameters: Parameters) -> Result<Claim, Refusal> {
    let required = |name: &str| {
        let value = parameter(&parameters, name).filter(|value| !value.is_empty());
        value.map(str::to_owned).ok_or_else(|| Refusal::Incomplete { missing: name.to_owned() })
    };
    let access_key_id = required("AccessKeyId")?;
    let signature = required("Signature")?;
    if required("SignatureMethod")? != METHOD || required("SignatureVersion")? != VERSION {
        return Err(Refusal::SignatureMethod);
    }
    Ok(Claim {
        access_key_id,
        security_token: parameter(&parameters, "SecurityToken").map(str::to_owned),
        timestamp: timestamp(&required("Timestamp")?)?,
        nonce: Some(required("SignatureNonce")?),
        action: required("Action")?,
        version: required("Version")?,
        string_to_sign: string_to_sign(call.method.as_str(), &parameters),
        parameters,
        signature: Signature {
            algorithm: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            key_suffix: "&",
            bytes: STANDARD.decode(signature).unwrap_or_default(),
        },
    })
}

/// `METHOD & enc("/") & enc(canonical query)`, the signature itself left out.
pub(super) fn string_to_sign(method: &str, parameters: &Parameters) -> String {
    let signed = parameters.iter().filter(|(name, _)| name != "Signature");
    let canonical = canonical::sorted_query(signed);
    format!("{method}&{}&{}", canonical::encode("/"), canonical::encode(&canonical))
}
