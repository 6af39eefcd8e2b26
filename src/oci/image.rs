//! The name of an image as pods, kubelet and container engines write it.

use super::{RegistryHost, RepositoryName};

/// What names without a registry mean.
const DEFAULT_REGISTRY: &str = "docker.io";

/// Names of one component belong to the default registry's own repositories.
const DEFAULT_PATH: &str = "library/";

/// Registry and repository of an image; tag and digest are left aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    /// The registry, `docker.io` where none is named.
    pub registry: RegistryHost,
    /// The repository there.
    pub repository: RepositoryName,
}

impl ImageName {
    /// Reads `[registry/]repository[:tag][@digest]` as the distribution project's reference grammar has it, which the
    /// kubelet uses: what stands before the first `/` is a registry where it has a dot, a port or an upper-case letter,
    /// or is `localhost`.
    ///
    /// `None` where registry or repository are none that this daemon could serve, such as an IPv6 address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.split_once('@').map_or(text, |(name, _)| name);
        let (domain, path) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest),
            _ => (DEFAULT_REGISTRY, name),
        };
        // A port stands before the first slash, so this colon is a tag's.
        let path = path.rsplit_once(':').map_or(path, |(path, _)| path);
        let registry = RegistryHost::parse(domain).ok()?;
        let repository = match registry.as_str() {
            DEFAULT_REGISTRY if !path.contains('/') => RepositoryName::parse(&format!("{DEFAULT_PATH}{path}")),
            _ => RepositoryName::parse(path),
        };
        Some(Self { registry, repository: repository.ok()? })
    }
}

fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::ImageName;

    fn parsed(text: &str) -> Option<(String, String)> {
        let image = ImageName::parse(text)?;
        Some((image.registry.to_string(), image.repository.as_str().to_owned()))
    }

    #[test]
    fn names_are_read_as_the_kubelet_reads_them() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, registry, repository) in [
            (
                "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app:v1",
                "demo-registry.cn-hangzhou.cr.aliyuncs.com",
                "team/app",
            ),
            (&format!("images.example.com:5000/app@{digest}"), "images.example.com:5000", "app"),
            (&format!("images.example.com/a/b:v1@{digest}"), "images.example.com", "a/b"),
            ("localhost/app", "localhost", "app"),
            ("Images/app", "images", "app"),
            ("busybox", "docker.io", "library/busybox"),
            ("busybox:1.36", "docker.io", "library/busybox"),
            ("team/app", "docker.io", "team/app"),
            ("docker.io/busybox", "docker.io", "library/busybox"),
        ] {
            assert_eq!(parsed(text), Some((registry.to_owned(), repository.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_served_is_no_image_of_ours() {
        for text in ["", "/app", "[::1]:5000/app", "images.example.com/", "images.example.com/Team/app", "a.b:0/app"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
