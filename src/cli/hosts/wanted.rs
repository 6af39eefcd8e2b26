//! What `hosts` is to write: the entry, and the domains that get it.

use super::super::output::{Failure, warn};
use super::{Entries, daemon};
use crate::config::{Config, Domains, client_token};
use crate::containerd::{Discovery, Entry, InvalidToken, Server, Version};
use crate::oci::RegistryHost;
use crate::secret::Secret;

/// What the settings ask for.
#[derive(PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) entry: Entry,
    pub(super) domains: Vec<(RegistryHost, Server)>,
    /// Whether every domain is known.
    pub(super) complete: bool,
}

impl Wanted {
    pub(super) fn new(config: &Config, entries: &Entries, found: &Discovery) -> Result<Self, Failure> {
        let token = config.client_token_file.as_deref().map(client_token).transpose();
        let token = token.map_err(|error| Failure::runtime(error.to_string(), error.advice()))?;
        Self::with_token(config, entries, found, token)
    }

    /// The same with this client token.
    pub(super) fn with_token(
        config: &Config,
        entries: &Entries,
        found: &Discovery,
        token: Option<Secret>,
    ) -> Result<Self, Failure> {
        note_absent_ca(config);
        Self::of(config, entries, found, token, domains(config))
    }

    /// The same with the domains that the daemon has a login for now, which listens where it says.
    pub(super) fn served(
        config: &Config,
        entries: &Entries,
        found: &Discovery,
        token: Option<Secret>,
        status: &daemon::Status,
    ) -> Result<Self, Failure> {
        let config = Config { listen: status.listen, ..config.clone() };
        let ready = status.instances.iter().filter(|instance| instance.ready);
        let domains: Vec<_> = ready.flat_map(daemon::Instance::domains).collect();
        let complete = status.ready && status.instances.iter().all(|instance| instance.domains().next().is_some());
        Self::of(&config, entries, found, token, (domains, complete))
    }

    fn of(
        config: &Config,
        entries: &Entries,
        found: &Discovery,
        token: Option<Secret>,
        (domains, complete): (Vec<RegistryHost>, bool),
    ) -> Result<Self, Failure> {
        let next = "run `acr-pull-proxy hosts install --rotate-token`";
        let entry = entry_with(config, found, token).map_err(|error| Failure::runtime(error.to_string(), next))?;
        let server = |domain: &RegistryHost| match entries.strict {
            true => Server::Strict,
            false => Server::Fallback(domain.clone()),
        };
        let domains = domains.into_iter().map(|domain| (domain.clone(), server(&domain))).collect();
        Ok(Self { entry, domains, complete })
    }
}

/// The entry that containerd of this version is to find.
pub(super) fn entry(config: &Config, found: &Discovery) -> Result<Entry, String> {
    let token = config.client_token_file.as_deref().map(client_token).transpose();
    let token = token.map_err(|error| format!("{error}; {}", error.advice()))?;
    note_absent_ca(config);
    entry_with(config, found, token).map_err(|error| error.to_string())
}

/// The entry as far as the configuration alone decides on it, without a client token.
pub(super) fn bare(config: &Config) -> Entry {
    let entry = Entry::new(config.listen);
    match &config.tls {
        Some(tls) => entry.with_tls(tls.ca_file.clone()),
        None => entry,
    }
}

fn entry_with(config: &Config, found: &Discovery, token: Option<Secret>) -> Result<Entry, InvalidToken> {
    let mut entry = bare(config);
    if found.version.is_some_and(Version::honours_dial_timeout) {
        entry = entry.with_dial_timeout();
    }
    match token {
        Some(token) => entry.with_token(token),
        None => Ok(entry),
    }
}

/// Says so where containerd is to verify the daemon by a file that is not there.
pub(super) fn note_absent_ca(config: &Config) {
    if let Some(ca) = config.tls.as_ref().and_then(|tls| tls.ca_file.as_deref()).filter(|ca| !ca.exists()) {
        warn(&format!(
            "note: {} (tls.caFile) is not there, and containerd fails every pull without it\n",
            ca.display()
        ));
    }
}

/// The served domains, and whether these are all: those that the cloud names for an instance are known to a running
/// daemon only.
fn domains(config: &Config) -> (Vec<RegistryHost>, bool) {
    let mut domains: Vec<RegistryHost> =
        config.instances.iter().flat_map(|instance| instance.domains.named()).cloned().collect();
    let open: Vec<_> = config.instances.iter().filter(|instance| instance.domains == Domains::Discover).collect();
    if open.is_empty() {
        return (domains, true);
    }
    let known = daemon::domains(config.admin).unwrap_or_default();
    let mut complete = true;
    for instance in open {
        match known.get(instance.id.as_str()) {
            Some(names) if !names.is_empty() => domains.extend(names.iter().cloned()),
            _ => {
                complete = false;
                warn(&format!(
                    "note: the domains of {} are known to the running daemon only, and {} does not tell them now; run \
                     this again when the daemon is ready, or set 'domains'\n",
                    instance.id, config.admin
                ));
            }
        }
    }
    (domains, complete)
}
