//! Secrets as a type that cannot be printed.
//!
//! A [`Secret`] has no `Display` and no `Serialize`, shows nothing in `Debug`, and overwrites its memory when it goes.
//! The one way to its content is [`Secret::expose`], which is easy to find in a review.

use std::collections::HashSet;
use std::fmt;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// The shortest piece of a secret that is told from a word of some language.
const SHORTEST_PIECE: usize = 12;

/// Whether `text` repeats a piece of `secret`, from wherever in it, in whatever case, percent-encoded or not. A text that
/// was cut may hold a piece only, and whoever repeats on purpose need not begin at the beginning.
///
/// Both are read as they stand, too: a `%` in front of a piece that begins with two hexadecimal digits would swallow them.
#[must_use]
pub fn repeats(text: &str, secret: &str) -> bool {
    let spellings = |text: &str| {
        let decoded: Vec<_> = percent_decode_str(text).map(|byte| byte.to_ascii_lowercase()).collect();
        [decoded, text.to_ascii_lowercase().into_bytes()]
    };
    let secret = spellings(secret);
    let pieces: HashSet<_> = secret.iter().flat_map(|secret| secret.windows(SHORTEST_PIECE)).collect();
    spellings(text).iter().any(|text| text.windows(SHORTEST_PIECE).any(|piece| pieces.contains(piece)))
}

/// A text that must never be seen: an access key secret, a security token, a password, a bearer, a signed query.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text into custody.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one use that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Secret, repeats};

    #[test]
    fn a_piece_of_a_secret_is_known_wherever_it_stands_and_however_it_is_spelled() {
        let secret = "CAIS+0123/456789==abcdefXYZ";
        for text in [
            secret,
            "the token CAIS+0123/456789 is bad",
            "x9==abcdefXYZx",
            "ends with 89==ABCDEFxyz",
            "as it stands in a URL: CAIS%2B0123%2f456789%3D%3D",
            "a percent sign in front of two hexadecimal digits: %CAIS+0123/456",
        ] {
            assert!(repeats(text, secret), "{text}");
        }
        assert!(repeats("CAIS+0123/456789", "CAIS%2B0123%2F456789"));
        for text in ["", "CAIS+0123/4", "CAIS 0123 456789 abcdef XYZ", "another text altogether"] {
            assert!(!repeats(text, secret), "{text}");
        }
        assert!(!repeats("a short one: abc", "abc"));
    }

    #[test]
    fn debug_shows_neither_content_nor_length() {
        let short = format!("{:?}", Secret::new("a"));
        let long = format!("{:?}", Secret::new("a-much-longer-secret"));
        assert_eq!(short, long);
        assert!(!long.contains("much"));
    }
}
