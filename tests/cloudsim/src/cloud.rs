//! The running simulator: starting it, steering it, and what a client needs to know of it.
//!
//! [`CloudSim`] owns the sockets and the files; dropping it closes every connection and removes the files. All other
//! state is behind handles that services share, so a test may steer while requests are under way.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::fault::{Fault, FaultId, Faults};
use crate::image::Image;
use crate::issue;
use crate::journal::Journal;
use crate::oss::Oss;
use crate::oss::signature::{UrlSigner, sha256};
use crate::pace::Paces;
use crate::pki::{Pki, PkiError};
use crate::ram::{Directory, Instance, setup};
use crate::realm::{Realm, logins_of};
use crate::registry::Registry;
use crate::server::{World, accept, scripted_realm};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::store::{InstanceSpec, Manifest, Store};

/// Lifetime of the projected service-account token, as the webhook asks for it.
const OIDC_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_secs(3_600);

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket or a file could not be made.
    #[error("cloudsim could not open its sockets or files: {0}")]
    Io(#[from] io::Error),
    /// The private certificate authority could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// There is no instance of that name.
#[derive(Debug, thiserror::Error)]
#[error("cloudsim has no instance {name}: name one by its id or by one of its domains")]
pub struct UnknownInstance {
    name: String,
}

/// What is different from the default world; see [`CloudSim::builder`].
#[derive(Debug, Default)]
pub struct CloudSimBuilder {
    directory: Option<Directory>,
    port: u16,
    settings: Settings,
}

/// A running simulator.
#[derive(Debug)]
pub struct CloudSim {
    world: Arc<World>,
    tls_addr: SocketAddr,
    imds_addr: SocketAddr,
    ca_pem: String,
    files: TempDir,
    /// Aborted on drop, with every connection they hold.
    _servers: JoinSet<()>,
}

impl CloudSimBuilder {
    /// Starts from these accounts instead of [`setup::directory`].
    #[must_use]
    pub fn directory(self, directory: Directory) -> Self {
        Self { directory: Some(directory), ..self }
    }

    /// Listens for TLS on this port; 0, the default, takes a free one.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Starts with these settings.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Starts the simulator on the present runtime.
    ///
    /// # Errors
    /// When a socket, a file or a certificate cannot be made.
    pub async fn start(self) -> Result<CloudSim, StartError> {
        let directory = self.directory.unwrap_or_else(setup::directory);
        let shared = Shared::default();
        shared.settings.change(|settings| *settings = self.settings);
        let key = (issue::session_key_id(), issue::secret(), issue::security_token());
        let signer = Arc::new(UrlSigner::new(&key.0, &key.1, &key.2));
        let world = Arc::new(World {
            realm: Realm::new(&shared, logins_of(&directory)),
            registry: Registry::new(&shared, Arc::clone(&signer)),
            oss: Oss { store: Arc::clone(&shared.store), signer },
            directory,
            shared,
            clock: Clock::default(),
            journal: Journal::default(),
            faults: Faults::default(),
            paces: Paces::default(),
        });

        let pki = Arc::new(Pki::new()?);
        let tls = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        let imds = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (tls_addr, imds_addr) = (tls.local_addr()?, imds.local_addr()?);
        let mut servers = JoinSet::new();
        servers.spawn(accept::serve_tls(tls, Arc::clone(&world), pki.faces()?));
        servers.spawn(accept::serve_metadata(imds, Arc::clone(&world)));

        let files = tempfile::Builder::new().prefix("cloudsim-").tempdir()?;
        let cloud = CloudSim { world, tls_addr, imds_addr, ca_pem: pki.ca_pem(), files, _servers: servers };
        cloud.stock_instances();
        cloud.write_ca(&cloud.ca_file())?;
        cloud.rotate_oidc_token()?;
        Ok(cloud)
    }
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

    /// Adds an Enterprise Edition instance, to the accounts and to the registry.
    pub fn add_instance(&self, instance: Instance) {
        self.store().add(spec_of(&instance));
        self.world.directory.add_instance(instance);
    }

    /// Adds the Personal Edition of an account in a region.
    pub fn add_personal_edition(&self, account: &str, region: &str) {
        self.world.directory.add_personal_edition(account, region);
        self.stock_personal_edition(region);
    }

    /// Pushes an image under a tag. `instance` is an id or a domain.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn push(&self, instance: &str, repository: &str, tag: &str, image: &Image) -> Result<(), UnknownInstance> {
        let store = self.instance(instance)?;
        for (digest, bytes) in &image.blobs {
            store.put_blob(repository, digest, bytes.clone());
        }
        for (digest, manifest) in &image.manifests {
            let tag = (*digest == image.digest).then_some(tag);
            store.put_manifest(repository, tag, digest, manifest.clone());
        }
        Ok(())
    }

    /// Pushes any bytes as a manifest, for what no [`Image`] holds; gives its digest.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn push_manifest(
        &self,
        instance: &str,
        repository: &str,
        tag: Option<&str>,
        manifest: Manifest,
    ) -> Result<String, UnknownInstance> {
        let digest = sha256(&manifest.bytes);
        self.instance(instance)?.put_manifest(repository, tag, &digest, manifest);
        Ok(digest)
    }

    /// Pushes any bytes as a blob; gives its digest.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn push_blob(&self, instance: &str, repository: &str, bytes: Bytes) -> Result<String, UnknownInstance> {
        let digest = sha256(&bytes);
        self.instance(instance)?.put_blob(repository, &digest, bytes);
        Ok(digest)
    }

    /// Deletes a tag, or a manifest by digest.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn delete_manifest(&self, instance: &str, repository: &str, reference: &str) -> Result<(), UnknownInstance> {
        self.instance(instance)?.remove_manifest(repository, reference);
        Ok(())
    }

    /// Deletes a blob from the bucket, so that a manifest names what is not there.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn delete_blob(&self, instance: &str, digest: &str) -> Result<(), UnknownInstance> {
        self.instance(instance)?.remove_blob(digest);
        Ok(())
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

    fn instance(&self, name: &str) -> Result<Arc<crate::store::Instance>, UnknownInstance> {
        self.store().by_name(name).ok_or_else(|| UnknownInstance { name: name.to_owned() })
    }

    /// Gives every instance of the directory a store, and the node's region a Personal Edition.
    fn stock_instances(&self) {
        for instance in self.world.directory.instances() {
            self.store().add(spec_of(&instance));
        }
        if let Some(node) = self.world.directory.node() {
            self.stock_personal_edition(&node.region);
        }
    }

    fn stock_personal_edition(&self, region: &str) {
        let domains = ["registry", "registry-vpc", "registry-internal"];
        self.store().add(InstanceSpec {
            instance_id: None,
            region: region.to_owned(),
            domains: domains.map(|name| format!("{name}.{region}.aliyuncs.com")).to_vec(),
        });
    }
}

fn spec_of(instance: &Instance) -> InstanceSpec {
    InstanceSpec {
        instance_id: Some(instance.id.clone()),
        region: instance.region.clone(),
        domains: instance.domains(),
    }
}
