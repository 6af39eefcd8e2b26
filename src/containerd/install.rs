//! Puts our entry into the files of the served domains, and takes it out again.
//!
//! What happens to a file is decided first, as data ([`Change`]); applying it, or showing it, comes after.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::certs_dir::{HOSTS_TOML, HostsFile};
use super::hosts_toml::{HostsToml, Ownership};
use super::record::{Original, Record};
use super::{CertsDir, Entry, NodeError, Server, spegel, write};
use crate::oci::RegistryHost;

/// Mode of a file that we make: containerd reads it, also where it does not run as root.
const FILE_MODE: u32 = 0o644;
/// Mode of a file with the client token in it.
const SECRET_FILE_MODE: u32 = 0o600;
/// Mode of a directory of domains that we make.
const DIRECTORY_MODE: u32 = 0o755;

/// Plans and makes changes below one [`CertsDir`].
#[derive(Debug)]
pub struct Installer {
    certs_dir: CertsDir,
    record: Record,
    force: bool,
}

/// What happens to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// Its text now; `None`: it is not there.
    pub before: Option<String>,
    /// Its text then; `None`: it goes, and its directory where nothing else is in it.
    pub after: Option<String>,
    /// What that is called.
    pub action: Action,
    mode: u32,
    /// Its text without us; `None`: then it is not there.
    original: Option<String>,
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is made.
    Created,
    /// Our entry is put in or renewed.
    Updated,
    /// Nothing: it is as it should be.
    Unchanged,
    /// Nothing: our entry was changed by hand, which stands until `--force`.
    Kept,
    /// Our entry is taken out; what else is in the file stays.
    Withdrawn,
    /// The file goes: it was ours alone.
    Removed,
}

/// What became of one file.
#[derive(Debug)]
pub struct Outcome {
    /// The file.
    pub path: PathBuf,
    /// The change, or why there is none.
    pub result: Result<Change, NodeError>,
}

impl Installer {
    /// Works with the record of a state directory. With `force`, what was changed by hand is replaced.
    #[must_use]
    pub const fn new(certs_dir: CertsDir, record: Record, force: bool) -> Self {
        Self { certs_dir, record, force }
    }

    /// What has to happen for these domains to have our entry. With `only`, entries for all other domains go.
    ///
    /// # Errors
    /// [`NodeError`] where the directory cannot be listed; what is wrong with one file is in its [`Outcome`].
    pub fn plan_install(
        &self,
        domains: &[(RegistryHost, Server)],
        entry: &Entry,
        only: bool,
    ) -> Result<Vec<Outcome>, NodeError> {
        let mut outcomes = Vec::new();
        for (domain, server) in domains {
            let path = self.certs_dir.file(domain);
            let kept = spegel::backup_of(&path);
            outcomes.extend([Some(path), kept].into_iter().flatten().map(|path| {
                let result = self.change_to_install(&path, entry, server);
                Outcome { path, result }
            }));
        }
        if only {
            let served: Vec<PathBuf> = outcomes.iter().map(|outcome| outcome.path.clone()).collect();
            let unserved = self.certs_dir.files_of_ours()?.into_iter().filter(|path| !served.contains(path));
            outcomes.extend(unserved.map(|path| Outcome { result: self.change_to_uninstall(&path), path }));
        }
        Ok(outcomes)
    }

    /// What has to happen for no file to have our entry.
    ///
    /// # Errors
    /// [`NodeError`] where a directory cannot be listed.
    pub fn plan_uninstall(&self) -> Result<Vec<Outcome>, NodeError> {
        let files = self.certs_dir.files_of_ours()?;
        Ok(files.into_iter().map(|path| Outcome { result: self.change_to_uninstall(&path), path }).collect())
    }

    /// Makes the changes of [`plan_install`](Self::plan_install), one run at a time.
    ///
    /// # Errors
    /// [`NodeError`] where the directory cannot be made, locked or listed; what is wrong with one file is in its
    /// [`Outcome`] and keeps no other from being changed.
    pub fn install(
        self,
        domains: &[(RegistryHost, Server)],
        entry: &Entry,
        only: bool,
    ) -> Result<Vec<Outcome>, NodeError> {
        if let Some(root) = self.certs_dir.root() {
            write::create_directory(root, DIRECTORY_MODE)?;
        }
        self.apply(|installer| installer.plan_install(domains, entry, only))
    }

    /// Makes the changes of [`plan_uninstall`](Self::plan_uninstall), one run at a time.
    ///
    /// # Errors
    /// As [`install`](Self::install).
    pub fn uninstall(self) -> Result<Vec<Outcome>, NodeError> {
        self.apply(Self::plan_uninstall)
    }

    /// Makes the changes that `plan` gives once this run is the only one.
    fn apply(mut self, plan: impl Fn(&Self) -> Result<Vec<Outcome>, NodeError>) -> Result<Vec<Outcome>, NodeError> {
        let mut locks = Vec::new();
        for root in self.certs_dir.roots().iter().filter(|root| root.is_dir()) {
            locks.push(lock(root)?);
            write::clean_up(root)?;
            spegel::backup(root).as_deref().map_or(Ok(()), write::clean_up)?;
        }
        self.record.reload()?;
        let mut outcomes = plan(&self)?;
        for outcome in &mut outcomes {
            if let Ok(change) = &outcome.result
                && let Err(error) = self.make(change)
            {
                outcome.result = Err(error);
            }
        }
        Ok(outcomes)
    }

    fn change_to_install(&self, path: &Path, entry: &Entry, server: &Server) -> Result<Change, NodeError> {
        let HostsFile { text: before } = HostsFile::read(path)?;
        let parsed = spegel::parse(path, before.as_deref().unwrap_or_default());
        if parsed.is_copy_of(entry) && matches!(server, Server::Fallback(_)) {
            return Ok(Change::none(path, before, Action::Unchanged));
        }
        let by_hand = match parsed.ownership() {
            Ownership::Altered => true,
            Ownership::Absent => parsed.names_by_hand(entry.mirror()),
            Ownership::Intact => false,
        };
        if by_hand && !self.force {
            return Ok(Change::none(path, before, Action::Kept));
        }
        let after =
            parsed.with(entry, server).map_err(|source| NodeError::Merge { path: path.to_path_buf(), source })?;
        let old_mode = mode(path);
        let mode = if entry.is_secret() { SECRET_FILE_MODE } else { old_mode.unwrap_or(FILE_MODE) };
        let action = match &before {
            None => Action::Created,
            Some(before) if *before == after && old_mode == Some(mode) => Action::Unchanged,
            Some(_) => Action::Updated,
        };
        // Should the record of it be lost while our entry is in it, a file with nothing else was ours.
        let bare = parsed.ownership() == Ownership::Absent || !parsed.foreign().trim().is_empty();
        let original = before.is_some().then(|| parsed.foreign().to_owned()).filter(|_| bare);
        Ok(Change { path: path.to_path_buf(), before, after: Some(after), action, mode, original })
    }

    fn change_to_uninstall(&self, path: &Path) -> Result<Change, NodeError> {
        let HostsFile { text: before } = HostsFile::read(path)?;
        let text = before.clone().unwrap_or_default();
        let parsed = spegel::parse(path, &text);
        match parsed.ownership() {
            Ownership::Absent => return Ok(Change::none(path, before, Action::Unchanged)),
            Ownership::Altered if !self.force => return Ok(Change::none(path, before, Action::Kept)),
            Ownership::Altered | Ownership::Intact => {}
        }
        let original = self.record.original(path);
        let after = match original {
            Some(original) if original.is_written(&text) => original.text.clone(),
            Some(Original { text: Some(was), .. }) if was.trim().is_empty() => Some(parsed.foreign().to_owned()),
            // A file with nothing else in it was ours, or all that was in it has gone since.
            _ => Some(parsed.foreign().to_owned()).filter(|text| !text.trim().is_empty()),
        };
        let action = if after.is_some() { Action::Withdrawn } else { Action::Removed };
        let mode = original.map(|original| original.mode).or(mode(path)).unwrap_or(FILE_MODE);
        Ok(Change { path: path.to_path_buf(), before, original: after.clone(), after, action, mode })
    }

    fn make(&mut self, change: &Change) -> Result<(), NodeError> {
        let directory = change.path.parent().unwrap_or(Path::new("."));
        match (change.action, &change.after) {
            (Action::Created | Action::Updated, Some(after)) => {
                self.remember(change, after)?;
                if directory.is_dir() {
                    return write::replace(&change.path, after, change.mode);
                }
                write::create_with_file(directory, HOSTS_TOML, after, change.mode)
            }
            (Action::Withdrawn, Some(after)) => {
                write::replace(&change.path, after, change.mode)?;
                self.record.forget(&change.path)
            }
            (Action::Removed, _) => {
                if self.record.original(&change.path).is_some_and(|original| original.directory) {
                    write::remove(&change.path)?;
                } else {
                    write::remove_with_directory(directory, HOSTS_TOML)?;
                }
                self.record.forget(&change.path)
            }
            _ => Ok(()),
        }
    }

    /// Puts down what the file was, where that is not known already, before it is touched.
    fn remember(&mut self, change: &Change, after: &str) -> Result<(), NodeError> {
        let ours = change.before.as_deref().map(HostsToml::parse).map(|parsed| parsed.ownership());
        let known = self.record.original(&change.path).filter(|_| ours.is_some_and(|ours| ours != Ownership::Absent));
        let original = match known {
            Some(original) => original.clone(),
            None => {
                // A directory that Spegel made goes with it.
                let kept = spegel::backup_of(&change.path).is_none();
                let directory = kept && change.path.parent().is_some_and(Path::is_dir);
                Original::new(change.original.clone(), mode(&change.path).unwrap_or(FILE_MODE), directory)
            }
        };
        self.record.remember(&change.path, &original, after)
    }
}

impl Change {
    fn none(path: &Path, before: Option<String>, action: Action) -> Self {
        Self {
            path: path.to_path_buf(),
            after: before.clone(),
            original: before.clone(),
            before,
            action,
            mode: FILE_MODE,
        }
    }
}

fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|metadata| metadata.permissions().mode() & 0o7777)
}

/// Waits until no other run works in this directory; let go when the file is closed, also by a kill.
fn lock(root: &Path) -> Result<File, NodeError> {
    let lock = || {
        let directory = File::open(root)?;
        directory.lock()?;
        Ok(directory)
    };
    lock().map_err(NodeError::io("cannot lock", root))
}
