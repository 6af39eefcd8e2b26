//! Where a URL points, compared in one way only, and URLs that must not be seen.
//!
//! A presigned URL is a credential: its query opens the object for anybody who has it. It is therefore held as a
//! [`SafeUri`] from the moment it is read, which keeps every byte of the query (a signature does not survive another
//! spelling, cloud fact sheet section 7.2) and shows none of it.

use std::fmt;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Uri};

/// Scheme, host and port. Two URLs share an origin when and only when all three are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// An origin reached over TLS at the given `host` or `host:port`.
    ///
    /// # Errors
    /// [`UriError`] where the text is no authority, or holds a user name.
    pub fn https(authority: &str) -> Result<Self, UriError> {
        SafeUri::parse(&format!("https://{authority}/")).map(|uri| uri.origin().clone())
    }

    /// The host, lower case, without port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own where none is written.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether the connection is protected by TLS.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }

    fn default_port(&self) -> u16 {
        if self.https { 443 } else { 80 }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == self.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Why a text is not a URL that the daemon follows; never repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// It does not parse.
    #[error("the URL is malformed")]
    Malformed,
    /// It has no host.
    #[error("the URL is relative")]
    Relative,
    /// It is neither http nor https.
    #[error("the URL is neither http nor https")]
    Scheme,
    /// It has a user name or password in front of the host.
    #[error("the URL carries a user name")]
    UserInfo,
}

/// An absolute http or https URL whose query is kept byte for byte and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SafeUri {
    uri: Uri,
    origin: Origin,
}

impl SafeUri {
    /// Parses an absolute URL; a fragment is dropped, since it is not sent.
    ///
    /// # Errors
    /// [`UriError`], which says what is wrong and shows nothing.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        // RFC 3986 section 2: a URL is ASCII. The parser below would let other characters of a path pass, which then stand
        // in no header.
        let uri: Uri = text.is_ascii().then_some(text).and_then(|text| text.parse().ok()).ok_or(UriError::Malformed)?;
        let (Some(authority), Some(scheme)) = (uri.authority(), uri.scheme()) else {
            return Err(UriError::Relative);
        };
        if authority.as_str().contains('@') {
            return Err(UriError::UserInfo);
        }
        let https = match scheme.as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(UriError::Scheme),
        };
        if authority.host().is_empty() {
            return Err(UriError::Malformed);
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") if https => 443,
            Some("") => 80,
            // Read here and not by `Authority::port`, to which a number that is too large is no port.
            Some(port) => port.strip_prefix(':').and_then(number).ok_or(UriError::Malformed)?,
            None => return Err(UriError::Malformed),
        };
        let origin = Origin { https, host: authority.host().to_ascii_lowercase(), port };
        Ok(Self { uri, origin })
    }

    /// The URL that `location` names when it stands in an answer to this one (RFC 9110 section 10.2.2): absolute,
    /// `//host/path`, or `/path`. Paths relative to a directory are not used by registries and are refused.
    ///
    /// # Errors
    /// [`UriError`] as for [`SafeUri::parse`].
    pub fn join(&self, location: &str) -> Result<Self, UriError> {
        let scheme = if self.origin.https { "https" } else { "http" };
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        if location.starts_with('/') {
            let authority = self.uri.authority().map_or("", |authority| authority.as_str());
            return Self::parse(&format!("{scheme}://{authority}{location}"));
        }
        Self::parse(location)
    }

    /// Where it points.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The query, for reading an expiry out of it.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// The same URL over TLS. The scheme takes no part in a presigned URL's signature.
    #[must_use]
    pub fn over_tls(self) -> Self {
        if self.origin.https {
            return self;
        }
        let mut parts = self.uri.clone().into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        if parts.path_and_query.is_none() {
            parts.path_and_query = Some(PathAndQuery::from_static("/"));
        }
        let Ok(uri) = Uri::from_parts(parts) else { return self };
        let port = if self.origin.port == 80 { 443 } else { self.origin.port };
        Self { uri, origin: Origin { https: true, port, ..self.origin } }
    }

    /// The URL itself as a `Location`, for the client that is to follow it; marked so that it is not shown.
    #[must_use]
    pub fn to_header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&self.uri.to_string()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Starts a request to this URL with an empty header map.
    #[must_use]
    pub fn request(&self, method: Method) -> http::request::Builder {
        http::Request::builder().method(method).uri(self.uri.clone())
    }
}

/// A port in digits only; the standard parser would let a sign pass.
fn number(port: &str) -> Option<u16> {
    if port.bytes().all(|byte| byte.is_ascii_digit()) { port.parse().ok() } else { None }
}

impl fmt::Display for SafeUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path())?;
        if self.query().is_some() { f.write_str("?***") } else { Ok(()) }
    }
}

impl fmt::Debug for SafeUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafeUri({self})")
    }
}

#[cfg(test)]
mod tests;
