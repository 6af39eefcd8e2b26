//! The running simulator: starting it, steering it, and what a client needs to know of it.
//!
//! [`CloudSim`] owns the sockets and the files; dropping it closes every connection and removes the files. All other
//! state is behind handles that services share, so a test may steer while requests are under way.

mod content;
mod start;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::fault::{Fault, FaultId, Faults};
use crate::journal::Journal;
use crate::pace::Paces;
use crate::pki::{Pki, PkiError};
use crate::ram::{Directory, setup};
use crate::server::{World, scripted_realm};
use crate::settings::Settings;
use crate::store::Store;
pub use content::UnknownInstance;
pub use start::{CloudSimBuilder, StartError};

/// Lifetime of the projected service-account token, as the webhook asks for it.
const OIDC_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_secs(3_600);

/// A running simulator.
#[derive(Debug)]
pub struct CloudSim {
    world: Arc<World>,
    tls_addr: SocketAddr,
    imds_addr: SocketAddr,
    pki: Arc<Pki>,
    ca_pem: String,
    files: TempDir,
    /// Aborted on drop, with every connection they hold.
    _servers: JoinSet<()>,
}

impl CloudSim {
    /// Starts the default world: accounts A and B, one Enterprise Edition instance, one Personal Edition.
    ///
    /// # Errors
    /// When a socket, a file or a certificate cannot be made.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Starts something else.
    #[must_use]
    pub fn builder() -> CloudSimBuilder {
        CloudSimBuilder::default()
    }

    /// The accounts: users, roles, permissions, logins, the node's metadata.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.world.directory
    }

    /// The cloud's time.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.world.clock
    }

    /// What was asked so far.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.world.journal
    }

    /// The scripted faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.world.faults
    }

    /// Puts a fault in force; short for `faults().add(..)`.
    pub fn fault(&self, fault: Fault) -> FaultId {
        self.world.faults.add(fault)
    }

    /// The simulated network.
    #[must_use]
    pub fn paces(&self) -> &Paces {
        &self.world.paces
    }

    /// Changes how realm, registry and blob URLs behave, from the next request on.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        self.world.shared.settings.change(change);
    }

    /// Makes the registry refuse every bearer issued so far, long before they expire.
    pub fn revoke_bearers(&self) {
        self.world.shared.generation.end();
    }

    /// Every secret this cloud configured or issued: keys, tokens, passwords, bearers, signatures of blob URLs.
    #[must_use]
    pub fn issued_secrets(&self) -> Vec<String> {
        let mut secrets = self.world.directory.issued_secrets();
        secrets.extend(self.world.oss.signer.secrets().map(str::to_owned));
        secrets.extend(self.world.shared.ledger.all());
        secrets
    }

    /// Where every https name is served.
    #[must_use]
    pub fn tls_addr(&self) -> SocketAddr {
        self.tls_addr
    }

    /// The base URL of the metadata service.
    #[must_use]
    pub fn imds_url(&self) -> String {
        format!("http://{}", self.imds_addr)
    }

    /// The private authority's certificate, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A certificate of that authority for a name, and its key, both PEM: for a server that stands in front of this one.
    ///
    /// # Errors
    /// When the name cannot stand in a certificate.
    pub fn certificate(&self, name: &str) -> Result<(String, String), PkiError> {
        self.pki.certificate(name)
    }

    /// A file with [`CloudSim::ca_pem`], gone when the simulator is dropped.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// Writes [`CloudSim::ca_pem`] to a file that stays.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_ca(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, &self.ca_pem)
    }

    /// The projected service-account token, as the kubelet would mount it; gone when the simulator is dropped.
    #[must_use]
    pub fn oidc_token_file(&self) -> PathBuf {
        self.files.path().join("token")
    }

    /// Replaces the token file by a fresh token in one step, as the kubelet does.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn rotate_oidc_token(&self) -> io::Result<()> {
        let token = self.world.directory.oidc_token(setup::SUBJECT, self.world.clock.now(), OIDC_TOKEN_LIFETIME);
        let fresh = self.files.path().join("token.new");
        std::fs::write(&fresh, token)?;
        std::fs::rename(fresh, self.oidc_token_file())
    }

    /// Every https name that is served, with the address to reach it at: the daemon's `network.hosts`.
    #[must_use]
    pub fn hosts(&self) -> Vec<(String, SocketAddr)> {
        let mut names = BTreeSet::from(["dockerauth.aliyuncs.com".to_owned(), "sts.aliyuncs.com".to_owned()]);
        let instances = self.store().all();
        let mut regions: BTreeSet<String> = instances.iter().map(|instance| instance.spec.region.clone()).collect();
        regions.extend(self.world.directory.node().map(|node| node.region));
        for region in &regions {
            for service in ["cr", "cr-vpc", "sts", "sts-vpc"] {
                names.insert(format!("{service}.{region}.aliyuncs.com"));
            }
            for realm in ["dockerauth", "dockerauth-vpc", "dockerauth-ee", "dockerauth-ee-vpc"] {
                names.insert(format!("{realm}.{region}.aliyuncs.com"));
                names.insert(format!("{realm}-{region}.aliyuncs.com"));
            }
            names.insert(format!("*.oss-{region}.aliyuncs.com"));
            names.insert(format!("*.oss-{region}-internal.aliyuncs.com"));
        }
        names.extend(instances.iter().flat_map(|instance| instance.spec.domains.iter().cloned()));
        names.extend(scripted_realm(&self.world.shared.settings.now().realm.host));
        names.into_iter().map(|name| (name, self.tls_addr)).collect()
    }

    fn store(&self) -> &Store {
        &self.world.shared.store
    }
}

#[cfg(test)]
mod tests;
