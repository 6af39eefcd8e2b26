//! Whether containerd asks the daemon: one judgement, which the status page shows, and `doctor` and `hosts status` tell.

use serde::Serialize;

use super::{Discovery, DomainState, Entry, Finding, Kind, Server, State};
use crate::oci::RegistryHost;

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Grade {
    /// As it should be.
    Good,
    /// It works, or may well work; worth a look.
    Doubtful,
    /// containerd does not ask the daemon.
    Bad,
}

/// How one served domain stands.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What was found.
    pub found: DomainState,
    /// How good that is.
    pub grade: Grade,
    /// The same in words, behind the name of the domain.
    pub words: String,
    /// What to do, where it is not good.
    pub fix: Option<String>,
}

/// How containerd stands with the daemon.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What is wrong with its configuration.
    pub findings: Vec<Finding>,
    /// Every served domain.
    pub domains: Vec<Judged>,
}

/// What puts every state but one by hand right.
const INSTALL: &str = "run `acr-pull-proxy hosts install`, which changes nothing but our own entry";
/// What replaces a change by hand.
const FORCE: &str = "check the entry, or run `acr-pull-proxy hosts install --force`, which writes ours in its place";

impl Discovery {
    /// Judges the entries of these domains, which should say what `entry` says.
    ///
    /// Whether it has a limit on connecting, and what is asked behind the daemon, only whoever installed it knew: every
    /// form is right. Where a distribution writes the files, any that lead to the daemon are.
    #[must_use]
    pub fn judge(&self, domains: &[RegistryHost], entry: &Entry) -> Judgement {
        self.judge_found(domains.iter().map(|domain| (domain, self.state_in_any_form(domain, entry))), entry)
    }

    /// The same for whoever would install the entries, and knows all that they should say.
    #[must_use]
    pub fn judge_exactly(&self, domains: &[(RegistryHost, Server)], entry: &Entry) -> Judgement {
        let found = |domain, server| self.certs_dir.state(domain, entry, server);
        self.judge_found(domains.iter().map(|(domain, server)| (domain, found(domain, server))), entry)
    }

    fn judge_found<'a>(
        &self,
        domains: impl Iterator<Item = (&'a RegistryHost, DomainState)>,
        entry: &Entry,
    ) -> Judgement {
        let domains: Vec<_> = domains.map(|(domain, found)| self.judge_domain(domain, found, entry)).collect();
        // Where domains are known, each of them says what came of it.
        let findings = self.findings.iter().filter(|finding| finding.kind != Kind::Rewritten || domains.is_empty());
        Judgement { findings: findings.cloned().collect(), domains }
    }

    /// The domains that a distribution which writes the files does not send to the daemon by itself. An entry of ours does
    /// not count: it is gone with the next start of the distribution.
    #[must_use]
    pub fn not_sent<'a>(&self, domains: &'a [(RegistryHost, Server)], entry: &Entry) -> Vec<&'a RegistryHost> {
        let domains = domains.iter().map(|(domain, _)| domain);
        domains.filter(|domain| !self.certs_dir.leads_to_by_others(domain, entry.mirror())).collect()
    }

    /// The distribution that writes the files.
    #[must_use]
    pub fn rewritten(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.kind == Kind::Rewritten)
    }

    fn judge_domain(&self, domain: &RegistryHost, found: DomainState, entry: &Entry) -> Judged {
        let leads_here = self.certs_dir.leads_to(domain, entry.mirror());
        let rewritten = self.rewritten();
        let (grade, words, fix) = match (&found.state, rewritten) {
            (State::Ours, _) => (Grade::Good, "asks this daemon".to_owned(), None),
            (_, Some(_)) if leads_here => (Grade::Good, "asks this daemon, as registries.yaml says".to_owned(), None),
            (_, Some(finding)) => (Grade::Bad, "does not ask this daemon".to_owned(), Some(finding.fix.as_str())),
            (State::ChangedByHand, _) if leads_here => {
                (Grade::Doubtful, "has an entry that was changed by hand".to_owned(), Some(FORCE))
            }
            (State::ChangedByHand, _) => {
                (Grade::Bad, "has an entry that was changed by hand and leads elsewhere".to_owned(), Some(FORCE))
            }
            (State::Sealed, _) => {
                let fix = "run `acr-pull-proxy hosts status` as root to see it";
                (Grade::Doubtful, "has a hosts.toml that only root can read".to_owned(), Some(fix))
            }
            (State::Absent, _) => (Grade::Bad, "has no hosts.toml".to_owned(), Some(INSTALL)),
            (State::Outdated, _) => (Grade::Bad, "has an entry for other settings".to_owned(), Some(INSTALL)),
            (State::OtherEntries, _) => (Grade::Bad, "has a hosts.toml without this daemon".to_owned(), Some(INSTALL)),
            (State::Shadowed { by }, _) => (Grade::Bad, format!("is hidden by {}", by.display()), Some(INSTALL)),
            (State::Unusable { reason, advice }, _) => (Grade::Bad, reason.clone(), Some(*advice)),
        };
        Judged { grade, words, fix: fix.map(str::to_owned), found }
    }

    fn state_in_any_form(&self, domain: &RegistryHost, entry: &Entry) -> DomainState {
        let entries = entry.forms();
        let servers = [Server::Fallback(domain.clone()), Server::Strict];
        let forms = entries.iter().flat_map(|entry| servers.iter().map(move |server| (entry, server)));
        let mut states: Vec<_> = forms.map(|(entry, server)| self.certs_dir.state(domain, entry, server)).collect();
        let ours = states.iter().position(|found| found.state == State::Ours);
        states.swap_remove(ours.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
