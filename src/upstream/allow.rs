//! What may be pulled through an instance, and where its bytes may come from.

use crate::http::origin::Origin;
use crate::oci::RepositoryName;

impl super::Params {
    /// Whether `repositories` lets this one be pulled.
    #[must_use]
    pub fn allow(&self, repository: &RepositoryName) -> bool {
        Repositories::new(self.repositories.clone()).allow(repository)
    }
}

/// `repositories` of the configuration: patterns of repository names.
///
/// Within a path component `*` stands for any run of characters; a component `**` stands for any number of components,
/// none included. Without a pattern everything is allowed.
#[derive(Debug, Clone)]
pub(super) struct Repositories(Vec<String>);

impl Repositories {
    pub(super) const fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    pub(super) fn allow(&self, repository: &RepositoryName) -> bool {
        let name: Vec<&str> = repository.as_str().split('/').collect();
        self.0.is_empty()
            || self.0.iter().any(|pattern| {
                let pattern: Vec<&str> = pattern.split('/').collect();
                path_matches(&pattern, &name)
            })
    }
}

fn path_matches(pattern: &[&str], name: &[&str]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=name.len()).any(|skip| path_matches(rest, name.get(skip..).unwrap_or_default())),
        ([first, pattern @ ..], [component, name @ ..]) => {
            component_matches(first, component) && path_matches(pattern, name)
        }
        _ => false,
    }
}

/// Takes the first place for each piece between two stars; any later one would leave less for the rest.
fn component_matches(pattern: &str, component: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = component.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// The hosts that blobs may come from.
///
/// Without configuration these are the buckets of OSS: `<bucket>.oss-<region>.aliyuncs.com`, with `-internal` or not, and
/// the transfer acceleration `<bucket>.oss-accelerate….aliyuncs.com`. The rule is exact: one label for the bucket, one
/// that begins with `oss-`, then `aliyuncs.com` (cloud fact sheet, section 7.1). `network.blobHosts` adds others.
#[derive(Debug, Clone)]
pub(super) struct BlobHosts(Vec<String>);

impl BlobHosts {
    pub(super) const fn new(extra: Vec<String>) -> Self {
        Self(extra)
    }

    /// Whether bytes may come from there. The connection must be protected and on the port of https, unless the
    /// configuration names the host with another one.
    pub(super) fn allow(&self, origin: &Origin) -> bool {
        if !origin.is_https() {
            return false;
        }
        let (host, port) = (origin.host(), origin.port());
        (port == 443 && is_bucket(host)) || self.0.iter().any(|entry| entry_matches(entry, host, port))
    }
}

/// Whether this is the host of an OSS bucket.
pub(super) fn is_bucket(host: &str) -> bool {
    let Some(rest) = host.strip_suffix(".aliyuncs.com") else { return false };
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match rest.split_once('.') {
        Some((bucket, region)) => word(bucket) && region.strip_prefix("oss-").is_some_and(word),
        None => false,
    }
}

/// `host`, `host:port`, or either with `*.` in front for exactly one more label.
fn entry_matches(entry: &str, host: &str, port: u16) -> bool {
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, wanted)) => (name, wanted.parse().ok()),
        None => (entry, Some(443)),
    };
    let named = match name.strip_prefix("*.") {
        Some(suffix) => host.split_once('.').is_some_and(|(_, rest)| rest == suffix),
        None => host == name,
    };
    named && wanted == Some(port)
}

#[cfg(test)]
mod tests {
    use super::{BlobHosts, Repositories};
    use crate::http::origin::SafeUri;
    use crate::oci::RepositoryName;

    fn allowed(patterns: &[&str], name: &str) -> bool {
        let patterns = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        Repositories::new(patterns).allow(&RepositoryName::parse(name).unwrap())
    }

    #[test]
    fn a_star_stays_within_a_component_and_two_stars_do_not() {
        assert!(allowed(&[], "any/thing"));
        assert!(allowed(&["team/*", "base/**"], "team/app"));
        assert!(!allowed(&["team/*"], "team/app/sub"));
        assert!(!allowed(&["team/*"], "team"));
        assert!(allowed(&["base/**"], "base/a/b/c"));
        assert!(allowed(&["base/**/x"], "base/x"));
        assert!(allowed(&["te*m/a*p"], "team/app"));
        assert!(allowed(&["a*b*c"], "a1b2b3c"));
        assert!(!allowed(&["a*ba"], "aba1"));
        assert!(!allowed(&["a*a"], "a"));
        assert!(!allowed(&["team/app"], "team/apple"));
        assert!(!allowed(&["team"], "other/team"));
    }

    #[test]
    fn only_buckets_and_configured_hosts_may_send_blobs() {
        let hosts = BlobHosts::new(vec!["*.cache.test".to_owned(), "blobs.test:8443".to_owned()]);
        let allow = |url: &str| hosts.allow(SafeUri::parse(url).unwrap().origin());
        for url in [
            "https://cri-abcd1234efgh5678-registry.oss-cn-hangzhou-internal.aliyuncs.com/docker/data?Signature=x",
            "https://aliregistry.oss-cn-hangzhou.aliyuncs.com/",
            "https://bucket.oss-accelerate-overseas.aliyuncs.com/",
            "https://one.cache.test/",
            "https://blobs.test:8443/",
        ] {
            assert!(allow(url), "{url} refused");
        }
        for url in [
            "http://aliregistry.oss-cn-hangzhou.aliyuncs.com/",
            "https://aliregistry.oss-cn-hangzhou.aliyuncs.com:8443/",
            "https://oss-cn-hangzhou.aliyuncs.com/",
            "https://a.b.oss-cn-hangzhou.aliyuncs.com/",
            "https://bucket.oss-cn-hangzhou.aliyuncs.com.evil.test/",
            "https://bucket.oss-cn-hangzhou.evil-aliyuncs.com/",
            "https://sts.cn-hangzhou.aliyuncs.com/",
            "https://100.100.100.200/",
            "https://cache.test/",
            "https://a.b.cache.test/",
            "https://blobs.test/",
        ] {
            assert!(!allow(url), "{url} passed");
        }
    }
}
