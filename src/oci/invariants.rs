//! What holds for every request line, reference, challenge and error body.

use http::{Method, Uri};

use super::error_body::{self, ErrorCode};
use super::{
    Challenge, Digest, Endpoint, ImageName, Namespace, Reference, RegistryHost, RegistryRequest, RepositoryName,
    RequestError, Resource, Tag,
};

/// Bytes that stand in a path for themselves and separate nothing but components.
fn stays_in_its_place(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte);
    text.bytes().all(plain) && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// A request target, as the HTTP server hands it over.
pub(crate) fn request(data: &[u8]) {
    let Ok(uri) = Uri::try_from(data) else { return };
    let (path, query) = (uri.path(), uri.query());
    for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS, Method::CONNECT] {
        assert_eq!(RegistryRequest::parse(&method, path, query), Err(RequestError::Method), "{method} is a write");
    }
    let Ok(request) = RegistryRequest::parse(&Method::GET, path, query) else {
        assert!(RegistryRequest::parse(&Method::HEAD, path, query).is_err(), "HEAD can do more than GET");
        return;
    };
    if let Some(Namespace::Host(host)) = &request.namespace {
        assert_eq!(RegistryHost::parse(host.as_str()).as_ref(), Ok(host), "ns is no host");
    }
    let Endpoint::Repository { name, resource } = &request.endpoint else { return };
    let (rest, kept) = match resource {
        Resource::Manifest(reference) => (format!("manifests/{reference}"), ""),
        Resource::Blob(digest) => (format!("blobs/{digest}"), ""),
        Resource::Tags { query } => ("tags/list".to_owned(), query.as_str()),
        Resource::Referrers { digest, query } => (format!("referrers/{digest}"), query.as_str()),
    };
    let hosted = name.prefixed.iter().map(|(_, name)| name);
    let mut names = 0;
    for name in name.whole.iter().chain(hosted) {
        names += 1;
        assert!(stays_in_its_place(name.as_str()) && stays_in_its_place(&rest), "{name} {rest} leaves its place");
        // What is asked of the registry is this very thing, and asked of us it would be understood as the same.
        let target = format!("https://registry.test/v2/{name}/{rest}?{kept}");
        let upstream: Uri = target.parse().unwrap_or_else(|_| panic!("{target} is no URL"));
        assert_eq!(upstream.path(), format!("/v2/{name}/{rest}"));
        assert_eq!(upstream.query(), Some(kept));
        let again = RegistryRequest::parse(&Method::GET, upstream.path(), upstream.query());
        let Ok(RegistryRequest { endpoint: Endpoint::Repository { name: whole, resource: same }, .. }) = again else {
            panic!("{target} is no request")
        };
        assert_eq!((whole.whole.as_ref(), &same), (Some(name), resource), "{target} reads as something else");
    }
    assert!(names > 0, "a name with neither reading");
    for pair in kept.split('&').filter(|pair| !pair.is_empty()) {
        let (key, _) = pair.split_once('=').unwrap_or((pair, ""));
        assert!(matches!(key, "n" | "last" | "artifactType"), "{key} is passed on");
    }
    let head = RegistryRequest::parse(&Method::HEAD, path, query);
    match resource {
        Resource::Tags { .. } => assert_eq!(head, Err(RequestError::Method)),
        _ => assert_eq!(head, Ok(RegistryRequest { head: true, ..request })),
    }
}

/// The grammar of a repository name once more, read from left to right.
fn is_repository_name(text: &str) -> bool {
    let mut separator = String::from("/");
    for c in text.chars() {
        let follows = match c {
            'a'..='z' | '0'..='9' => {
                separator.clear();
                true
            }
            '/' | '.' | '_' | '-' => {
                separator.push(c);
                matches!(separator.as_str(), "/" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
            }
            _ => false,
        };
        if !follows {
            return false;
        }
    }
    separator.is_empty() && text.len() <= 255
}

/// A tag, digest, repository name, image name or registry host.
pub(crate) fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert_eq!(RepositoryName::parse(text).is_ok(), is_repository_name(text), "{text:?} as a name");
    if let Ok(reference) = Reference::parse(text) {
        assert_eq!(reference.as_str(), text);
        assert!(stays_in_its_place(text) && !text.contains('/') && text.len() <= 135, "{text:?} as a reference");
        let kinds = (Tag::parse(text).is_ok(), Digest::parse(text).is_ok());
        assert_eq!(kinds, (!text.contains(':'), text.contains(':')), "{text:?} is both, or neither");
    }
    if let Some(image) = ImageName::parse(text) {
        let name = format!("{}/{}", image.registry, image.repository);
        assert!(stays_in_its_place(&name), "{text:?} names {name:?}");
    }
    if let Ok(host) = RegistryHost::parse(text) {
        assert_eq!(host.as_str(), text.to_ascii_lowercase());
        assert_eq!(RegistryHost::parse(host.as_str()).as_ref(), Ok(&host));
        let url: Uri = format!("https://{host}/v2/").parse().unwrap_or_else(|_| panic!("{host} makes no URL"));
        assert_eq!((url.host(), url.path()), (Some(host.host()), "/v2/"), "{host} is more than a host");
    }
}

/// The value of a `WWW-Authenticate` header.
pub(crate) fn challenge(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let bearer = Challenge::bearer([text]);
    match Challenge::parse_all(text) {
        Ok(all) => {
            assert!((1..=8).contains(&all.len()), "{} challenges", all.len());
            assert_eq!(all.into_iter().find(|one| one.is("bearer")), bearer);
        }
        Err(_) => assert_eq!(bearer, None, "half of a malformed header was read"),
    }
    let Some(bearer) = bearer else { return };
    let parameters = [
        ("realm", bearer.realm()),
        ("service", bearer.service()),
        ("scope", bearer.scope()),
        ("error", bearer.error()),
    ];
    // Written down anew it says the same.
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let written: Vec<String> = parameters
        .iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}=\"{}\"", quoted(value))))
        .collect();
    if written.is_empty() {
        return;
    }
    let again = Challenge::bearer([format!("Bearer {}", written.join(", ")).as_str()]);
    let again = again.unwrap_or_else(|| panic!("{written:?} cannot be read again"));
    let same = [again.realm(), again.service(), again.scope(), again.error()];
    assert_eq!(same, parameters.map(|(_, value)| value));
}

/// The error body of a registry.
pub(crate) fn error_body(data: &[u8]) {
    let Some(error) = error_body::first(data) else { return };
    let plain = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    assert!(plain(&error.message) && error.message.len() <= 200, "{:?} is not fit for a log", error.message);
    assert!(error.code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') && error.code.len() <= 64);
    let code = ErrorCode::parse(&error.code).unwrap_or(ErrorCode::Unknown);
    let again = error_body::first(&error_body::render(code, &error.message));
    let again = again.unwrap_or_else(|| panic!("what is written cannot be read"));
    assert_eq!((again.code.as_str(), again.message), (code.as_str(), error.message));
}
