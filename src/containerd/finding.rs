//! What keeps containerd from asking the daemon, as data: for `hosts`, which refuses, and for `doctor`, which tells.

use std::path::Path;

use serde::Serialize;

use super::version::Version;

/// One thing about containerd's configuration that somebody has to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which.
    pub kind: Kind,
    /// What is wrong, as one sentence without a full stop.
    pub text: String,
    /// What to change; may have several lines, ready to paste.
    pub fix: String,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// The configuration cannot be found or read.
    Unreadable,
    /// The CRI plugin is switched off, so the kubelet does not use this containerd.
    CriDisabled,
    /// No `config_path`: no `hosts.toml` is read at all.
    NoConfigPath,
    /// Several directories in `config_path`, and the transfer service takes them for one.
    JoinedConfigPath,
    /// `config_path` and the settings that it replaces: the CRI plugin does not load.
    LegacyRegistry,
    /// `config_path` names other directories than the one that was named.
    Elsewhere,
    /// k3s or RKE2 deletes and writes the directory at each start.
    Rewritten,
    /// A file of the configuration is newer than the containerd that runs.
    NotRestarted,
}

impl Kind {
    /// Whether an entry would be of no use as long as this stands.
    #[must_use]
    pub const fn is_in_the_way(self) -> bool {
        !matches!(self, Self::NotRestarted)
    }
}

impl Finding {
    pub(super) fn unreadable(text: String) -> Self {
        let fix =
            "name containerd's configuration with --containerd-config, or the directory that its config_path names \
                   with --certs-dir"
                .to_owned();
        Self { kind: Kind::Unreadable, text, fix }
    }

    pub(super) fn cri_disabled() -> Self {
        Self {
            kind: Kind::CriDisabled,
            text: "containerd runs without its CRI plugin, so no pull of the kubelet comes by here".to_owned(),
            fix: "take \"cri\" out of disabled_plugins in containerd's config.toml and restart containerd".to_owned(),
        }
    }

    pub(super) fn no_config_path(section: &str, legacy: bool, version: Option<Version>) -> Self {
        let mut fix = paste(section);
        if legacy {
            fix.push_str(
                "\nTake registry.mirrors and registry.configs.*.tls out in the same step, and write each of them as a \
                 hosts.toml: containerd does not load its CRI plugin with both",
            );
        }
        Self {
            kind: Kind::NoConfigPath,
            text: match version {
                Some(_) => "containerd has no config_path, so it reads no hosts.toml at all".to_owned(),
                None => "containerd has no config_path: before 2.2 it then reads no hosts.toml at all, and since then \
                         it takes two directories for one when it pulls through its transfer service"
                    .to_owned(),
            },
            fix,
        }
    }

    pub(super) fn joined(value: &str, section: &str) -> Self {
        Self {
            kind: Kind::JoinedConfigPath,
            text: format!(
                "config_path is '{value}', and containerd pulls through its transfer service, which takes that for the \
                 name of one directory and so finds no hosts.toml"
            ),
            fix: format!("{}\nOr set use_local_image_pull = true in the same plugin's section", paste(section)),
        }
    }

    pub(super) fn elsewhere(roots: &str) -> Self {
        Self {
            kind: Kind::Elsewhere,
            text: format!("containerd reads {roots}, which is another directory than --certs-dir"),
            fix: format!("give {roots} as --certs-dir; in the DaemonSet that is the path of the volume 'certs'"),
        }
    }

    pub(super) fn legacy(what: &str) -> Self {
        Self {
            kind: Kind::LegacyRegistry,
            text: format!("containerd has config_path together with {what}, with which its CRI plugin does not load"),
            fix: format!(
                "take {what} out of containerd's config.toml, write it as a hosts.toml, and restart containerd"
            ),
        }
    }

    /// `mirror` is where the daemon is, as far as that is known.
    pub(super) fn rewritten(platform: &str, mirror: Option<&str>) -> Self {
        let mirror = mirror.unwrap_or("<address of the daemon>");
        Self {
            kind: Kind::Rewritten,
            text: format!("{platform} deletes and writes the directory of hosts.toml files at each of its starts"),
            fix: format!(
                "write this into /etc/rancher/{platform}/registries.yaml, one entry per domain, and restart \
                 {platform}:\nmirrors:\n  \"<domain>\":\n    endpoint:\n      - \"{mirror}\""
            ),
        }
    }

    pub(super) fn not_restarted(file: &Path) -> Self {
        Self {
            kind: Kind::NotRestarted,
            text: format!("{} is newer than the containerd that runs, which does not know it", file.display()),
            fix: "restart containerd (systemctl restart containerd); containers go on running".to_owned(),
        }
    }
}

/// The lines that give containerd its directory.
fn paste(section: &str) -> String {
    format!(
        "put this into containerd's config.toml and restart containerd:\n[plugins.\"{section}\".registry]\n  config_path = \
         \"/etc/containerd/certs.d\""
    )
}
