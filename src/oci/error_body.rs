//! The error body of the distribution spec ("Error Codes"): ours written, the upstream's read.

use serde::{Deserialize, Serialize};

/// Longest text taken over from an upstream's error.
const LONGEST_MESSAGE: usize = 200;

/// The error codes that the daemon sends. `UNAVAILABLE` is not in the spec's list, but containerd knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// `BLOB_UNKNOWN`
    BlobUnknown,
    /// `DENIED`
    Denied,
    /// `DIGEST_INVALID`
    DigestInvalid,
    /// `MANIFEST_UNKNOWN`
    ManifestUnknown,
    /// `NAME_INVALID`
    NameInvalid,
    /// `NAME_UNKNOWN`
    NameUnknown,
    /// `UNAVAILABLE`
    Unavailable,
    /// `UNKNOWN`
    Unknown,
    /// `UNSUPPORTED`
    Unsupported,
}

impl ErrorCode {
    /// The code that a registry spells like this, where the daemon would send it too.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const ALL: [ErrorCode; 9] = [
            ErrorCode::BlobUnknown,
            ErrorCode::Denied,
            ErrorCode::DigestInvalid,
            ErrorCode::ManifestUnknown,
            ErrorCode::NameInvalid,
            ErrorCode::NameUnknown,
            ErrorCode::Unavailable,
            ErrorCode::Unknown,
            ErrorCode::Unsupported,
        ];
        ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// The code as the spec spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::Denied => "DENIED",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}

/// Writes an error body with one error. Only `message` is shown by clients, so it holds everything there is to say.
#[must_use]
pub fn render(code: ErrorCode, message: &str) -> Vec<u8> {
    let body = Document { errors: vec![Entry { code: code.as_str().to_owned(), message: Some(message.to_owned()) }] };
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The first error of an upstream's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamMessage {
    /// Its code, upper case letters and `_` only; empty where it was something else.
    pub code: String,
    /// Its message on one line of printable ASCII, at most 200 characters; may be empty.
    pub message: String,
}

/// Reads the first error of a body, if it is one.
#[must_use]
pub fn first(body: &[u8]) -> Option<UpstreamMessage> {
    let document: Document = serde_json::from_slice(body).ok()?;
    let entry = document.errors.into_iter().next()?;
    let plain = entry.code.len() <= 64 && entry.code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let code = if plain { entry.code } else { String::new() };
    Some(UpstreamMessage { code, message: printable(&entry.message.unwrap_or_default(), LONGEST_MESSAGE) })
}

/// `text` on one line of printable ASCII with at most `longest` characters: fit for a header, a log and a terminal.
#[must_use]
pub fn printable(text: &str, longest: usize) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().map(|c| if c.is_ascii_whitespace() { ' ' } else { c }).take(longest).map(plain).collect()
}

#[derive(Serialize, Deserialize)]
struct Document {
    errors: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{ErrorCode, first, printable, render};

    #[test]
    fn what_is_written_can_be_read() {
        let body = render(ErrorCode::NameUnknown, "not \"served\" here");
        assert_eq!(
            String::from_utf8(body.clone()).unwrap(),
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"not \"served\" here"}]}"#
        );
        let read = first(&body).unwrap();
        assert_eq!((read.code.as_str(), read.message.as_str()), ("NAME_UNKNOWN", "not \"served\" here"));
    }

    #[test]
    fn an_upstreams_body_may_be_anything() {
        let odd = first(br#"{"errors":[{"code":"lower\n","message":"a\r\nb\u00e4","detail":[1]},{}],"x":1}"#).unwrap();
        assert_eq!((odd.code.as_str(), odd.message.as_str()), ("", "a  b?"));
        for body in ["", "null", "<html>", r#"{"errors":[]}"#, r#"{"errors":"x"}"#, r#"{"error":"bad request"}"#] {
            assert!(first(body.as_bytes()).is_none(), "{body}");
        }
        assert_eq!(printable(&"x".repeat(500), 10).len(), 10);
    }
}
