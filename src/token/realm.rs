//! Which realm may receive the login.
//!
//! The realm stands in an answer of the registry, so whoever controls that answer would choose where the login goes. It is
//! never constructed and always held to this list: https, no user name, and the registry host itself (an instance that
//! took over its authentication domain), one of the hosts that Alibaba runs for this purpose, or one that the operator
//! named.

use crate::cloud::endpoints::Region;
use crate::http::origin::{Origin, SafeUri, UriError};
use crate::oci::{Challenge, RegistryHost};

/// The suffix of all hosts that Alibaba runs.
const ALIYUN: &str = ".aliyuncs.com";
/// The realm of the oldest captures, without a region.
const LEGACY: &str = "dockerauth.aliyuncs.com";

/// Where a bearer is asked for, and for which service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Realm {
    pub(super) uri: SafeUri,
    /// Opaque; its form differs by edition and region.
    pub(super) service: Option<String>,
}

/// Why a realm gets nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    /// The challenge names none.
    #[error("the registry's challenge names no realm")]
    Missing,
    /// It is no URL that the daemon follows.
    #[error("the realm cannot be used")]
    Malformed(#[source] UriError),
    /// It is not reached over TLS.
    #[error("the realm {0} is not https")]
    Plain(Origin),
    /// It is on no list.
    #[error("the realm {0} is not known to belong to the registry")]
    Foreign(Origin),
}

impl Realm {
    /// The realm of a challenge of `registry`, where it may receive the login; `allowed` are further hosts, lower case.
    pub(super) fn accept(
        challenge: &Challenge,
        registry: &RegistryHost,
        allowed: &[String],
    ) -> Result<Self, RealmError> {
        let uri = SafeUri::parse(challenge.realm().ok_or(RealmError::Missing)?).map_err(RealmError::Malformed)?;
        let origin = uri.origin();
        if !origin.is_https() {
            return Err(RealmError::Plain(origin.clone()));
        }
        let named = |authority: &str| Origin::https(authority).is_ok_and(|named| named == *origin);
        let trusted = named(registry.as_str())
            || allowed.iter().any(|host| named(host))
            || (is_alibaba(origin.host()) && named(origin.host()));
        if !trusted {
            return Err(RealmError::Foreign(origin.clone()));
        }
        Ok(Self { uri, service: challenge.service().map(str::to_owned) })
    }
}

/// `^dockerauth(-ee)?(-vpc)?(\.|-)<region>\.aliyuncs\.com$`, or the legacy name.
///
/// What stands behind must be a region: buckets of OSS have names of anybody's choice, and `dockerauth` may be one of
/// them (`dockerauth.oss-cn-hangzhou.aliyuncs.com`).
fn is_alibaba(host: &str) -> bool {
    if host == LEGACY {
        return true;
    }
    let Some(rest) = host.strip_prefix("dockerauth").and_then(|rest| rest.strip_suffix(ALIYUN)) else { return false };
    let rest = rest.strip_prefix("-ee").unwrap_or(rest);
    let rest = rest.strip_prefix("-vpc").unwrap_or(rest);
    rest.strip_prefix(['.', '-']).is_some_and(|region| Region::parse(region).is_ok())
}

#[cfg(test)]
mod tests {
    use super::{Realm, RealmError, is_alibaba};
    use crate::oci::{Challenge, RegistryHost};

    fn accept(realm: &str) -> Result<Realm, RealmError> {
        let challenge = Challenge::parse_all(&format!(r#"Bearer realm="{realm}",service="s""#)).unwrap().remove(0);
        let registry = RegistryHost::parse("demo-registry.cn-hangzhou.cr.aliyuncs.com").unwrap();
        Realm::accept(&challenge, &registry, &["auth.example.com".to_owned()])
    }

    #[test]
    fn the_hosts_that_have_been_seen_may_receive_the_login() {
        for host in [
            "dockerauth.cn-hangzhou.aliyuncs.com",
            "dockerauth-vpc.cn-hangzhou.aliyuncs.com",
            "dockerauth-ee.cn-beijing.aliyuncs.com",
            "dockerauth-ee-vpc.ap-southeast-1.aliyuncs.com",
            "dockerauth-cn-zhangjiakou.aliyuncs.com",
            "dockerauth.aliyuncs.com",
            "demo-registry.cn-hangzhou.cr.aliyuncs.com",
            "auth.example.com",
        ] {
            assert!(accept(&format!("https://{host}/auth")).is_ok(), "{host}");
        }
    }

    #[test]
    fn nobody_else_does() {
        for realm in [
            "http://dockerauth.cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth.cn-hangzhou.aliyuncs.com:8443/auth",
            "https://user@dockerauth.cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth.cn-hangzhou.aliyuncs.com.evil.example/auth",
            "https://dockerauth.evil.example/auth",
            "https://evil-dockerauth.cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth.bucket.oss-cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth.oss-cn-hangzhou.aliyuncs.com/auth",
            "https://dockerauth-vpc.oss-cn-hangzhou-internal.aliyuncs.com/auth",
            "https://other-registry.cn-hangzhou.cr.aliyuncs.com/auth",
            "https://sub.auth.example.com/auth",
            "https://100.100.100.200/auth",
            "/auth",
            "",
        ] {
            assert!(accept(realm).is_err(), "{realm}");
        }
    }

    #[test]
    fn the_host_grammar_has_no_holes() {
        for host in ["dockerauth.aliyuncs.com.", "dockerauth..aliyuncs.com", "dockerauthx.aliyuncs.com", "aliyuncs.com"]
        {
            assert!(!is_alibaba(host), "{host}");
        }
    }
}
