//! What a pull names: repository, tag, digest, and the scope that a bearer is asked for.
//!
//! The grammars are those of the OCI distribution spec v1.1, "Pulling manifests", and of the image spec's descriptors,
//! "Digests".

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Malformed;

/// The spec asks clients to keep host and name together under 256 characters; registries refuse longer names.
const LONGEST_NAME: usize = 255;

/// A repository name such as `team/app`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Arc<str>);

impl RepositoryName {
    /// Parses `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`.
    ///
    /// # Errors
    /// [`Malformed`] where the text is longer than 255 characters or does not match.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        const WHAT: &str = "repository name";
        if text.len() > LONGEST_NAME {
            return Err(Malformed::new(WHAT, "must have at most 255 characters"));
        }
        if text.is_empty() || !text.split('/').all(is_component) {
            return Err(Malformed::new(
                WHAT,
                "must be lower-case letters and digits, separated by single '/', '.', '_', '__' or dashes",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One path component of a repository name.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(first) || !alphanumeric(last) {
        return false;
    }
    bytes
        .split(alphanumeric)
        .filter(|separator| !separator.is_empty())
        .all(|separator| matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-'))
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Parses a tag.
    ///
    /// # Errors
    /// [`Malformed`] where it does not match the spec's grammar.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let fits = text.len() <= 128
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'));
        if !fits {
            return Err(Malformed::new(
                "tag",
                "must be 1 to 128 letters, digits, '_', '.' or '-', not starting with '.' or '-'",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A content digest: `sha256:<64 hex>` or `sha512:<128 hex>`, the two registered algorithms of the image spec.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Arc<str>);

impl Digest {
    /// Parses a digest; the hex must be lower case, as the spec demands.
    ///
    /// # Errors
    /// [`Malformed`] for another algorithm, another length or another alphabet.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        const WHAT: &str = "digest";
        let length = match text.split_once(':') {
            Some(("sha256", hex)) => (hex, 64),
            Some(("sha512", hex)) => (hex, 128),
            _ => return Err(Malformed::new(WHAT, "must start with 'sha256:' or 'sha512:'")),
        };
        let (hex, expected) = length;
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != expected || !hex.bytes().all(lower_hex) {
            return Err(Malformed::new(WHAT, "must be followed by 64 (sha256) or 128 (sha512) lower-case hex digits"));
        }
        Ok(Self(text.into()))
    }

    /// `algorithm:hex`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The last path segment of a manifest request: a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A name that may move.
    Tag(Tag),
    /// The content itself.
    Digest(Digest),
}

impl Reference {
    /// Parses a digest where there is a `:`, else a tag.
    ///
    /// # Errors
    /// [`Malformed`] from whichever of the two it has to be.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.contains(':') { Digest::parse(text).map(Self::Digest) } else { Tag::parse(text).map(Self::Tag) }
    }

    /// The reference as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag.as_str(),
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

impl FromStr for Reference {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::parse(text)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a bearer is good for: `repository:<name>:pull`. The daemon never asks for more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope(RepositoryName);

impl Scope {
    /// The right to pull from one repository.
    #[must_use]
    pub const fn pull(repository: RepositoryName) -> Self {
        Self(repository)
    }

    /// The repository it covers.
    #[must_use]
    pub const fn repository(&self) -> &RepositoryName {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "repository:{}:pull", self.0)
    }
}

#[cfg(test)]
mod tests;
