//! What containerd's configuration says about registries. Only read; pure.
//!
//! The plugin that holds it has moved: `plugins.cri` in files of version 1, `io.containerd.grpc.v1.cri` in version 2,
//! `io.containerd.cri.v1.images` from version 3 (containerd 2.0) on (containerd, docs/cri/config.md).

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, Table, TableLike};

use super::finding::Finding;
use super::version::Version;

/// The CRI plugin's section in files of version 2.
const CRI: &str = "io.containerd.grpc.v1.cri";
/// The section of its images in files of version 3 and later.
const CRI_IMAGES: &str = "io.containerd.cri.v1.images";
/// What joins several directories in `config_path`.
const SEPARATOR: char = ':';
/// What `config_path` is where no file says it, since containerd 2.2 (client fact sheet, section 11).
const DEFAULT_PATHS: &str = "/etc/containerd/certs.d:/etc/docker/certs.d";
/// Default of `max_concurrent_downloads`; any other value makes the CRI plugin pull by itself
/// (`CheckLocalImagePullConfigs` in containerd's `config.go`).
const DEFAULT_DOWNLOADS: i64 = 3;

/// The registry settings of one configuration, imports included.
#[derive(Debug, Default)]
pub(super) struct Settings {
    version: i64,
    /// The section of the plugin, replaced as a whole by a later file, as containerd does.
    plugin: Option<Table>,
    disabled_plugins: Vec<String>,
    /// `config_path` where no file has one.
    default_paths: &'static str,
}

impl Settings {
    /// Lays a file over what was read before, and gives the patterns of its `imports`, absolute.
    ///
    /// # Errors
    /// The message of the TOML parser.
    pub(super) fn lay_over(&mut self, text: &str, path: &Path) -> Result<Vec<PathBuf>, String> {
        let document = Document::parse(text).map_err(|error| error.message().to_owned())?;
        let root = document.as_table();
        if let Some(version) = root.get("version").and_then(Item::as_integer) {
            self.version = version;
        }
        self.disabled_plugins.extend(strings(root.get("disabled_plugins")));
        let plugins = root.get("plugins").and_then(Item::as_table);
        if let Some(plugin) = plugins.and_then(|plugins| plugins.get(self.section())).and_then(Item::as_table) {
            self.plugin = Some(plugin.clone());
        }
        let directory = path.parent().unwrap_or(Path::new("/"));
        Ok(strings(root.get("imports")).into_iter().map(|pattern| directory.join(pattern)).collect())
    }

    /// Puts what containerd of this version has where no file says otherwise.
    pub(super) fn with_defaults(mut self, version: Option<Version>) -> Self {
        if version.is_some_and(Version::has_default_paths) && !self.has("mirrors") {
            self.default_paths = DEFAULT_PATHS;
        }
        self
    }

    /// The directories of `config_path`, in the order in which containerd looks through them.
    pub(super) fn roots(&self) -> Vec<PathBuf> {
        self.config_path().split(SEPARATOR).filter(|path| !path.is_empty()).map(PathBuf::from).collect()
    }

    /// What keeps containerd from reading a `hosts.toml`. A version that is not known is taken for one that has all the
    /// traps its file format allows.
    pub(super) fn findings(&self, version: Option<Version>) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.disabled_plugins.iter().any(|plugin| matches!(plugin.as_str(), "cri" | CRI | CRI_IMAGES)) {
            findings.push(Finding::cri_disabled());
        }
        let (mirrors, tls) = (self.has_mirrors(), self.has_tls());
        if self.roots().is_empty() {
            findings.push(Finding::no_config_path(self.section(), mirrors || tls, version));
            return findings;
        }
        if mirrors {
            findings.push(Finding::legacy("registry.mirrors"));
        }
        if tls && self.version < 3 {
            findings.push(Finding::legacy("registry.configs.*.tls"));
        }
        let transfer = version.map_or(self.version >= 3, Version::has_transfer_pulls);
        if self.roots().len() > 1 && transfer && !self.pulls_locally() {
            findings.push(Finding::joined(self.config_path(), self.section()));
        }
        findings
    }

    fn section(&self) -> &'static str {
        match self.version {
            ..=1 => "cri",
            2 => CRI,
            _ => CRI_IMAGES,
        }
    }

    fn config_path(&self) -> &str {
        self.registry()
            .and_then(|registry| registry.get("config_path"))
            .and_then(Item::as_str)
            .unwrap_or(self.default_paths)
    }

    fn registry(&self) -> Option<&dyn TableLike> {
        self.plugin.as_ref()?.get("registry").and_then(Item::as_table_like)
    }

    fn has(&self, name: &str) -> bool {
        let table = self.registry().and_then(|registry| registry.get(name)).and_then(Item::as_table_like);
        table.is_some_and(|table| !table.is_empty())
    }

    fn has_mirrors(&self) -> bool {
        self.has("mirrors")
    }

    fn has_tls(&self) -> bool {
        let configs = self.registry().and_then(|registry| registry.get("configs")).and_then(Item::as_table_like);
        let tls = |item: &Item| {
            item.as_table_like()
                .and_then(|host| host.get("tls"))
                .and_then(Item::as_table_like)
                .is_some_and(|tls| !tls.is_empty())
        };
        configs.is_some_and(|configs| configs.iter().any(|(_, host)| tls(host)))
    }

    /// Whether one of the settings is there that make the CRI plugin pull by itself, without the transfer service
    /// (`CheckLocalImagePullConfigs` in containerd's `config.go`).
    fn pulls_locally(&self) -> bool {
        let is = |name: &str, value: bool| self.value(name).and_then(Item::as_bool) == Some(value);
        is("use_local_image_pull", true)
            || is("disable_snapshot_annotations", false)
            || is("discard_unpacked_layers", true)
            || is("image_pull_with_sync_fs", true)
            || ["mirrors", "configs", "auths"].iter().any(|name| self.has(name))
            || self
                .value("max_concurrent_downloads")
                .and_then(Item::as_integer)
                .is_some_and(|downloads| downloads != DEFAULT_DOWNLOADS)
    }

    fn value(&self, name: &str) -> Option<&Item> {
        self.plugin.as_ref()?.get(name)
    }
}

fn strings(item: Option<&Item>) -> Vec<String> {
    let array = item.and_then(Item::as_array);
    array.into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}
