//! Starting a simulator: wiring the services together and opening the sockets.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::CloudSim;
use crate::clock::Clock;
use crate::fault::Faults;
use crate::issue;
use crate::journal::Journal;
use crate::oss::Oss;
use crate::oss::signature::UrlSigner;
use crate::pace::Paces;
use crate::pki::{Pki, PkiError};
use crate::ram::{Directory, setup};
use crate::realm::{Realm, logins_of};
use crate::registry::Registry;
use crate::server::{World, accept};
use crate::settings::Settings;
use crate::shared::Shared;

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

/// What is different from the default world; see [`CloudSim::builder`].
#[derive(Debug, Default)]
pub struct CloudSimBuilder {
    directory: Option<Directory>,
    port: u16,
    settings: Settings,
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
        let cloud = CloudSim { world, tls_addr, imds_addr, ca_pem: pki.ca_pem(), pki, files, _servers: servers };
        cloud.stock_instances();
        cloud.write_ca(&cloud.ca_file())?;
        cloud.rotate_oidc_token()?;
        Ok(cloud)
    }
}
