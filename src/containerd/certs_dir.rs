//! The directories that `config_path` names, as containerd looks through them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;

use super::entry::{Entry, Server};
use super::hosts_toml::{HostsToml, Ownership};
use super::{NodeError, spegel, write};
use crate::oci::RegistryHost;

/// The file with the hosts of one domain.
pub(super) const HOSTS_TOML: &str = "hosts.toml";
/// The directory for all domains that have none of their own.
const DEFAULT: &str = "_default";

/// The directories in which containerd looks for the hosts of a domain; the first is the one we write to.
#[derive(Debug, Clone)]
pub struct CertsDir {
    roots: Vec<PathBuf>,
}

/// What is known of one domain.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainState {
    /// The domain.
    pub domain: String,
    /// Its file.
    pub path: PathBuf,
    /// How it is.
    #[serde(flatten)]
    pub state: State,
    /// The other hosts in its file, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_hosts: Vec<String>,
}

/// How the entry of a domain is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum State {
    /// There is no file.
    Absent,
    /// Our entry is there as 'install' would write it.
    Ours,
    /// Our entry is there as it was written for other settings.
    Outdated,
    /// Our entry was changed by hand, or written by hand without markers.
    ChangedByHand,
    /// The file is somebody else's, and our entry is not in it.
    OtherEntries,
    /// containerd does not get to see the file, since it finds this first.
    Shadowed {
        /// What it finds.
        by: PathBuf,
    },
    /// The file is for root only, as one with the client token is, and we are not root.
    Sealed,
    /// The file cannot take our entry, or cannot be read.
    Unusable {
        /// Why.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
}

impl CertsDir {
    /// Looks through these, in this order. Without any, nothing is found.
    #[must_use]
    pub const fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots }
    }

    /// The directory that new entries go to.
    #[must_use]
    pub fn root(&self) -> Option<&Path> {
        self.roots.first().map(PathBuf::as_path)
    }

    /// Every directory of domains.
    #[must_use]
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// The `hosts.toml` of a domain: in the directory that containerd takes now, else where it will find one first.
    #[must_use]
    pub fn file(&self, domain: &RegistryHost) -> PathBuf {
        let taken = self.taken(domain);
        let directory = match taken.as_deref().and_then(Path::parent) {
            // In another root than this one, ours would be overlooked, or would hide what is there.
            Some(root) if taken.as_ref().is_some_and(|taken| taken.ends_with(DEFAULT)) => {
                root.join(&directory_names(domain)[0])
            }
            _ => taken.unwrap_or_else(|| self.root().unwrap_or(Path::new("")).join(&directory_names(domain)[0])),
        };
        directory.join(HOSTS_TOML)
    }

    /// How the entry of a served domain is.
    #[must_use]
    pub fn state(&self, domain: &RegistryHost, entry: &Entry, server: &Server) -> DomainState {
        let path = self.file(domain);
        let (state, other_hosts) = file_state(&path, entry, server);
        if matches!(state, State::Absent | State::OtherEntries)
            && let Some(by) = self.taken(domain)
            && let Some(path) = self.overlooked(domain, &path)
        {
            return DomainState { domain: domain.to_string(), path, state: State::Shadowed { by }, other_hosts };
        }
        DomainState { domain: domain.to_string(), path, state, other_hosts }
    }

    /// Whether the file of a domain leads to the mirror at all, whoever wrote it and in whatever form. k3s and RKE2 put
    /// the path behind the address that containerd would put there by itself.
    pub(super) fn leads_to(&self, domain: &RegistryHost, mirror: &str) -> bool {
        is_among(&HostsToml::hosts(&self.text(domain)), mirror)
    }

    /// The same without our entry.
    pub(super) fn leads_to_by_others(&self, domain: &RegistryHost, mirror: &str) -> bool {
        is_among(&HostsToml::parse(&self.text(domain)).other_hosts(), mirror)
    }

    /// What the file of a domain says; nothing where it is not there or cannot be read.
    fn text(&self, domain: &RegistryHost) -> String {
        HostsFile::read(&self.file(domain)).ok().and_then(|file| file.text).unwrap_or_default()
    }

    /// The directory that containerd takes for a domain: the roots one by one, `_default` before the next root
    /// (`hostPaths` in its `config_unix.go`, `hostDirFromRoots` in its `image_pull.go`).
    fn taken(&self, domain: &RegistryHost) -> Option<PathBuf> {
        let names = directory_names(domain);
        let names = || names.iter().map(String::as_str).chain([DEFAULT]);
        self.roots.iter().flat_map(|root| names().map(move |name| root.join(name))).find(|directory| directory.is_dir())
    }

    /// A file with an entry of ours for this domain, other than the one at `path`.
    fn overlooked(&self, domain: &RegistryHost, path: &Path) -> Option<PathBuf> {
        let names = directory_names(domain);
        let mut files =
            self.roots.iter().flat_map(|root| names.iter().map(move |name| root.join(name).join(HOSTS_TOML)));
        files.find(|file| file != path && is_ours(file))
    }

    /// Every file with an entry of ours, whatever domain it is for.
    ///
    /// # Errors
    /// [`NodeError`] where a directory cannot be listed.
    pub fn files_of_ours(&self) -> Result<Vec<PathBuf>, NodeError> {
        let mut files = Vec::new();
        let kept: Vec<_> = self.roots.iter().filter_map(|root| spegel::backup(root)).collect();
        for root in self.roots.iter().chain(&kept).filter(|root| root.is_dir()) {
            let list = || fs::read_dir(root)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
            for directory in list().map_err(NodeError::io("cannot list", root))? {
                let file = directory.join(HOSTS_TOML);
                // We write through no link, and what it leads to is met under its own name.
                if !directory.is_symlink() && is_ours(&file) {
                    files.push(file);
                }
            }
        }
        // Copies before what they are known by, should we be killed in between.
        files.sort_by_cached_key(|file| (spegel::backup_of(file).is_none(), file.clone()));
        Ok(files)
    }
}

/// A `hosts.toml` as it stands.
pub(super) struct HostsFile {
    /// `None`: it is not there.
    pub(super) text: Option<String>,
}

impl HostsFile {
    /// Reads a file that may be changed: no link, and no certificates beside it that it would hide.
    pub(super) fn read(path: &Path) -> Result<Self, NodeError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        for link in [directory, path] {
            if link.is_symlink() {
                return Err(NodeError::Link(link.to_path_buf()));
            }
        }
        let text = write::read(path)?;
        if text.is_none() && has_docker_certificates(directory) {
            return Err(NodeError::DockerCertificates(directory.to_path_buf()));
        }
        Ok(Self { text })
    }
}

/// Whether there is an entry of ours in a file, or may be: ours are for root only where they hold the client token.
fn is_ours(file: &Path) -> bool {
    match write::read(file) {
        Ok(text) => spegel::parse(file, &text.unwrap_or_default()).ownership() != Ownership::Absent,
        Err(NodeError::Io { source, .. }) => source.kind() == io::ErrorKind::PermissionDenied,
        Err(_) => false,
    }
}

/// How our entry in one file is, and the other hosts in it.
fn file_state(path: &Path, entry: &Entry, server: &Server) -> (State, Vec<String>) {
    let text = match HostsFile::read(path) {
        Err(NodeError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            return (State::Sealed, Vec::new());
        }
        Err(error) => return (unusable(&error), Vec::new()),
        Ok(HostsFile { text: None }) => return (State::Absent, Vec::new()),
        Ok(HostsFile { text: Some(text) }) => text,
    };
    let parsed = spegel::parse(path, &text);
    let state = match parsed.ownership() {
        Ownership::Altered => State::ChangedByHand,
        Ownership::Absent if parsed.names_by_hand(entry.mirror()) => State::ChangedByHand,
        Ownership::Absent => State::OtherEntries,
        Ownership::Intact if parsed.is_copy_of(entry) => State::Ours,
        Ownership::Intact => match parsed.with(entry, server) {
            Ok(wanted) if wanted == text => State::Ours,
            Ok(_) => State::Outdated,
            Err(source) => unusable(&NodeError::Merge { path: path.to_path_buf(), source }),
        },
    };
    (state, parsed.other_hosts().into_iter().filter(|host| host != entry.mirror()).collect())
}

/// Whether one of the hosts is the mirror, also with the path that containerd would add.
fn is_among(hosts: &[String], mirror: &str) -> bool {
    hosts.iter().any(|host| host.trim_end_matches('/').trim_end_matches("/v2") == mirror)
}

/// Whether there are certificates in Docker's layout (containerd, docs/hosts.md).
fn has_docker_certificates(directory: &Path) -> bool {
    let certificate = |path: PathBuf| matches!(path.extension().and_then(OsStr::to_str), Some("crt" | "cert" | "key"));
    fs::read_dir(directory).is_ok_and(|entries| entries.flatten().any(|entry| certificate(entry.path())))
}

/// The names a domain's directory may have, in the order in which containerd tries them.
fn directory_names(domain: &RegistryHost) -> Vec<String> {
    match domain.as_str().split_once(':') {
        Some((host, port)) => vec![format!("{host}_{port}_"), domain.to_string()],
        None => vec![domain.to_string()],
    }
}

fn unusable(error: &NodeError) -> State {
    State::Unusable { reason: crate::error::chain(error), advice: error.advice() }
}
