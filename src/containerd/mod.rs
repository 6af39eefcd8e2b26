//! containerd on this node: where it looks for mirrors, and our entry in its `hosts.toml` files.
//!
//! Promises: only our own entry is touched; at every instant each file is either the old or the new one, whole; what was
//! there before comes back byte for byte; a configuration that containerd would ignore or choke on is found before
//! anything is written. Must not: edit `config.toml`, restart containerd, or know what the daemon's settings are.

mod certs_dir;
mod config_toml;
mod diff;
mod discover;
mod entry;
mod finding;
mod hosts_toml;
mod install;
#[cfg(any(test, fuzzing))]
pub(crate) mod invariants;
mod judge;
mod process;
mod record;
mod spegel;
mod version;
mod write;

use std::io;
use std::path::{Path, PathBuf};

pub use certs_dir::{CertsDir, DomainState, State};
pub use diff::unified;
pub use discover::{Discovery, Lookup, discover};
pub use entry::{Entry, InvalidToken, Server, masked};
pub use finding::{Finding, Kind};
pub use hosts_toml::{HostsToml, MergeError, Ownership};
pub use install::{Action, Change, Installer, Outcome};
pub use judge::{Grade, Judged, Judgement};
pub use record::Record;
pub use version::Version;

/// Why something on the node could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The file system refused.
    #[error("{what} {}", path.display())]
    Io {
        /// What was tried, as "cannot write".
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// The answer of the system.
        #[source]
        source: io::Error,
    },
    /// A `hosts.toml` cannot take our entry.
    #[error("{}", path.display())]
    Merge {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: MergeError,
    },
    /// A link stands where a file or directory is expected: writing through it could change another domain.
    #[error("{} is a symbolic link", .0.display())]
    Link(PathBuf),
    /// Certificates in Docker's layout, which containerd reads only as long as there is no `hosts.toml` beside them
    /// (containerd, docs/hosts.md).
    #[error("{} holds certificates that containerd would no longer read once a hosts.toml stands beside them", .0.display())]
    DockerCertificates(PathBuf),
    /// The installer's record is not what we write.
    #[error("the record {} cannot be understood", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl NodeError {
    /// The next step, as one short imperative sentence without a full stop.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Io { .. } => "run as root, and check that the file system is writable",
            Self::Merge { source, .. } => source.advice(),
            Self::Link(_) => "put a file of its own in its place, or add the entry of 'hosts print' by hand",
            Self::DockerCertificates(_) => {
                "write a hosts.toml there that names them (ca = \"...\", client = ...), then install again"
            }
            Self::Record { .. } => "move the file away; entries are then removed by their markers alone",
        }
    }

    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }
}
