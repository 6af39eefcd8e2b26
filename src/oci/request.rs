//! The one reader of `/v2/…` paths and of containerd's `ns`.
//!
//! A host in front of `/v2/` says what `ns` says: containerd and nerdctl put the path of a mirror there, where BuildKit puts
//! it behind.
//!
//! A request is parsed completely or refused: what comes out names things by types that cannot leave their place in a
//! path. The endpoints are the pull side of the OCI distribution spec v1.1 (end-1, end-2, end-3, end-8a, end-8b, end-12).

use http::Method;

use super::percent::decode;
use super::{Digest, Reference, RegistryHost, RepositoryName};

/// Longest path and query that is looked at. Names have at most 255 characters and digests 135; the rest is room for
/// escapes and for the query of a tag list.
const LONGEST_TARGET: usize = 4096;

/// A request that the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryRequest {
    /// Whether only the head is wanted.
    pub head: bool,
    /// containerd's `ns`, or the host in front of `/v2/`: the registry that the image name names.
    pub namespace: Option<Namespace>,
    /// What is asked for.
    pub endpoint: Endpoint,
}

/// The value of `ns`, or what stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespace {
    /// A host; whether it is served is the routing table's to say.
    Host(RegistryHost),
    /// No host at all, and so certainly none that is served.
    Foreign,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v2/`: is this a registry?
    Ping,
    /// Something of a repository.
    Repository {
        /// Where: the name as written, and its other reading.
        name: Name,
        /// What of it.
        resource: Resource,
    },
}

/// A repository name as it stands in a path, in both readings it allows.
///
/// Clients without `ns` put the registry's host in front: `/v2/registry.example.com/team/app/…`. Whether the first
/// component is such a host is known to the routing table only, since `registry.example.com/team/app` is a well-formed
/// name as well. At least one of the two is present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The whole as a repository.
    pub whole: Option<RepositoryName>,
    /// The first component as a host, and the repository behind it.
    pub prefixed: Option<(RegistryHost, RepositoryName)>,
}

/// One thing of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// end-3.
    Manifest(Reference),
    /// end-2.
    Blob(Digest),
    /// end-8a and end-8b, with `n` and `last` as written.
    Tags {
        /// The query to pass on, without `?`; empty where there is none.
        query: String,
    },
    /// end-12, with `artifactType` as written.
    Referrers {
        /// The subject.
        digest: Digest,
        /// The query to pass on, without `?`; empty where there is none.
        query: String,
    },
}

/// Why a request is not answered. None of these is worth a word to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A method that writes, or that is unknown.
    #[error("only GET and HEAD are served here: push to the registry itself")]
    Method,
    /// `%` without two hex digits, a control character, `.` or `..`, or an encoded `/`.
    #[error("the path or query is not properly percent-encoded")]
    Encoding,
    /// Longer than any name can make it.
    #[error("the path and query are too long")]
    TooLong,
    /// No endpoint of the pull side.
    #[error("no such endpoint: only pulls are served here")]
    Endpoint,
    /// The repository name breaks the spec's grammar.
    #[error("the repository name is malformed")]
    Name,
    /// The tag or digest of a manifest breaks the spec's grammar.
    #[error("the tag or digest is malformed")]
    Reference,
    /// The digest breaks the spec's grammar.
    #[error("the digest is malformed")]
    Digest,
    /// The same of a subject whose referrers are asked for.
    #[error("the digest of the subject is malformed")]
    Subject,
}

impl RegistryRequest {
    /// Reads a request line.
    ///
    /// # Errors
    /// [`RequestError`], by the first rule that is broken.
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, RequestError> {
        let head = match *method {
            Method::GET => false,
            Method::HEAD => true,
            _ => return Err(RequestError::Method),
        };
        if path.len() + query.map_or(0, str::len) > LONGEST_TARGET {
            return Err(RequestError::TooLong);
        }
        let (front, segments) = segments(path)?;
        let mut query = Query::parse(query.unwrap_or_default())?;
        if let Some(host) = front {
            query.name(Namespace::Host(host));
        }
        let endpoint = endpoint(&segments, &query)?;
        let only_get = matches!(endpoint, Endpoint::Repository { resource: Resource::Tags { .. }, .. });
        if head && only_get {
            return Err(RequestError::Method);
        }
        Ok(Self { head, namespace: query.namespace, endpoint })
    }
}

/// The decoded segments behind `/v2/`, and the host in front of it.
fn segments(path: &str) -> Result<(Option<RegistryHost>, Vec<String>), RequestError> {
    let mut segments = Vec::new();
    for raw in path.split('/').skip(1) {
        let segment = decode(raw).ok_or(RequestError::Encoding)?;
        if segment.contains(['/', '\\']) || segment == "." || segment == ".." {
            return Err(RequestError::Encoding);
        }
        segments.push(segment);
    }
    let is_base = |segment: Option<&String>| segment.is_some_and(|segment| segment == "v2");
    let front = match segments.first() {
        Some(first) if looks_like_host(first) && is_base(segments.get(1)) => RegistryHost::parse(first).ok(),
        _ => None,
    };
    if front.is_some() {
        segments.remove(0);
    }
    if !is_base(segments.first()) {
        return Err(RequestError::Endpoint);
    }
    segments.remove(0);
    Ok((front, segments))
}

/// Image names tell a host from a first component by its dot or port.
fn looks_like_host(component: &str) -> bool {
    component.contains(['.', ':'])
}

fn endpoint(segments: &[String], query: &Query) -> Result<Endpoint, RequestError> {
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (name, resource) = match words.as_slice() {
        [] | [""] => return Ok(Endpoint::Ping),
        [name @ .., "manifests", reference] => {
            (name, Resource::Manifest(Reference::parse(reference).map_err(|_| RequestError::Reference)?))
        }
        [name @ .., "blobs", digest] => {
            (name, Resource::Blob(Digest::parse(digest).map_err(|_| RequestError::Digest)?))
        }
        [name @ .., "tags", "list"] => (name, Resource::Tags { query: query.only(&["n", "last"]) }),
        [name @ .., "referrers", digest] => {
            let digest = Digest::parse(digest).map_err(|_| RequestError::Subject)?;
            (name, Resource::Referrers { digest, query: query.only(&["artifactType"]) })
        }
        _ => return Err(RequestError::Endpoint),
    };
    Ok(Endpoint::Repository { name: Name::read(name)?, resource })
}

impl Name {
    fn read(components: &[&str]) -> Result<Self, RequestError> {
        let whole = RepositoryName::parse(&components.join("/")).ok();
        let prefixed = match components {
            [first, rest @ ..] if looks_like_host(first) => {
                RegistryHost::parse(first).ok().zip(RepositoryName::parse(&rest.join("/")).ok())
            }
            _ => None,
        };
        if whole.is_none() && prefixed.is_none() {
            return Err(RequestError::Name);
        }
        Ok(Self { whole, prefixed })
    }
}

/// A query whose every escape is sound.
struct Query<'a> {
    namespace: Option<Namespace>,
    pairs: Vec<(String, &'a str)>,
}

impl<'a> Query<'a> {
    fn parse(text: &'a str) -> Result<Self, RequestError> {
        let mut query = Self { namespace: None, pairs: Vec::new() };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decode(key).ok_or(RequestError::Encoding)?;
            let decoded = decode(value).ok_or(RequestError::Encoding)?;
            if key == "ns" {
                query.name(RegistryHost::parse(&decoded).map_or(Namespace::Foreign, Namespace::Host));
            } else {
                query.pairs.push((key, value));
            }
        }
        Ok(query)
    }

    /// Takes note of one answer to "which registry". Two different ones are none.
    fn name(&mut self, namespace: Namespace) {
        let unclear = self.namespace.as_ref().is_some_and(|earlier| *earlier != namespace);
        self.namespace = Some(if unclear { Namespace::Foreign } else { namespace });
    }

    /// The pairs with these keys, values as they were written.
    fn only(&self, keys: &[&str]) -> String {
        let kept = self.pairs.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        kept.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
    }
}

#[cfg(test)]
mod tests;
