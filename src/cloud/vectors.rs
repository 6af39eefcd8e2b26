//! The golden vectors of `tests/data/signature-vectors.json`, for the tests of the signers.

use serde_json::Value;

use super::credentials::Credentials;

/// All vectors of one scheme; never empty.
pub(super) fn section(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../tests/data/signature-vectors.json")).unwrap();
    let vectors = all[name].as_array().unwrap().clone();
    assert!(!vectors.is_empty(), "no vectors for {name}");
    vectors
}

/// A value that must be text.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// An object of texts.
pub(super) fn pairs(value: &Value) -> Vec<(String, String)> {
    value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// The key that a vector was signed with.
pub(super) fn credentials(vector: &Value) -> Credentials {
    Credentials {
        access_key_id: vector["access_key_id"].as_str().unwrap_or_default().to_owned(),
        access_key_secret: text(&vector["access_key_secret"]).into(),
        security_token: None,
    }
}
