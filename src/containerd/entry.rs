//! Our entry in a `hosts.toml`: the lines between the markers.
//!
//! Keys are those that every containerd since 1.6 reads (containerd, docs/hosts.md): an unknown capability makes it
//! drop the whole file, and `ca` or `skip_verify` on an http mirror makes it try TLS first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::oci::RegistryHost;
use crate::secret::Secret;

/// How long containerd waits for a connection to the daemon. Both are on one node, where an answer takes microseconds;
/// a second covers a node that swaps.
const DIAL_TIMEOUT: &str = "1s";

/// The header that the client token is sent in. Of all names that is the one which Go drops when a redirect leads to
/// another host.
const AUTHORIZATION: &str = "Authorization";

/// What containerd is told about the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    mirror: String,
    ca: Option<PathBuf>,
    token: Option<Secret>,
    dial_timeout: bool,
}

/// The client token cannot stand in a header.
#[derive(Debug, thiserror::Error)]
#[error("the client token is empty or has characters that no header can carry")]
pub struct InvalidToken;

impl Entry {
    /// The daemon that listens on `listen`, reached over loopback where it listens on every address.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        let ip = match listen.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let mirror = format!("http://{}", SocketAddr::new(ip, listen.port()));
        Self { mirror, ca: None, token: None, dial_timeout: false }
    }

    /// The same for a daemon that speaks TLS, with a certificate that containerd verifies by `ca`, or by the roots of the
    /// system. A `ca` that containerd cannot read fails every pull (client fact sheet, section 1.1), and with plain HTTP
    /// none may be named.
    #[must_use]
    pub fn with_tls(mut self, ca: Option<PathBuf>) -> Self {
        self.mirror = self.mirror.replacen("http:", "https:", 1);
        self.ca = ca;
        self
    }

    /// The same with a client token, which containerd then sends as `Authorization: Bearer`.
    ///
    /// # Errors
    /// [`InvalidToken`] where it is empty or not printable ASCII without spaces.
    pub fn with_token(mut self, token: Secret) -> Result<Self, InvalidToken> {
        if token.is_empty() || !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken);
        }
        self.token = Some(token);
        Ok(self)
    }

    /// The same with a limit on connecting, for a containerd that knows it.
    #[must_use]
    pub const fn with_dial_timeout(mut self) -> Self {
        self.dial_timeout = true;
        self
    }

    /// The entry in every form that 'hosts install' may have given it: with a limit on connecting, and without.
    pub(super) fn forms(&self) -> [Self; 2] {
        [false, true].map(|dial_timeout| Self { dial_timeout, ..self.clone() })
    }

    /// Where containerd finds the daemon, as `http://127.0.0.1:7080`.
    #[must_use]
    pub fn mirror(&self) -> &str {
        &self.mirror
    }

    /// Whether a file with this entry may be read by root only.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.token.is_some()
    }

    /// The lines between the markers. Tables have headers of their own: from 2.0 on containerd finds the order of hosts
    /// by headers, and overlooks inline tables and dotted keys (`getSortedHosts` in its `hosts.go`).
    pub(super) fn render(&self) -> String {
        let key = quoted(&self.mirror);
        let mut text = format!("[host.{key}]\n  capabilities = [\"pull\", \"resolve\"]\n");
        if let Some(ca) = &self.ca {
            text.push_str(&format!("  ca = {}\n", quoted(&ca.display().to_string())));
        }
        if self.dial_timeout {
            text.push_str(&format!("  dial_timeout = \"{DIAL_TIMEOUT}\"\n"));
        }
        if let Some(token) = &self.token {
            text.push_str(&format!("  [host.{key}.header]\n    {AUTHORIZATION} = {}\n", quoted(&bearer(token))));
        }
        text
    }
}

/// The text of a `hosts.toml`, or a diff of it, with the values of `Authorization` masked, ours or not; for people to see.
#[must_use]
pub fn masked(text: &str) -> String {
    let mask = |line: &str| match line.split_once(AUTHORIZATION) {
        Some((before, _)) => {
            format!("{before}{AUTHORIZATION} = \"***\"{}", if line.ends_with('\n') { "\n" } else { "" })
        }
        None => line.to_owned(),
    };
    text.split_inclusive('\n').map(mask).collect()
}

fn bearer(token: &Secret) -> String {
    format!("Bearer {}", token.expose())
}

/// A TOML basic string; for text without control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What containerd asks when the daemon did not give an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// The registry itself, without our login: a public image still comes.
    Fallback(RegistryHost),
    /// The daemon again, so that nothing ever passes it by (`--strict`).
    Strict,
}

impl Server {
    /// The line for a file of our own, or in the place of the one that is there.
    pub(super) fn render(&self, entry: &Entry) -> String {
        let url = match self {
            Self::Fallback(domain) => format!("https://{domain}"),
            Self::Strict => entry.mirror.clone(),
        };
        format!("server = {}", quoted(&url))
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, masked};
    use crate::secret::Secret;

    fn entry(listen: &str) -> Entry {
        Entry::new(listen.parse().unwrap())
    }

    #[test]
    fn the_entry_has_only_what_every_containerd_reads() {
        let expected = "[host.\"http://127.0.0.1:7080\"]\n  capabilities = [\"pull\", \"resolve\"]\n";
        assert_eq!(entry("127.0.0.1:7080").render(), expected);
        assert_eq!(entry("0.0.0.0:7080").render(), expected, "containerd is on this node");
        assert_eq!(entry("[::]:7080").mirror(), "http://[::1]:7080");
    }

    #[test]
    fn a_ca_is_named_for_tls_only() {
        let entry = entry("127.0.0.1:7080").with_tls(Some("/etc/acr-pull-proxy/tls.crt".into()));
        let text = entry.render();
        assert!(text.starts_with("[host.\"https://127.0.0.1:7080\"]\n"), "{text}");
        assert!(text.ends_with("  ca = \"/etc/acr-pull-proxy/tls.crt\"\n"), "{text}");
    }

    #[test]
    fn limit_and_token_are_added_where_asked_for() {
        let entry = entry("127.0.0.1:7080").with_dial_timeout().with_token(Secret::new("t0k\"en")).unwrap();
        let text = entry.render();
        assert_eq!(
            text,
            "[host.\"http://127.0.0.1:7080\"]\n  capabilities = [\"pull\", \"resolve\"]\n  dial_timeout = \"1s\"\n  \
             [host.\"http://127.0.0.1:7080\".header]\n    Authorization = \"Bearer t0k\\\"en\"\n"
        );
        let masked = masked(&text.replace("    Auth", "+    Auth"));
        assert!(masked.ends_with(".header]\n+    Authorization = \"***\"\n"), "{masked}");
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        for token in ["", "two words", "line\nbreak", "ümlaut"] {
            assert!(entry("127.0.0.1:7080").with_token(Secret::new(token)).is_err(), "{token:?}");
        }
    }
}
