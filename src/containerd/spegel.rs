//! Beside Spegel, which lets the nodes of a cluster share layers and keeps the whole directory of `hosts.toml` files.
//!
//! What it does there (spegel-org/spegel, `pkg/oci/containerd/mirror.go`): at its first start everything moves into
//! `_backup`. At each start everything else is removed and written anew: its own hosts for each registry it mirrors and
//! behind them, with `prependExisting`, those that `_backup` has for the registry, without their comments. When it is
//! removed, what is in `_backup` comes back and all else goes.
//!
//! So our entry belongs into both files: behind the hosts of Spegel in the one that containerd reads, where the daemon is
//! asked once no node has the layer, and into the one that Spegel copies and puts back. A copy is known by its original.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::hosts_toml::HostsToml;
use super::write;

/// Where Spegel keeps what it has found.
const BACKUP: &str = "_backup";

/// The directories of domains that Spegel keeps below this one; none where it was never here.
pub(super) fn backup(root: &Path) -> Option<PathBuf> {
    let backup = root.join(BACKUP);
    (root.file_name() != Some(OsStr::new(BACKUP)) && !backup.is_symlink() && backup.is_dir()).then_some(backup)
}

/// The file that Spegel keeps for the domain of this one.
pub(super) fn backup_of(file: &Path) -> Option<PathBuf> {
    let directory = file.parent()?;
    Some(backup(directory.parent()?)?.join(directory.file_name()?).join(file.file_name()?))
}

/// Takes a file apart in view of the one that Spegel keeps for its domain.
pub(super) fn parse(file: &Path, text: &str) -> HostsToml {
    let parsed = HostsToml::parse(text);
    match backup_of(file) {
        None => parsed,
        // One that cannot be read says nothing: then all hosts here are Spegel's.
        Some(kept) => parsed.beside(&HostsToml::parse(&write::read(&kept).ok().flatten().unwrap_or_default())),
    }
}
