//! Secrets as a type that cannot be printed.
//!
//! A [`Secret`] has no `Display` and no `Serialize`, shows nothing in `Debug`, and overwrites its memory when it goes.
//! The one way to its content is [`Secret::expose`], which is easy to find in a review.

use std::fmt;

use zeroize::Zeroizing;

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
    use super::Secret;

    #[test]
    fn debug_shows_neither_content_nor_length() {
        let short = format!("{:?}", Secret::new("a"));
        let long = format!("{:?}", Secret::new("a-much-longer-secret"));
        assert_eq!(short, long);
        assert!(!long.contains("much"));
    }
}
