//! How the OpenAPI gateway answers: JSON or XML, a request id on everything, one error shape.
//!
//! Owns the outer form of STS and Container Registry answers. What the calls mean is for the services.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::call::{Answer, Call};
use crate::date;
use crate::issue;
use crate::sign::{self, Parameters, Refusal};

/// A failure as the gateway reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A wrong parameter.
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A parameter that is not there.
    pub(crate) fn missing(parameter: &str) -> Self {
        Self::bad_request("MissingParameter", format!("The input parameter {parameter} is not supplied."))
    }

    /// An action that the service does not have in that version.
    pub(crate) fn unknown_action() -> Self {
        Self::new(StatusCode::NOT_FOUND, "InvalidAction.NotFound", "Specified api is not found.")
    }

    /// A version that the service does not have.
    pub(crate) fn unknown_version() -> Self {
        Self::bad_request("InvalidVersion", "Specified parameter Version is not valid.")
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.status(), refusal.code(), refusal.to_string())
    }
}

/// The text form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Xml,
}

impl Format {
    /// JSON for those who ask for it, by `Format` (RPC v1, unsigned) or by `accept` (V3); XML is the gateway's default.
    pub(crate) fn asked_for(call: &Call, parameters: &Parameters) -> Self {
        let parameter = sign::parameter(parameters, "Format").is_some_and(|format| format.eq_ignore_ascii_case("json"));
        let accept = call.header("accept").is_some_and(|accept| accept.contains("application/json"));
        if parameter || accept { Self::Json } else { Self::Xml }
    }
}

/// A successful answer; `action` names the root element where it is XML.
pub(crate) fn success(call: &Call, format: Format, action: &str, fields: Value) -> Answer {
    let id = issue::request_id();
    let mut body = Map::from_iter([("RequestId".to_owned(), Value::from(id.as_str()))]);
    if let Value::Object(fields) = fields {
        body.extend(fields);
    }
    render(call, StatusCode::OK, format, &format!("{action}Response"), &Value::Object(body), &id)
}

/// An error answer.
pub(crate) fn failure(call: &Call, format: Format, fault: &Fault) -> Answer {
    let id = issue::request_id();
    let body = json!({ "RequestId": id, "HostId": call.host, "Code": fault.code, "Message": fault.message });
    render(call, fault.status, format, "Error", &body, &id)
}

/// An answer in JSON exactly as given; the 2016 API of Container Registry has its own field names.
pub(crate) fn verbatim(call: &Call, status: StatusCode, id: &str, body: &Value) -> Answer {
    render(call, status, Format::Json, "", body, id)
}

fn render(call: &Call, status: StatusCode, format: Format, root: &str, body: &Value, id: &str) -> Answer {
    let (content_type, text) = match format {
        Format::Json => ("application/json;charset=utf-8", body.to_string()),
        Format::Xml => {
            let mut text = String::from("<?xml version='1.0' encoding='UTF-8'?>");
            element(&mut text, root, body);
            ("text/xml;charset=utf-8", text)
        }
    };
    let mut answer = Response::new(Bytes::from(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // The cloud's own clock, from which a client whose clock is wrong can learn the difference.
    let date = date::http(call.now);
    headers.insert(DATE, HeaderValue::from_str(&date).expect("a date is plain ASCII"));
    headers.insert("x-acs-request-id", HeaderValue::from_str(id).expect("an issued id is hexadecimal and dashes"));
    answer
}

fn element(text: &mut String, name: &str, value: &Value) {
    text.push_str(&format!("<{name}>"));
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| element(text, name, value)),
        Value::Array(items) => items.iter().for_each(|item| element(text, "Item", item)),
        Value::String(value) => text.push_str(&escape(value)),
        value => text.push_str(&value.to_string()),
    }
    text.push_str(&format!("</{name}>"));
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::sign::signer::unsigned;

    #[test]
    fn an_error_is_xml_unless_json_is_asked_for() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let call = unsigned(Method::GET, "sts.aliyuncs.com", "/", &[], now);
        let fault = Fault::bad_request("InvalidParameter", "a & b");
        let format = Format::asked_for(&call, &sign::parameters(&call));
        let answer = failure(&call, format, &fault);
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert_eq!(answer.headers()["content-type"], "text/xml;charset=utf-8");
        assert_eq!(answer.headers()["date"], "Fri, 02 Jan 2026 03:04:05 GMT");
        assert!(text.contains("<Code>InvalidParameter</Code>"), "{text}");
        assert!(text.contains("<Message>a &amp; b</Message>"), "{text}");

        let call = unsigned(Method::GET, "sts.aliyuncs.com", "/", &[("Format", "json")], now);
        assert_eq!(Format::asked_for(&call, &sign::parameters(&call)), Format::Json);
    }
}
