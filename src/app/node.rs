//! How containerd on this node is set up, looked at now and then for the status page.
//!
//! Promises: nothing is changed, and nobody who asks for the page waits for a look. Where containerd's configuration
//! cannot be seen, as in a container of its own, there is nothing to tell.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::Task;
use super::fleet::Fleet;
use crate::admin::status::{ContainerdStatus, DomainStatus, FindingStatus};
use crate::config::{Tls, client_token};
use crate::containerd::{Discovery, Entry, Kind, Lookup, Server, State, discover};
use crate::oci::RegistryHost;

/// How often the files of the served domains are read: soon enough for somebody who has just installed them.
const PAUSE: Duration = Duration::from_secs(5);

/// After so many looks containerd itself is asked again, which takes a process each time: it has its settings from its
/// own start.
const LOOKS_PER_DISCOVERY: u32 = 120;

/// What the looks need to know.
#[derive(Debug, Clone)]
pub(super) struct Params {
    /// Where to look.
    pub(super) lookup: Lookup,
    /// The address that entries have to name.
    pub(super) listen: SocketAddr,
    /// Whether and how it speaks TLS.
    pub(super) tls: Option<Tls>,
    /// The client token that entries have to carry.
    pub(super) client_token_file: Option<PathBuf>,
}

/// What was seen last.
#[derive(Debug)]
pub(super) struct NodeView {
    seen: Arc<ArcSwapOption<ContainerdStatus>>,
    _looking: Option<Task>,
}

impl NodeView {
    /// Looks for as long as it lives; never, without `params`. Needs a runtime.
    pub(super) fn start(params: Option<Params>, fleet: &Arc<Fleet>) -> Self {
        let seen = Arc::new(ArcSwapOption::empty());
        let looking = params.map(|params| {
            let (seen, fleet) = (Arc::clone(&seen), Arc::clone(fleet));
            Task(tokio::spawn(async move {
                loop {
                    let found = discovered(params.lookup.clone()).await;
                    for _ in 0..LOOKS_PER_DISCOVERY {
                        seen.store(look(&params, found.clone(), fleet.domains()).await.map(Arc::new));
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }))
        });
        Self { seen, _looking: looking }
    }

    pub(super) fn seen(&self) -> Option<ContainerdStatus> {
        self.seen.load().as_deref().cloned()
    }
}

/// What containerd says of itself; `None` where that cannot be seen.
async fn discovered(lookup: Lookup) -> Option<Arc<Discovery>> {
    let found = tokio::task::spawn_blocking(move || discover(&lookup)).await.ok()?;
    let hidden = found.findings.iter().any(|finding| finding.kind == Kind::Unreadable);
    (!hidden).then(|| Arc::new(found))
}

async fn look(params: &Params, found: Option<Arc<Discovery>>, domains: Vec<RegistryHost>) -> Option<ContainerdStatus> {
    let (found, params) = (found?, params.clone());
    let look = move || {
        let entries = entries(&params);
        ContainerdStatus {
            certs_dir: found.certs_dir.root().map(|root| root.display().to_string()),
            domains: domains.iter().map(|domain| domain_status(&found, domain, &entries)).collect(),
            findings: found
                .findings
                .iter()
                .map(|finding| FindingStatus { text: finding.text.clone(), fix: finding.fix.clone() })
                .collect(),
        }
    };
    tokio::task::spawn_blocking(look).await.ok()
}

/// The entries that lead here, with and without a limit on connecting: only whoever installed them knew the version.
fn entries(params: &Params) -> Vec<Entry> {
    let plain = Entry::new(params.listen);
    let plain = match &params.tls {
        Some(tls) => plain.with_tls(tls.ca_file.clone()),
        None => plain,
    };
    let token = params.client_token_file.as_deref().and_then(|path| client_token(path).ok());
    let entry = match token {
        // One that no header can carry is in no entry either.
        Some(token) => plain.clone().with_token(token).unwrap_or(plain),
        None => plain,
    };
    vec![entry.clone(), entry.with_dial_timeout()]
}

fn domain_status(found: &Discovery, domain: &RegistryHost, entries: &[Entry]) -> DomainStatus {
    let servers = [Server::Fallback(domain.clone()), Server::Strict];
    let forms = entries.iter().flat_map(|entry| servers.iter().map(move |server| (entry, server)));
    let mut states = forms.map(|(entry, server)| found.certs_dir.state(domain, entry, server).state);
    let first = states.next().unwrap_or(State::Absent);
    let state = if states.any(|state| state == State::Ours) { State::Ours } else { first };
    let (words, good) = match state {
        State::Ours => ("asks this daemon".to_owned(), true),
        State::ChangedByHand => ("has an entry that was changed by hand".to_owned(), true),
        State::Absent => ("has no hosts.toml".to_owned(), false),
        State::Outdated => ("has an entry for other settings; run 'hosts install' again".to_owned(), false),
        State::OtherEntries => ("has a hosts.toml without this daemon".to_owned(), false),
        State::Shadowed { by } => (format!("is hidden by {}", by.display()), false),
        State::Unusable { reason } => (reason, false),
    };
    DomainStatus { domain: domain.to_string(), state: words, good }
}
