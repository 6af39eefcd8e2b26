//! How containerd on this node is set up, looked at now and then for the status page.
//!
//! Promises: nothing is changed, and nobody who asks for the page waits for a look. Where containerd's configuration
//! cannot be seen, as in a container that is shown nothing of it, that is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::Task;
use super::fleet::Fleet;
use crate::admin::status::{ContainerdStatus, DomainStatus, FindingStatus};
use crate::config::{Tls, client_token};
use crate::containerd::{Discovery, Entry, Finding, Grade, Judged, Kind, Lookup, discover};
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
        let looking = params.map(|mut params| {
            params.lookup.mirror = Some(bare(&params).mirror().to_owned());
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

/// What containerd says of itself.
async fn discovered(lookup: Lookup) -> Option<Arc<Discovery>> {
    tokio::task::spawn_blocking(move || discover(&lookup)).await.ok().map(Arc::new)
}

async fn look(params: &Params, found: Option<Arc<Discovery>>, domains: Vec<RegistryHost>) -> Option<ContainerdStatus> {
    let (found, params) = (found?, params.clone());
    tokio::task::spawn_blocking(move || status(&found, &domains, &entry(&params))).await.ok()
}

/// The entry that leads here.
fn entry(params: &Params) -> Entry {
    let plain = bare(params);
    match params.client_token_file.as_deref().and_then(|path| client_token(path).ok()) {
        // One that no header can carry is in no entry either.
        Some(token) => plain.clone().with_token(token).unwrap_or(plain),
        None => plain,
    }
}

fn bare(params: &Params) -> Entry {
    let entry = Entry::new(params.listen);
    match &params.tls {
        Some(tls) => entry.with_tls(tls.ca_file.clone()),
        None => entry,
    }
}

fn status(found: &Discovery, domains: &[RegistryHost], entry: &Entry) -> ContainerdStatus {
    let told = |finding: &Finding| FindingStatus {
        text: finding.text.clone(),
        fix: finding.fix.clone(),
        mild: !finding.kind.is_in_the_way() || finding.kind == Kind::Unreadable,
    };
    let unseen = found.findings.iter().find(|finding| finding.kind == Kind::Unreadable);
    let judged = found.judge(domains, entry);
    ContainerdStatus {
        certs_dir: found.certs_dir.root().map(|root| root.display().to_string()),
        domains: if unseen.is_some() { Vec::new() } else { judged.domains.into_iter().map(domain_status).collect() },
        findings: judged.findings.iter().filter(|finding| finding.kind != Kind::Unreadable).map(told).collect(),
        unseen: unseen.map(told),
    }
}

fn domain_status(judged: Judged) -> DomainStatus {
    DomainStatus { domain: judged.found.domain, state: judged.words, good: judged.grade != Grade::Bad, fix: judged.fix }
}
