//! The names of registries: a host as image names spell it, and the instance behind it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Malformed;

/// Longest DNS name (RFC 1035 section 2.3.4).
const LONGEST_HOST: usize = 253;

/// The name of one configured instance: `cri-…` for the Enterprise Edition, `personal-<region>` where there is no id.
///
/// It labels metrics and log lines, so it is never taken from a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// Takes the id as configured.
    ///
    /// # Errors
    /// [`Malformed`] where it is empty or holds anything but letters, digits, `-`, `_` and `.`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || !text.bytes().all(fits) {
            return Err(Malformed::new("instance id", "must be letters, digits, '-', '_' or '.'"));
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A registry host as it stands in image names and in containerd's `ns`: lower case, with a port where one is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryHost(Arc<str>);

impl RegistryHost {
    /// Parses `host` or `host:port`; case is folded.
    ///
    /// # Errors
    /// [`Malformed`] where it is no DNS name or IPv4 address, or the port is not 1–65535.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        const WHAT: &str = "registry host";
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        if host.is_empty() || host.len() > LONGEST_HOST {
            return Err(Malformed::new(WHAT, "must have 1 to 253 characters"));
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !host.split('.').all(label) {
            return Err(Malformed::new(WHAT, "must be a DNS name such as demo-registry.cn-hangzhou.cr.aliyuncs.com"));
        }
        if let Some(port) = port {
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            if !digits || !matches!(port.parse::<u16>(), Ok(1..)) {
                return Err(Malformed::new(WHAT, "must have a port between 1 and 65535"));
            }
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// `host` or `host:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(host, _)| host)
    }
}

impl FromStr for RegistryHost {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::parse(text)
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{InstanceId, RegistryHost};

    #[test]
    fn hosts_fold_case_and_keep_the_port() {
        let host = RegistryHost::parse("Demo-Registry.CN-hangzhou.cr.aliyuncs.com:5000").unwrap();
        assert_eq!(host.as_str(), "demo-registry.cn-hangzhou.cr.aliyuncs.com:5000");
        assert_eq!(host.host(), "demo-registry.cn-hangzhou.cr.aliyuncs.com");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["", ".", "a..b", "-a.b", "a/b", "a b", "user@host", "host:0", "host:65536", "host:+80", "[::1]"] {
            assert!(RegistryHost::parse(text).is_err(), "{text:?} passed");
        }
    }

    #[test]
    fn instance_ids_are_plain_words() {
        assert!(InstanceId::parse("cri-abcd1234efgh5678").is_ok());
        assert!(InstanceId::parse("").is_err());
        assert!(InstanceId::parse("cri\n").is_err());
    }
}
