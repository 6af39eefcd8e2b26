//! The environment as values, taken once at start and passed down, so that tests choose their own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

/// Where Linux keeps the name of the host.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Environment variables and the name of this node. `Debug` shows no value: an AccessKey may be among them.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    node: String,
}

impl Environment {
    /// The environment of this process. Variables that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let variables = std::env::vars_os().filter_map(utf8).collect();
        let node = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
        Self { variables, node: node.trim().to_owned() }
    }

    /// An environment of these variables only, on a node without a name.
    pub fn of<K: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (K, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, node: String::new() }
    }

    /// A variable that is set and not empty.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Whether a variable is set to nothing.
    #[must_use]
    pub fn is_empty(&self, name: &str) -> bool {
        self.variables.get(name).is_some_and(|value| value.trim().is_empty())
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    pub(super) fn home(&self) -> Option<PathBuf> {
        self.value("HOME").map(|home| Path::new(home).to_path_buf())
    }

    /// The node's name: what Kubernetes calls it where the pod was told (`NODE_NAME`), else the host name.
    fn node(&self) -> &str {
        self.value("NODE_NAME").unwrap_or(&self.node)
    }

    /// The `RoleSessionName` for the audit log: `acr-pull-proxy-`, eight hex digits for the cluster and eight for the
    /// node; 32 characters, the most that every version of the documentation allows. Nodes of one cluster so share a
    /// prefix, and neither name is shown to the other account.
    pub(super) fn session_name(&self, cluster: &str) -> String {
        format!("acr-pull-proxy-{}-{}", short_hash(cluster), short_hash(self.node()))
    }
}

/// The first eight hex digits of SHA-256.
fn short_hash(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("variables", &self.variables.len()).field("node", &self.node).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Environment;

    #[test]
    fn a_session_name_tells_cluster_and_node_apart_in_32_characters() {
        let first = Environment::of([("NODE_NAME", "node-1")]);
        let second = Environment::of([("NODE_NAME", "node-2")]);
        let name = first.session_name("ack-rrsa-c0123");
        assert!(name.starts_with("acr-pull-proxy-") && name.len() <= 32, "{name}");
        assert_eq!(name, first.session_name("ack-rrsa-c0123"));
        assert_ne!(name, second.session_name("ack-rrsa-c0123"));
        assert_ne!(name, first.session_name("ack-rrsa-c9999"));
    }

    #[test]
    fn debug_shows_no_value() {
        let environment = Environment::of([("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "a-secret")]);
        assert!(!format!("{environment:?}").contains("a-secret"));
    }
}
