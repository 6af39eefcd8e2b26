//! Percent-decoding that refuses what others repair.

/// Decodes one path segment or query value (RFC 3986 section 2.1). `None` for a `%` without two hex digits behind it, for
/// bytes that are not UTF-8, and for control characters, which no name in a registry has.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let high = hex(bytes.next()?)?;
                let low = hex(bytes.next()?)?;
                high << 4 | low
            }
            byte => byte,
        };
        if byte.is_ascii_control() {
            return None;
        }
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn only_whole_escapes_of_printable_text_decode() {
        assert_eq!(decode("registry.test%3A5000").as_deref(), Some("registry.test:5000"));
        assert_eq!(decode("%2e%2E").as_deref(), Some(".."));
        for text in ["%", "%4", "%zz", "%+1", "a%00", "%0a", "%ff", "\u{7f}"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
