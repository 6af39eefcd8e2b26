//! Which endpoint of the distribution specification a path names.

/// The endpoints a pull uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint<'a> {
    /// `/v2/`
    Base,
    /// `/v2/<name>/manifests/<reference>`
    Manifest { repository: &'a str, reference: &'a str },
    /// `/v2/<name>/blobs/<digest>`
    Blob { repository: &'a str, digest: &'a str },
    /// `/v2/<name>/tags/list`
    Tags { repository: &'a str },
    /// `/v2/<name>/referrers/<digest>`
    Referrers { repository: &'a str, digest: &'a str },
}

impl<'a> Endpoint<'a> {
    /// The repository it is about.
    pub(super) fn repository(&self) -> Option<&'a str> {
        match *self {
            Self::Base => None,
            Self::Manifest { repository, .. }
            | Self::Blob { repository, .. }
            | Self::Tags { repository }
            | Self::Referrers { repository, .. } => Some(repository),
        }
    }
}

/// Reads a path; `None` where it names no endpoint of a pull.
pub(super) fn parse(path: &str) -> Option<Endpoint<'_>> {
    let rest = path.strip_prefix("/v2")?;
    if rest.is_empty() || rest == "/" {
        return Some(Endpoint::Base);
    }
    let (before, last) = rest.strip_prefix('/')?.rsplit_once('/')?;
    let (repository, kind) = before.rsplit_once('/')?;
    if repository.is_empty() || last.is_empty() {
        return None;
    }
    match kind {
        "manifests" => Some(Endpoint::Manifest { repository, reference: last }),
        "blobs" => Some(Endpoint::Blob { repository, digest: last }),
        "referrers" => Some(Endpoint::Referrers { repository, digest: last }),
        "tags" if last == "list" => Some(Endpoint::Tags { repository }),
        _ => None,
    }
}

/// Whether this is a digest as the specification writes one: SHA-256 or SHA-512.
pub(super) fn is_digest(text: &str) -> bool {
    let (hex, length) = match text.split_once(':') {
        Some(("sha256", hex)) => (hex, 64),
        Some(("sha512", hex)) => (hex, 128),
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
