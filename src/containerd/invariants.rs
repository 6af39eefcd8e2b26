//! What holds for every `hosts.toml` that may stand on a node already, and for every `config.toml` of containerd.

use std::collections::BTreeSet;
use std::path::Path;

use toml_edit::{Document, Item, Value};

use super::config_toml::Settings;
use super::{Entry, HostsToml, Ownership, Server, Version};
use crate::oci::RegistryHost;
use crate::secret::Secret;

/// A `hosts.toml` before we come: installing and uninstalling leaves it as it was, or it is refused.
pub(crate) fn hosts_toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let before = HostsToml::parse(text);
    if !text.contains("acr-pull-proxy") {
        assert_eq!((before.foreign(), before.ownership()), (text, Ownership::Absent), "a stranger's file is ours");
    }
    let plain = Entry::new(([127, 0, 0, 1], 7080).into());
    let Ok(full) = plain.clone().with_dial_timeout().with_token(Secret::new("t0k\"en\\")) else { return };
    let Ok(domain) = RegistryHost::parse("demo-registry.cn-hangzhou.cr.aliyuncs.com") else { return };
    for entry in [&plain, &full] {
        for server in [Server::Fallback(domain.clone()), Server::Strict] {
            install_and_uninstall(&before, entry, &server);
        }
    }
}

fn install_and_uninstall(before: &HostsToml, entry: &Entry, server: &Server) {
    let Ok(merged) = before.with(entry, server) else { return };
    let after = HostsToml::parse(&merged);
    assert_eq!(after.ownership(), Ownership::Intact, "our own entry looks altered");
    assert_eq!(after.with(entry, server).ok().as_ref(), Some(&merged), "installing twice is not installing once");
    let other = if *server == Server::Strict { entry.mirror() } else { "https://demo-registry" };
    assert!(merged.contains(other) || !before.foreign().trim().is_empty(), "an own file without its server");
    if !before.names_by_hand(entry.mirror()) {
        assert_eq!(after.foreign(), before.foreign(), "uninstalling does not give back what was there");
    }
    let (old, new) = (content(before.foreign(), entry.mirror()), content(&merged, entry.mirror()));
    assert_eq!(old, new, "what is not ours says something else");
}

/// Everything that a file says, but for `server` and the host `mirror`, as the TOML parser has it.
fn content(text: &str, mirror: &str) -> Option<BTreeSet<String>> {
    let document = Document::parse(text).ok()?;
    let mut found = BTreeSet::new();
    for (key, item) in document.as_table() {
        match (key, item) {
            ("server", _) => {}
            ("host", Item::Table(hosts)) => {
                for (host, item) in hosts.iter().filter(|(host, _)| *host != mirror) {
                    flatten(item, &format!("host.{host:?}"), &mut found);
                }
            }
            (key, item) => flatten(item, &format!("{key:?}"), &mut found),
        }
    }
    Some(found)
}

fn flatten(item: &Item, path: &str, found: &mut BTreeSet<String>) {
    match item {
        Item::None => {}
        Item::Value(Value::String(text)) => drop(found.insert(format!("{path} = {:?}", text.value()))),
        Item::Value(value) => drop(found.insert(format!("{path} = {}", value.to_string().trim()))),
        Item::Table(table) => {
            found.insert(path.to_owned());
            for (key, item) in table {
                flatten(item, &format!("{path}.{key:?}"), found);
            }
        }
        Item::ArrayOfTables(tables) => {
            for (index, table) in tables.iter().enumerate() {
                for (key, item) in table {
                    flatten(item, &format!("{path}[{index}].{key:?}"), found);
                }
            }
        }
    }
}

/// A `config.toml`, and what `containerd --version` prints.
pub(crate) fn config_toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let version = Version::of_output(text);
    if let Some(version) = version {
        assert_eq!(Version::parse(&version.to_string()), Some(version));
    }
    let mut settings = Settings::default();
    let Ok(imports) = settings.lay_over(text, Path::new("/etc/containerd/config.toml")) else { return };
    assert!(imports.iter().all(|import| import.is_absolute()), "{imports:?}");
    let roots = settings.roots();
    assert!(roots.iter().all(|root| !root.as_os_str().is_empty()), "{roots:?}");
    for version in [None, version, Version::parse("1.6.20"), Version::parse("2.1.0")] {
        let findings = settings.findings(version);
        assert!(findings.iter().all(|finding| !finding.text.is_empty() && !finding.fix.is_empty()), "{findings:?}");
        assert!(!roots.is_empty() || !findings.is_empty(), "no directory, and nothing wrong with that");
    }
    // A file that is imported by itself changes nothing.
    assert!(settings.lay_over(text, Path::new("/etc/containerd/config.toml")).is_ok());
    assert_eq!(settings.roots(), roots);
}
