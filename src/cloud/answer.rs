//! What an answer of the cloud says: a JSON object, an error in either casing, or an error in XML. Pure.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde_json::Value;

use super::time;
use crate::clock::{Timestamp, until};
use crate::secret::repeats;

/// Longest code, id or message that is kept; the rest of an answer is nobody's business.
const LONGEST_FIELD: usize = 240;

/// Longest error code or request id; real ones have some 40 characters.
const LONGEST_WORD: usize = 80;

/// The fields that every answer may have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) request_id: Option<String>,
}

impl Fields {
    /// Reads JSON in either casing, else XML, else nothing.
    pub(crate) fn read(body: &str, json: Option<&Value>) -> Self {
        let field = |upper: &str, lower: &str, xml: &str| {
            let text = match json {
                Some(json) => json.get(upper).or_else(|| json.get(lower))?.as_str()?,
                None => element(body, xml)?,
            };
            Some(printable(text)).filter(|text| !text.is_empty())
        };
        Self {
            code: field("Code", "code", "Code").filter(|code| is_word(code)),
            message: field("Message", "message", "Message"),
            request_id: field("RequestId", "requestId", "RequestId").filter(|id| is_word(id)),
        }
    }

    /// The same without what repeats one of `secrets`, and without the message of a signature error, which repeats the
    /// string that was signed.
    pub(crate) fn without(self, secrets: &[&str]) -> Self {
        let keep = |text: &String| !secrets.iter().any(|secret| repeats(text, secret));
        let echoes_signature = self.code.as_ref().is_some_and(|code| code.contains("Signature"));
        Self {
            message: self.message.filter(|text| !echoes_signature && keep(text)),
            code: self.code.filter(keep),
            request_id: self.request_id.filter(keep),
        }
    }
}

/// Whether this looks like a code or an id: what has the characters of a token does not.
fn is_word(text: &str) -> bool {
    text.len() <= LONGEST_WORD && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte))
}

/// The content of the first `<name>` element; enough for the flat error documents of the gateways.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content)
}

/// Plain ASCII of a bounded length, so that it can stand in a log line or a header.
fn printable(text: &str) -> String {
    text.trim().chars().take(LONGEST_FIELD).map(|char| if matches!(char, ' '..='~') { char } else { '?' }).collect()
}

/// The pause that an answer asks for: `x-acs-retry-after` in milliseconds, or `Retry-After` in seconds or as a date.
pub(crate) fn asked_pause(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if let Some(milliseconds) = text("x-acs-retry-after").and_then(|text| text.trim().parse().ok()) {
        return Some(Duration::from_millis(milliseconds)).filter(|pause| !pause.is_zero());
    }
    let asked = text(RETRY_AFTER.as_str())?.trim();
    match asked.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => time::http_date(asked).map(|date| until(now, date)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;
    use serde_json::json;

    use super::{Fields, asked_pause};
    use crate::cloud::time;

    #[test]
    fn both_casings_and_xml_say_the_same() {
        let expected = |fields: Fields| {
            assert_eq!(fields.code.as_deref(), Some("NoPermission"));
            assert_eq!(fields.message.as_deref(), Some("No."));
            assert_eq!(fields.request_id.as_deref(), Some("7D5A"));
        };
        expected(Fields::read("", Some(&json!({"Code": "NoPermission", "Message": "No.", "RequestId": "7D5A"}))));
        expected(Fields::read("", Some(&json!({"code": "NoPermission", "message": "No.", "requestId": "7D5A"}))));
        let xml = "<?xml version='1.0'?><Error><RequestId>7D5A</RequestId><HostId>h</HostId><Code>NoPermission</Code>\
                   <Message>No.</Message></Error>";
        expected(Fields::read(xml, None));
    }

    #[test]
    fn an_answer_of_another_kind_has_no_fields() {
        for body in ["", "<html>", "<Code>", "<Code>x", "\u{0}"] {
            assert_eq!(Fields::read(body, None), Fields::default(), "{body:?}");
        }
        assert_eq!(Fields::read("", Some(&json!([]))), Fields::default());
        assert_eq!(Fields::read("", Some(&json!({"Code": 7}))), Fields::default());
    }

    #[test]
    fn fields_are_bounded_and_printable() {
        let fields = Fields::read("", Some(&json!({"Message": format!("a\r\nb\u{955c}{}", "x".repeat(5000))})));
        let message = fields.message.unwrap();
        assert!(message.starts_with("a??b?x") && message.len() == 240);
    }

    #[test]
    fn a_field_that_echoes_a_secret_is_dropped() {
        let secret = "CAIS0123456789abcdefXYZ";
        let read = |code: &str, secrets: &[&str]| {
            let message = format!("token {secret} is bad");
            Fields::read("", Some(&json!({"Code": code, "Message": message, "RequestId": secret}))).without(secrets)
        };
        assert_eq!(read("Other", &[secret]), Fields { code: Some("Other".into()), ..Fields::default() });
        assert_eq!(read(secret, &[secret]), Fields::default());
        assert_eq!(read("9abcdefXYZ-56789abcdefX", &[secret]).code, None, "a piece from within");
        assert_eq!(read("SignatureDoesNotMatch", &[]).message, None);
        assert!(read("Other", &["unrelated-secret"]).message.is_some());
    }

    #[test]
    fn what_is_no_word_is_no_code() {
        for code in ["CAIS+token/with==", "two words", &"x".repeat(100)] {
            assert_eq!(Fields::read("", Some(&json!({"Code": code}))).code, None, "{code}");
        }
    }

    #[test]
    fn pauses_are_read_in_all_their_units() {
        let now = time::iso("2026-01-02T03:04:05Z").unwrap();
        let pause = |name: &'static str, value: &'static str| {
            asked_pause(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]), now)
        };
        assert_eq!(pause("x-acs-retry-after", "1500"), Some(Duration::from_millis(1500)));
        assert_eq!(pause("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("retry-after", "Fri, 02 Jan 2026 03:04:15 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(pause("retry-after", "soon"), None);
    }
}
