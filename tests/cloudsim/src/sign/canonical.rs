//! Encoding and decoding shared by the schemes.
//!
//! Owns the one percent-encoding all of them sign with (RFC 3986 over UTF-8 bytes, upper-case hexadecimal digits) and
//! the reading of query strings and form bodies.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Parameters;
use crate::call::Call;

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Query and form body, decoded; the body counts only where its type says that it is a form.
pub(super) fn parameters(call: &Call) -> Parameters {
    let mut parameters = query(call);
    let is_form =
        call.header("content-type").is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    if is_form {
        parameters.extend(decode(&String::from_utf8_lossy(&call.body)));
    }
    parameters
}

/// The query alone, decoded.
pub(super) fn query(call: &Call) -> Parameters {
    decode(call.uri.query().unwrap_or_default())
}

/// `enc(name)=enc(value)` joined by `&`, in byte order of the encoded names.
pub(super) fn sorted_query<'p>(parameters: impl IntoIterator<Item = &'p (String, String)>) -> String {
    let mut pairs: Vec<(String, String)> =
        parameters.into_iter().map(|(name, value)| (encode(name), encode(value))).collect();
    pairs.sort();
    join(&pairs)
}

/// `name=value` joined by `&`, as they are.
pub(super) fn join(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Percent-encodes as the gateway does.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn decode(text: &str) -> Parameters {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_component(name), decode_component(value))
        })
        .collect()
}

/// A plus is a space, as in every form decoder; a client that means a plus has to send `%2B`.
fn decode_component(text: &str) -> String {
    let spaced = match text.contains('+') {
        true => Cow::Owned(text.replace('+', " ")),
        false => Cow::Borrowed(text),
    };
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
